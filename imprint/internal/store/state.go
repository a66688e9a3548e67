package store

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// MaxHistory is the number of changes that can be undone.
const MaxHistory = 32

// A State is the complete state of a workspace. Its JSON is part of a state file.
type State struct {
	Version    int
	Generation uint64 // number of changes so far
	Backbone   BackboneRef
	Settings   Settings
	Model      Digest      // SHA-256 of the model.tflite made from this state
	Made       *HeadRecord `json:",omitempty"` // nil for a mean head or without classes
	Written    *Written    `json:",omitempty"` // nil except in the TPU layout
	Examples   []Example   // sorted by ByLabel
	History    []Change    `json:",omitempty"` // newest last
	// Before is the CRC-32C of the state file of the generation before, or 0 if it is not known.
	Before uint32 `json:",omitempty"`

	file checksums // of the state file that Decode read or Encode returned
}

// Sum returns the checksum of the state file that s was read from or written to.
func (s *State) Sum() Digest { return s.file.sum }

// Next makes s the next generation, before or after it is changed.
func (s *State) Next() {
	s.Generation++
	s.Before = s.file.crc
}

// Rejects reports whether the model made from s has a row for "unknown".
func (s *State) Rejects() bool { return s.Made != nil && s.Made.Rejection != nil }

// copy returns a copy of s that can be changed without changing s.
func (s *State) copy() *State {
	c := *s
	c.Examples, c.History = slices.Clone(s.Examples), slices.Clone(s.History)
	return &c
}

// A HeadRecord is a classifier.Fitted without the head itself, which is in the model.
type HeadRecord struct {
	Recipe     classifier.Recipe
	Estimate   classifier.Estimate
	LogLoss    *float64               `json:"Loss,omitempty"` // nil for NaN
	Rejection  *classifier.Rejection  `json:",omitempty"`     // nil without a row for "unknown"
	Candidates []classifier.Candidate `json:"Tried,omitempty"`
	Advice     *classifier.Advice     `json:",omitempty"`
}

// Written describes a head inside a compiled model.
type Written struct {
	LogitScale    float64 `json:"sharpened"` // factor by which logits were multiplied to use the full range of the output
	Disagreements int     `json:"differ"`    // number of predictions that quantization changes
	Examples      int     `json:"examples"`  // number of training photos
}

// A BackboneRef identifies the backbone that computed the embeddings.
type BackboneRef struct {
	Name      string
	SHA256    Digest
	Embedding int32 // tensor index in the main graph
	Size      int   // size of a raw embedding, in bytes
	// File is the name of the workspace's copy. It is "" for BackboneFile, the name of a workspace's
	// first backbone.
	File string `json:",omitempty"`
	// Normalized is true if pixels are normalized according to the model's metadata. It is false in
	// workspaces of older versions, which always scale pixels to −1…1.
	Normalized bool `json:",omitempty"`
}

// Same reports whether b and other identify the same backbone. It ignores their names.
func (b BackboneRef) Same(other BackboneRef) bool {
	b.Name, b.File = other.Name, other.File
	return b == other
}

// FileName returns the name of the workspace's copy.
func (b BackboneRef) FileName() string { return cmp.Or(b.File, BackboneFile) }

// NegativeLabel is the label of negatives: examples of no class, from which the head learns
// the answer "unknown". It sorts before all classes.
const NegativeLabel = ""

// An Example is one training photo, or a crop of one.
type Example struct {
	Label  string
	Photo  Digest    // identifies the example: SHA-256 of the photo's file, or CropID
	Path   string    // where the photo was read from
	Time   time.Time // when the photo was added
	Source string    `json:",omitempty"` // as in dataset.Item; "" if unknown
	Taken  time.Time `json:",omitzero"`  // zero if unknown
	Hash   uint64    `json:",omitempty"` // dataset.Hash of the photo; 0 if an older version added it
	From   string    `json:",omitempty"` // name of the workspace it was merged from; "" if it was added here
	Also   []Claim   `json:",omitempty"` // the same photo in other workspaces, sorted by From
	Raw    []byte    `json:"-"`          // raw embedding

	// These are for a crop. Of is the SHA-256 of the photo's file, and Box the part of it. Found is
	// true if the workspace's detector found the box, and false if the user gave it.
	Of    Digest      `json:",omitzero"`
	Box   dataset.Box `json:",omitzero"`
	Found bool        `json:",omitempty"`
}

