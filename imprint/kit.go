// Package imprint teaches a frozen backbone new classes from a few photos and
// keeps what it learned in a workspace on disk. Start with [Open]; then
// [Workspace.Add] photos of a class and [Workspace.Classify] others. A program that answers frames
// while that goes on starts with [OpenLive].
//
// A workspace is a folder: the backbone, two generations of the state (examples
// and settings, each with a checksum), and the published model.tflite and
// labels.txt made from them. A change that a method has returned from without
// error is on the disk and survives the end of the process or of the power; one
// that has not leaves the workspace as it was. There is one writer at a time,
// across processes; readers never wait. If the newest state is damaged the one
// before is used, with a warning. model.tflite is always a whole model, and is
// made anew whenever it does not belong to the state.
//
// The model depends only on the backbone, the settings and the set of photos:
// not on their order, on time, or on what was added and removed in between.
//
// A Workspace is used by one goroutine at a time; its methods use all cores themselves.
package imprint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

var (
	// ErrNoBackbone is returned when there is no backbone of the name given.
	ErrNoBackbone = errors.New("no backbone")
	// ErrOtherBackbone is wrapped when another backbone is named than the one that
	// made the workspace's embeddings.
	ErrOtherBackbone = errors.New("the workspace was taught with another backbone")
	// ErrOtherFit is wrapped when photos are to be fitted otherwise than those
	// already taught.
	ErrOtherResize = errors.New("the workspace was taught with photos fitted otherwise")
	// ErrLabel is wrapped when a name can't be a label.
	ErrLabel = errors.New("unusable label")
	// ErrUnknownLabel is wrapped when no photo of a label has been taught.
	ErrUnknownLabel = errors.New("no such label")
	// ErrNoPhotos is wrapped when nothing that was given can be taught or removed.
	ErrNoPhotos = errors.New("no photos")
	// ErrNothingTaught is wrapped when the workspace has no class.
	ErrNothingTaught = errors.New("nothing has been taught yet")
	// ErrNoClasses is wrapped when a backbone's own classes shall be kept and it has
	// none, being an extractor of embeddings only.
	ErrNoClasses = errors.New("the backbone has no classes of its own")
	// ErrUnknown is wrapped when a head can't have an answer for what is unknown.
	ErrUnknown = errors.New("there can be no answer \"unknown\"")
	// ErrNothingToUndo is returned when no change is left to take back.
	ErrNothingToUndo = errors.New("nothing to undo")
)

// Options say how to open a workspace. The zero value is for one that exists.
type Options struct {
	// Backbone is the file of the model that embeds photos, or the name of a pulled
	// one; "" is that of the workspace, and for a new one the program's own. The
	// workspace keeps a copy.
	Backbone  string
	Embedding string         // tensor to use as the embedding; "" finds it
	Resize    dataset.Resize // for a new workspace, or AutoResize; "" is dataset.Crop
	// Devices are what photos are embedded on; nil is the CPU, which no compiled
	// backbone runs on. They are the caller's to close.
	Devices    *Devices
	Arithmetic backbone.Arithmetic // of the CPU
	// Template is the file of a model compiled for the Edge TPU, or the name of a pulled
	// one, into which the last layer is to be written, and Twin that of the model it was
	// compiled from. They make the layout TPU unless another is named, and Twin the
	// backbone of a new workspace that names none. A Backbone that is such a compiled
	// classifier, with its Twin, is taken for both.
	Compiled, Uncompiled string
	// Layout, KeepClasses, Unknown and Head change the settings with the next change; "" and
	// nil leave them.
	Layout      classifier.Layout
	KeepClasses *bool
	// Unknown is the share, 0…1, of photos of other things that may be taken for a class
	// taught; with 0 there is no answer "unknown", with nil it stays as it is.
	Unknown  *float64
	Head     classifier.Method
	Threads  int  // at most so many cores; 0 is all
	Existing bool // fail with ErrNothingTaught if there is no workspace yet
}

