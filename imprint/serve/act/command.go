package act

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/imprintkit/imprint/imprint/serve/region"
)

const (
	// commandTimeout limits one run of a command.
	commandTimeout = 30 * time.Second
	// Unknown takes the place of a label in LABEL=COMMAND, for regions whose state is unknown.
	Unknown = "unknown"
)

// ErrCommand means that a text is not LABEL=COMMAND.
var ErrCommand = errors.New("unusable command")

// A Command runs a program for each region whose state becomes a label. One instance runs at a time.
// If the state changes again before the program could start, it does not run for the old state.
type Command struct {
	label   string // "" is unknown
	argv    []string
	log     *slog.Logger
	timeout time.Duration
	ready   chan struct{} // receives a value after Put

	mu      sync.Mutex
	waiting []region.State // at most one of each region
}

// NewCommand parses LABEL=COMMAND. The command is split at spaces into the program and its
// arguments; no shell is involved. NewCommand fails with ErrCommand if the program can't be found.
func NewCommand(s string, log *slog.Logger) (*Command, error) {
	label, line, _ := strings.Cut(s, "=")
	argv := strings.Fields(line)
	if label == "" || len(argv) == 0 {
		return nil, fmt.Errorf("%w %q: want LABEL=COMMAND, such as open=/usr/local/bin/ring", ErrCommand, s)
	}
	program, err := exec.LookPath(argv[0])
	if err != nil {
		return nil, fmt.Errorf("%w %q: %w", ErrCommand, s, err)
	}
	argv[0] = program
	if label == Unknown {
		label = ""
	}
	return &Command{label: label, argv: argv, log: log, timeout: commandTimeout, ready: make(chan struct{}, 1)}, nil
}

// Put queues a state if it has the command's label.
func (c *Command) Put(s region.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = slices.DeleteFunc(c.waiting, func(old region.State) bool { return old.Region == s.Region })
	if s.Label != c.label {
		return
	}
	c.waiting = append(c.waiting, s)
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// take removes and returns the oldest state.
func (c *Command) take() (s region.State, found bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) == 0 {
		return region.State{}, false
	}
	s = c.waiting[0]
	c.waiting = c.waiting[1:]
	return s, true
}

// Run runs the program for one state after another until ctx ends, which kills it.
func (c *Command) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if s, found := c.take(); found {
			if err := c.run(ctx, s); err != nil && ctx.Err() == nil {
				c.log.Warn("command failed", "command", c.argv[0], "region", s.Region, "label", s.Label, "error", err)
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-c.ready:
		}
	}
}

// run runs the program and waits for it.
func (c *Command) run(ctx context.Context, s region.State) error {
	limited, cancel := context.WithTimeoutCause(ctx, c.timeout, fmt.Errorf("killed after %v", c.timeout))
	defer cancel()
	cmd := exec.CommandContext(limited, c.argv[0], c.argv[1:]...)
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(),
		"IMPRINT_REGION="+s.Region,
		"IMPRINT_LABEL="+s.Label,
		"IMPRINT_SCORE="+strconv.FormatFloat(s.Score, 'f', 3, 64))
	killGroup(cmd)
	err := cmd.Run()
	if limited.Err() != nil {
		return context.Cause(limited)
	}
	return err
}
