package live

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// ErrGone means that the folder of a workspace with classes is missing, for example because its
// disk was unplugged. Reloading works again once the folder is back.
var ErrGone = errors.New("the workspace is gone")

// checkGone returns an error if the workspace of w does not exist yet although the current
// generation has one. Its folder is missing, and a change would create a new workspace in its
// place.
func (l *Live) checkGone(w *imprint.Workspace) error {
	if was := l.current.Load(); was != nil && was.Generation > 0 && w.Generation() == 0 {
		return fmt.Errorf("%w: %w", ErrGone, fs.ErrNotExist)
	}
	return nil
}

// Snapshot returns the snapshot of the current generation.
func (l *Live) Snapshot() *imprint.Snapshot { return l.current.Load().Snapshot }

// ModelFile returns the model file of the current generation, or nil if it has no classes. It
// fails with [imprint.ErrUnpublished] if model.tflite belongs to another generation.
func (l *Live) ModelFile(ctx context.Context) ([]byte, error) {
	path := filepath.Join(l.dir, store.ModelFile)
	for end := time.Now().Add(settling); ; {
		s := l.Snapshot()
		if s.Scorer == nil {
			return nil, nil
		}
		b, err := tflite.ReadFile(path)
		if err == nil && store.Sum(b) == s.SHA256 {
			return b, nil
		}
		// A change may be about to replace the file.
		if time.Now().After(end) {
			return nil, errors.Join(fmt.Errorf("%w: %s is not the model of generation %d", imprint.ErrUnpublished, path, s.Generation), err)
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// LabelsFile returns the content of labels.txt for the current generation.
func (l *Live) LabelsFile() []byte { return store.LabelLines(l.Snapshot().Labels) }
