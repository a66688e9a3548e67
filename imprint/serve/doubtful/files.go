package doubtful

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imprintkit/imprint/imprint/internal/store"
)

const (
	// maxNote limits the file that describes a picture, in bytes.
	maxNote = 1 << 20
	// pictureFile and noteFile are the extensions of a picture, in any format, and of its description.
	pictureFile, noteFile = ".picture", ".json"
)

// note is the description of a picture on the disk.
type note struct {
	Picture
	Size   int64     `json:"size"`
	Space  string    `json:"space"`
	Vector []float32 `json:"vector"`
}

// Open returns the queue in a folder, and creates the folder if it does not exist. It deletes pictures
// that are damaged or that a killed process left half written, and touches no other files.
func Open(dir string) (*Queue, error) { return open(dir, standard) }

func open(dir string, l limits) (*Queue, error) {
	if err := errors.Join(os.MkdirAll(filepath.Dir(dir), 0o755), os.MkdirAll(dir, 0o700)); err != nil {
		return nil, fmt.Errorf("keep doubtful pictures: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("keep doubtful pictures: %w", err)
	}
	q := &Queue{dir: dir, limits: l}
	var found []*Picture
	for _, e := range entries {
		sum, ext := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name())), filepath.Ext(e.Name())
		switch {
		case len(sum) != 2*sha256.Size || strings.Trim(sum, "0123456789abcdef") != "":
		case ext == pictureFile:
			if p := q.read(sum); p != nil {
				found = append(found, p)
			} else {
				q.erase(&Picture{SHA256: sum})
			}
		}
	}
	slices.SortFunc(found, func(a, b *Picture) int {
		return cmp.Or(a.Captured.Compare(b.Captured), cmp.Compare(a.SHA256, b.SHA256))
	})
	for _, p := range found {
		q.insert(p)
	}
	for len(q.pictures) > l.pictures || q.bytes > l.bytes {
		q.remove(q.pictures[0])
	}
	return q, nil
}

func (q *Queue) path(sum, ext string) string { return filepath.Join(q.dir, sum+ext) }

// read returns a picture by its description, or nil if that can't be used.
func (q *Queue) read(sum string) *Picture {
	content, err := store.ReadFile(q.path(sum, noteFile), maxNote)
	if err != nil {
		return nil
	}
	var n note
	if json.Unmarshal(content, &n) != nil || n.SHA256 != sum {
		return nil
	}
	info, err := os.Stat(q.path(sum, pictureFile))
	if err != nil || info.Size() != n.Size {
		return nil
	}
	p := n.Picture
	p.size, p.space, p.vector = n.Size, n.Space, n.Vector
	return &p
}

// Read returns the file of a picture, or ErrGone.
func (q *Queue) Read(sum string) ([]byte, error) {
	q.mu.Lock()
	known := slices.ContainsFunc(q.pictures, func(p *Picture) bool { return p.SHA256 == sum })
	q.mu.Unlock()
	if !known {
		return nil, fmt.Errorf("%w: %.64s", ErrGone, sum)
	}
	content, err := store.ReadFile(q.path(sum, pictureFile), q.limits.bytes)
	if err == nil && fmt.Sprintf("%x", sha256.Sum256(content)) != sum {
		err = errors.New("its file was changed")
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %.64s: %w", ErrGone, sum, err)
	}
	return content, nil
}

// write writes the files of a picture, the description last.
func (q *Queue) write(p *Picture, content []byte) error {
	about, err := json.Marshal(note{*p, p.size, p.space, p.vector})
	if err != nil {
		return err
	}
	if err := q.replace(p.SHA256+pictureFile, content); err != nil {
		return err
	}
	if err := q.replace(p.SHA256+noteFile, about); err != nil {
		q.erase(p)
		return err
	}
	return nil
}

// replace writes a file. A reader sees all of it or nothing.
func (q *Queue) replace(name string, content []byte) error {
	temporary := filepath.Join(q.dir, ".new")
	if err := os.WriteFile(temporary, content, 0o600); err != nil {
		os.Remove(temporary)
		return err
	}
	return os.Rename(temporary, filepath.Join(q.dir, name))
}

// erase deletes the files of a picture, the description first.
func (q *Queue) erase(p *Picture) {
	os.Remove(q.path(p.SHA256, noteFile))
	os.Remove(q.path(p.SHA256, pictureFile))
}
