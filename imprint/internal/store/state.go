package store

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

var (
	// ErrCorrupt is wrapped when a file of the workspace is damaged.
	ErrCorrupt = errors.New("damaged workspace file")
	// ErrFull is wrapped when a workspace would become too large for its state file.
	ErrFull = errors.New("workspace is full")
	// ErrVersion is wrapped when a newer imprint has written the workspace.
	ErrVersion = errors.New("workspace of a newer imprint")
)

// A state file is, little-endian: stateMagic; the length of the JSON that follows
// in 4 bytes; a state as JSON; the raw embeddings, one after the other, of its
// examples and then of the examples in its history; the SHA-256 of all that.
const (
	stateMagic = "IMPRINT1"
	Version    = 3 // the newest; 1 has no compiled models and no rejection, 2 no normalization
	MaxState   = 1 << 30
	// maxHistory is how many changes can be undone.
	MaxHistory = 32
)

// A state is everything a workspace has learned.
type State struct {
	Version    int
	Generation uint64
	Backbone   BackboneRef
	Settings   Settings
	// Model is the SHA-256 of the model.tflite made of this state.
	Model Digest
	// Made is what is known of a head that is not the mean head.
	Made *HeadRecord `json:",omitempty"`
	// Written is what became of the head in the TPU layout.
	Written  *Written  `json:",omitempty"`
	Examples []Example // in the order of byLabel
	History  []Change  `json:",omitempty"` // the newest last
}

// made is a classifier.Fitted without its head, which is in the model.
type HeadRecord struct {
	Recipe   classifier.Recipe
	Estimate classifier.Estimate
	LogLoss  *float64 `json:"Loss,omitempty"` // nil for NaN
	// Rejection tells of the row for what is unknown, if there is one.
	Rejection  *classifier.Rejection  `json:",omitempty"`
	Candidates []classifier.Candidate `json:"Tried,omitempty"`
	Advice     *classifier.Advice     `json:",omitempty"`
}

// A backboneRef says which backbone made the embeddings.
type BackboneRef struct {
	Name      string
	SHA256    Digest
	Embedding int32 // tensor index in the main graph
	Size      int   // of a raw embedding, in bytes
	// Normalized is set if pixels were normalized as the model's metadata says. In
	// workspaces of older versions they were −1…1 whatever it says, and still are.
	Normalized bool `json:",omitempty"`
}

// same reports whether b is other, under whatever name.
func (b BackboneRef) Same(other BackboneRef) bool {
	b.Name = other.Name
	return b == other
}

// Settings are the choices a workspace's model is made with.
type Settings struct {
	Resize      dataset.Resize    `json:"Fit"` // how photos are fitted to the model
	Layout      classifier.Layout // of the published model
	KeepClasses bool              // keep the backbone's own classes
	// Head is how the last layer is made; "", of a workspace that an older imprint
	// made, is classifier.Mean.
	Head classifier.Method `json:",omitempty"`
	// Template is what the TPU layout is written into; kept with the others.
	Pair PairRef `json:"Template,omitzero"`
	// Unknown is the share, 0…1, of photos of other things that may be taken for a class
	// taught; 0 is all: the head has no row for what is unknown.
	Unknown float64 `json:",omitempty"`
}

// notTaught is the label of examples of nothing taught: photos that the head is to know
// nothing on. In order they are before all classes.
const NegativeLabel = ""

// An example is one photo that was taught.
type Example struct {
	Label string
	Photo Digest // of the photo file
	Path  string // where it was read
	Time  time.Time
	// Source and Taken are those of the dataset.Item; "" and zero if not known.
	Source string    `json:",omitempty"`
	Taken  time.Time `json:",omitzero"`
	Hash   uint64    `json:",omitempty"` // by dataset.Hash; 0 where an older imprint taught it
	Raw    []byte    `json:"-"`          // its embedding
}

// A change is what one verb did, enough to undo it.
type Change struct {
	Verb    string
	Added   []Example `json:",omitempty"` // without raw: they are in Examples
	Removed []Example `json:",omitempty"`
	// From and To are the label before and after a rename.
	From     string   `json:",omitempty"`
	To       string   `json:",omitempty"`
	Settings Settings // before the change
}

// byLabel orders examples by what they are, not by when they came, so that the
// order of teaching leaves no trace in the model.
func ByLabel(a, b Example) int {
	return cmp.Or(cmp.Compare(a.Label, b.Label), bytes.Compare(a.Photo[:], b.Photo[:]))
}

// apply makes a change and remembers it.
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

// undo takes the last change back and returns it.
func (s *State) Undo() Change {
	c := s.History[len(s.History)-1]
	s.History = s.History[:len(s.History)-1]
	s.relabel(c.To, c.From)
	s.replace(c.Added, c.Removed)
	s.Settings = c.Settings
	return c
}

func (s *State) replace(remove, add []Example) {
	gone := make(map[Digest]bool, len(remove))
	for _, e := range remove {
		gone[e.Photo] = true
	}
	kept := make([]Example, 0, len(s.Examples)+len(add))
	for _, e := range s.Examples {
		if !gone[e.Photo] {
			kept = append(kept, e)
		}
	}
	s.Examples = append(kept, add...)
	slices.SortFunc(s.Examples, ByLabel)
}

// relabel renames a label.
func (s *State) relabel(from, to string) {
	if from == to {
		return
	}
	s.Examples = slices.Clone(s.Examples)
	for i := range s.Examples {
		if e := &s.Examples[i]; e.Label == from {
			e.Label = to
		}
	}
	slices.SortFunc(s.Examples, ByLabel)
}

// withRaw calls f for every example whose embedding is stored, in file order.
func (s *State) withRaw(f func(*Example)) {
	for i := range s.Examples {
		f(&s.Examples[i])
	}
	for i := range s.History {
		for j := range s.History[i].Removed {
			f(&s.History[i].Removed[j])
		}
	}
}

