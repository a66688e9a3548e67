package input

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/imprintkit/imprint/imprint"
)

// ErrAction is wrapped by the errors of [ParseAction].
var ErrAction = errors.New("invalid action")

// An Action is what a button or key does. Its verb is one of teach, remove, undo and
// reload.
type Action struct {
	Verb  string
	Label string // for teach and remove
}

// ParseAction parses teach:LABEL, remove:LABEL, undo or reload. Errors wrap [ErrAction].
func ParseAction(s string) (Action, error) {
	verb, label, hasLabel := strings.Cut(s, ":")
	a := Action{verb, label}
	switch verb {
	case "teach", "remove":
		if !hasLabel {
			return Action{}, fmt.Errorf("%w %q: %s needs a label, like %s:cone", ErrAction, s, verb, verb)
		}
		if err := imprint.CheckLabel(label); err != nil {
			return Action{}, fmt.Errorf("%w %q: %w", ErrAction, s, err)
		}
	case "undo", "reload":
		if hasLabel {
			return Action{}, fmt.Errorf("%w %q: %s takes no label", ErrAction, s, verb)
		}
	default:
		return Action{}, fmt.Errorf("%w %q: want teach:LABEL, remove:LABEL, undo or reload", ErrAction, s)
	}
	return a, nil
}

// String formats an action as [ParseAction] reads it.
func (a Action) String() string {
	if a.Label == "" {
		return a.Verb
	}
	return a.Verb + ":" + a.Label
}

// An Actor performs actions. Its methods may be called concurrently.
type Actor interface {
	// Press performs an action. The verb teach lasts until Release.
	Press(ctx context.Context, a Action) error
	// Release ends what Press started. For verbs other than teach it does nothing.
	Release(ctx context.Context, a Action) error
	// Toggle is for keys without a release: the first teach of a label starts, the next
	// one ends. Other verbs behave as with Press.
	Toggle(ctx context.Context, a Action) error
	// Cancel ends teaching a label, or any label if it is "", without training.
	Cancel(label string) error
}
