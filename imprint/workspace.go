// Package imprint trains classes on a frozen backbone from a few photos. Call [Open], then
// [Workspace.Add] with photos of each class and [Workspace.Classify].
//
// A workspace is a folder with the backbone, the last two states (examples and settings), and
// model.tflite and labels.txt, which are made from them. Once a method returns nil, its change
// survives a killed process and power loss. A method that fails leaves the workspace as it was.
// Across processes there is one writer at a time; readers never wait. If the newest state is
// damaged, Open uses the previous one. The model depends only on backbone, settings, detector and
// photos, not on their order or on earlier changes. A Workspace is not safe for concurrent use. Its methods use all cores.
package imprint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// A Workspace is an open workspace.
type Workspace struct {
	store      store.Store
	options    Options      // set by Open and not changed later
	state      *store.State // the newest state that this Workspace has read; never nil
	backbone   *backbone.Backbone
	file       []byte             // content of the backbone's file
	pair       *pair              // the pair last used; nil until needed
	detector   *detector          // the detector last used; nil until needed
	head       *classifier.Fitted // trained from state; nil until needed
	background infer.Background
	memory     *memory     // never nil
	embedder   *infer.Pool // runs backbone; nil until needed
	warnings   []string

	nextUnknown *float64 // the rate for the next Retrain; nil for that of the options
}

// Open opens the workspace in dir. The first change creates a missing one.
func Open(dir string, o Options) (*Workspace, error) {
	fail := func(err error) (*Workspace, error) {
		return nil, fmt.Errorf("open workspace %s: %w", dir, err)
	}
	if err := o.check(); err != nil {
		return fail(err)
	}
	w := &Workspace{store: store.Store{Dir: dir}, memory: new(memory)}
	found, damaged, err := w.store.Load()
	if err != nil {
		return nil, err
	}
	w.warnings = store.Warnings(found, damaged)
	switch {
	case found != nil:
		w.state = found
	case o.Existing:
		return fail(w.noClasses())
	default:
		w.state = &store.State{Settings: store.Settings{Layout: classifier.Float, Head: classifier.Auto, UnknownRule: store.ByDefault}}
	}
	reuse := o.Reuse
	if reuse != nil {
		w.pair, w.detector, w.memory, o = reuse.pair, reuse.detector, reuse.memory, reuse.options
		if reuse.Generation > 0 && !w.untrained() { // the options were for a new workspace, which has settings by now
			o.Backbone, o.Embedding, o.Resize, o.Detector = "", "", "", nil
		}
	}
	if err := w.resolve(o, w.untrained()); err != nil {
		return nil, err
	}
	made := w.state.Backbone
	if r := reuse; found != nil && w.canReuse(r) {
		w.backbone, w.file, w.background = r.Backbone, r.file, r.background
	} else if err := w.loadOrRestoreBackbone(found == nil); err != nil {
		return nil, err
	}
	if found == nil || w.untrained() && (o.Resize != "" || !w.state.Backbone.Same(made)) {
		w.state.Settings.Resize = infer.ResizeFor(w.backbone, o.Resize)
	}
	if o.Resize != "" && o.Resize != w.state.Settings.Resize && (o.Resize != AutoResize || !w.untrained()) {
		return fail(fmt.Errorf("%w: %s, not %s", ErrOtherResize, w.state.Settings.Resize, o.Resize))
	}
	if err := w.openDetector(o.Detector); err != nil {
		return fail(err)
	}
	return w, nil
}

// missing is ErrNoClasses for a workspace whose folder does not exist.
type missing struct{}

func (missing) Error() string { return "it does not exist" }

func (missing) Is(target error) bool { return target == ErrNoClasses }

// noClasses says why the workspace has no class.
func (w *Workspace) noClasses() error {
	if _, err := os.Stat(w.store.Dir); errors.Is(err, fs.ErrNotExist) {
		return missing{}
	}
	return ErrNoClasses
}

// untrained reports whether the workspace has no photos. Its backbone and resize mode can then
// change, because they only affect embeddings.
func (w *Workspace) untrained() bool { return len(w.state.Examples) == 0 }

// resolve sets w.options from o, and reads the compiled model that o names, if any.
func (w *Workspace) resolve(o Options, fresh bool) error {
	o, err := w.resolvePair(o, fresh)
	if err != nil {
		return err
	}
	if o.Layout == classifier.TPU || w.state.Settings.Layout == classifier.TPU {
		o.Arithmetic = backbone.EdgeTPU // the CPU computes as the device does
	}
	w.options = o
	return nil
}

// canReuse reports whether s, which may be nil, has loaded the workspace's backbone.
func (w *Workspace) canReuse(s *Snapshot) bool {
	if s == nil {
		return false
	}
	want, has := w.options, s.options
	return (want.Backbone == "" || want.Backbone == has.Backbone) && (want.Embedding == "" || want.Embedding == has.Embedding) &&
		want.Arithmetic == has.Arithmetic && want.Devices == has.Devices && w.state.Backbone.Same(s.ref)
}

