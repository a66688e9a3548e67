package act

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/imprintkit/imprint/imprint/serve/region"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// A runner is a Webhook or a Command.
type runner interface{ Run(ctx context.Context) }

// start runs r until the end of the test.
func start(t *testing.T, r runner) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	work.Go(func() { r.Run(ctx) })
	t.Cleanup(func() {
		stop()
		work.Wait()
	})
}

func await[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(time.Minute):
		t.Fatal("timed out")
		panic("unreachable")
	}
}

func TestWebhook(t *testing.T) {
	got := make(chan region.State, 10)
	var tries atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tries.Add(1) < 3 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		user, password, _ := r.BasicAuth()
		var s region.State
		if err := json.NewDecoder(r.Body).Decode(&s); err != nil || user != "me" || password != "p" || r.Header.Get("Content-Type") != "application/json" || r.Method != "POST" {
			t.Errorf("got %v of %s:%s with error %v", r, user, password, err)
		}
		got <- s
	}))
	defer server.Close()
	hook, err := NewWebhook(strings.Replace(server.URL, "//", "//me:p@", 1), quiet)
	if err != nil {
		t.Fatal(err)
	}
	hook.wait = time.Millisecond
	start(t, hook)
	for _, label := range []string{"open", `<b>"closed"/+#`} {
		want := region.State{Region: "door", Label: label, Known: label, Score: 0.75, Since: time.Unix(1, 0).UTC(), Changes: 2}
		hook.Put(want)
		if s := await(t, got); s != want {
			t.Errorf("got %+v, want %+v", s, want)
		}
	}
	if tries.Load() != 4 {
		t.Errorf("got %d requests, want 4", tries.Load())
	}
}

// TestWebhookFails counts the requests for a state that can't be delivered.
func TestWebhookFails(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Error("the state went to another host") }))
	defer elsewhere.Close()
	for _, c := range []struct {
		name   string
		handle http.HandlerFunc
		want   int64
		text   string
	}{
		{"refused", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusForbidden) }, 1, "403 Forbidden"},
		{"broken", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) }, 3, "502 Bad Gateway"},
		{"gone", func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, 3, "EOF"},
		{"redirected", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		}, 3, "redirected to " + elsewhere.URL},
		{"loses its body", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }, 3, "redirected to"},
		{"endless", func(w http.ResponseWriter, r *http.Request) { io.CopyN(w, zeros{}, 1<<20) }, 1, ""},
	} {
		var tries atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			tries.Add(1)
			c.handle(w, r)
		}))
		hook, err := NewWebhook(server.URL, quiet)
		if err != nil {
			t.Fatal(err)
		}
		hook.wait = 0
		err = hook.deliver(context.Background(), region.State{})
		if tries.Load() != c.want || (err == nil) != (c.text == "") || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: got %d requests and error %v, want %d and %q", c.name, tries.Load(), err, c.want, c.text)
		}
		hook.client.CloseIdleConnections()
		server.Close()
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// TestWebhookFull checks that Put never waits, and drops the oldest states.
func TestWebhookFull(t *testing.T) {
	hook, err := NewWebhook("http://127.0.0.1:1/", quiet)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(100) {
		hook.Put(region.State{Changes: i})
	}
	if first := (<-hook.queue).Changes; first != 100-webhookQueue || len(hook.queue) != webhookQueue-1 {
		t.Errorf("got first state %d and %d more", first, len(hook.queue))
	}
}

func TestWebhookURL(t *testing.T) {
	for _, address := range []string{"", "door", "ftp://host/", "http://", "http://user:secret@[/", "//host/"} {
		if _, err := NewWebhook(address, quiet); !errors.Is(err, ErrURL) || strings.Contains(fmt.Sprint(err), "secret") {
			t.Errorf("%q: got error %v", address, err)
		}
	}
}
