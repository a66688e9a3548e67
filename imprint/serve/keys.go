package serve

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
)

// ErrTerminal is wrapped when keys are to be read and there is no terminal.
var ErrTerminal = errors.New("not a terminal")

// Keys do actions when keys are pressed in a terminal: those of the buttons called KEY_A
// to KEY_Z, KEY_0 to KEY_9, KEY_SPACE and KEY_ENTER, and where no button is that, R reloads
// and U takes the last change back. A terminal does not tell when a key is let go, so the
// first press begins to teach and the next one ends it; Escape ends it without teaching.
type Keys struct {
	Buttons  []Button
	Actor    Actor
	Terminal *os.File
}

// Run reads the terminal until ctx ends, and leaves it as it was. It returns when the
// actions under way have ended.
func (k *Keys) Run(ctx context.Context) error {
	restore, err := byKey(k.Terminal)
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
		if string(typed) == "\x1b" { // with more behind it: an arrow, or the like
			k.Actor.CancelTeaching("")
			continue
		}
		for _, c := range typed {
			a, ok := k.action(c)
			switch {
			case !ok:
			case a.Verb == "teach": // which of the two it is must be known before the next key
				k.Actor.Do(ctx, a)
			default:
				actions.Go(func() { k.Actor.Do(ctx, a) })
			}
		}
	}
	return nil
}

// action is what a character does.
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