// CropID returns what identifies a box in a photo with the given SHA-256, or that SHA-256 for the
// zero Box.
func CropID(photo Digest, box dataset.Box) Digest {
	if box == (dataset.Box{}) {
		return photo
	}
	b := photo[:]
	for _, v := range box {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return sha256.Sum256(b)
}

// Cut makes e the example of a box in its photo. The zero Box makes it the whole photo.
func (e *Example) Cut(box dataset.Box, found bool) {
	photo := e.File()
	e.Photo, e.Of, e.Box, e.Found = CropID(photo, box), Digest{}, box, found
	if box != (dataset.Box{}) {
		e.Of = photo
	}
}

// File returns the SHA-256 of the photo's file.
func (e *Example) File() Digest {
	if e.Box != (dataset.Box{}) {
		return e.Of
	}
	return e.Photo
}

// checkBox returns an error unless Cut can have set e's fields.
func (e *Example) checkBox() error {
	if err := e.Box.Check(); err != nil {
		return fmt.Errorf("photo %s: %w", e.Photo, err)
	}
	if e.Photo != CropID(e.File(), e.Box) || e.Box == (dataset.Box{}) && (e.Of != Digest{} || e.Found) {
		return fmt.Errorf("photo %s is not the box %s of photo %s", e.Photo, e.Box, e.Of)
	}
	return nil
}

// A Change records what a method did to a workspace, in enough detail to undo it.
type Change struct {
	Verb     string
	Added    []Example `json:",omitempty"` // Raw is nil: State.Examples has the embeddings
	Removed  []Example `json:",omitempty"`
	From     string    `json:",omitempty"` // the label before a rename
	To       string    `json:",omitempty"` // the label after a rename
	Settings Settings  // settings before the change
	// Backbone is the backbone before the change, or nil if the change kept it. It computed the
	// embeddings in Removed.
	Backbone *BackboneRef `json:",omitempty"`
}

// ByLabel orders examples by label and photo, so that the model does not depend on the order
// in which they were added.
func ByLabel(a, b Example) int {
	return cmp.Or(cmp.Compare(a.Label, b.Label), bytes.Compare(a.Photo[:], b.Photo[:]))
}

// Apply makes a change and appends it to the history, which keeps the last MaxHistory changes.
func (s *State) Apply(c Change) {
	s.replace(c.Removed, c.Added)
	s.relabel(c.From, c.To)
	c.Added = slices.Clone(c.Added)
	for i := range c.Added {
		c.Added[i].Raw = nil
	}
	s.History = append(s.History, c)
	if n := len(s.History) - MaxHistory; n > 0 {
		s.History = s.History[n:]
	}
}

// Undo undoes the last change of the history, which must not be empty, and returns it.
func (s *State) Undo() Change {
	c := s.History[len(s.History)-1]
	s.History = s.History[:len(s.History)-1]
	s.relabel(c.To, c.From)
	s.replace(c.Added, c.Removed)
	s.Settings = c.Settings
	if c.Backbone != nil {
		s.Backbone = *c.Backbone
	}
	return c
}

// Use replaces the backbone of a state without examples. It drops the history, because the
// embeddings in it are from the old backbone.
func (s *State) Use(b BackboneRef) {
	if !s.Backbone.Same(b) {
		s.Backbone, s.History = b, nil
	}
}

func (s *State) replace(remove, add []Example) {
	gone := make(map[Digest]bool, len(remove))
	for _, e := range remove {
		gone[e.Photo] = true
	}
	add = slices.SortedStableFunc(slices.Values(add), ByLabel)
	list := make([]Example, 0, len(s.Examples)+len(add))
	for i := range s.Examples {
		e := &s.Examples[i]
		if len(gone) > 0 && gone[e.Photo] {
			continue
		}
		for len(add) > 0 && ByLabel(add[0], *e) < 0 {
			list, add = append(list, add[0]), add[1:]
		}
		list = append(list, *e)
	}
	s.Examples = append(list, add...)
}

func (s *State) relabel(from, to string) {
	if from == to {
		return
	}
	s.Examples = slices.Clone(s.Examples)
	for i := range s.Examples {
		s.Examples[i].renameLabel(from, to)
	}
	slices.SortFunc(s.Examples, ByLabel)
}

// Positives returns the examples of classes.
func (s *State) Positives() []Example { return s.Examples[len(s.Negatives()):] }

// Negatives returns the examples of no class.
func (s *State) Negatives() []Example {
	n := 0
	for n < len(s.Examples) && s.Examples[n].Label == NegativeLabel {
		n++
	}
	return s.Examples[:n]
}

// settings returns the settings of s and the settings that Undo can restore.
func (s *State) settings() []Settings {
	all := []Settings{s.Settings}
	for _, c := range s.History {
		all = append(all, c.Settings)
	}
	return all
}

// Backbones returns the backbone of s and the backbones that Undo can restore.
func (s *State) Backbones() []BackboneRef {
	all := []BackboneRef{s.Backbone}
	for _, c := range s.History {
		if c.Backbone != nil {
			all = append(all, *c.Backbone)
		}
	}
	return all
}

// Detectors returns the detectors that s needs or that Undo can restore.
func (s *State) Detectors() []*DetectorRef {
	var refs []*DetectorRef
	for _, c := range s.settings() {
		if c.Detector != nil {
			refs = append(refs, c.Detector)
		}
	}
	return refs
}

// Pairs returns the compiled models that s needs or that Undo can restore.
func (s *State) Pairs() []PairRef {
	var refs []PairRef
	for _, c := range s.settings() {
		if c.Pair != (PairRef{}) {
			refs = append(refs, c.Pair)
		}
	}
	return refs
}

// Burst returns a name that is equal for all photos of a burst, or "" for a photo in no burst. If
// the class has several sources, a burst is all photos of one source, such as a driving session.
// Otherwise it is the photos of a source taken in the same second.
func (e *Example) Burst(several bool) string {
	switch {
	case several && e.Source != "":
		return e.Source
	case !e.Taken.IsZero():
		return e.Source + " " + strconv.FormatInt(e.Taken.Unix(), 10)
	}
	return ""
}
