package input

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/imprintkit/imprint/imprint"
)

// ErrAction means that a text is not a valid action.
var ErrAction = errors.New("invalid action")

// An Action can be assigned to a button or key. Its verb is teach, remove, undo or reload.
type Action struct {
	Verb  string
	Label string // for teach and remove
}

// ParseAction parses teach:LABEL, remove:LABEL, undo or reload. Its errors wrap [ErrAction].
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

// String formats an action in the form that [ParseAction] accepts.
func (a Action) String() string {
	if a.Label == "" {
		return a.Verb
	}
	return a.Verb + ":" + a.Label
}

// An Actor performs actions. It must be safe for concurrent use by multiple goroutines.
type Actor interface {
	// Press performs an action. For the verb teach, it starts recording, which lasts until Release.
	Press(ctx context.Context, a Action) error
	// Release ends the recording that Press started, and trains the class. It does nothing for
	// verbs other than teach.
	Release(ctx context.Context, a Action) error
	// Toggle is for keys that report only presses. The first call for a teach action starts
	// recording, and the next one ends it. For other verbs, Toggle is the same as Press.
	Toggle(ctx context.Context, a Action) error
	// Cancel ends the recording of a label, or of any label if it is "", without training.
	Cancel(label string) error
}
