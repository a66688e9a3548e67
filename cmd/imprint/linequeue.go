package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	// queuedWrites is the number of writes that can wait for a reader. Further writes are dropped.
	queuedWrites = 256
	// flushTimeout is the time that Close waits for a reader.
	flushTimeout = time.Second
)

// A lineQueue passes writes on to a writer from its own goroutine, so that callers never wait for a
// reader that has stopped reading or exited. If the queue is full, it drops writes and later
// reports how many. A lineQueue is safe for concurrent use by multiple goroutines.
type lineQueue struct {
	to    io.Writer
	json  bool // report dropped writes as JSON
	queue chan []byte
	ended chan struct{}

	mu      sync.Mutex
	closed  bool
	dropped int // number of writes dropped since the last one that was queued
}

func newLineQueue(to io.Writer, json bool) *lineQueue {
	q := &lineQueue{to: to, json: json, queue: make(chan []byte, queuedWrites), ended: make(chan struct{})}
	go func() {
		defer close(q.ended)
		for b := range q.queue {
			q.to.Write(b) // errors can't be reported: nobody may be reading
		}
	}()
	return q
}

// Write implements io.Writer. It never blocks and never fails.
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

// lost returns the line that says how many writes were dropped.
func (q *lineQueue) lost() []byte {
	text := fmt.Sprintf("%d lines were dropped because nothing read them", q.dropped)
	if !q.json {
		return fmt.Appendf(nil, "imprint: warning: %s\n", text)
	}
	var b bytes.Buffer
	printJSON(&b, warningObject{text})
	return b.Bytes()
}

// Close waits until the queue is empty, but at most for flushTimeout.
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
