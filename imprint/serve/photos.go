package serve

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/imprintkit/imprint/imprint/internal/store"
)

const (
	// photosDir is the folder in the workspace for photos from cameras and clients.
	photosDir = "photos"
	// photoAge is the age from which an unused photo is deleted. A newer photo may belong to a
	// change that another process is about to make.
	photoAge = time.Hour
)

// A photoStore keeps training photos in a workspace, named by SHA-256.
//
// The photos serve as thumbnails and for retraining with another backbone. The model does not
// need them, so they are written without a sync.
type photoStore struct {
	workspace string
}

func (s photoStore) dir() string { return filepath.Join(s.workspace, photosDir) }

// keep stores a photo and returns its absolute path.
func (s photoStore) keep(photo []byte) (path string, err error) {
	dir, err := filepath.Abs(s.dir())
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, fmt.Sprintf("%x%s", sumOf(photo), extension(photo)))
	// After a power cut, the file may have the right size and the wrong content.
	if there, err := store.ReadFile(path, int64(len(photo))); err == nil && bytes.Equal(there, photo) {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("keep photo: %w", err)
	}
	f, err := os.CreateTemp(dir, ".photo-*.tmp")
	if err != nil {
		return "", fmt.Errorf("keep photo: %w", err)
	}
	_, err = f.Write(photo)
	f.Chmod(0o644) // fails on vfat mounted for another user
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("keep photo: %w", err)
	}
	return path, nil
}

// olderThan returns the names of photos that are older than age.
func (s photoStore) olderThan(age time.Duration) (names []string, err error) {
	entries, err := os.ReadDir(s.dir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > age {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// removeUnless deletes each named photo unless keep returns true for its SHA-256.
func (s photoStore) removeUnless(keep func(sha256 string) bool, names []string) {
	for _, name := range names {
		if !keep(strings.TrimSuffix(name, filepath.Ext(name))) {
			os.Remove(filepath.Join(s.dir(), name))
		}
	}
}