// A Workspace is an open workspace.
type Workspace struct {
	store    store
	options  Options
	state    *state // what is known of the disk; never nil
	backbone *backbone.Backbone
	file     []byte             // of the backbone
	pair     *pair              // the last that was needed, or given; nil until then
	head     *classifier.Fitted // of state; nil until needed
	runners  []*backbone.Runner // one for each core used so far
	damaged  bool               // a state file had to be passed over
	warnings []string
}

func (o Options) check() (err error) {
	if o.Layout != "" {
		_, err = classifier.ParseLayout(string(o.Layout))
	}
	if o.Resize != "" && o.Resize != AutoResize && err == nil {
		_, err = dataset.ParseResize(string(o.Resize))
	}
	if u := o.Unknown; u != nil && !(*u >= 0 && *u < 1) && err == nil {
		err = fmt.Errorf("%w: a share of %v is to be accepted, and it must be 0 or more and less than 1", ErrUnknown, *u)
	}
	return err
}

// Open opens the workspace in dir, which need not exist yet: the first change
// creates it.
func Open(dir string, o Options) (*Workspace, error) { return open(dir, o, nil) }

// open opens a workspace; if it has the backbone of shared, which may be nil, that is
// used.
func open(dir string, o Options, shared *Workspace) (*Workspace, error) {
	k := &Workspace{store: store{dir: dir}, options: o}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("open workspace %s: %w", dir, err)
	}
	found, damaged, err := k.store.load()
	if err != nil {
		return nil, err
	}
	switch {
	case found != nil:
		k.state, k.damaged, k.warnings = found, len(damaged) > 0, warnings(found, damaged)
	case o.Existing:
		return nil, fmt.Errorf("open workspace %s: %w", dir, ErrNothingTaught)
	default:
		k.state = &state{Settings: Settings{Layout: classifier.Float, Head: classifier.Auto}}
	}
	if shared != nil {
		k.pair = shared.pair
	}
	if err := k.choosePair(found == nil); err != nil {
		return nil, err
	}
	if k.options.Layout == classifier.TPU || k.state.Settings.Layout == classifier.TPU {
		k.options.Arithmetic = backbone.EdgeTPU // as the device will have it
	}
	if found != nil && k.shares(shared) {
		k.backbone, k.file = shared.backbone, shared.file
	} else if err := k.loadBackbone(found == nil); err != nil {
		return nil, err
	}
	if found == nil {
		k.state.Settings.Resize = resizeFor(k.backbone, o.Resize)
	}
	if o.Resize != "" && o.Resize != k.state.Settings.Resize && (o.Resize != AutoResize || found != nil) {
		return nil, fmt.Errorf("open workspace %s: %w: %s, not %s", dir, ErrOtherResize, k.state.Settings.Resize, o.Resize)
	}
	return k, nil
}

// shares reports whether other, which may be nil, has loaded the workspace's backbone.
func (k *Workspace) shares(other *Workspace) bool {
	if other == nil {
		return false
	}
	mine, its := k.options, other.options
	return (mine.Backbone == "" || mine.Backbone == its.Backbone) && (mine.Embedding == "" || mine.Embedding == its.Embedding) &&
		mine.Arithmetic == its.Arithmetic && mine.Devices == its.Devices && k.state.Backbone.same(other.state.Backbone)
}

