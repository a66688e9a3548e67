package serve

import (
	"context"
	"fmt"

	"github.com/imprintkit/imprint/imprint/serve/input"
)

// Press performs an action. For the verb teach, it starts recording, which lasts until Release.
// With Press, Release, Toggle and Cancel, a Server is an [input.Actor].
func (s *Server) Press(ctx context.Context, a input.Action) (err error) {
	switch a.Verb {
	case "teach":
		_, err = s.StartTeaching(a.Label, "")
	case "remove":
		_, err = s.Remove(ctx, a.Label)
	case "undo":
		_, err = s.Undo(ctx)
	case "reload":
		_, err = s.Reload(ctx)
	default:
		err = fmt.Errorf("%w %q", input.ErrAction, a)
	}
	return err
}

// Release ends the recording that Press started, and trains the class. It does nothing for verbs
// other than teach.
func (s *Server) Release(ctx context.Context, a input.Action) error {
	if a.Verb != "teach" {
		return nil
	}
	_, err := s.StopTeaching(ctx, a.Label)
	return err
}

// Toggle calls Press, or Release if the label is being recorded. It is for keys that report only
// presses.
func (s *Server) Toggle(ctx context.Context, a input.Action) error {
	if a.Verb == "teach" && s.holds.current(a.Label) != nil {
		return s.Release(ctx, a)
	}
	return s.Press(ctx, a)
}

// Cancel ends the recording of a label, or of any label if it is "", without training.
func (s *Server) Cancel(label string) error {
	_, err := s.CancelTeaching(label)
	return err
}
