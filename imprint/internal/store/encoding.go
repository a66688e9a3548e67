package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/fleet"
)

var (
	// ErrCorrupt means that a file of the workspace is damaged.
	ErrCorrupt = errors.New("damaged workspace file")
	// ErrFull means that a change would make the state file too large.
	ErrFull = errors.New("workspace is full")
	// ErrVersion means that a newer version of imprint wrote the workspace.
	ErrVersion = errors.New("workspace written by a newer imprint")
)

const (
	// Version is the newest version of a state. Version 1 has no compiled models, no negatives and
	// no answer "unknown"; version 2 has no normalization; version 3 has no second backbone
	// and only the rule ClassesLeftOut; version 4 has no detector and no crops.
	Version = 5
	// MaxState is the largest size of a state file, in bytes.
	MaxState = 1 << 30

	// A state file consists of: stateMagic; the length of the JSON in 4 bytes, little-endian; a
	// State as JSON; the raw embeddings of its examples, and then of the examples removed in its
	// history; the SHA-256 of everything before it.
	stateMagic = "IMPRINT1"
)

// Encode returns the state file of s. If the file would be larger than limit bytes, Encode drops
// the oldest changes from the history, and fails with ErrFull if that is not enough.
func (s *State) Encode(limit int) ([]byte, error) {
	start, raw := len(stateMagic)+4, sha256.Size
	s.withRaw(func(e *Example, _ int) { raw += len(e.Raw) })
	text := 0
	for _, list := range s.lists() {
		const typical = 300 // bytes of JSON for an example
		text += typical * len(*list)
	}
	b := append(make([]byte, 0, start+text+raw), stateMagic...)
	b, err := appendJSON(append(b, 0, 0, 0, 0), s)
	if err != nil {
		return nil, fmt.Errorf("encode the workspace's state: %w", err)
	}
	size := len(b) + raw
	if size > limit && len(s.History) > 0 {
		s.History = s.History[1:]
		return s.Encode(limit)
	}
	if size > limit {
		return nil, fmt.Errorf("%w: its state would have %d bytes; the limit is %d", ErrFull, size, limit)
	}
	binary.LittleEndian.PutUint32(b[len(stateMagic):], uint32(len(b)-start))
	b = slices.Grow(b, raw)
	s.withRaw(func(e *Example, _ int) { b = append(b, e.Raw...) })
	sum := sha256.Sum256(b)
	b = append(b, sum[:]...)
	s.file = checksums{sum, crc32.Checksum(b, castagnoli())}
	return b, nil
}

// withRaw calls f for each example with an embedding in the state file, in file order, and with the
// size of the embeddings of its backbone.
func (s *State) withRaw(f func(e *Example, size int)) {
	for i := range s.Examples {
		f(&s.Examples[i], s.Backbone.Size)
	}
	sizes := make([]int, len(s.History)) // before each change
	for i, size := len(s.History)-1, s.Backbone.Size; i >= 0; i-- {
		if was := s.History[i].Backbone; was != nil {
			size = was.Size
		}
		sizes[i] = size
	}
	for i := range s.History {
		for j := range s.History[i].Removed {
			f(&s.History[i].Removed[j], sizes[i])
		}
	}
}

// Decode decodes and checks a state file. The embeddings are sub-slices of b.
func Decode(b []byte) (*State, error) {
	bad := func(format string, a ...any) (*State, error) {
		return nil, fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, a...))
	}
	start := len(stateMagic) + 4
	if len(b) < start+sha256.Size {
		return bad("it has only %d bytes", len(b))
	}
	if string(b[:len(stateMagic)]) != stateMagic {
		return bad("it does not begin with %s", stateMagic)
	}
	body := b[:len(b)-sha256.Size]
	if sha256.Sum256(body) != [sha256.Size]byte(b[len(body):]) {
		return bad("its checksum is wrong")
	}
	n := uint64(binary.LittleEndian.Uint32(b[len(stateMagic):]))
	if n > uint64(len(body)-start) {
		return bad("its header is longer than the file")
	}
	s := &State{file: checksums{Digest(b[len(body):]), crc32.Checksum(b, castagnoli())}}
	if err := unmarshal(body[start:start+int(n)], s); err != nil {
		return bad("%v", err)
	}
	if s.Version < 1 || s.Version > Version {
		return nil, fmt.Errorf("%w: it has version %d; this program reads 1 to %d", ErrVersion, s.Version, Version)
	}
	for _, b := range s.Backbones() {
		if b.Size <= 0 || b.Embedding < 0 {
			return bad("an embedding can't have %d bytes and tensor index %d", b.Size, b.Embedding)
		}
		if b.File != "" && b.File != backboneFile(b.SHA256) {
			return bad("a backbone can't be in the file %q", b.File)
		}
	}
	raw := body[start+int(n):]
	short := false
	s.withRaw(func(e *Example, size int) {
		if len(raw) < size {
			short = true
			return
		}
		e.Raw, raw = raw[:size:size], raw[size:]
	})
	if short || len(raw) > 0 {
		return bad("the number of embeddings does not match the examples")
	}
	return s, s.Check()
}

