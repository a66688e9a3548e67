package serve

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint"
)

// Changed describes a change to the workspace.
type Changed struct {
	Generation uint64 `json:"generation"` // generation in use
	Sentence   string `json:"sentence"`
}

// change calls f to change the workspace, then reloads it. When change returns nil, the new
// generation is in use.
func (s *Server) change(ctx context.Context, f func(*imprint.Workspace) error) error {
	return s.workspace.do(ctx, func(ws *imprint.Workspace) error {
		if err := f(ws); err != nil {
			return err
		}
		_, err := s.reload(ctx)
		return err
	})
}

// act calls change and announces the outcome with the sentence that f returns.
func (s *Server) act(ctx context.Context, action, label string, f func(*imprint.Workspace) (string, error)) (c Changed, err error) {
	defer func() { s.notices.send(action, label, c.Sentence, err) }()
	err = s.change(ctx, func(ws *imprint.Workspace) (err error) {
		c.Sentence, err = f(ws)
		return err
	})
	c.Generation = s.live.Generation()
	return c, err
}

// addPhotos trains a class with photos from a source. It tells of others that were skipped.
func (s *Server) addPhotos(ctx context.Context, label, source string, photos []observed, skipped []imprint.Skipped) (Changed, error) {
	return s.act(ctx, "teach", label, func(ws *imprint.Workspace) (string, error) {
		start := time.Now()
		added, err := s.workspace.add(ctx, ws, label, source, photos)
		if err != nil {
			return "", err
		}
		added.Skipped = append(added.Skipped, skipped...)
		return learned(label, "photo", added, time.Since(start)), nil
	})
}

// Remove removes a class.
func (s *Server) Remove(ctx context.Context, label string) (Changed, error) {
	return s.act(ctx, "remove", label, func(ws *imprint.Workspace) (string, error) {
		n, err := ws.Remove(ctx, label, nil)
		return fmt.Sprintf("removed %s (%s)", label, count(n, "photo")), err
	})
}

// RemovePhoto removes the photo with the given SHA-256, in hexadecimal.
func (s *Server) RemovePhoto(ctx context.Context, sha256 string) (Changed, error) {
	return s.act(ctx, "remove", "", func(ws *imprint.Workspace) (string, error) {
		label, err := ws.RemovePhoto(ctx, sha256)
		return "removed a photo of " + label, err
	})
}

// MovePhoto moves the photo with the given SHA-256, in hexadecimal, to a class. It fails with
// imprint.ErrNoPhotos if there is no such photo, and with ErrShared if the file has other examples.
func (s *Server) MovePhoto(ctx context.Context, sha256, label string) (Changed, error) {
	return s.act(ctx, "move", label, func(ws *imprint.Workspace) (string, error) {
		list := listClasses(ws)
		p := list.photo(sha256)
		if p == nil {
			return "", fmt.Errorf("move photo %s: %w", sha256, imprint.ErrNoPhotos)
		}
		if list.withPath(p.path) > 1 {
			return "", fmt.Errorf("move photo %s: %w", sha256, ErrShared)
		}
		_, err := ws.Move(ctx, label, []string{p.path})
		return "moved a photo to " + label, err
	})
}

// ErrShared means that a photo's file has more than one example.
var ErrShared = errors.New("its file has more than one example")

// Rename changes the label of a class.
func (s *Server) Rename(ctx context.Context, from, to string) (Changed, error) {
	return s.act(ctx, "rename", to, func(ws *imprint.Workspace) (string, error) {
		return fmt.Sprintf("renamed %s to %s", from, to), ws.Rename(ctx, from, to)
	})
}

// Undo undoes the last change.
func (s *Server) Undo(ctx context.Context) (Changed, error) {
	return s.act(ctx, "undo", "", func(ws *imprint.Workspace) (string, error) {
		undone, err := ws.Undo(ctx)
		return "undid: " + undone.Verb, err
	})
}

// Retrain trains the head again. If head is not "", it becomes the training method. If unknown is
// not nil, it becomes the target false-accept rate; 0 turns the answer "unknown" off.
func (s *Server) Retrain(ctx context.Context, head classifier.Method, unknown *float64) (Changed, error) {
	return s.act(ctx, "retrain", "", func(ws *imprint.Workspace) (string, error) {
		if unknown != nil {
			if err := ws.SetUnknown(*unknown); err != nil {
				return "", err
			}
		}
		return "retrained", ws.Retrain(ctx, head)
	})
}

// learned describes added photos in a sentence. unit is the noun for one photo, such as "frame".
func learned(label, unit string, a *imprint.Added, took time.Duration) string {
	if a.Photos == 0 {
		return fmt.Sprintf("learned nothing new about %s: %s", label, a.Skipped[0].Reason)
	}
	skipped := ""
	if n := len(a.Skipped); n > 0 {
		skipped = fmt.Sprintf(" (%d skipped)", n)
	}
	return fmt.Sprintf("learned %s from %s%s in %d ms", label, count(a.Photos, unit), skipped, took.Milliseconds())
}

// count formats a number with its unit, such as "2 photos".
func count(n int, unit string) string {
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}
