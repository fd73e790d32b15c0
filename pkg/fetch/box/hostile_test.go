package box

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/kubewright/kubewright/pkg/fetch"
)

func TestAFileIsFetched(t *testing.T) {
	want := content(size, 1)
	var methods []string
	b := newBench(t, func(w http.ResponseWriter, r *http.Request) {
		methods = append(methods, r.Method)
		file(want)(w, r)
	})
	b.request.Expect = fetch.Expect{SHA256: sumOf(want), Size: size}
	if result := b.whole(want); result.Received != size {
		t.Errorf("it received %d bytes", result.Received)
	}
	if len(methods) != 1 || methods[0] != http.MethodGet {
		t.Errorf("it made the requests %v, want one GET", methods)
	}
}

// Each of these servers does what an attacker, a broken proxy or a misconfigured mirror would.
func TestHostileServers(t *testing.T) {
	good := content(size, 1)
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		adjust  func(b *bench)
		kind    fetch.Kind
		says    string
	}{
		"a chunked body larger than the file is known to be is cut off and thrown away": {
			handler: func(w http.ResponseWriter, _ *http.Request) { endless(w) },
			adjust:  func(b *bench) { b.request.Expect.Size = size },
			kind:    fetch.Mismatch, says: "sends more than the 1048576 bytes",
		},
		"a chunked body without end is cut off at the limit": {
			handler: func(w http.ResponseWriter, _ *http.Request) { endless(w) },
			kind:    fetch.TooLarge, says: "more than the 16777216 bytes",
		},
		"a length beyond the limit is refused before a byte is read": {
			handler: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "99999999999999") },
			kind:    fetch.TooLarge, says: "99999999999999",
		},
		"a length other than the expected is refused": {
			handler: file(good), adjust: func(b *bench) { b.request.Expect.Size = size - 1 },
			kind: fetch.Mismatch, says: "it is another file",
		},
		"bytes other than the expected are thrown away": {
			handler: file(good), adjust: func(b *bench) { b.request.Expect.SHA256 = strings.Repeat("0", 64) },
			kind: fetch.Mismatch, says: sumOf(good),
		},
		"more room than there is is not begun": {
			handler: file(good), adjust: func(b *bench) { b.fetcher.free = func(string) (int64, error) { return size - 1, nil } },
			kind: fetch.DiskFull, says: "make room",
		},
		"room that has to stay free is not used": {
			handler: file(good), adjust: func(b *bench) {
				b.request.Limits.KeepFreeBytes = 1
				b.fetcher.free = func(string) (int64, error) { return size, nil }
			},
			kind: fetch.DiskFull, says: "1048577 are needed",
		},
		"a server that always breaks off early is left": {
			handler: func(w http.ResponseWriter, r *http.Request) { cut(w, r, good, 10) },
			kind:    fetch.Unreachable, says: "connection broke",
		},
		"a server that always resets the connection early is left": {
			handler: func(w http.ResponseWriter, r *http.Request) { reset(w, r, good, 10, func() bool { return true }) },
			kind:    fetch.Unreachable,
		},
		"a server that resets the connection before it answers is left": {
			handler: func(w http.ResponseWriter, _ *http.Request) { resetConn(hijacked(w)) },
			kind:    fetch.Unreachable, says: "reset by peer",
		},
		"a server that resets the connection within a header is left": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				conn := hijacked(w)
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Le")
				resetConn(conn)
			},
			kind: fetch.Unreachable, says: "ask for",
		},
		"a body whose end cannot be told from a cut is refused": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				raw(w, "HTTP/1.0 200 OK\r\n\r\n"+strings.Repeat("x", 1000))
			},
			kind: fetch.Refused, says: "a cut would not be noticed",
		},
		"a packed body is refused": {
			handler: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Encoding", "gzip") },
			kind:    fetch.Refused, says: "gzip",
		},
		"a header without end is refused": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				for i := range 100 {
					w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 10_000))
				}
			},
			kind: fetch.Unreachable, says: "headers exceeded",
		},
		"a part that was not asked for is refused": {
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Range", "bytes 0-9/20")
				w.WriteHeader(http.StatusPartialContent)
			},
			kind: fetch.Refused, says: "with a part of it",
		},
		"a range refused though none was asked for is refused": {
			handler: answer416, kind: fetch.Refused, says: "not asked for",
		},
		"twenty redirects are not followed": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				var n int
				_, _ = fmt.Sscanf(r.URL.Path, "/%d", &n)
				if n == 20 {
					file(good)(w, r)
					return
				}
				http.Redirect(w, r, fmt.Sprintf("/%d", n+1), http.StatusFound)
			},
			kind: fetch.Refused, says: "more than 5 redirects",
		},
		"a redirect to itself ends": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
			},
			kind: fetch.Refused, says: "more than 5 redirects",
		},
		"a redirect that gives up TLS is not followed":                             {handler: to("http://mirror.example.com/k.bundle"), kind: fetch.NotAllowed, says: "gives up TLS"},
		"a redirect to a file is not followed":                                     {handler: to("file:///etc/passwd"), kind: fetch.NotAllowed, says: "no address on the web"},
		"a redirect with a password is not followed":                               {handler: to("https://u:p@mirror.example.com/"), kind: fetch.NotAllowed, says: "user or password"},
		"a redirect without a host is not followed":                                {handler: to("https:///x"), kind: fetch.Refused, says: "names no host"},
		"a redirect without a place is not followed":                               {handler: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) }, kind: fetch.Refused, says: "no URL"},
		"a redirect to a cloud's metadata is not followed":                         {handler: to("https://169.254.169.254/latest/meta-data/"), kind: fetch.NotAllowed, says: "169.254.169.254"},
		"a redirect to this machine is not followed":                               {handler: to("https://127.0.0.1:1/"), kind: fetch.NotAllowed, says: "this very machine, named by a redirect"},
		"a redirect to this machine by IPv6 is not followed":                       {handler: to("https://[::1]:1/"), kind: fetch.NotAllowed, says: "this very machine"},
		"a redirect to this machine as mapped address is not followed":             {handler: to("https://[::ffff:127.0.0.1]:1/"), kind: fetch.NotAllowed, says: "this very machine"},
		"a redirect to this machine as address of none is not followed":            {handler: to("https://0.0.0.0:1/"), kind: fetch.NotAllowed, says: "or of none"},
		"a redirect to a private address is not followed":                          {handler: to("https://10.0.0.1/"), kind: fetch.NotAllowed, says: "private address, named by a redirect"},
		"a redirect to a name that stands for metadata is not followed":            {handler: to("https://mirror.example.com/"), adjust: claims("fd00:ec2::254"), kind: fetch.NotAllowed, says: "clouds hand out credentials"},
		"a redirect to a name that stands for credentials of pods is not followed": {handler: to("https://mirror.example.com/"), adjust: claims("fd00:ec2::23"), kind: fetch.NotAllowed, says: "clouds hand out credentials"},
		"a redirect to a name that stands for a private one is not followed":       {handler: to("https://mirror.example.com/"), adjust: claims("192.168.0.1"), kind: fetch.NotAllowed, says: "mirror.example.com:443"},
		"a source that is a cloud's metadata is not asked": {
			adjust: func(b *bench) { b.request.Source = "https://169.254.169.254/latest" }, kind: fetch.NotAllowed, says: "of the link",
		},
		"a source whose name stands for metadata is not asked": {
			adjust: func(b *bench) { b.request.Source = "https://mirror.example.com/latest"; claims("100.100.100.200")(b) },
			kind:   fetch.NotAllowed, says: "clouds hand out credentials",
		},
		"a source on this machine is not asked unless allowed": {
			handler: file(good), adjust: func(b *bench) { b.request.Network.AllowLoopback = false },
			kind: fetch.NotAllowed, says: "this very machine",
		},
		"a source without TLS is not asked unless allowed": {
			adjust: func(b *bench) { b.request.Source = "http://mirror.example.com/k.bundle" }, kind: fetch.NotAllowed, says: "use https://",
		},
		"a certificate that nobody vouches for is not accepted": {
			handler: file(good), adjust: func(b *bench) { b.request.Network.CABundle = "" }, kind: fetch.Refused, says: "is not trusted",
		},
		"credentials are not sent without TLS": {
			adjust: func(b *bench) {
				b.request.Source = "http://mirror.example.com/k.bundle"
				b.request.Network.AllowHTTP = true
				b.request.Credentials.Token = "t"
			},
			kind: fetch.NotAllowed, says: "credentials are not sent",
		},
		"no such file":           {handler: http.NotFound, kind: fetch.NotFound, says: "404"},
		"no right to the file":   {handler: status(403), kind: fetch.Unauthorized, says: "403"},
		"credentials are wanted": {handler: status(401), kind: fetch.Unauthorized, says: "401"},
		"a server that is down":  {handler: status(503), kind: fetch.Unreachable, says: "503"},
		"a server that is busy":  {handler: status(429), kind: fetch.Unreachable, says: "429"},
		"an answer of its own":   {handler: status(299), kind: fetch.Refused, says: "no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, test.handler)
			if test.adjust != nil {
				test.adjust(b)
			}
			b.fails(test.kind, test.says)
			if test.kind == fetch.Mismatch || test.kind == fetch.TooLarge {
				b.left()
			}
			if b.partSize() > b.request.Limits.MaxBytes {
				t.Errorf("it wrote %d bytes", b.partSize())
			}
		})
	}
}

