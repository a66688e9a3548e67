package models

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

var (
	// ErrNotPulled means that the model is in the list but not on this machine.
	ErrNotPulled = errors.New("model has not been pulled")

	// ErrContent means that a file, on this machine or as served, is not the published one.
	ErrContent = errors.New("not the published model")
)

// Store is a folder with pulled models. The zero value is ready to use. A Store may be used by several goroutines,
// and its folder by several processes, at once.
type Store struct {
	Dir     string       // default: imprint/models in [os.UserCacheDir]
	BaseURL string       // the folder with the files; default: the publisher's
	Client  *http.Client // default: one that honours the proxy variables of the environment

	// Tests shorten these; zero means the default.
	backoff, lockPoll time.Duration
}

// Path returns where the model of that name lies, or [ErrNotPulled]. The whole file is checked; one that is not
// the published model is [ErrContent].
func (s Store) Path(name string) (string, error) {
	p, err := Find(name)
	if err != nil {
		return "", err
	}
	path, err := s.destination(p)
	if err != nil {
		return "", err
	}
	if err := check(path, p); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("models: %s: %w", p.Name, ErrNotPulled)
	} else if err != nil {
		return "", fmt.Errorf("models: %w", err)
	}
	return path, nil
}

// Pull fetches the model of that name unless it is there already, and returns where it lies. The file appears under
// its name only when it is whole and has been checked. progress may be nil; otherwise it is called from this
// goroutine with the bytes on this machine so far and the size of the file.
//
// What was fetched before a failure or the end of ctx stays beside the destination as a .part file, and the next Pull
// goes on from there. A pause of the server for 30 seconds counts as a failure; the whole may take any time. Failures
// that may pass are tried again a few times. When what came is not the published model the error is [ErrContent] and
// nothing of it is kept.
func (s Store) Pull(ctx context.Context, name string, progress func(done, total int64)) (path string, err error) {
	p, err := Find(name)
	if err != nil {
		return "", err
	}
	path, err = s.pull(ctx, p, progress)
	if err != nil {
		return "", fmt.Errorf("models: pull %s: %w", p.Name, err)
	}
	return path, nil
}

func (s Store) pull(ctx context.Context, p Published, progress func(done, total int64)) (string, error) {
	path, err := s.destination(p)
	if err != nil {
		return "", err
	}
	if check(path, p) == nil {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	unlock, err := lock(ctx, path+".lock", cmp.Or(s.lockPoll, 100*time.Millisecond))
	if err != nil {
		return "", err
	}
	defer unlock()
	if check(path, p) == nil { // whoever held the lock has brought it
		return path, nil
	}
	client, closeClient := s.client()
	defer closeClient()
	d := download{
		model:    p,
		url:      strings.TrimSuffix(cmp.Or(s.BaseURL, p.base, baseURL), "/") + "/" + p.File(),
		path:     path,
		client:   client,
		progress: progress,
		backoff:  cmp.Or(s.backoff, 500*time.Millisecond),
	}
	if err := d.run(ctx); err != nil {
		return "", err
	}
	return path, nil
}

func (s Store) destination(p Published) (string, error) {
	dir := s.Dir
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("models: no folder for models: %w", err)
		}
		dir = filepath.Join(cache, "imprint", "models")
	}
	return filepath.Join(dir, p.File()), nil
}

// check reports whether the file at path is the published model: nil, [ErrContent], or why it cannot be read.
func check(path string, p Published) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return checkFile(f, p)
}

func checkFile(f *os.File, p Published) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != p.Size {
		return fmt.Errorf("%s: %w: %d bytes, not %d", f.Name(), ErrContent, info.Size(), p.Size)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.SHA256 {
		return fmt.Errorf("%s: %w: SHA-256 %s, not %s", f.Name(), ErrContent, got, p.SHA256)
	}
	return nil
}
