package serve

import (
	"context"
	"log/slog"
	"os/exec"
	"strconv"
	"time"
)

const (
	// notifyTimeout limits one run of the notify command.
	notifyTimeout = 5 * time.Second
	// notifyQueue is the number of notices that can wait for the command. When the queue is full,
	// the oldest notice is dropped.
	notifyQueue = 8
)

// A Notice describes the outcome of an action in a sentence. It is the data of the event
// "notice".
type Notice struct {
	Action   string `json:"action"`
	Label    string `json:"label"`
	OK       bool   `json:"ok"`
	Sentence string `json:"sentence"`
}

// A notifier publishes notices as events, and passes them to the callback and the command in the
// options.
type notifier struct {
	command  string       // "" if there is none
	callback func(Notice) // nil if there is none
	log      *slog.Logger
	events   *hub
	queue    chan Notice // notices for the command
}

// send announces the outcome of an action. If err is not nil, its message replaces the sentence.
func (n *notifier) send(action, label, sentence string, err error) {
	v := Notice{action, label, err == nil, sentence}
	if err != nil {
		v.Sentence = err.Error()
	}
	n.events.publish("notice", v)
	if n.callback != nil {
		n.callback(v)
	}
	if n.command == "" {
		return
	}
	for {
		select {
		case n.queue <- v:
			return
		default:
		}
		select {
		case <-n.queue: // drop the oldest
		default:
		}
	}
}

// run runs the command for one notice after another. No shell is involved, so a label
// can't inject a command.
func (n *notifier) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case v := <-n.queue:
			limited, cancel := context.WithTimeout(ctx, notifyTimeout)
			cmd := exec.CommandContext(limited, n.command, v.Action, v.Label, strconv.FormatBool(v.OK), v.Sentence)
			cmd.WaitDelay = time.Second
			if err := cmd.Run(); err != nil && ctx.Err() == nil {
				n.log.Warn("notify command failed", "command", n.command, "error", err)
			}
			cancel()
		}
	}
}
