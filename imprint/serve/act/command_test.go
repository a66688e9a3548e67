//go:build unix

package act

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/imprintkit/imprint/imprint/serve/region"
)

// script writes a shell script and returns its path.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "act.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// lines waits until a file has n lines, and returns them.
func lines(t *testing.T, path string, n int) []string {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		b, _ := os.ReadFile(path)
		if got := strings.SplitAfter(string(b), "\n"); len(got) > n {
			return got[:len(got)-1]
		}
	}
	t.Fatalf("timed out waiting for %d lines in %s", n, path)
	return nil
}

// TestCommand checks what a command gets, and that no shell reads labels.
func TestCommand(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	const label = "`id`;$(id) \"/+#<b>'"
	c, err := NewCommand(label+"="+script(t, `printf '%s|%s|%s|%s|%s\n' "$2" "$#" "$IMPRINT_LABEL" "$IMPRINT_SCORE" "$IMPRINT_REGION" >>"$1"`)+" "+out+" $HOME;id", quiet)
	if err != nil {
		t.Fatal(err)
	}
	start(t, c)
	c.Put(region.State{Region: "other", Label: "other"})
	c.Put(region.State{Region: "door|&", Label: label, Score: 0.98765})
	want := "$HOME;id|2|" + label + "|0.988|door|&\n"
	if got := lines(t, out, 1); len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestCommandDebounced checks that a command does not start for a state that has passed, and for
// each region only once.
func TestCommandDebounced(t *testing.T) {
	c, err := NewCommand(Unknown+"=true", quiet)
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint64(3) {
		c.Put(region.State{Region: "door", Changes: i})
		c.Put(region.State{Region: "gate", Changes: i})
		c.Put(region.State{Region: "lamp", Changes: i})
		c.Put(region.State{Region: "gate", Label: "open"})
	}
	var got []string
	for s, found := c.take(); found; s, found = c.take() {
		got = append(got, s.Region)
		if s.Changes != 2 {
			t.Errorf("%s: got state %d, want 2", s.Region, s.Changes)
		}
	}
	if strings.Join(got, " ") != "door lamp" {
		t.Errorf("got %q, want door and lamp", got)
	}
}

// TestCommandKilled checks that a command that hangs is killed together with the programs that it
// has started. Each of them holds the fifo open.
func TestCommandKilled(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := NewCommand("open="+script(t, `exec 3>"$1"; echo started >&3; sleep 100000 & wait`)+" "+fifo, quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- c.run(ctx, region.State{Region: "door"}) }()
	f, err := os.Open(fifo)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if line, err := bufio.NewReader(f).ReadString('\n'); err != nil || line != "started\n" {
		t.Fatalf("got %q, %v", line, err)
	}
	stop()
	if err := await(t, ended); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v", err)
	}
	closed := make(chan error, 1)
	go func() {
		_, err := f.Read(make([]byte, 1))
		closed <- err
	}()
	if err := await(t, closed); err != io.EOF {
		t.Errorf("got error %v, want EOF", err)
	}

	c, err = NewCommand("open=sleep 100000", quiet)
	if err != nil {
		t.Fatal(err)
	}
	c.timeout = time.Millisecond
	if err := c.run(context.Background(), region.State{}); err == nil || err.Error() != "killed after 1ms" {
		t.Errorf("got error %v", err)
	}
}

func TestNewCommand(t *testing.T) {
	for _, s := range []string{"", "open", "open=", "open= ", "=true", "open=no-such-program-anywhere"} {
		if _, err := NewCommand(s, quiet); !errors.Is(err, ErrCommand) {
			t.Errorf("%q: got error %v", s, err)
		}
	}
}
