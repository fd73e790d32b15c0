package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
)

// The form that continuous integration systems read; a suite is a scenario, a case one of its checks.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     float64     `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
		Output   string      `xml:"system-out,omitempty"`
	}
	junitCase struct {
		Class   string       `xml:"classname,attr"`
		Name    string       `xml:"name,attr"`
		Time    float64      `xml:"time,attr"`
		Failure *junitReason `xml:"failure,omitempty"`
		Skipped *junitReason `xml:"skipped,omitempty"`
	}
	junitReason struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

func toJUnit(all []scenario) junitSuites {
	var out junitSuites
	for _, s := range all {
		suite := junitSuite{Name: s.pkg + "." + s.name, Time: s.took.Seconds()}
		for _, line := range s.measured {
			suite.Output += line + "\n"
		}
		for _, c := range s.checks {
			one := junitCase{Class: s.pkg, Name: c.name, Time: c.took.Seconds()}
			switch c.action {
			case "fail", crashed:
				suite.Failures++
				one.Failure = &junitReason{Message: c.action, Text: c.said}
			case "skip":
				suite.Skipped++
				one.Skipped = &junitReason{Message: "skipped", Text: c.said}
			}
			suite.Cases = append(suite.Cases, one)
		}
		suite.Tests = len(suite.Cases)
		out.Suites = append(out.Suites, suite)
	}
	return out
}

// writeJUnit writes the file and the directory it is in.
func writeJUnit(path string, all []scenario) error {
	text, err := xml.MarshalIndent(toJUnit(all), "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // anybody may read what tests found
		return err
	}
	return os.WriteFile(path, append([]byte(xml.Header), text...), 0o644) //nolint:gosec // anybody may read what tests found
}
