// Package doubtful keeps the pictures of which a model is not sure, in a folder of bounded size. Call
// [Open], then [Queue.Add] with each such picture. [Queue.Groups] returns groups of look-alikes, to
// be labeled together.
//
// Pictures are private: the folder has mode 700 and its files have mode 600. They survive restarts,
// but not power loss. A Queue is safe for concurrent use by multiple goroutines.
package doubtful

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// limits bound a queue.
type limits struct {
	pictures int
	bytes    int64
	group    int // pictures in a group, so that one change can train with all of them
}

// standard are the limits of Open. docs/automation.md and openapi.json state them.
var standard = limits{pictures: 1000, bytes: 256 << 20, group: 100}

const (
	// nearDuplicate is the cosine similarity of embeddings from which a picture is a near-duplicate of
	// one that is kept, as for training photos (classifier.NearDuplicateCosine).
	nearDuplicate = 0.95
	// lookAlike is the cosine similarity to the mean of a group from which a picture belongs to it. Of
	// the pairs of doubtful pictures of two things, 1 % are more similar to each other than 0.65 to 0.75:
	// rendered photos (tools/photos) and photos of clothing, embedded by the built-in backbone and by
	// Coral's 1.0 224 extractor.
	lookAlike = 0.75
)

var (
	// ErrNoGroup means that no group has the given number.
	ErrNoGroup = errors.New("no such group of doubtful pictures")
	// ErrGone means that a picture is not kept any more.
	ErrGone = errors.New("no such doubtful picture")
)

// A Picture is a kept picture and the model's answer.
type Picture struct {
	SHA256   string    `json:"sha256"` // of the file
	Group    uint64    `json:"group"`
	Label    string    `json:"label"` // the most similar class
	Score    float64   `json:"score"` // of Label, 0 to 1
	Unknown  bool      `json:"unknown"`
	Source   string    `json:"source"` // the camera, and the region after #
	Captured time.Time `json:"captured"`

	size   int64
	space  string // identifies the backbone; embeddings of others can't be compared
	vector []float32
}

// comparable reports whether the embeddings of two pictures can be compared.
func (p *Picture) comparable(other *Picture) bool {
	return p.space == other.space && len(p.vector) == len(other.vector)
}

// A Group is a group of look-alikes.
type Group struct {
	Number   uint64    `json:"number"`
	Label    string    `json:"label"`    // the most frequent of its pictures
	Pictures []Picture `json:"pictures"` // newest first
}

// A Queue is a folder of doubtful pictures.
type Queue struct {
	dir     string
	limits  limits
	damaged int // number of pictures that Open deleted

	mu       sync.Mutex
	pictures []*Picture // oldest first
	bytes    int64
	next     uint64 // number of the next group
}

// Add keeps a picture unless it is a near-duplicate of one that is kept. The oldest of 1000 pictures or
// 256 MiB make room for it. embedding is the picture's embedding, in a space that only one backbone has.
// encoded returns the picture's file; Add calls it only for a picture to keep. Add sets the group and the
// SHA-256.
func (q *Queue) Add(p Picture, space string, embedding []float64, encoded func() ([]byte, error)) (kept bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p.space, p.vector = space, unit(embedding)
	if q.hasDuplicate(&p) {
		return false, nil
	}
	content, err := encoded()
	if err != nil {
		return false, err
	}
	p.SHA256, p.size = fmt.Sprintf("%x", sha256.Sum256(content)), int64(len(content))
	if p.size > q.limits.bytes || slices.ContainsFunc(q.pictures, func(other *Picture) bool { return other.SHA256 == p.SHA256 }) {
		return false, nil // the same file with another backbone
	}
	for len(q.pictures) >= q.limits.pictures || q.bytes+p.size > q.limits.bytes {
		if err := q.remove(q.pictures[0]); err != nil {
			return false, fmt.Errorf("make room for a doubtful picture: %w", err)
		}
	}
	p.Group = q.groupFor(&p)
	if err := q.write(&p, content); err != nil {
		return false, fmt.Errorf("keep doubtful picture: %w", err)
	}
	q.insert(&p)
	return true, nil
}

// hasDuplicate reports whether a near-duplicate of p is kept. The caller holds the lock.
func (q *Queue) hasDuplicate(p *Picture) bool {
	return slices.ContainsFunc(q.pictures, func(other *Picture) bool {
		return other.comparable(p) && dot(other.vector, p.vector) >= nearDuplicate
	})
}

