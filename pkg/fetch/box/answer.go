package box

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/kubewright/kubewright/pkg/fetch"
)

// verdict is what an answer means for the part.
type verdict int

const (
	// goOn appends the body to the part.
	goOn verdict = iota
	// startOver empties the part and takes the body from the first byte.
	startOver
	// askAgain asks once more, for the whole: the server has another file now, or ranges mean something else to it.
	askAgain
	// complete needs no body: the part is the whole file.
	complete
)

// answer is what was read out of a response's header.
type answer struct {
	verdict verdict
	// validator and total of the file that the body belongs to.
	validator string
	total     int64
}

// judgeAnswer says what a response means to a part whose mark is m and that asked for what follows its first have bytes. Nothing a
// server says is believed that the bytes cannot bear out.
func judgeAnswer(resp *http.Response, m mark, have int64, framed bool) (answer, error) {
	refuse := func(kind fetch.Kind, why string) (answer, error) {
		return answer{}, &fetch.Error{Kind: kind, Message: fmt.Sprintf("%s: %s", shown(resp.Request.URL), why)}
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return refuse(fetch.Refused, fmt.Sprintf("the server packed the file (Content-Encoding %.40q) though asked not to: serve it as it is", coding))
	}
	a := answer{validator: validatorOf(resp.Header)}
	switch resp.StatusCode {
	case http.StatusOK:
		a.verdict, a.total = startOver, max(resp.ContentLength, 0)
		if a.total == 0 && resp.ContentLength != 0 && !framed {
			return refuse(fetch.Refused, "the server says neither how long the file is nor where it ends, so a cut would not be noticed: have it send Content-Length")
		}
		return a, nil
	case http.StatusPartialContent:
		first, last, total, ok := contentRange(resp.Header.Get("Content-Range"))
		switch {
		case have == 0 || !ok || first != have || last != total-1 || (resp.ContentLength >= 0 && resp.ContentLength != last-first+1):
			return answer{verdict: askAgain}, nil
		case a.validator != "" && a.validator != m.Validator, m.Total > 0 && total != m.Total:
			return answer{verdict: askAgain}, nil
		}
		return answer{verdict: goOn, validator: m.Validator, total: total}, nil
	case http.StatusRequestedRangeNotSatisfiable:
		if have > 0 && m.Total == have && (a.validator == "" || a.validator == m.Validator) {
			return answer{verdict: complete, validator: m.Validator, total: m.Total}, nil
		}
		if have == 0 {
			return refuse(fetch.Refused, "the server refuses a range that was not asked for")
		}
		return answer{verdict: askAgain}, nil
	case http.StatusUnauthorized, http.StatusForbidden:
		return refuse(fetch.Unauthorized, fmt.Sprintf("the server answers %s: give credentials that may read the file", resp.Status))
	case http.StatusNotFound, http.StatusGone:
		return refuse(fetch.NotFound, fmt.Sprintf("the server answers %s: put the file there, or correct the source", resp.Status))
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return refuse(fetch.Unreachable, "the server answers "+resp.Status)
	}
	if resp.StatusCode >= 500 {
		return refuse(fetch.Unreachable, "the server answers "+resp.Status)
	}
	return refuse(fetch.Refused, fmt.Sprintf("the server answers %s, which is no answer to a request for a file", resp.Status))
}

// validatorOf is what a later request can ask with whether the file is still the same: only a strong ETag, or a time of modification
// that is at least a minute older than the answer, say so for every byte (RFC 9110, sections 8.8 and 13.1.5).
func validatorOf(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) && strings.HasSuffix(tag, `"`) && len(tag) > 2 {
		return tag
	}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	if err != nil || h.Get("ETag") != "" {
		return ""
	}
	if now, err := http.ParseTime(h.Get("Date")); err != nil || now.Sub(modified).Seconds() < 60 {
		return ""
	}
	return h.Get("Last-Modified")
}

// contentRange reads "bytes FIRST-LAST/TOTAL". A server that does not say the total is not gone on with.
func contentRange(text string) (first, last, total int64, ok bool) {
	text, isBytes := strings.CutPrefix(text, "bytes ")
	span, totalText, hasTotal := strings.Cut(text, "/")
	firstText, lastText, hasLast := strings.Cut(span, "-")
	if !isBytes || !hasTotal || !hasLast {
		return 0, 0, 0, false
	}
	for _, number := range []struct {
		text string
		into *int64
	}{{firstText, &first}, {lastText, &last}, {totalText, &total}} {
		n, err := strconv.ParseUint(number.text, 10, 63)
		if err != nil {
			return 0, 0, 0, false
		}
		*number.into = int64(n)
	}
	return first, last, total, first <= last && last < total
}
