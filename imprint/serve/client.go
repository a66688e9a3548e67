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
)

// ErrNoServer means that no server listens on the socket given to [AskReload].
var ErrNoServer = errors.New("no server is running")

// AskReload asks the server at a Unix socket to reload its workspace and waits until the new
// model is in use. If the reload fails, the error includes the server's reason.
func AskReload(ctx context.Context, socket string) (Changed, error) {
	c, err := askReload(ctx, socket)
	if err != nil {
		return Changed{}, fmt.Errorf("reload the server at %s: %w", socket, err)
	}
	return c, nil
}

func askReload(ctx context.Context, socket string) (Changed, error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	ctx, cancel := context.WithTimeout(ctx, changeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "POST", "http://imprint/v1/reload", nil)
	if err != nil {
		return Changed{}, err
	}
	response, err := client.Do(request)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED): // a killed server leaves its socket behind
		return Changed{}, ErrNoServer
	case err != nil:
		return Changed{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxJSON))
	if err != nil {
		return Changed{}, err
	}
	var v struct {
		Changed
		Error string `json:"error"`
	}
	if err := json.Unmarshal(body, &v); err != nil {
		return Changed{}, fmt.Errorf("unexpected response %s: %w", response.Status, err)
	}
	if response.StatusCode != http.StatusOK {
		return Changed{}, fmt.Errorf("%s: %s", response.Status, v.Error)
	}
	return v.Changed, nil
}
