package models

import (
	"cmp"
	"context"
	"crypto/sha1"
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

// A Store is a folder of downloaded models. The zero value is ready to use. A Store is
// safe for concurrent use by multiple goroutines, and its folder by multiple processes.
type Store struct {
	Dir     string       // default: imprint/models in os.UserCacheDir
	BaseURL string       // folder to download from; default: the publisher's
	Client  *http.Client // default: one that uses the proxy settings of the environment

	// Tests shorten these. Zero means the default.
	backoff, lockPoll time.Duration
}

// Path returns the path of the named model's file after checking its content. The error
// wraps ErrUnknown, ErrNotPulled, or ErrContent if the file is not the published one.
func (s Store) Path(name string) (string, error) {
	p, err := Find(name)
	if err != nil {
		return "", err
	}
	return s.path(p)
}

func (s Store) path(p Published) (string, error) {
	path, err := s.destination(p)
	if err != nil {
		return "", err
	}
	if err := check(path, p); errors.Is(err, fs.ErrNotExist) {
		return "", &NameError{Name: p.Name, Err: ErrNotPulled}
	} else if err != nil {
		return "", err
	}
	return path, nil
}

// Locate returns the path of the model file that name refers to: a file with that path
// or, if there is none, the model that Path would find. If name contains a path separator
// and no such file exists, the error wraps [fs.ErrNotExist].
func (s Store) Locate(name string) (string, error) {
	if _, err := os.Stat(name); err == nil {
		return name, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if strings.ContainsRune(name, filepath.Separator) {
		return "", fmt.Errorf("%s: %w", name, fs.ErrNotExist)
	}
	p, err := find(name, true)
	if err != nil {
		return "", err
	}
	return s.path(p)
}

// Pull downloads the named model, and the labels of a detector, unless the Store already
// has them, and returns the path of the model.
// The file gets its name only once it is complete and checked, so a partial file never
// has that name. If progress is not nil, Pull calls it, from the same goroutine, with the
// number of bytes downloaded so far and the size of the file.
//
// After a failure or the end of ctx, the downloaded bytes stay in a .part file, and the
// next Pull resumes there. Pull retries temporary failures a few times. A server that
// sends no data for 30 seconds counts as a temporary failure. The total time is not
// limited. If the server sends a different file, the error wraps ErrContent, and Pull
// keeps nothing of that file.
func (s Store) Pull(ctx context.Context, name string, progress func(done, total int64)) (path string, err error) {
	p, err := Find(name)
	if err != nil {
		return "", err
	}
	path, err = s.pullLabeled(ctx, p, progress)
	if err != nil {
		return "", fmt.Errorf("pull %s: %w", p.Name, err)
	}
	return path, nil
}

// pullLabeled pulls the model and then its labels, if it has any.
func (s Store) pullLabeled(ctx context.Context, p Published, progress func(done, total int64)) (string, error) {
	path, err := s.pull(ctx, p, progress)
	if labels, ok := p.labelFile(); ok && err == nil {
		_, err = s.pull(ctx, labels, nil)
	}
	return path, err
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
	if check(path, p) == nil { // the previous owner of the lock downloaded it
		return path, nil
	}
	client, closeClient := s.client()
	defer closeClient()
	d := download{
		model:    p,
		url:      s.url(p),
		path:     path,
		size:     p.Size,
		client:   client,
		progress: progress,
		backoff:  cmp.Or(s.backoff, 500*time.Millisecond),
	}
	if err := d.run(ctx); err != nil {
		return "", err
	}
	return path, nil
}

// Fetch downloads BaseURL/name to the file of that name in the Store, unless it is already there. It
// behaves like Pull, for a file of which the caller knows the size and the SHA-256.
func (s Store) Fetch(ctx context.Context, name string, size int64, sha256 string) (path string, err error) {
	return s.pull(ctx, Published{Name: name, Size: size, SHA256: sha256, file: name, remote: name}, nil)
}

// Source returns the URL from which Pull downloads the named model, and the path at which
// it stores the file. A file put there by hand counts as pulled.
func (s Store) Source(name string) (url, path string, err error) {
	p, err := Find(name)
	if err != nil {
		return "", "", err
	}
	path, err = s.destination(p)
	return s.url(p), path, err
}

func (s Store) url(p Published) string {
	return strings.TrimSuffix(cmp.Or(s.BaseURL, p.base, baseURL), "/") + "/" + cmp.Or(p.remote, p.File())
}

// destination returns the path of the model's file in the store.
func (s Store) destination(p Published) (string, error) {
	dir := s.Dir
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the folder for models: %w", err)
		}
		dir = filepath.Join(cache, "imprint", "models")
	}
	return filepath.Join(dir, p.File()), nil
}

// check returns an error unless the file at path can be read and is the published model.
// If it is a different file, the error wraps ErrContent.
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
	if p.Size > 0 && info.Size() != p.Size {
		return fmt.Errorf("%s: %w: %d bytes, not %d", f.Name(), ErrContent, info.Size(), p.Size)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	kind, want, sum := "SHA-256", p.SHA256, sha256.New()
	if want == "" {
		kind, want, sum = "git id", p.GitBlob, sha1.New()
		fmt.Fprintf(sum, "blob %d\x00", info.Size())
	}
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("%s: %w: %s %s, not %s", f.Name(), ErrContent, kind, got, want)
	}
	return nil
}