// groupFor returns the number of the group whose mean is most similar to p, or of a new group. The
// caller holds the lock.
func (q *Queue) groupFor(p *Picture) uint64 {
	type group struct {
		size int
		sum  []float64
	}
	groups := make(map[uint64]*group)
	for _, other := range q.pictures {
		g := groups[other.Group]
		if g == nil {
			g = &group{sum: make([]float64, len(p.vector))}
			groups[other.Group] = g
		}
		g.size++
		if other.comparable(p) {
			for i, v := range other.vector {
				g.sum[i] += float64(v)
			}
		}
	}
	best, most := q.next, lookAlike
	for number, g := range groups {
		c := dot(unit(g.sum), p.vector)
		if g.size < q.limits.group && (c > most || c == most && number < best) {
			best, most = number, c
		}
	}
	return best
}

// insert adds a picture that is on the disk. The caller holds the lock.
func (q *Queue) insert(p *Picture) {
	q.pictures = append(q.pictures, p)
	q.bytes += p.size
	q.next = max(q.next, p.Group+1)
}

// Groups returns the groups of pictures, largest first.
func (q *Queue) Groups() []Group {
	q.mu.Lock()
	defer q.mu.Unlock()
	at := make(map[uint64]int)
	var groups []Group
	for _, p := range slices.Backward(q.pictures) {
		i, ok := at[p.Group]
		if !ok {
			i = len(groups)
			at[p.Group] = i
			groups = append(groups, Group{Number: p.Group})
		}
		groups[i].Pictures = append(groups[i].Pictures, *p)
	}
	for i := range groups {
		groups[i].Label = mostFrequent(groups[i].Pictures)
	}
	slices.SortStableFunc(groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(len(b.Pictures), len(a.Pictures)), cmp.Compare(a.Number, b.Number))
	})
	return groups
}

// Group returns the group with a number.
func (q *Queue) Group(number uint64) (Group, error) {
	groups := q.Groups()
	i := slices.IndexFunc(groups, func(g Group) bool { return g.Number == number })
	if i < 0 {
		return Group{}, fmt.Errorf("%w: %d", ErrNoGroup, number)
	}
	return groups[i], nil
}

// Len returns the number of pictures and of their bytes.
func (q *Queue) Len() (pictures int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.pictures), q.bytes
}

// Damaged returns the number of pictures that Open deleted.
func (q *Queue) Damaged() int { return q.damaged }

// Remove deletes pictures. It ignores those that are not kept any more. A picture whose files can't be
// deleted stays in the queue.
func (q *Queue) Remove(pictures []Picture) (err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	gone := make(map[string]bool)
	for _, p := range pictures {
		gone[p.SHA256] = true
	}
	for _, p := range slices.Clone(q.pictures) {
		if gone[p.SHA256] {
			err = errors.Join(err, q.remove(p))
		}
	}
	if err != nil {
		return fmt.Errorf("remove doubtful pictures: %w", err)
	}
	return nil
}

// remove deletes a picture. The caller holds the lock.
func (q *Queue) remove(p *Picture) error {
	if err := q.erase(p.SHA256); err != nil {
		return err
	}
	q.bytes -= p.size
	q.pictures = slices.DeleteFunc(q.pictures, func(other *Picture) bool { return other == p })
	return nil
}

// mostFrequent returns the most frequent label; of several, the first in the alphabet.
func mostFrequent(pictures []Picture) (best string) {
	count := make(map[string]int)
	for _, p := range pictures {
		count[p.Label]++
	}
	for label, n := range count {
		if n > count[best] || n == count[best] && label < best {
			best = label
		}
	}
	return best
}

// unit returns a vector scaled to length 1, or zeros.
func unit(v []float64) []float32 {
	var sum float64
	for _, x := range v {
		sum += x * x
	}
	u := make([]float32, len(v))
	if sum > 0 {
		scale := 1 / math.Sqrt(sum)
		for i, x := range v {
			u[i] = float32(x * scale)
		}
	}
	return u
}

func dot(a, b []float32) float64 {
	var sum float32
	for i, x := range a {
		sum += x * b[i]
	}
	return float64(sum)
}