// Check returns an error that wraps ErrCorrupt if no sequence of changes leads to s.
func (s *State) Check() error {
	bad := func(err error) error { return fmt.Errorf("%w: %w", ErrCorrupt, err) }
	if !slices.IsSortedFunc(s.Examples, ByLabel) {
		return bad(errors.New("the examples are out of order"))
	}
	photos := make(map[Digest]bool, len(s.Examples))
	for i, e := range s.Examples {
		if photos[e.Photo] {
			return bad(fmt.Errorf("photo %s occurs twice", e.Photo))
		}
		photos[e.Photo] = true
		if err := e.checkClaims(s.Backbone.Size); err != nil {
			return bad(err)
		}
		if err := e.checkBox(); err != nil {
			return bad(err)
		}
		if e.Label == NegativeLabel || i > 0 && e.Label == s.Examples[i-1].Label {
			continue
		}
		if err := checkStored(e.Label); err != nil {
			return bad(err)
		}
	}
	for _, c := range s.settings() {
		if err := c.check(); err != nil {
			return bad(err)
		}
	}
	return nil
}

func (s Settings) check() error {
	if _, err := dataset.ParseResize(string(s.Resize)); err != nil {
		return err
	}
	if !(s.Unknown >= 0 && s.Unknown < 1) {
		return fmt.Errorf("the false-accept rate %v is not in 0…1", s.Unknown)
	}
	switch s.UnknownRule {
	case ClassesLeftOut, Background, ByDefault:
	default:
		return fmt.Errorf("the rule %q for unknown things is not known", s.UnknownRule)
	}
	if _, err := fleet.ParseRule(string(s.Conflicts)); err != nil {
		return err
	}
	if s.None != "" {
		if err := checkStored(s.None); err != nil {
			return err
		}
	}
	if _, err := classifier.ParseLayout(string(s.Layout)); err != nil {
		return err
	}
	if d := s.Detector; d != nil && !(d.Min >= 0 && d.Min <= 1) {
		return fmt.Errorf("the detector's minimum score %v is not in 0…1", d.Min)
	}
	if s.Layout == classifier.TPU && s.Pair == (PairRef{}) {
		return errors.New("the tpu layout has no compiled model")
	}
	if s.Head != "" {
		if _, err := classifier.ParseMethod(string(s.Head)); err != nil {
			return err
		}
	}
	return nil
}

// OldestVersion returns the oldest version of a state that can represent s. Older programs ignore the
// rule ByDefault, which is harmless if the head has no row for "unknown".
func (s *State) OldestVersion() int {
	newer := len(s.Pairs()) > 0
	newest := s.Settings.UnknownRule == ByDefault && s.Made != nil && s.Made.Rejection != nil
	for _, c := range s.settings() {
		newer = newer || c.Unknown > 0
		newest = newest || c.UnknownRule == Background && c.Unknown > 0 || c.None != ""
	}
	crops := len(s.Detectors()) > 0
	for _, list := range s.lists() {
		newer = newer || slices.ContainsFunc(*list, func(e Example) bool { return e.Label == NegativeLabel })
		crops = crops || slices.ContainsFunc(*list, func(e Example) bool { return e.Box != (dataset.Box{}) })
	}
	switch {
	case crops:
		return 5
	case newest, slices.ContainsFunc(s.Backbones(), func(b BackboneRef) bool { return b.File != "" }):
		return 4
	case s.Backbone.Normalized:
		return 3
	case newer:
		return 2
	}
	return 1
}
