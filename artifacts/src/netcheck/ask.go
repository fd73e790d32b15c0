package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// asking is what ask was told to do.
type asking struct {
	urls     []string
	count    int
	interval time.Duration
	timeout  time.Duration
	every    time.Duration
	await    time.Duration
	ca       string
	cert     string
	key      string
}

// ask asks again and again, each time over a new connection and at the same pace also while answers are late, and prints a report. It
// fails when any answer was missing.
func ask(ctx context.Context, args []string, out io.Writer) error {
	var a asking
	flags := flag.NewFlagSet("ask", flag.ContinueOnError)
	flags.Func("url", "URL to ask; of several the next is asked when one does not answer", func(url string) error {
		a.urls = append(a.urls, url)
		return nil
	})
	flags.IntVar(&a.count, "count", 0, "how often; 0 means until a signal")
	flags.DurationVar(&a.interval, "interval", 100*time.Millisecond, "time between two questions")
	flags.DurationVar(&a.timeout, "timeout", 2*time.Second, "how long to wait for an answer")
	flags.DurationVar(&a.every, "every", 0, "print what was found so far each time this has passed; 0 means only at the end")
	flags.DurationVar(&a.await, "await", 0, "wait this long for a first answer before anything counts; 0 means to count from the start")
	flags.StringVar(&a.ca, "ca", "", "file with the certificate authority of https servers")
	flags.StringVar(&a.cert, "cert", "", "file with the client certificate")
	flags.StringVar(&a.key, "key", "", "file with its key (default: the same file)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if len(a.urls) == 0 {
		return errors.New("-url is missing: name what to ask")
	}
	tlsConfig, err := a.tls()
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: a.timeout, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: tlsConfig, DialContext: alone(nil)}}
	if a.await > 0 {
		if err := a.awaitAnswer(ctx, client); err != nil {
			return err
		}
	}
	l := newLedger(time.Now())
	stopped := make(chan struct{})
	if a.every > 0 {
		go func() {
			ticker := time.NewTicker(a.every)
			defer ticker.Stop()
			for {
				select {
				case <-stopped:
					return
				case <-ticker.C:
					_ = l.print(out, time.Now()) // the last report tells when nothing can be written
				}
			}
		}()
	}
	a.run(ctx, client, l)
	close(stopped)
	if err := l.print(out, time.Now()); err != nil {
		return err
	}
	if report := l.report(time.Now()); report.Failed > 0 {
		return fmt.Errorf("%d of %d questions got no answer", report.Failed, report.Asked)
	}
	return nil
}

// alone dials so that each connection looks its name up for itself, through dns if given. A resolver has all that look the same name up at the
// same time wait for one lookup, so one packet lost on the way to a DNS server would hold up every question of the next 5 seconds and not just
// its own.
func alone(dns func(ctx context.Context, network, address string) (net.Conn, error)) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return (&net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: dns}}).DialContext(ctx, network, address)
	}
}

// awaitAnswer asks until somebody answers: nodes learn a moment late of a Service whose pods have just become ready.
func (a asking) awaitAnswer(ctx context.Context, client *http.Client) error {
	ctx, cancel := context.WithTimeout(ctx, a.await)
	defer cancel()
	ticker := time.NewTicker(a.interval)
	defer ticker.Stop()
	for {
		_, err := askAny(client, a.urls)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no answer within %s: %w", a.await, err)
		case <-ticker.C:
		}
	}
}

// run asks at every tick, without waiting for the answers to earlier questions, and returns when all have been answered or given up.
func (a asking) run(ctx context.Context, client *http.Client, l *ledger) {
	var pending sync.WaitGroup
	defer pending.Wait()
	ticker := time.NewTicker(a.interval)
	defer ticker.Stop()
	for n := 0; a.count == 0 || n < a.count; n++ {
		pending.Go(func() {
			who, err := askAny(client, a.urls)
			l.note(time.Now(), who, err)
		})
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// tls is nil when nothing is said about certificates.
func (a asking) tls() (*tls.Config, error) {
	if a.ca == "" {
		return nil, nil
	}
	authority, err := os.ReadFile(a.ca)
	if err != nil {
		return nil, fmt.Errorf("-ca: %w", err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	if !config.RootCAs.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("-ca: %s holds no certificate", a.ca)
	}
	if a.cert == "" {
		return config, nil
	}
	if a.key == "" {
		a.key = a.cert
	}
	// Read anew for each connection: kubelet's certificate is exchanged now and then.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(a.cert, a.key)
		return &pair, err
	}
	return config, nil
}

// askAny returns the first answer, asking one after the other.
func askAny(client *http.Client, urls []string) (string, error) {
	var errs []error
	for _, url := range urls {
		who, err := askOnce(client, url)
		if err == nil {
			return who, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// maxName bounds what is read of an answer, and what of it stands in the report.
const (
	maxAnswer = 64 << 10
	maxName   = 80
)

func askOnce(client *http.Client, url string) (string, error) {
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s answered %s", url, response.Status)
	}
	name, _, _ := strings.Cut(string(body), "\n")
	if len(name) > maxName {
		name = name[:maxName]
	}
	return name, nil
}
