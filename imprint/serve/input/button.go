package input

import (
	"errors"
	"fmt"
	"strings"
)

// ErrButton means that a text does not assign an action to a known button.
var ErrButton = errors.New("invalid button")

// A Button assigns an action to a button or key.
type Button struct {
	Name   string // the kernel's name for the button, like BTN_SOUTH or KEY_U
	Code   uint16 // the kernel's code for the button
	Action Action
}

// ParseButton parses CODE=ACTION, such as BTN_SOUTH=teach:cone, BTN_TR=reload or KEY_U=undo.
// Codes are the names in Linux's input-event-codes.h. Its errors wrap [ErrButton] or
// [ErrAction]. On systems other than Linux, every code is an error.
func ParseButton(s string) (Button, error) {
	name, action, ok := strings.Cut(s, "=")
	if !ok {
		return Button{}, fmt.Errorf("%w %q: want CODE=ACTION, like BTN_SOUTH=teach:cone", ErrButton, s)
	}
	code, ok := buttonCode(name)
	if !ok {
		return Button{}, fmt.Errorf("%w %q: Linux has no button or key named %q; evtest shows the names, like BTN_SOUTH or KEY_U", ErrButton, s, name)
	}
	a, err := ParseAction(action)
	if err != nil {
		return Button{}, fmt.Errorf("button %s: %w", name, err)
	}
	return Button{name, code, a}, nil
}
