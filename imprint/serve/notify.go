package serve

import (
	"context"
	"os/exec"
	"strconv"
	"time"
)

const (
	// notifyTime is how long the command of the options may run, and notifyQueue how
	// many notices wait for it: of more, the oldest are not told.
	notifyTime  = 5 * time.Second
	notifyQueue = 8
)

// notify passes a notice on to the command and the listener of the options.
func (s *Server) notify(n Notice) {
	if s.options.Told != nil {
		s.options.Told(n)
	}
	if s.options.Notify == "" {
		return
	}
	for {
		select {
		case s.notices <- n:
			return
		default:
		}
		select {
		case <-s.notices:
		default:
		}
	}
}

// runNotify runs the command for one notice after the other. It is run with arguments,
// not by a shell: what a label says can do no harm.
func (s *Server) runNotify(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case n := <-s.notices:
			limited, cancel := context.WithTimeout(ctx, notifyTime)
			cmd := exec.CommandContext(limited, s.options.Notify, n.Action, n.Label, strconv.FormatBool(n.OK), n.Sentence)
			cmd.WaitDelay = time.Second
			if err := cmd.Run(); err != nil && ctx.Err() == nil {
				s.log.Warn("the command of --notify failed", "command", s.options.Notify, "error", err)
			}
			cancel()
		}
	}
}
