package serve

import (
	"time"

	"github.com/imprintkit/imprint/imprint/predict"
)

// topClasses is the largest number of classes in a result.
const topClasses = 20

// A Result is the classification of a frame or photo.
type Result struct {
	Frame      uint64          `json:"frame"` // 0 for a photo sent to /v1/classify
	Label      string          `json:"label"` // the best class; "" before any training
	Score      float64         `json:"score"` // score of Label, 0 to 1
	Unknown    bool            `json:"unknown"`
	Top        []predict.Score `json:"top"` // the best classes, best first
	Generation uint64          `json:"generation"`
	Device     string          `json:"device"`
	Captured   time.Time       `json:"captured"`
	LatencyMS  float64         `json:"latency_ms"` // time from Captured to the result
	// Voted is the most frequent label of the last Options.Vote frames, or "" if most are
	// unknown.
	Voted string `json:"voted"`
	// Boxes are the objects that the workspace's detector found; nil without a detector. Label, Score
	// and Top are then those of the largest one.
	Boxes []predict.Boxed `json:"boxes,omitzero"`
}

func newResult(p *picture, r predict.Result) Result {
	v := Result{Frame: p.number, Label: r.Label, Score: r.Score, Unknown: r.Unknown, Top: r.Top, Generation: r.Generation, Device: r.Device, Captured: p.Captured, Boxes: r.Boxes}
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

// A vote keeps the labels of recent frames of one generation.
type vote struct {
	size       int
	generation uint64
	labels     []string // newest last
}

// add adds a label and returns the most frequent label. If several are equally frequent, it returns
// the most recent of them.
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
