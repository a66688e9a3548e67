package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/live"
	"github.com/imprintkit/imprint/imprint/predict"
)

// limits bound what one photo may cost that a client or a camera sends.
var limits = dataset.Limits{MaxPixels: 25e6, MaxBytes: 16 << 20}

// jpegQuality is that of frames which a source gives as pixels.
const jpegQuality = 92

// A picture is a frame on its way through the server.
type picture struct {
	Frame
	number uint64
	reply  chan<- answer // of a client who posted it, with room for one; or nil

	once  sync.Once
	photo []byte
	err   error
}

// An answer is what became of a frame.
type answer struct {
	result Result
	err    error
}

// encoded is the picture as a file: as it came or, of pixels, as JPEG.
func (p *picture) encoded() ([]byte, error) {
	p.once.Do(func() {
		if p.photo = p.Photo; p.Photo == nil {
			p.photo, p.err = encodeJPEG(p.Image)
		}
	})
	return p.photo, p.err
}

func encodeJPEG(img image.Image) ([]byte, error) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: jpegQuality}); err != nil {
		return nil, fmt.Errorf("encode a frame: %w", err)
	}
	return b.Bytes(), nil
}

// open reads the head of a picture that came as a file.
func (p *picture) open() (*dataset.File, error) {
	return dataset.Open(dataset.Item{Path: p.Name, Content: p.Photo}, limits)
}

// observe has the model look at the picture.
func (p *picture) observe(ctx context.Context, live *live.Live) (predict.Result, error) {
	if p.Photo == nil {
		return live.Observe(ctx, p.Image, topClasses)
	}
	file, err := p.open()
	if err != nil {
		return predict.Result{}, err
	}
	return live.ObserveFile(ctx, file, topClasses)
}

// isSpoilt reports whether an error means that a picture is none.
func isSpoilt(err error) bool {
	return slices.ContainsFunc([]error{dataset.ErrDamaged, dataset.ErrEmpty, dataset.ErrFormat, dataset.ErrHEIC, dataset.ErrTooLarge},
		func(e error) bool { return errors.Is(err, e) })
}

// extension is that of a photo's file, by its content.
func extension(photo []byte) string {
	switch http.DetectContentType(photo) {
	case "image/jpeg":
		return ".jpg"
	case "image/png":
		return ".png"
	case "image/webp":
		return ".webp"
	case "image/gif":
		return ".gif"
	}
	return ".bmp"
}

// latest is a queue with room for one picture: a newer one takes its place.
type latest struct {
	mu    sync.Mutex
	p     *picture
	ready chan struct{} // holds one value when there is a picture
}

func newLatest() *latest { return &latest{ready: make(chan struct{}, 1)} }

// put returns the picture that nobody took in time, or nil.
func (q *latest) put(p *picture) *picture {
	q.mu.Lock()
	defer q.mu.Unlock()
	dropped := q.p
	q.p = p
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return dropped
}

// take returns the picture there is, or nil.
func (q *latest) take() *picture {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.p
	q.p = nil
	return p
}

// A board shows the newest of something to any number of readers, of which each sees
// what is there when it looks.
type board[T any] struct {
	mu      sync.Mutex
	newest  T
	changed chan struct{} // closed when there is a newer one
}

func newBoard[T any]() *board[T] { return &board[T]{changed: make(chan struct{})} }

func (b *board[T]) put(v T) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.newest = v
	close(b.changed)
	b.changed = make(chan struct{})
}

// get returns the newest, and what is closed when there is a newer one.
func (b *board[T]) get() (T, <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.newest, b.changed
}

// A Result is what was seen in a frame.
type Result struct {
	Frame      uint64          `json:"frame"` // 0 for a photo that a client sent to be classified
	Label      string          `json:"label"`
	Score      float64         `json:"score"`
	Unknown    bool            `json:"unknown"` // none of the classes taught, or none is
	Top        []predict.Score `json:"top"`
	Generation uint64          `json:"generation"`
	Device     string          `json:"device"`
	Captured   time.Time       `json:"captured"`
	LatencyMS  float64         `json:"latency_ms"` // from Captured to the answer
	// Voted is the label of most of the last frames, as many as the server was told to
	// look at; "" where most are unknown.
	Voted string `json:"voted"`
}

func newResult(p *picture, r predict.Result) Result {
	v := Result{Frame: p.number, Label: r.Label, Score: r.Score, Unknown: r.Unknown, Top: r.Top, Generation: r.Generation, Device: r.Device, Captured: p.Captured}
	if v.Top == nil {
		v.Top = []predict.Score{}
	}
	if v.Voted = r.Label; r.Unknown {
		v.Voted = ""
	}
	v.LatencyMS = milliseconds(time.Since(p.Captured))
	return v
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// A vote looks at the labels of the last frames of one generation.
type vote struct {
	size       int
	generation uint64
	labels     []string // the newest last
}

// add counts a label and returns that of most frames; of several the one seen last.
func (v *vote) add(generation uint64, label string) string {
	if generation != v.generation {
		v.generation, v.labels = generation, v.labels[:0]
	}
	if len(v.labels) >= max(v.size, 1) {
		v.labels = append(v.labels[:0], v.labels[1:]...)
	}
	v.labels = append(v.labels, label)
	count, best := make(map[string]int), 0
	for _, l := range v.labels {
		count[l]++
		best = max(best, count[l])
	}
	for i := len(v.labels) - 1; ; i-- {
		if count[v.labels[i]] == best {
			return v.labels[i]
		}
	}
}

// sumOf names a photo.
func sumOf(photo []byte) [sha256.Size]byte { return sha256.Sum256(photo) }
