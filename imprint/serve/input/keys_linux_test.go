package input

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/imprintkit/imprint/tools/pseudoterminal"
)

func TestKeys(t *testing.T) {
	typist, terminal := pseudoterminal.Open(t)
	before, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	actor := new(recorder)
	k := &Keys{Buttons: parseButtons(t, "KEY_C=teach:cone", "KEY_SPACE=teach:ball", "KEY_R=remove:cone", "BTN_SOUTH=undo"), Actor: actor, Terminal: terminal}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := k.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for typed, want := range map[string]string{"c": "toggle teach:cone", "C": "toggle teach:cone", " ": "toggle teach:ball", "r": "toggle remove:cone", "u": "toggle undo", "\x1b": "cancel "} {
		if _, err := typist.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		actor.wait(t, want)
	}
	cancel()
	running.Wait()
	after, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal's mode was not restored: %v, %v", after.Lflag, err)
	}
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := (&Keys{Actor: actor, Terminal: file}).Run(context.Background()); !errors.Is(err, ErrTerminal) {
		t.Errorf("got error %v, want ErrTerminal", err)
	}
}
