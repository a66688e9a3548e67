package pipeline

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// errWorkerEnded means that a worker process ended before its pipeline.
var errWorkerEnded = errors.New("a worker process ended before the pipeline")

const (
	// socketVariable is the environment variable with the path of the socket of watchWorkers.
	socketVariable = "IMPRINT_BEAM_SOCKET"
	// endedFor is the default of how long a pipeline may go on after a worker process has ended. Prism ends them when
	// the pipeline has ended, and the result takes a moment.
	endedFor = 15 * time.Second
)

// watchWorkers calls cancel if a worker process that Prism started ends and the pipeline goes on. Prism
// 2.77.0 sometimes waits forever then. Workers connect to a socket, which the system closes for them,
// however they end. cancel is called after patience. The caller must call stop when the pipeline has ended.
func watchWorkers(cancel context.CancelCauseFunc, patience time.Duration) (stop func(), err error) {
	dir, err := os.MkdirTemp("", "imprint-beam-")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "socket")
	l, err := net.Listen("unix", path)
	if err == nil {
		err = os.Setenv(socketVariable, path) // worker processes inherit it
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	stopped := make(chan struct{})
	var all sync.WaitGroup
	watch := func(c net.Conn) {
		ended := make(chan struct{})
		all.Go(func() {
			defer close(ended)
			io.Copy(io.Discard, c) // until either end closes it
		})
		select {
		case <-stopped:
		case <-ended:
			select {
			case <-stopped:
			case <-time.After(patience):
				cancel(errWorkerEnded)
			}
		}
		c.Close()
	}
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // stop closed it
			}
			all.Go(func() { watch(c) })
		}
	})
	return func() {
		close(stopped)
		l.Close()
		all.Wait()
		os.Unsetenv(socketVariable)
		os.RemoveAll(dir)
	}, nil
}

// connect connects a worker process to the command that started it, until it ends.
func connect() {
	path := os.Getenv(socketVariable)
	if path == "" {
		return
	}
	c, err := net.Dial("unix", path)
	if err != nil { // the pipeline has ended
		return
	}
	go func() {
		io.Copy(io.Discard, c) // keeps the connection open
		c.Close()
	}()
}
