package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sort"
	"strconv"
)

// failure is the body of a refusal, in the form of the distribution protocol.
type failure struct {
	Errors []failureItem `json:"errors"`
}

type failureItem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The client is gone; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(failure{Errors: []failureItem{{Code: code, Message: message}}})
}

// writeJSON answers with a document, whose media type the caller may have set.
func writeJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		// The client is gone; there is nobody left to tell.
		_, _ = w.Write(raw)
	}
}

// page cuts a sorted list by the parameters last and n of a request, and says whether more follows. A wrong n counts as none.
func page(all []string, r *http.Request) (part []string, more bool) {
	q := r.URL.Query()
	part = all
	if last := q.Get("last"); last != "" {
		part = all[sort.Search(len(all), func(i int) bool { return all[i] > last }):]
	}
	if n, err := strconv.Atoi(q.Get("n")); err == nil && n > 0 && n < len(part) {
		return part[:n], true
	}
	if part == nil {
		part = []string{}
	}
	return part, false
}

// link tells the client where the next page is.
func link(w http.ResponseWriter, r *http.Request, part []string, more bool) {
	if !more {
		return
	}
	next := url.URL{Path: r.URL.Path, RawQuery: r.URL.RawQuery}
	q := next.Query()
	q.Set("last", part[len(part)-1])
	next.RawQuery = q.Encode()
	w.Header().Set("Link", fmt.Sprintf(`<%s>; rel="next"`, next.String()))
}
