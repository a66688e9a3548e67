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

// ErrNoServer is wrapped when nobody answers at a socket.
var ErrNoServer = errors.New("no server is running")

// AskReload has the server at a Unix socket serve what its workspace holds now, and
// waits until it does. What the server could not use is an error in its words.
func AskReload(ctx context.Context, socket string) (Changed, error) {
	fail := func(err error) (Changed, error) {
		return Changed{}, fmt.Errorf("ask the server at %s to reload: %w", socket, err)
	}
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
	}}
	ctx, cancel := context.WithTimeout(ctx, changeTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "POST", "http://imprint/v1/reload", nil)
	if err != nil {
		return fail(err)
	}
	answer, err := client.Do(request)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED): // ended, perhaps without taking its socket away
		return fail(ErrNoServer)
	case err != nil:
		return fail(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxJSON))
	if err != nil {
		return fail(err)
	}
	var said struct {
		Changed
		Error string `json:"error"`
	}
	if err := json.Unmarshal(body, &said); err != nil {
		return fail(fmt.Errorf("it answers %s: %w", answer.Status, err))
	}
	if answer.StatusCode != http.StatusOK {
		return fail(fmt.Errorf("it answers %s: %s", answer.Status, said.Error))
	}
	return said.Changed, nil
}
