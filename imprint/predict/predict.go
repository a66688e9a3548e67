// Package predict classifies photos with a model file, and defines the result of a
// classification. Start with [File], or with [Open] for a model that is used again and again.
package predict

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
)

// A Result is the classification of one photo. It is marshaled as one JSON object.
type Result struct {
	Path       string
	Label      string
	Score      float64            // score of Label, 0…1
	Top        []Score            // the best classes, best first
	Device     string             // the device that ran the backbone
	Generation uint64             // generation of the workspace; 0 for a model file
	Unknown    bool               // the photo shows no trained class, or there is none yet
	Embedding  []byte             // raw embedding, if it was requested
	Backbone   *backbone.Backbone // computed Embedding
	Elapsed    time.Duration      // time spent in the backbone, the head and the detector
	// Boxes are the objects that the workspace's detector found, best first; it is nil without a
	// detector. Label, Score, Top, Box and Embedding are then those of the largest object. Without an
	// object, Label is "", Box is zero and Unknown is true.
	Boxes []Boxed
	Box   dataset.Box
	Err   error // why the photo was not classified; then only Path is set
}

// A Boxed is the classification of an object in a photo.
type Boxed struct {
	Label       string      `json:"label"`
	Score       float64     `json:"score"` // score of Label, 0…1
	Top         []Score     `json:"top"`   // the best classes, best first
	Box         dataset.Box `json:"box"`
	Object      string      `json:"object"`       // label that the detector gave it
	ObjectScore float32     `json:"object_score"` // score that the detector gave it, 0…1
	Unknown     bool        `json:"-"`            // as in Result
	Embedding   []byte      `json:"-"`            // as in Result
}

// A Score is a class and its probability.
type Score struct {
	Label string  `json:"label"`
	Score float64 `json:"score"`
}

// MarshalJSON implements json.Marshaler.
func (r Result) MarshalJSON() ([]byte, error) {
	if r.Err != nil {
		return json.Marshal(struct {
			Path  string `json:"path"`
			Error string `json:"error"`
		}{r.Path, r.Err.Error()})
	}
	return json.Marshal(struct {
		Path       string  `json:"path"`
		Label      string  `json:"label"`
		Score      float64 `json:"score"`
		Top        []Score `json:"top"`
		Unknown    bool    `json:"unknown"`
		Device     string  `json:"device"`
		MS         float64 `json:"ms"`
		Generation uint64  `json:"generation,omitempty"`
		Boxes      []Boxed `json:"boxes,omitzero"` // an empty list is not omitted
	}{r.Path, r.Label, r.Score, r.Top, r.Unknown, r.Device, milliseconds(r.Elapsed), r.Generation, r.Boxes})
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Answer returns the result for the raw output of a model, with the label none for unknown things. It
// sets what [Rank] sets.
func Answer(ctx context.Context, s *infer.Scorer, m *infer.Scratch, raw []byte, none string, top int) (Result, error) {
	scores, err := s.Scores(ctx, m, raw)
	if err != nil {
		return Result{}, err
	}
	r := Rank(s.Labels, scores, top)
	r.Unknown = r.Unknown || r.Label == none
	return r, nil
}

// Rank returns the result for scores, one for each label. Top has the best classes, best first:
// at most top of them, or all if top is 0. Rank sets only Label, Score, Top and Unknown.
func Rank(labels []string, scores []float64, top int) Result {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	if top > 0 {
		order = order[:min(top, len(order))]
	}
	r := Result{Label: labels[order[0]], Score: scores[order[0]], Top: make([]Score, 0, len(order))}
	r.Unknown = r.Label == classifier.UnknownLabel
	for _, c := range order {
		r.Top = append(r.Top, Score{labels[c], scores[c]})
	}
	return r
}
