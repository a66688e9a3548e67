package live

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// gathering is how long Watch waits after a file has changed, because several change
// together.
const gathering = 10 * time.Millisecond

// Watch reloads whenever the published model or the state of the workspace is replaced,
// by whomever, and tells report what came of it: an error where there was something
// new that can't be used. The folder is watched, not the files, which are replaced by
// renaming; it need not be there yet. Watch returns the error of ctx when that ends.
func (l *Live) Watch(ctx context.Context, report func(Reloaded, error)) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", l.dir, err)
	}
	defer w.Close()
	dir, err := filepath.Abs(l.dir)
	if err != nil {
		return fmt.Errorf("watch %s: %w", l.dir, err)
	}
	at, err := watchNearest(w, dir)
	if err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	due := time.NewTimer(0) // for what has changed before it was watched
	defer due.Stop()
	waiting := true
	for {
		changed := false
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-due.C:
			waiting = false
			r, err := l.Reload(ctx)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil || r.Changed {
				report(r, err)
			}
		case e, ok := <-w.Events:
			if !ok {
				return fmt.Errorf("watch %s: %w", dir, fsnotify.ErrClosed)
			}
			switch name := filepath.Base(e.Name); {
			case at != dir || e.Name == dir:
				// The folder, or one above it, has come or gone.
				was := at
				if at, err = watchNearest(w, dir); err != nil {
					return fmt.Errorf("watch %s: %w", dir, err)
				}
				changed = at != was || e.Name == dir
			case e.Op != fsnotify.Chmod:
				changed = name == store.ModelFile || name == store.SlotFile(0) || name == store.SlotFile(1)
			}
		case err := <-w.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch %s: %w", dir, err)
			}
			changed = true // something may have been missed
		}
		if changed && !waiting {
			waiting = true
			due.Reset(gathering)
		}
	}
}

// watchNearest watches dir, or the nearest folder above it that exists, and nothing
// else.
func watchNearest(w *fsnotify.Watcher, dir string) (string, error) {
	for _, old := range w.WatchList() {
		w.Remove(old) // it is gone already if its folder is
	}
	below := ""
	for at := dir; ; {
		err := w.Add(at)
		if errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at) {
			at, below = filepath.Dir(at), at
			continue
		}
		if err != nil || at == dir {
			return at, err
		}
		if _, err := os.Lstat(below); err != nil {
			return at, nil
		}
		// It has come before anybody watched.
		if err := w.Remove(at); err != nil {
			return at, err
		}
		at = dir
	}
}
