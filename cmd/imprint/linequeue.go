package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// queuedWrites is how many writes wait for a reader. Further ones are dropped.
	queuedWrites = 256
	// flushTimeout is how long Close waits for a reader.
	flushTimeout = time.Second
)

// A lineQueue passes writes on to a writer in one goroutine, so that a reader that has
// stopped or gone holds nobody up. It drops what finds no room and later writes how many
// writes that were. It may be used by several goroutines.
type lineQueue struct {
	to    io.Writer
	json  bool // tell of dropped writes as JSON
	queue chan []byte
	ended chan struct{}

	mu      sync.Mutex
	closed  bool
	dropped int // since the last write that found room
}

func newLineQueue(to io.Writer, json bool) *lineQueue {
	q := &lineQueue{to: to, json: json, queue: make(chan []byte, queuedWrites), ended: make(chan struct{})}
	go func() {
		defer close(q.ended)
		for b := range q.queue {
			q.to.Write(b) // there is nobody left to tell of an error
		}
	}()
	return q
}

// Write implements io.Writer. It never waits and never fails.
func (q *lineQueue) Write(p []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return len(p), nil
	}
	b := append([]byte(nil), p...)
	if q.dropped > 0 {
		b = append(q.lost(), b...)
	}
	select {
	case q.queue <- b:
		q.dropped = 0
	default:
		q.dropped++
	}
	return len(p), nil
}

// lost is the line that says how many writes were dropped.
func (q *lineQueue) lost() []byte {
	text := fmt.Sprintf("%d lines were dropped because nothing read them", q.dropped)
	if !q.json {
		return fmt.Appendf(nil, "imprint: warning: %s\n", text)
	}
	var b bytes.Buffer
	printJSON(&b, warningObject{text})
	return b.Bytes()
}

// Close writes what waits, for at most a second.
func (q *lineQueue) Close() {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.queue)
	}
	q.mu.Unlock()
	select {
	case <-q.ended:
	case <-time.After(flushTimeout):
	}
}