// loadBackbone loads the workspace's backbone, or for a new workspace the one of
// the options.
func (k *Workspace) loadBackbone(fresh bool) error {
	var file []byte
	var err error
	path, name := k.store.path(backboneFile), k.state.Backbone.Name
	if k.options.Backbone != "" || fresh {
		if file, name, err = readBackbone(k.options.Backbone); err != nil {
			return err
		}
	} else {
		if file, err = readFile(path, tflite.MaxFileSize); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %s is missing, a copy of the model %s", ErrCorrupt, path, name)
		} else if err != nil {
			return fmt.Errorf("load backbone: %w", err)
		}
	}
	embedding := k.options.Embedding
	if !fresh && embedding == "" {
		embedding = fmt.Sprint("#", k.state.Backbone.Embedding)
	}
	b, err := k.parseBackbone(file, backbone.Options{Name: name, Embedding: embedding, Arithmetic: k.options.Arithmetic})
	var got digest // summing up a large file takes its time: once is enough
	if err == nil {
		got = b.SHA256
	} else {
		got = sum(file)
	}
	if want := k.state.Backbone; !fresh && got != want.SHA256 {
		if k.options.Backbone == "" {
			return fmt.Errorf("%w: %s is no longer the model %s", ErrCorrupt, path, want.Name)
		}
		return fmt.Errorf("open workspace %s with %s: %w, %s", k.store.dir, name, ErrOtherBackbone, want.Name)
	}
	if err != nil {
		return err
	}
	ref := backboneRef{Name: name, SHA256: b.SHA256, Embedding: b.Embedding.Index, Size: b.EmbeddingSize()}
	if want := k.state.Backbone; fresh {
		k.state.Backbone = ref
	} else if ref.Embedding != want.Embedding || ref.Size != want.Size {
		return fmt.Errorf("open workspace %s: %w tensor, %d, not %d", k.store.dir, ErrOtherBackbone, want.Embedding, ref.Embedding)
	}
	k.backbone, k.file = b, file
	return nil
}

// Warnings tell of damage that Open worked around.
func (k *Workspace) Warnings() []string { return k.warnings }

// Backbone returns the model that embeds the photos.
func (k *Workspace) Backbone() *backbone.Backbone { return k.backbone }

// Settings returns the choices that the published model was made with.
func (k *Workspace) Settings() Settings { return k.state.Settings }

// Generation counts the changes of the workspace.
func (k *Workspace) Generation() uint64 { return k.state.Generation }

// ModelPath is where the model is published.
func (k *Workspace) ModelPath() string { return k.store.path(modelFile) }

// Close stops what the Workspace has started. Nothing is written: every change was.
func (k *Workspace) Close() error {
	closeRunners(&k.runners)
	return nil
}

// A Class is one taught label.
type Class struct {
	Label  string  `json:"label"`
	Photos []Photo `json:"photos"`
}

// A Photo is one taught photo.
type Photo struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	// Source is what it is a part of, such as a recording, and Taken when it was taken;
	// "" and zero if not known. Time is when it was taught.
	Source string    `json:"-"`
	Taken  time.Time `json:"-"`
	Time   time.Time `json:"-"`
}

// Classes returns what has been taught, in order of labels.
func (k *Workspace) Classes() []Class {
	var classes []Class
	for _, e := range k.state.positives() {
		if n := len(classes); n == 0 || classes[n-1].Label != e.Label {
			classes = append(classes, Class{Label: e.Label})
		}
		c := &classes[len(classes)-1]
		c.Photos = append(c.Photos, Photo{e.Path, e.Photo.String(), e.Source, e.Taken, e.Time})
	}
	return classes
}

// Labels returns the names of the classes of the model, in the order of its
// scores: the backbone's own if they are kept, then the taught ones.
func (k *Workspace) Labels() ([]string, error) {
	h, err := k.currentHead()
	if err != nil {
		return nil, err
	}
	return slices.Clone(h.Head.Labels), nil
}

// errUnchanged is what a plan returns that finds nothing to do.
var errUnchanged = errors.New("nothing to change")

