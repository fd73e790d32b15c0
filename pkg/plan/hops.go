package plan

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/version"
)

// NextHop returns the version the next operation brings a cluster to that runs current and shall run target: target itself within a
// minor version and into the next one, and otherwise the newest release of the next minor version that the bundle holds. Available
// lists the releases of the bundle. It is current when nothing is left to do. The error is that of Hops.
func NextHop(current, target string, available []string) (string, error) {
	hops, err := Hops(current, target, available)
	if err != nil {
		return "", err
	}
	if len(hops) == 0 {
		return current, nil
	}
	return hops[0], nil
}

// Hops returns the versions a cluster goes through from current, which is left out, to target: one for each minor version, because
// control planes must not skip any (Kubernetes' version skew policy). The whole way must be in the bundle before its first part is
// gone. The error is a *RefusedError when a rule forbids the way, and otherwise says which version cannot be read.
func Hops(current, target string, available []string) ([]string, error) {
	from, err := parseRelease(current)
	if err != nil {
		return nil, err
	}
	to, err := parseRelease(target)
	if err != nil {
		return nil, err
	}
	switch {
	case to.EqualTo(from):
		return nil, nil
	case to.LessThan(from):
		return nil, &RefusedError{Reason: RefusedDowngrade, Message: fmt.Sprintf(
			"the cluster runs %s and cannot go back to %s, because Kubernetes does not read the data of a newer version: set spec.version to %s or newer",
			current, target, current)}
	case !slices.Contains(available, target):
		return nil, &RefusedError{Reason: RefusedVersionNotInBundle, Message: fmt.Sprintf(
			"the bundle does not hold Kubernetes %s, it holds %s: correct spec.version, or use another bundle", target, orNone(available))}
	case to.Major() != from.Major():
		return nil, skipped(current, target, fmt.Sprintf("v%d", from.Major()), available)
	}
	var hops []string
	for minor := from.Minor() + 1; minor < to.Minor(); minor++ {
		hop, err := newestOf(from.Major(), minor, available)
		if err != nil {
			return nil, err
		}
		if hop == "" {
			return nil, skipped(current, target, fmt.Sprintf("v%d.%d", from.Major(), minor), available)
		}
		hops = append(hops, hop)
	}
	return append(hops, target), nil
}

func skipped(current, target, missing string, available []string) *RefusedError {
	return &RefusedError{Reason: RefusedSkippedMinor, Message: fmt.Sprintf(
		"the way from %s to %s leads over %s, because no minor version may be skipped, and the bundle holds no release of it (it holds %s): use a bundle with one, or set spec.version to a version in between first",
		current, target, missing, orNone(available))}
}

// newestOf is the newest release of a minor version, empty when there is none.
func newestOf(major, minor uint, available []string) (string, error) {
	var found string
	var newest *version.Version
	for _, text := range available {
		v, err := parseRelease(text)
		if err != nil {
			return "", fmt.Errorf("the bundle: %w", err)
		}
		if v.Major() == major && v.Minor() == minor && (newest == nil || newest.LessThan(v)) {
			found, newest = text, v
		}
	}
	return found, nil
}

func parseRelease(text string) (*version.Version, error) {
	v, err := version.ParseSemantic(text)
	if err != nil {
		return nil, fmt.Errorf("%q is not a Kubernetes release such as v1.36.3: %w", text, err)
	}
	return v, nil
}

func orNone(versions []string) string {
	if len(versions) == 0 {
		return "none"
	}
	return strings.Join(versions, ", ")
}
