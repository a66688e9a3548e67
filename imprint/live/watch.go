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

// gathering is how long Watch waits after a file has changed, because several files change
// together.
const gathering = 10 * time.Millisecond

// Watch reloads whenever the published model or the state of the workspace is replaced. It returns
// ctx's error when ctx ends. It calls report after each reload that fails or makes a new generation
// current. The workspace need not exist yet.
func (l *Live) Watch(ctx context.Context, report func(Reloaded, error)) error {
	w, err := newFolderWatcher(l.dir)
	if err != nil {
		return fmt.Errorf("watch %s: %w", l.dir, err)
	}
	defer w.Close()
	due := time.NewTimer(0) // fires immediately, for changes made before the folder was watched
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
				return fmt.Errorf("watch %s: %w", w.dir, fsnotify.ErrClosed)
			}
			if changed, err = w.concerns(e); err != nil {
				return fmt.Errorf("watch %s: %w", w.dir, err)
			}
		case err := <-w.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch %s: %w", w.dir, err)
			}
			changed = true // an event may have been lost
		}
		if changed && !waiting {
			waiting = true
			due.Reset(gathering)
		}
	}
}

// A folderWatcher watches a workspace's folder or, while it does not exist, the nearest parent that
// exists. It does not watch the files themselves, because they are replaced by renaming.
type folderWatcher struct {
	*fsnotify.Watcher
	dir string // absolute path
	at  string // the folder that is watched: dir or a parent
}

func newFolderWatcher(dir string) (*folderWatcher, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	inner, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	w := &folderWatcher{Watcher: inner, dir: dir}
	if err := w.watchNearest(); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// concerns reports whether an event may have changed the workspace.
func (w *folderWatcher) concerns(e fsnotify.Event) (bool, error) {
	if w.at != w.dir || e.Name == w.dir { // the folder or a parent was created or removed
		before := w.at
		err := w.watchNearest()
		return w.at != before || e.Name == w.dir, err
	}
	name := filepath.Base(e.Name)
	return e.Op != fsnotify.Chmod && (name == store.ModelFile || name == store.SlotFile(0) || name == store.SlotFile(1)), nil
}

// watchNearest watches only dir or, if it does not exist, the nearest parent that exists.
func (w *folderWatcher) watchNearest() error {
	for _, old := range w.WatchList() {
		w.Remove(old) // fails if the folder is gone, but then the watch is gone too
	}
	child := "" // the child of w.at on the path to dir
	for w.at = w.dir; ; {
		err := w.Add(w.at)
		if errors.Is(err, fs.ErrNotExist) && w.at != filepath.Dir(w.at) {
			w.at, child = filepath.Dir(w.at), w.at
			continue
		}
		if err != nil || w.at == w.dir {
			return err
		}
		if _, err := os.Lstat(child); err != nil {
			return nil
		}
		// The child was created before its parent was watched.
		if err := w.Remove(w.at); err != nil {
			return err
		}
		w.at = w.dir
	}
}
