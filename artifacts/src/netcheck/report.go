package main

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// keptFailures is how many failures are reported one by one.
const keptFailures = 20

// failure is one question without an answer.
type failure struct {
	At    time.Time `json:"at"`
	Error string    `json:"error"`
}

// report is what ask prints, on one line.
type report struct {
	Asked      int       `json:"asked"`
	Failed     int       `json:"failed"`
	LongestGap string    `json:"longestGap"`
	GapEndedAt time.Time `json:"gapEndedAt"`
	// Answers counts by the first line of the answer.
	Answers  map[string]int `json:"answers"`
	Failures []failure      `json:"failures,omitempty"`
}

// ledger adds up what came of the questions.
type ledger struct {
	mu      sync.Mutex
	sum     report
	longest time.Duration
	// answered is when the last answer came, or the first question was asked.
	answered time.Time
}

func newLedger(now time.Time) *ledger {
	return &ledger{sum: report{Answers: map[string]int{}}, answered: now}
}

// note takes one outcome down.
func (l *ledger) note(now time.Time, who string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sum.Asked++
	if err != nil {
		l.sum.Failed++
		if len(l.sum.Failures) < keptFailures {
			l.sum.Failures = append(l.sum.Failures, failure{At: now.UTC(), Error: err.Error()})
		}
		return
	}
	l.sum.Answers[who]++
	l.gap(now)
	l.answered = now
}

// gap looks whether the time since the last answer is the longest.
func (l *ledger) gap(now time.Time) {
	if gap := now.Sub(l.answered); gap > l.longest {
		l.longest = gap
		l.sum.GapEndedAt = now.UTC()
	}
}

// report is the sum so far; a gap that has not ended counts as well.
func (l *ledger) report(now time.Time) report {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gap(now)
	l.sum.LongestGap = l.longest.Round(time.Millisecond).String()
	copied := l.sum
	copied.Answers = map[string]int{}
	for who, times := range l.sum.Answers {
		copied.Answers[who] = times
	}
	return copied
}

func (l *ledger) print(out io.Writer, now time.Time) error {
	return json.NewEncoder(out).Encode(l.report(now))
}
