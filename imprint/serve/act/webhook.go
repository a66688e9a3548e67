// Package act acts on what regions of a camera's picture show: [Webhook] posts each new state, and
// [Command] runs a program for one label. Call Run in a goroutine, and Put with each new state.
//
// Put never waits. What the other side does, or does not do, can't hold up frames.
package act

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/imprintkit/imprint/imprint/serve/region"
)

const (
	// webhookQueue is the number of states that can wait for a web hook. When the queue is full,
	// the oldest state is dropped.
	webhookQueue = 32
	// webhookTimeout limits one request.
	webhookTimeout = 5 * time.Second
	// webhookTries is the number of requests for one state.
	webhookTries = 3
	// webhookWait is the wait after the first failed request. Later waits are longer.
	webhookWait = time.Second
	// maxAnswer limits the bytes of a response that are read, so that the connection can be used
	// again.
	maxAnswer = 64 << 10
)

// ErrURL means that a URL can't be that of a web hook.
var ErrURL = errors.New("unusable URL of a web hook")

// A Webhook posts states to a URL as JSON.
type Webhook struct {
	url    *url.URL
	client *http.Client
	log    *slog.Logger
	queue  chan region.State
	wait   time.Duration
}

// NewWebhook returns a web hook for an http or https URL, which may contain user and password. It
// fails with ErrURL.
func NewWebhook(address string, log *slog.Logger) (*Webhook, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%w: want one like http://localhost:1880/door", ErrURL) // the text may contain a password
	}
	client := &http.Client{Timeout: webhookTimeout, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if r.URL.Scheme != u.Scheme || r.URL.Host != u.Host || r.Method != http.MethodPost {
			return fmt.Errorf("redirected to %s", r.URL.Redacted())
		}
		return nil
	}}
	return &Webhook{url: u, client: client, log: log, queue: make(chan region.State, webhookQueue), wait: webhookWait}, nil
}

// Put queues a state. If too many are waiting, it drops the oldest.
func (w *Webhook) Put(s region.State) {
	for {
		select {
		case w.queue <- s:
			return
		default:
		}
		select {
		case old := <-w.queue:
			w.log.Warn("web hook is too slow: dropped a state", "url", w.url.Redacted(), "region", old.Region, "label", old.Label)
		default:
		}
	}
}

// Run posts one state after another until ctx ends.
func (w *Webhook) Run(ctx context.Context) {
	defer w.client.CloseIdleConnections()
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-w.queue:
			if err := w.deliver(ctx, s); err != nil && ctx.Err() == nil {
				w.log.Warn("web hook failed", "url", w.url.Redacted(), "region", s.Region, "label", s.Label, "error", err)
			}
		}
	}
}

// deliver posts a state, several times if that can help.
func (w *Webhook) deliver(ctx context.Context, s region.State) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		again, err := w.post(ctx, body)
		if err == nil || !again || try == webhookTries {
			return err
		}
		select {
		case <-time.After(w.wait * time.Duration(try)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// post posts a body. If it fails, it reports whether to try again.
func (w *Webhook) post(ctx context.Context, body []byte) (again bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url.String(), bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := w.client.Do(request)
	if err != nil {
		if u := (*url.Error)(nil); errors.As(err, &u) {
			err = u.Err // without the URL
		}
		return true, err
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer))
	if response.StatusCode/100 == 2 {
		return false, nil
	}
	again = response.StatusCode >= 500 || response.StatusCode == http.StatusTooManyRequests
	return again, fmt.Errorf("the server answered %s", response.Status)
}
