package serve

import (
	"context"
	"fmt"

	"github.com/imprintkit/imprint/imprint/serve/input"
)

// Press performs an action. The verb teach lasts until Release. Together with Release,
// Toggle and Cancel it makes a Server an [input.Actor].
func (s *Server) Press(ctx context.Context, a input.Action) (err error) {
	switch a.Verb {
	case "teach":
		_, err = s.StartTeaching(a.Label)
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

// Release ends what Press started. For verbs other than teach it does nothing.
func (s *Server) Release(ctx context.Context, a input.Action) error {
	if a.Verb != "teach" {
		return nil
	}
	_, err := s.StopTeaching(ctx, a.Label)
	return err
}

// Toggle presses the label's button, or releases it if it is held. It serves keys whose release
// can't be seen.
func (s *Server) Toggle(ctx context.Context, a input.Action) error {
	if a.Verb == "teach" && s.holds.current(a.Label) != nil {
		return s.Release(ctx, a)
	}
	return s.Press(ctx, a)
}

// Cancel ends teaching a label, or any label if it is "", without training.
func (s *Server) Cancel(label string) error {
	_, err := s.CancelTeaching(label)
	return err
}
