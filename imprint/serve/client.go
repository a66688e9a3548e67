package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"
)

// ErrNoServer means that no server listens on the socket given to [AskReload] or [AskHealth].
var ErrNoServer = errors.New("no server is running")

// AskReload asks the server at a Unix socket to reload its workspace and waits until the new
// model is in use. If the reload fails, the error includes the server's reason.
func AskReload(ctx context.Context, socket string) (Changed, error) {
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	var c Changed
	err := ask(ctx, socket, "POST", "/v1/reload", &c)
	if err != nil {
		return Changed{}, fmt.Errorf("reload the server at %s: %w", socket, err)
	}
	return c, nil
}

// AskHealth asks the server at a Unix socket for its health. A failed device is not an error, but
// part of the health.
func AskHealth(ctx context.Context, socket string) (Health, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	var h Health
	if err := ask(ctx, socket, "GET", "/v1/health", &h); err != nil && h.Status == "" {
		return Health{}, fmt.Errorf("ask the server at %s for its health: %w", socket, err)
	}
	return h, nil
}

// healthTimeout is ample: a server reports its health without waiting for anything.
const healthTimeout = 2 * time.Second

// ask sends a request without a body to the server at a Unix socket and decodes the JSON response
// into v, even if the server responds with an error.
func ask(ctx context.Context, socket, method, path string, v any) error {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	request, err := http.NewRequestWithContext(ctx, method, "http://imprint"+path, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED): // a killed server leaves its socket behind
		return ErrNoServer
	case err != nil:
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxJSON))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("unexpected response %s: %w", response.Status, err)
	}
	if response.StatusCode != http.StatusOK {
		var refusal struct {
			Error string `json:"error"`
		}
		_ = json.Unmarshal(body, &refusal) // body was already decoded above
		return fmt.Errorf("%s: %s", response.Status, refusal.Error)
	}
	return nil
}
