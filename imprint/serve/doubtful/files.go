package doubtful

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
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
	// unfinished is the name of the file that is being written.
	unfinished = ".new"
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
// [Queue.Damaged] returns their number.
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
	seen := make(map[string]bool)
	for _, e := range entries {
		sum, ext := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name())), filepath.Ext(e.Name())
		if len(sum) != 2*sha256.Size || strings.Trim(sum, "0123456789abcdef") != "" || ext != pictureFile && ext != noteFile || seen[sum] {
			continue
		}
		seen[sum] = true
		p, failed := q.read(sum)
		switch err = errors.Join(err, failed); {
		case failed != nil:
		case p == nil:
			err = errors.Join(err, q.erase(sum))
			q.damaged++
		default:
			found = append(found, p)
		}
	}
	if err = errors.Join(err, remove(filepath.Join(dir, unfinished))); err != nil {
		return nil, fmt.Errorf("keep doubtful pictures: %w", err)
	}
	slices.SortFunc(found, func(a, b *Picture) int {
		return cmp.Or(a.Captured.Compare(b.Captured), cmp.Compare(a.SHA256, b.SHA256))
	})
	for _, p := range found {
		q.insert(p)
	}
	for len(q.pictures) > l.pictures || q.bytes > l.bytes {
		if err := q.remove(q.pictures[0]); err != nil {
			return nil, fmt.Errorf("keep doubtful pictures: %w", err)
		}
	}
	return q, nil
}

func (q *Queue) path(sum, ext string) string { return filepath.Join(q.dir, sum+ext) }

// read returns a picture by its description, or nil if that or the picture is missing or damaged.
func (q *Queue) read(sum string) (*Picture, error) {
	content, err := store.ReadFile(q.path(sum, noteFile), maxNote)
	if err != nil {
		return nil, failure(err)
	}
	var n note
	if json.Unmarshal(content, &n) != nil || n.SHA256 != sum {
		return nil, nil
	}
	info, err := os.Stat(q.path(sum, pictureFile))
	if err != nil || info.Size() != n.Size {
		return nil, failure(err)
	}
	p := n.Picture
	p.size, p.space, p.vector = n.Size, n.Space, n.Vector
	return &p, nil
}

// failure returns an error of the file system, and nil for a file that is missing, too large or none.
func failure(err error) error {
	if failed := new(fs.PathError); errors.As(err, &failed) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Read returns the file of a picture, or ErrGone. A picture whose file is damaged, as after power loss,
// is removed from the queue.
func (q *Queue) Read(sum string) ([]byte, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.pictures, func(p *Picture) bool { return p.SHA256 == sum })
	if i < 0 {
		return nil, fmt.Errorf("%w: %.64s", ErrGone, sum)
	}
	content, err := store.ReadFile(q.path(sum, pictureFile), q.limits.bytes)
	if err := failure(err); err != nil {
		return nil, fmt.Errorf("read doubtful picture: %w", err)
	}
	if err == nil && fmt.Sprintf("%x", sha256.Sum256(content)) == sum {
		return content, nil
	}
	if err := q.remove(q.pictures[i]); err != nil {
		return nil, fmt.Errorf("remove damaged doubtful picture: %w", err)
	}
	return nil, fmt.Errorf("%w: %.64s: its file is damaged", ErrGone, sum)
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
		return errors.Join(err, q.erase(p.SHA256))
	}
	return nil
}

// replace writes a file. A reader sees all of it or nothing.
func (q *Queue) replace(name string, content []byte) error {
	temporary := filepath.Join(q.dir, unfinished)
	err := os.WriteFile(temporary, content, 0o600)
	if err == nil {
		err = os.Rename(temporary, filepath.Join(q.dir, name))
	}
	if err != nil {
		return errors.Join(err, remove(temporary))
	}
	return nil
}

// erase deletes the files of a picture, the description first.
func (q *Queue) erase(sum string) error {
	if err := remove(q.path(sum, noteFile)); err != nil {
		return err
	}
	return remove(q.path(sum, pictureFile))
}

// remove deletes a file if it exists.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