func endless(w http.ResponseWriter) {
	chunk := make([]byte, 64<<10)
	for {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// raw answers with bytes of the test's own and ends the connection.
func raw(w http.ResponseWriter, text string) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, text)
}

func to(place string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", place)
		w.WriteHeader(http.StatusFound)
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func answer416(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
}

// claims lets the name of the mirror stand for an address.
func claims(address string) func(*bench) {
	return func(b *bench) { b.hosts["mirror.example.com:443"] = host{claims: address, is: "127.0.0.1:1"} }
}

func TestABodyOfUnknownLengthIsTakenWhenItsSumIsKnown(t *testing.T) {
	want := content(1000, 1)
	b := newBench(t, func(w http.ResponseWriter, _ *http.Request) { raw(w, "HTTP/1.0 200 OK\r\n\r\n"+string(want)) })
	b.request.Expect.SHA256 = sumOf(want)
	b.whole(want)
}

func TestAFetchGoesOnAfterACutAtAnyPoint(t *testing.T) {
	want := content(size, 1)
	var took func() int64 // how many bytes the part has
	for _, at := range []int{0, 1, 100, every - 1, every, every + 1, size / 2, size - 1} {
		for name, breakOff := range map[string]func(w http.ResponseWriter, r *http.Request){
			"a cut": func(w http.ResponseWriter, r *http.Request) { cut(w, r, want, at) },
			"a reset": func(w http.ResponseWriter, r *http.Request) {
				reset(w, r, want, at, func() bool { return took() >= int64(at) })
			},
		} {
			t.Run(fmt.Sprintf("%s after %d bytes", name, at), func(t *testing.T) {
				var asked []string
				b := newBench(t, func(w http.ResponseWriter, r *http.Request) {
					asked = append(asked, r.Header.Get("Range")+" "+r.Header.Get("If-Range"))
					if len(asked) == 1 {
						breakOff(w, r)
						return
					}
					file(want)(w, r)
				})
				took = b.partSize
				result := b.whole(want)
				if len(asked) != 2 {
					t.Fatalf("it asked %v", asked)
				}
				if at > 0 && asked[1] != fmt.Sprintf("bytes=%d- %q", at, sumOf(want)) {
					t.Errorf("it asked for %q", asked[1])
				}
				if result.Received != size {
					t.Errorf("it received %d bytes for %d", result.Received, size)
				}
			})
		}
	}
}

// Whatever a server makes of a request to go on, the file in the end is one that the server served as a whole.
func TestServersThatDoNotGoOnAsAsked(t *testing.T) {
	before, after := content(size, 1), content(size+77, 2)
	half := func(w http.ResponseWriter, r *http.Request) { cut(w, r, before, size/2) }
	part := func(tag, contentRange string, body []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", tag)
			w.Header().Set("Content-Range", contentRange)
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(body)
		}
	}
	tag := `"` + sumOf(before) + `"`
	for name, test := range map[string]struct {
		second http.HandlerFunc
		third  []byte
		want   []byte
	}{
		"the range is ignored": {second: func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del("Range")
			file(before)(w, r)
		}, want: before},
		"the file changed and the server says so":                  {second: file(after), want: after},
		"the file changed and only the ETag of the part shows it":  {second: part(`"other"`, fmt.Sprintf("bytes %d-%d/%d", size/2, size-1, size), after[size/2:size]), third: after, want: after},
		"the file changed and only the size of the whole shows it": {second: part(tag, fmt.Sprintf("bytes %d-%d/%d", size/2, size+76, size+77), after[size/2:]), third: after, want: after},
		"the part begins elsewhere":                                {second: part(tag, fmt.Sprintf("bytes 0-%d/%d", size-1, size), before), third: before, want: before},
		"the part does not reach the end":                          {second: part(tag, fmt.Sprintf("bytes %d-%d/%d", size/2, size-2, size), before[size/2:size-1]), third: before, want: before},
		"the part says nothing of itself":                          {second: part(tag, "", before[size/2:]), third: before, want: before},
		"the part's numbers are nonsense":                          {second: part(tag, "bytes 18446744073709551615-1/99999999999999999999", nil), third: before, want: before},
		"the range is refused":                                     {second: answer416, third: before, want: before},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			b := newBench(t, func(w http.ResponseWriter, r *http.Request) {
				switch asked.Add(1) {
				case 1:
					half(w, r)
				case 2:
					test.second(w, r)
				default:
					if r.Header.Get("Range") != "" {
						t.Errorf("it asked again for a part")
					}
					file(test.third)(w, r)
				}
			})
			b.whole(test.want)
		})
	}
}

