package main

import (
	"fmt"
	"io"
	"regexp"
	"strconv"
	"testing"
	"time"
)

// usage counts what a server has open.
type usage struct{ goroutines, files int }

var usageMetrics = regexp.MustCompile(`(?m)^(go_goroutines|process_open_fds) (\d+)$`)

// usage asks the server over the socket for its metrics.
func (s *serveProcess) usage() (u usage, err error) {
	resp, err := s.client.Get("http://imprint/v1/metrics")
	if err != nil {
		return u, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return u, err
	}
	found := usageMetrics.FindAllSubmatch(text, -1)
	if len(found) != 2 {
		return u, fmt.Errorf("got metrics %q, want goroutines and files", text)
	}
	for _, m := range found {
		n, _ := strconv.Atoi(string(m[2]))
		if string(m[1]) == "go_goroutines" {
			u.goroutines = n
		} else {
			u.files = n
		}
	}
	return u, nil
}

// awaitUsage waits up to a minute until the server's usage satisfies wanted, and returns the last.
func (s *serveProcess) awaitUsage(t testing.TB, wanted func(usage) bool) (u usage) {
	t.Helper()
	var err error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if u, err = s.usage(); err != nil {
			t.Fatal(err)
		}
		if wanted(u) {
			break
		}
	}
	return u
}

// settledUsage returns the server's usage once it no longer changes.
func (s *serveProcess) settledUsage(t testing.TB) usage {
	t.Helper()
	var last usage
	same := 0
	return s.awaitUsage(t, func(now usage) bool {
		if same++; now != last {
			last, same = now, 0
		}
		return same > 10
	})
}

// usageReturns checks that the server's usage returns to what it was before.
func (s *serveProcess) usageReturns(t testing.TB, before usage) (after usage) {
	t.Helper()
	after = s.awaitUsage(t, func(now usage) bool { return now.goroutines <= before.goroutines && now.files <= before.files })
	if after.goroutines > before.goroutines || after.files > before.files {
		t.Errorf("the server is left with %+v, before it had %+v", after, before)
	}
	return after
}
