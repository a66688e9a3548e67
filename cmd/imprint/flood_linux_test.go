package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
)

// A flood is a number of slow connections, from 127.0.0.1 and the addresses that follow it.
type flood struct{ connections, addresses int }

// floodPause is the time after which a flood opens a connection that the server has closed again.
const floodPause = 500 * time.Millisecond

// start opens the connections to addr and keeps them open. stop closes them and returns how many there
// were of each kind; it may be called more than once.
func (f flood) start(addr string) (stop func() map[string]int) {
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	opened := make(map[string]int)
	var all sync.WaitGroup
	for i := range f.connections {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(1+i%f.addresses))}}
		kind := slowClients[i/f.addresses%len(slowClients)]
		all.Go(func() {
			for ctx.Err() == nil {
				if c, err := dialer.DialContext(ctx, "tcp", addr); err == nil {
					mu.Lock()
					opened[kind.name]++
					mu.Unlock()
					end := context.AfterFunc(ctx, func() { c.Close() })
					kind.use(ctx, c)
					io.Copy(io.Discard, c) // until the server closes the connection
					end()
					c.Close()
				}
				pause(ctx, floodPause)
			}
		})
	}
	return func() map[string]int {
		cancel()
		all.Wait()
		return opened
	}
}

// slowClients are the kinds of clients in a flood.
var slowClients = []struct {
	name string
	use  func(ctx context.Context, c net.Conn)
}{
	{"silent", func(context.Context, net.Conn) {}},
	{"header byte by byte", func(ctx context.Context, c net.Conn) {
		drip(ctx, c, "GET /v1/health HTTP/1.1\r\nHost: localhost\r\nX: y\r\n", 1)
	}},
	{"body that never comes", func(_ context.Context, c net.Conn) { io.WriteString(c, slowHead) }},
	{"slow body", func(ctx context.Context, c net.Conn) {
		io.WriteString(c, slowHead)
		c.Write(largePhoto[:len(largePhoto)/2])
		drip(ctx, c, string(largePhoto[len(largePhoto)/2:]), 1000)
	}},
	{"idle", func(_ context.Context, c net.Conn) {
		io.WriteString(c, "GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
	}},
}

// largePhoto is a photo of 4 MiB.
var largePhoto = append(backbonetest.Photo(1, 1), make([]byte, 4<<20)...)

var slowHead = fmt.Sprintf("POST /v1/examples?label=slow HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n", len(largePhoto))

// drip writes text in pieces of n bytes, ten per second, until ctx ends or the connection is closed.
func drip(ctx context.Context, c net.Conn, text string, n int) {
	for ; text != "" && ctx.Err() == nil; pause(ctx, 100*time.Millisecond) {
		if _, err := io.WriteString(c, text[:min(n, len(text))]); err != nil {
			return
		}
		text = text[min(n, len(text)):]
	}
}