// commit makes a change the workspace's next generation: plan is given the state
// as it is on the disk now, and changes it.
func (k *Workspace) commit(ctx context.Context, plan func(*state) error) (err error) {
	lock, err := k.store.lock(ctx, lockPatience)
	if err != nil {
		return err
	}
	defer lock.release()
	k.store.sweep()
	now, damaged, err := k.store.load()
	if err != nil {
		return err
	}
	before := new(state)
	if now != nil {
		*before = *now
	}
	if now == nil {
		defer func() {
			if err != nil {
				lock.retract()
			}
		}()
		if k.state.Generation > 0 {
			return fmt.Errorf("change %s: the workspace is gone: %w", k.store.dir, fs.ErrNotExist)
		}
		fresh := *k.state
		now = &fresh
	} else if err := k.sameKind(now); err != nil {
		return err
	}
	if err := plan(now); errors.Is(err, errUnchanged) {
		k.state, k.head = now, nil
		_, err := k.republish()
		return err
	} else if err != nil {
		return err
	}
	if err := now.check(); err != nil {
		return err
	}
	now.Generation++
	model, head, err := k.build(now)
	if err != nil {
		return err
	}
	now.Version, now.Model, now.Made = now.version(), sum(model), madeOf(head)
	b, err := now.encode(maxState)
	if err != nil {
		return err
	}
	if err := k.store.keepDamaged(damaged, now.Generation); err != nil {
		return err
	}
	// The state names its backbone, so that must be there first; the model is made
	// from both, and made again if it does not come to be written.
	wrote, err := k.keepModels(now)
	if err == nil {
		err = k.store.disk.replace(append([]replacement{{k.store.path(slotFile(now.Generation)), b}}, k.published(model, head)...)...)
	}
	if err != nil {
		for _, path := range wrote {
			if now.Generation == 1 || path != k.store.path(backboneFile) {
				os.Remove(path)
			}
		}
		return err
	}
	k.store.dropPairs(before, now)
	k.state, k.head = now, head
	return nil
}

// sameKind says whether the Workspace's embeddings fit those of s, which another process
// may have written after Open.
func (k *Workspace) sameKind(s *state) error {
	mine, other := k.state, s
	if !mine.Backbone.same(other.Backbone) {
		return fmt.Errorf("change %s: %w, %s, meanwhile", k.store.dir, ErrOtherBackbone, other.Backbone.Name)
	}
	if mine.Settings.Resize != other.Settings.Resize {
		return fmt.Errorf("change %s: %w meanwhile: %s, not %s", k.store.dir, ErrOtherResize, other.Settings.Resize, mine.Settings.Resize)
	}
	return nil
}

// keepModels stores the backbone and the template of s in the workspace, unless they
// are there, and returns the files written.
func (k *Workspace) keepModels(s *state) (wrote []string, err error) {
	models := []replacement{{k.store.path(backboneFile), k.file}}
	sums := []digest{s.Backbone.SHA256}
	if s.Settings.Layout == classifier.TPU {
		p, err := k.pairOf(s.Settings.Pair)
		if err != nil {
			return nil, err
		}
		template, twin := p.ref.files()
		models = append(models, replacement{k.store.path(template), p.compiled}, replacement{k.store.path(twin), p.uncompiled})
		sums = append(sums, p.ref.CompiledSHA256, p.ref.UncompiledSHA256)
	}
	for i, m := range models {
		if got, err := sumFile(m.path); err == nil && got == sums[i] {
			continue
		}
		wrote = append(wrote, m.path)
		if err := k.store.disk.replace(m); err != nil {
			return wrote, err
		}
	}
	return wrote, nil
}

// checkLabel says why a name can't be a label: it is a line of labels.txt.
func checkLabel(label string) error {
	switch {
	case label == "":
		return fmt.Errorf("%w: it is empty", ErrLabel)
	case len(label) > 200:
		return fmt.Errorf("%w: %.20q… has more than 200 bytes", ErrLabel, label)
	case !utf8.ValidString(label):
		return fmt.Errorf("%w: %q is not UTF-8", ErrLabel, label)
	case strings.TrimSpace(label) != label:
		return fmt.Errorf("%w: %q begins or ends with a space", ErrLabel, label)
	case strings.Contains(label, "\ufeff"):
		return fmt.Errorf("%w: %q has a byte order mark", ErrLabel, label)
	case strings.ContainsFunc(label, unicode.IsControl):
		return fmt.Errorf("%w: %q has a control character", ErrLabel, label)
	}
	return nil
}