// taught are the examples of classes.
func (s *State) Positives() []Example { return s.Examples[len(s.Negatives()):] }

// negatives are the examples of nothing taught.
func (s *State) Negatives() []Example {
	n := 0
	for n < len(s.Examples) && s.Examples[n].Label == NegativeLabel {
		n++
	}
	return s.Examples[:n]
}

// encode returns the state file of s. The oldest changes are forgotten where it
// would be larger than limit with them.
func (s *State) Encode(limit int) ([]byte, error) {
	head, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode the workspace's state: %w", err)
	}
	size := len(stateMagic) + 4 + len(head) + sha256.Size
	s.withRaw(func(e *Example) { size += len(e.Raw) })
	if size > limit && len(s.History) > 0 {
		s.History = s.History[1:]
		return s.Encode(limit)
	}
	if size > limit {
		return nil, fmt.Errorf("%w: its state would have %d bytes, and %d are the most", ErrFull, size, limit)
	}
	b := append(make([]byte, 0, size), stateMagic...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(head)))
	b = append(b, head...)
	s.withRaw(func(e *Example) { b = append(b, e.Raw...) })
	sum := sha256.Sum256(b)
	return append(b, sum[:]...), nil
}

// decodeState reads a state file. The embeddings are sub-slices of b.
func Decode(b []byte) (*State, error) {
	bad := func(format string, a ...any) (*State, error) {
		return nil, fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, a...))
	}
	start := len(stateMagic) + 4
	if len(b) < start+sha256.Size {
		return bad("it has %d bytes", len(b))
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
	s := new(State)
	if err := json.Unmarshal(body[start:start+int(n)], s); err != nil {
		return bad("%v", err)
	}
	if s.Version < 1 || s.Version > Version {
		return nil, fmt.Errorf("%w: it is of version %d, and this program knows 1 to %d", ErrVersion, s.Version, Version)
	}
	if s.Backbone.Size <= 0 || s.Backbone.Embedding < 0 {
		return bad("embeddings of %d bytes from tensor %d", s.Backbone.Size, s.Backbone.Embedding)
	}
	raw := body[start+int(n):]
	short := false
	s.withRaw(func(e *Example) {
		if len(raw) < s.Backbone.Size {
			short = true
			return
		}
		e.Raw, raw = raw[:s.Backbone.Size:s.Backbone.Size], raw[s.Backbone.Size:]
	})
	if short || len(raw) > 0 {
		return bad("the embeddings do not fit the examples")
	}
	return s, s.Check()
}

// check says whether s is a state that changes can have led to.
func (s *State) Check() error {
	bad := func(err error) error { return fmt.Errorf("%w: %w", ErrCorrupt, err) }
	if !slices.IsSortedFunc(s.Examples, ByLabel) {
		return bad(errors.New("the examples are out of order"))
	}
	photos := make(map[Digest]bool, len(s.Examples))
	for i, e := range s.Examples {
		if photos[e.Photo] {
			return bad(fmt.Errorf("photo %s is there twice", e.Photo))
		}
		photos[e.Photo] = true
		if e.Label == NegativeLabel || i > 0 && e.Label == s.Examples[i-1].Label {
			continue
		}
		if err := CheckLabel(e.Label); err != nil {
			return bad(err)
		}
	}
	for _, c := range s.settings() {
		if _, err := dataset.ParseResize(string(c.Resize)); err != nil {
			return bad(err)
		}
		if !(c.Unknown >= 0 && c.Unknown < 1) {
			return bad(fmt.Errorf("%v of what is unknown is to be accepted", c.Unknown))
		}
		if _, err := classifier.ParseLayout(string(c.Layout)); err != nil {
			return bad(err)
		}
		if c.Layout == classifier.TPU && c.Pair == (PairRef{}) {
			return bad(errors.New("it has the layout tpu and no template"))
		}
		if c.Head != "" {
			if _, err := classifier.ParseMethod(string(c.Head)); err != nil {
				return bad(err)
			}
		}
	}
	return nil
}

// settings are those of s and those that can be gone back to.
func (s *State) settings() []Settings {
	all := []Settings{s.Settings}
	for _, c := range s.History {
		all = append(all, c.Settings)
	}
	return all
}

// version is the oldest that can say what s says.
func (s *State) OldestVersion() int {
	used := len(s.Pairs()) > 0 || len(s.Negatives()) > 0
	for _, c := range s.settings() {
		used = used || c.Unknown > 0
	}
	for _, c := range s.History {
		negative := func(e Example) bool { return e.Label == NegativeLabel }
		used = used || slices.ContainsFunc(c.Added, negative) || slices.ContainsFunc(c.Removed, negative)
	}
	switch {
	case s.Backbone.Normalized:
		return 3
	case used:
		return 2
	}
	return 1
}

// templates are those that s needs or can go back to.
func (s *State) Pairs() []PairRef {
	var refs []PairRef
	for _, c := range s.settings() {
		if c.Pair != (PairRef{}) {
			refs = append(refs, c.Pair)
		}
	}
	return refs
}

// A digest is a SHA-256, written in hexadecimal.
type Digest [sha256.Size]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(d) {
		return fmt.Errorf("a SHA-256 of %d characters", len(b))
	}
	_, err := hex.Decode(d[:], b)
	return err
}

// Burst names photos that are not independent of each other: those of one source, such
// as a session of driving, if the class has photos from several, else those of one
// second.
func (e *Example) Burst(several bool) string {
	switch {
	case several && e.Source != "":
		return e.Source
	case !e.Taken.IsZero():
		return fmt.Sprint(e.Source, " ", e.Taken.Unix())
	}
	return ""
}
