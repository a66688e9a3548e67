package serve

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint"
)

// ErrAction is wrapped when an action is named that there is not.
var ErrAction = errors.New("unusable action")

// An Action is what a button or a key does.
type Action struct {
	Verb  string // teach, remove, undo or reload
	Label string // of teach and remove
}

// ParseAction reads teach:LABEL, remove:LABEL, undo or reload.
func ParseAction(s string) (Action, error) {
	verb, label, labelled := strings.Cut(s, ":")
	a := Action{verb, label}
	switch verb {
	case "teach", "remove":
		if !labelled {
			return Action{}, fmt.Errorf("%w %q: %s needs a label, as %s:cone", ErrAction, s, verb, verb)
		}
		if err := imprint.CheckLabel(label); err != nil {
			return Action{}, fmt.Errorf("%w %q: %w", ErrAction, s, err)
		}
	case "undo", "reload":
		if labelled {
			return Action{}, fmt.Errorf("%w %q: %s takes no label", ErrAction, s, verb)
		}
	default:
		return Action{}, fmt.Errorf("%w %q: it must be teach:LABEL, remove:LABEL, undo or reload", ErrAction, s)
	}
	return a, nil
}

// String writes an action as ParseAction reads it.
func (a Action) String() string {
	if a.Label == "" {
		return a.Verb
	}
	return a.Verb + ":" + a.Label
}

// A Notice says in a sentence what came of an action. It is the data of the event
// "notice".
type Notice struct {
	Action   string `json:"action"`
	Label    string `json:"label"`
	OK       bool   `json:"ok"`
	Sentence string `json:"sentence"`
}

// tell makes the outcome of an action known: as an event, to the server's log and to
// the command of the options.
func (s *Server) tell(action, label, sentence string, err error) {
	n := Notice{action, label, err == nil, sentence}
	if err != nil {
		n.Sentence = err.Error()
	}
	s.hub.publish("notice", n)
	s.notify(n)
}

// Changed is what came of a change of the workspace.
type Changed struct {
	Generation uint64 `json:"generation"` // that is served now
	Sentence   string `json:"sentence"`
}

// Do does an action and returns what came of it in a sentence, which is also told to
// all who listen. Where it can't be seen that a button is let go, as on a terminal, the
// first teach begins and the next one ends.
func (s *Server) Do(ctx context.Context, a Action) (string, error) {
	if a.Verb == "teach" && s.holding(a.Label) != nil {
		return s.Release(ctx, a)
	}
	return s.Press(ctx, a)
}

// Press does an action, or for teach begins it, until Release.
func (s *Server) Press(ctx context.Context, a Action) (string, error) {
	var c Changed
	var err error
	switch a.Verb {
	case "teach":
		t, err := s.StartTeaching(a.Label)
		return t.Sentence, err
	case "remove":
		c, err = s.Remove(ctx, a.Label)
	case "undo":
		c, err = s.Undo(ctx)
	case "reload":
		c, err = s.Reload(ctx)
	default:
		err = fmt.Errorf("%w %q", ErrAction, a)
	}
	return c.Sentence, err
}

// Release ends what Press began, which only teach needs.
func (s *Server) Release(ctx context.Context, a Action) (string, error) {
	if a.Verb != "teach" {
		return "", nil
	}
	t, err := s.StopTeaching(ctx, a.Label)
	return t.Sentence, err
}

// do makes a change, which returns a sentence about it, and tells of it.
func (s *Server) do(ctx context.Context, action, label string, f func(*imprint.Workspace) (string, error)) (c Changed, err error) {
	defer func() { s.tell(action, label, c.Sentence, err) }()
	err = s.change(ctx, func(k *imprint.Workspace) (err error) {
		c.Sentence, err = f(k)
		return err
	})
	c.Generation = s.live.Generation()
	return c, err
}

// Remove forgets a class.
func (s *Server) Remove(ctx context.Context, label string) (Changed, error) {
	return s.do(ctx, "remove", label, func(k *imprint.Workspace) (string, error) {
		n, err := k.Remove(ctx, label, nil)
		return fmt.Sprintf("forgot %s, %s", label, count(n, "photo")), err
	})
}

// RemovePhoto forgets the photo with that SHA-256 in hexadecimal.
func (s *Server) RemovePhoto(ctx context.Context, sha256 string) (Changed, error) {
	return s.do(ctx, "remove", "", func(k *imprint.Workspace) (string, error) {
		label, err := k.RemovePhoto(ctx, sha256)
		return "forgot a photo of " + label, err
	})
}

// Rename gives a class another label.
func (s *Server) Rename(ctx context.Context, from, to string) (Changed, error) {
	return s.do(ctx, "rename", to, func(k *imprint.Workspace) (string, error) {
		return fmt.Sprintf("%s is called %s now", from, to), k.Rename(ctx, from, to)
	})
}

// Undo takes the last change back.
func (s *Server) Undo(ctx context.Context) (Changed, error) {
	return s.do(ctx, "undo", "", func(k *imprint.Workspace) (string, error) {
		undone, err := k.Undo(ctx)
		return "undid the last change: " + undone.Verb, err
	})
}

// Retrain makes the head anew, by a method if one is given.
func (s *Server) Retrain(ctx context.Context, head classifier.Method) (Changed, error) {
	return s.do(ctx, "retrain", "", func(k *imprint.Workspace) (string, error) {
		err := k.Retrain(ctx, head)
		return "made the last layer anew", err
	})
}

// Reload serves what the workspace holds now, whoever has changed it. If that can't be
// used the generation before goes on being served.
func (s *Server) Reload(ctx context.Context) (c Changed, err error) {
	defer func() { s.tell("reload", "", c.Sentence, err) }()
	r, err := s.reload(ctx)
	return Changed{r.Generation, fmt.Sprintf("generation %d serves, after %d ms", r.Generation, r.Elapsed.Milliseconds())}, err
}