func TestWithoutAStrongValidatorAFetchBeginsAnew(t *testing.T) {
	want := content(size, 1)
	for name, header := range map[string][2]string{
		"none":                             {"", ""},
		"a weak ETag":                      {"ETag", `W/"1"`},
		"a time of this very moment":       {"Last-Modified", "now"},
		"a time that cannot be read":       {"Last-Modified", "yesterday"},
		"an ETag that is not a quoted one": {"ETag", "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			b := newBench(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Range") != "" || r.Header.Get("If-Range") != "" {
					t.Errorf("it asked for a part")
				}
				if header[1] == "now" {
					header[1] = w.Header().Get("Date")
				}
				w.Header().Set(header[0], header[1])
				w.Header().Set("Content-Length", fmt.Sprint(size))
				if asked.Add(1) == 1 {
					_, _ = (&cutter{ResponseWriter: w, left: size / 2}).Write(want)
				}
				_, _ = w.Write(want)
			})
			b.whole(want)
		})
	}
}

// A later process goes on with what an earlier one made safe, and with nothing else.
func TestANewProcessGoesOnWithWhatIsSafe(t *testing.T) {
	want := content(size, 1)
	const at = 5*every + 1000
	for name, test := range map[string]struct {
		spoil func(t *testing.T, b *bench)
		from  int64
	}{
		"as it was left": {func(*testing.T, *bench) {}, at},
		"with bytes behind that nobody vouches for": {func(t *testing.T, b *bench) {
			f, err := os.OpenFile(b.request.Destination+fetch.PartSuffix, os.O_APPEND|os.O_WRONLY, 0)
			check(t, err)
			_, err = f.WriteString("what a crash left")
			check(t, err)
			check(t, f.Close())
		}, at},
		"with the mark lost": {func(t *testing.T, b *bench) { check(t, os.Remove(b.request.Destination+fetch.MarkSuffix)) }, 0},
		"with the mark damaged": {func(t *testing.T, b *bench) {
			check(t, os.WriteFile(b.request.Destination+fetch.MarkSuffix, []byte("{"), 0o600))
		}, 0},
		"with the part shorter than its mark": {func(t *testing.T, b *bench) { check(t, os.Truncate(b.request.Destination+fetch.PartSuffix, at-1)) }, 0},
		"with another source":                 {func(_ *testing.T, b *bench) { b.request.Source = b.server.URL + "/other.bundle" }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			serve := func(w http.ResponseWriter, r *http.Request) { cut(w, r, want, at) }
			var first []string
			b := newBench(t, func(w http.ResponseWriter, r *http.Request) {
				first = append(first, r.Header.Get("Range"))
				serve(w, r)
			})
			dead := func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNotFound) }
			asked := 0
			serve = func(w http.ResponseWriter, r *http.Request) {
				if asked++; asked == 1 {
					cut(w, r, want, at)
				}
				dead(w, r)
			}
			b.fails(fetch.NotFound, "404")
			test.spoil(t, b)
			serve, first = file(want), nil
			result := b.whole(want)
			if result.Received != size-test.from {
				t.Errorf("it received %d bytes, want %d", result.Received, size-test.from)
			}
			wantRange := ""
			if test.from > 0 {
				wantRange = fmt.Sprintf("bytes=%d-", test.from)
			}
			if len(first) != 1 || first[0] != wantRange {
				t.Errorf("it asked for %q, want %q", first, wantRange)
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAWholePartNeedsNoRequest(t *testing.T) {
	want := content(size, 1)
	b := newBench(t, file(want))
	p, err := openPart(mkdir(t, b), b.request.Source, every)
	check(t, err)
	check(t, p.begin(`"x"`, size))
	_, err = p.Write(want)
	check(t, err)
	check(t, p.checkpoint())
	p.close()
	b.server.Close()
	if result := b.whole(want); result.Received != 0 {
		t.Errorf("it received %d bytes", result.Received)
	}
}

func mkdir(t *testing.T, b *bench) string {
	t.Helper()
	check(t, os.MkdirAll(strings.TrimSuffix(b.request.Destination, "/k.bundle"), 0o700))
	return b.request.Destination
}

func TestTwoFetchesToOnePlaceDoNotMeet(t *testing.T) {
	b := newBench(t, file(content(size, 1)))
	p, err := openPart(mkdir(t, b), b.request.Source, every)
	check(t, err)
	defer p.close()
	b.fails(fetch.Busy, "another process")
}

func TestCredentialsDoNotFollowARedirect(t *testing.T) {
	want := content(1000, 1)
	for name, credentials := range map[string]fetch.Credentials{
		"a password": {Username: "u", Password: "secret"},
		"a token":    {Token: "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			note := func(r *http.Request) {
				seen = append(seen, fmt.Sprintf("%s %v", r.URL.Path, r.Header.Get("Authorization") != ""))
			}
			b := newBench(t, nil)
			home := b.serve(func(w http.ResponseWriter, r *http.Request) {
				note(r)
				switch r.URL.Path {
				case "/k.bundle":
					http.Redirect(w, r, "/same-host", http.StatusFound)
				case "/same-host":
					http.Redirect(w, r, "https://mirror.example.com/elsewhere", http.StatusFound)
				default:
					file(want)(w, r)
				}
			})
			away := b.serve(func(w http.ResponseWriter, r *http.Request) {
				note(r)
				for _, h := range []string{"Referer", "Cookie"} {
					if r.Header.Get(h) != "" {
						t.Errorf("the other host was told %s", h)
					}
				}
				http.Redirect(w, r, "https://example.com/back", http.StatusFound)
			})
			b.hosts["example.com:443"] = host{claims: "192.0.2.1", is: home.Listener.Addr().String()}
			b.hosts["mirror.example.com:443"] = host{claims: "192.0.2.2", is: away.Listener.Addr().String()}
			b.request.Source = "https://example.com/k.bundle"
			b.request.Credentials = credentials
			b.whole(want)
			if got := strings.Join(seen, ", "); got != "/k.bundle true, /same-host true, /elsewhere false, /back false" {
				t.Errorf("credentials were sent so: %s", got)
			}
		})
	}
}

func TestSecretsOfARedirectAreNotToldOf(t *testing.T) {
	b := newBench(t, to("https://127.0.0.1:1/x?X-Amz-Signature=secret"))
	_, err := b.fetch()
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v", err)
	}
}

func TestAnHTTPSourceIsFetchedWhenAllowed(t *testing.T) {
	want := content(1000, 1)
	b := newBench(t, nil)
	server := httptest.NewServer(file(want))
	t.Cleanup(server.Close)
	b.request.Source = server.URL + "/k.bundle"
	b.request.Network.AllowHTTP = true
	b.whole(want)
}

func TestARefusedConnectionIsUnreachable(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	check(t, listener.Close())
	b := newBench(t, nil)
	b.request.Source = "https://" + listener.Addr().String() + "/k.bundle"
	b.fails(fetch.Unreachable, "refused")
}
