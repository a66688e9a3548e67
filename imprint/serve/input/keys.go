package input

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// ErrTerminal means that the file of [Keys.Run] is not a terminal.
var ErrTerminal = errors.New("not a terminal")

// Keys reads keys from a terminal. Its buttons can be KEY_A to KEY_Z, KEY_0 to KEY_9, KEY_SPACE and
// KEY_ENTER. R means reload and U means undo, unless buttons assign other actions to them.
//
// A terminal does not report when a key is released. So the first press of a teach key starts
// recording, the next press ends it, and Escape cancels it.
type Keys struct {
	Buttons  []Button
	Actor    Actor
	Terminal *os.File
}

// Run reads the terminal until ctx ends, then restores its mode. It returns when all
// running actions have finished.
func (k *Keys) Run(ctx context.Context) error {
	restore, err := cbreakMode(k.Terminal)
	if err != nil {
		return fmt.Errorf("read keys from %s: %w", k.Terminal.Name(), err)
	}
	defer restore()
	var actions sync.WaitGroup
	defer actions.Wait()
	for ctx.Err() == nil {
		typed, err := readKeys(k.Terminal)
		if err != nil {
			return fmt.Errorf("read keys from %s: %w", k.Terminal.Name(), err)
		}
		if string(typed) == "\x1b" { // several bytes are another key, such as an arrow key
			k.Actor.Cancel("")
			continue
		}
		for _, c := range typed {
			a, ok := k.action(c)
			switch {
			case !ok:
			case a.Verb == "teach": // don't toggle in the background: the next key depends on the outcome
				k.Actor.Toggle(ctx, a)
			default:
				actions.Go(func() { k.Actor.Toggle(ctx, a) })
			}
		}
	}
	return nil
}

// action returns the action assigned to a character.
func (k *Keys) action(c byte) (Action, bool) {
	name := "KEY_" + strings.ToUpper(string(rune(c)))
	switch c {
	case ' ':
		name = "KEY_SPACE"
	case '\r', '\n':
		name = "KEY_ENTER"
	}
	if i := slices.IndexFunc(k.Buttons, func(b Button) bool { return b.Name == name }); i >= 0 {
		return k.Buttons[i].Action, true
	}
	switch name {
	case "KEY_R":
		return Action{Verb: "reload"}, true
	case "KEY_U":
		return Action{Verb: "undo"}, true
	}
	return Action{}, false
}