// loadBackbone loads the workspace's copy of the backbone, or the backbone in the options.
func (w *Workspace) loadBackbone(fresh bool) error {
	file, name, err := w.readBackbone(fresh)
	if err != nil {
		return err
	}
	embedding := w.options.Embedding
	if !fresh && w.untrained() && store.Sum(file) != w.state.Backbone.SHA256 {
		fresh = true
	}
	if !fresh && embedding == "" {
		embedding = fmt.Sprint("#", w.state.Backbone.Embedding)
	}
	// older is true if an older version made the stored embeddings, including embeddings that undo
	// can restore.
	older := !fresh && !w.state.Backbone.Normalized && (!w.untrained() || store.Sum(file) == w.state.Backbone.SHA256)
	b, err := w.parseBackbone(file, backbone.Options{
		Name: name, Embedding: embedding, Arithmetic: w.options.Arithmetic,
		IgnoreNormalization: older,
	})
	var got store.Digest // computed only once, because hashing a large file takes time
	if err == nil {
		got = b.SHA256
	} else {
		got = store.Sum(file)
	}
	if want := w.state.Backbone; !fresh && got != want.SHA256 {
		if w.options.Backbone == "" {
			return fmt.Errorf("%w: %s is no longer the model %s", ErrCorrupt, w.store.Path(want.FileName()), want.Name)
		}
		return fmt.Errorf("open workspace %s with %s: %w, %s", w.store.Dir, name, ErrOtherBackbone, want.Name)
	}
	if err != nil {
		return err
	}
	ref := refOf(b)
	if want := w.state.Backbone; fresh || w.untrained() {
		w.state.Use(ref)
	} else if ref.Embedding != want.Embedding || ref.Size != want.Size {
		return fmt.Errorf("open workspace %s: %w tensor: %d, not %d", w.store.Dir, ErrOtherBackbone, want.Embedding, ref.Embedding)
	}
	w.backbone, w.file = b, file
	return nil
}

func (w *Workspace) readBackbone(fresh bool) (file []byte, name string, err error) {
	if w.options.Backbone != "" || fresh {
		return infer.ReadBackbone(w.options.Backbone)
	}
	// If a change of backbone was interrupted, the file is the new backbone, while the state has no
	// photos and still names the old backbone.
	path, name := w.store.Path(w.state.Backbone.FileName()), w.state.Backbone.Name
	file, err = tflite.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("%w: %s, a copy of the model %s, is missing", ErrCorrupt, path, name)
	} else if err != nil {
		return nil, "", fmt.Errorf("load backbone: %w", err)
	}
	return file, name, nil
}

// parseBackbone parses a backbone file, to run on the workspace's devices.
func (w *Workspace) parseBackbone(file []byte, o backbone.Options) (*backbone.Backbone, error) {
	if w.options.Layout != classifier.TPU && w.state.Settings.Layout != classifier.TPU {
		return w.options.Devices.Backbone(file, o)
	}
	// Edge TPUs run only the published model; the CPU embeds training photos.
	o.Accelerator = w.options.Devices.Accelerator()
	return backbone.Parse(file, o)
}

// pool returns the pool of runners for the backbone, and creates it if necessary.
func (w *Workspace) pool() *infer.Pool {
	if w.embedder == nil {
		w.embedder = infer.NewPool(w.backbone, infer.Cores(w.options.Threads))
	}
	return w.embedder
}

// Close frees the backbone's runners. It writes nothing to the disk.
func (w *Workspace) Close() error {
	if w.embedder != nil {
		w.embedder.Leave()
		w.embedder = nil
	}
	return nil
}

// Warnings describes the damage that Open found and worked around.
func (w *Workspace) Warnings() []string { return w.warnings }

// Backbone returns the model that embeds the photos.
func (w *Workspace) Backbone() *backbone.Backbone { return w.backbone }

// Generation returns the number of changes made to the workspace so far.
func (w *Workspace) Generation() uint64 { return w.state.Generation }

// ModelPath returns the path of the published model.
func (w *Workspace) ModelPath() string { return w.store.Path(store.ModelFile) }

// A Class is a label and its training photos.
type Class struct {
	Label  string  `json:"label"`
	Photos []Photo `json:"photos"`
}

// A Photo is one training photo, or a crop of one.
type Photo struct {
	Path        string       `json:"path"`
	SHA256      string       `json:"sha256"`        // identifies it: File, or the SHA-256 of File and Box
	Box         *dataset.Box `json:"box,omitempty"` // of a crop, else nil
	File        string       `json:"-"`             // SHA-256 of the photo's file
	Source      string       `json:"-"`             // name of the recording or camera; "" if unknown
	Taken, Time time.Time    `json:"-"`             // when it was taken, or zero, and when it was added
}

// Classes returns the classes and their photos, sorted by label.
func (w *Workspace) Classes() []Class {
	var classes []Class
	for rest := w.state.Positives(); len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].Label == rest[0].Label {
			n++
		}
		c := Class{Label: rest[0].Label, Photos: make([]Photo, n)}
		for i := range c.Photos {
			c.Photos[i] = photoOf(&rest[i])
		}
		classes, rest = append(classes, c), rest[n:]
	}
	return classes
}

// Negatives returns the photos that belong to no class.
func (w *Workspace) Negatives() []Photo {
	var photos []Photo
	negatives := w.state.Negatives()
	for i := range negatives {
		photos = append(photos, photoOf(&negatives[i]))
	}
	return photos
}

func photoOf(e *store.Example) Photo {
	p := Photo{Path: e.Path, SHA256: e.Photo.String(), Source: e.Source, Taken: e.Taken, Time: e.Time}
	p.File = p.SHA256
	if box := e.Box; box != (dataset.Box{}) {
		p.Box, p.File = &box, e.File().String()
	}
	return p
}

// HasPhoto returns a function that reports whether a photo, given its file's hexadecimal SHA-256,
// is in the workspace or in a change that can be undone.
func (w *Workspace) HasPhoto() func(sha256 string) bool {
	known := make(map[string]bool)
	note := func(list []store.Example) {
		for _, e := range list {
			known[e.File().String()] = true
		}
	}
	note(w.state.Examples)
	for _, c := range w.state.History {
		note(c.Added)
		note(c.Removed)
	}
	return func(sha256 string) bool { return known[sha256] }
}
