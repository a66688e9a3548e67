package imprint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/stat"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// ErrProtocol is wrapped when a set does not allow the evaluation asked for.
var ErrProtocol = errors.New("evaluation is not possible")

// estimateChunk is how many unit vectors of a class Estimate keeps in memory for each
// core: all of them would take eight times the space of the state. Bursts are found
// within a chunk.
const estimateChunk = 2048

// Recipe says how the head of the workspace was made; nothing when nothing is taught.
func (k *Workspace) Recipe() classifier.Recipe {
	if k.head == nil && k.state.Made != nil {
		return k.state.Made.Recipe
	}
	if head, err := k.currentHead(); err == nil {
		return head.Recipe
	}
	return classifier.Recipe{}
}

// Tried is what classifier.Auto chose the head by; nil where it did not, or could not
// compare.
func (k *Workspace) Candidates() []classifier.Candidate {
	if k.head == nil && k.state.Made != nil {
		return k.state.Made.Candidates
	}
	if f, err := k.currentHead(); err == nil {
		return f.Candidates
	}
	return nil
}

// Estimate is the leave-one-out accuracy of the workspace's head on its own examples.
// That of one that keeps the backbone's classes is the mean head's without them.
func (k *Workspace) Estimate() classifier.Estimate {
	if k.state.Settings.method() != classifier.Mean {
		if k.head == nil && k.state.Made != nil {
			return k.state.Made.Estimate
		}
		if head, err := k.currentHead(); err == nil {
			return head.Estimate
		}
		return classifier.Estimate{} // nothing is taught
	}
	sums, err := k.sums(k.state)
	if err != nil {
		return classifier.Estimate{} // the state was checked when it was read
	}
	threads := k.options.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	chunks := make(chan []example)
	found := make([]classifier.Estimate, threads)
	var wg sync.WaitGroup
	for i := range found {
		wg.Go(func() {
			for c := range chunks {
				e := sums.LeaveOneOut(k.unitsOf(c))
				found[i].Correct += e.Correct
				found[i].Total += e.Total
				found[i].Excluded += e.Excluded
				found[i].Bursts += e.Bursts
			}
		})
	}
	for rest := k.state.positives(); len(rest) > 0; {
		n := 1
		for n < min(len(rest), estimateChunk) && rest[n].Label == rest[0].Label {
			n++
		}
		chunks <- rest[:n]
		rest = rest[n:]
	}
	close(chunks)
	wg.Wait()
	var all classifier.Estimate
	for _, e := range found {
		all.Correct += e.Correct
		all.Total += e.Total
		all.Excluded += e.Excluded
		all.Bursts += e.Bursts
	}
	return all
}

// An Evaluation is the accuracy of heads taught with few photos, and what stands in the
// way of a better one.
type Evaluation struct {
	Set     string   `json:"set"`
	Classes []string `json:"classes"`
	Photos  int      `json:"photos"`
	// Results is the learning curve of each head.
	Results []Accuracy `json:"results"`
	// Details has each head once.
	Heads []HeadReport `json:"details"`
	// Alike are photos that hardly differ, and Pulls those that harm others, the worst
	// first.
	NearDuplicates []NearDuplicates `json:"alike"`
	LabelSuspects  []LabelSuspect   `json:"pulls"`
	// Unknown is how well photos of classes not taught are told from those that are, if
	// that was asked.
	OpenSet []OpenSet `json:"unknown,omitempty"`
	// Devices counts the photos that each device embedded.
	Devices map[string]int `json:"devices,omitempty"`
}

// Accuracy is the share of right answers in percent, over several draws of the
// photos taught.
type Accuracy struct {
	Head     string  `json:"head"`
	Support  int     `json:"shots"` // photos a class
	Mean     float64 `json:"mean"`
	Std      float64 `json:"std"` // of the draws, dividing by their number
	Episodes int     `json:"draws"`
}

// A Set is a set of labelled embeddings and the draws to evaluate.
type Set struct {
	Name    string
	Classes []string
	Labels  []int       // class of each embedding
	Units   [][]float64 // the embeddings, of length 1
	Norms   []float64   // the lengths they had
	// Shots has for each draw and class the embeddings to teach; k photos are the
	// first k. Test has for each draw the embeddings to classify.
	Support [][][]int
	Query   [][]int
	// Photos and Hashes are what the embeddings are of; nil when that is not known.
	Photos []Photo
	Hashes []uint64 // by dataset.Hash; 0 is not known
	// Devices counts the embeddings that each device made; nil when that is not known.
	Devices map[string]int
}

// Evaluate teaches each head with each number of photos in shots and counts how often
// it is right, draw by draw. The details are those of the largest number.
func (s *Set) Evaluate(ctx context.Context, heads []classifier.Method, shots []int) (*Evaluation, error) {
	fail := func(err error) (*Evaluation, error) { return nil, fmt.Errorf("evaluate %s: %w", s.Name, err) }
	if err := s.check(); err != nil {
		return fail(err)
	}
	ev := s.evaluation()
	for _, h := range heads {
		var last []outcome
		for _, k := range shots {
			err := s.suffice(k)
			var all []outcome
			if err == nil {
				all, err = s.episodes(ctx, h, k)
			}
			if err != nil {
				return fail(fmt.Errorf("with %d photos a class: %w", k, err))
			}
			ev.Results = append(ev.Results, accuracyOf(h, k, all))
			if k == slices.Max(shots) {
				last = all
			}
		}
		if last != nil {
			recipe := last[0].recipe
			var predictions []prediction
			for _, d := range last {
				predictions = append(predictions, d.predictions...)
				if d.recipe != recipe {
					recipe = ""
				}
			}
			ev.Heads = append(ev.Heads, s.headReport(string(h), recipe, slices.Max(shots), predictions))
		}
	}
	if err := s.compare(ctx, ev); err != nil {
		return fail(err)
	}
	return ev, nil
}

func (s *Set) evaluation() *Evaluation {
	return &Evaluation{Set: s.Name, Classes: s.Classes, Photos: len(s.Labels), Devices: s.Devices}
}

// compare finds what photos have to do with each other, whatever the head.
func (s *Set) compare(ctx context.Context, ev *Evaluation) (err error) {
	if ev.NearDuplicates, err = s.nearDuplicates(ctx); err == nil {
		ev.LabelSuspects, err = s.labelSuspects(ctx)
	}
	return err
}

// drawn is what came of one draw.
type outcome struct {
	recipe      string
	predictions []prediction
}

func accuracyOf(h classifier.Method, shots int, all []outcome) Accuracy {
	var percent []float64
	for _, d := range all {
		right := 0
		for _, p := range d.predictions {
			if p.answer == p.class {
				right++
			}
		}
		percent = append(percent, 100*float64(right)/float64(len(d.predictions)))
	}
	mean, std := stat.PopMeanStdDev(percent, nil)
	return Accuracy{Head: string(h), Support: shots, Mean: mean, Std: std, Episodes: len(percent)}
}

// suffice says whether every draw has k photos of each class, and one to ask about.
func (s *Set) suffice(k int) error {
	for d, classes := range s.Support {
		for c, rows := range classes {
			if k < 1 || k > len(rows) {
				return fmt.Errorf("%w: draw %d has %d photos of %q to teach", ErrProtocol, d, len(rows), s.Classes[c])
			}
		}
		if len(s.Query[d]) == 0 {
			return fmt.Errorf("%w: draw %d has no photo to classify", ErrProtocol, d)
		}
	}
	return nil
}

// draws makes all draws with k photos a class, on all cores.
func (s *Set) episodes(ctx context.Context, method classifier.Method, k int) ([]outcome, error) {
	all := make([]outcome, len(s.Support))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for d := range all {
		group.Go(func() (err error) {
			if err = ctx.Err(); err == nil {
				all[d], err = s.episode(method, d, k)
			}
			return err
		})
	}
	return all, group.Wait()
}

// draw teaches k photos of each class, or all there are to teach, and asks about the
// others.
func (s *Set) episode(method classifier.Method, d, k int) (outcome, error) {
	var examples []classifier.Example
	for c, rows := range s.Support[d] {
		for _, row := range rows[:min(k, len(rows))] {
			examples = append(examples, classifier.Example{Label: s.Classes[c], Unit: s.Units[row], Norm: s.Norms[row]})
		}
	}
	fitted, err := classifier.Fit(examples, method, s.roots())
	if err != nil {
		return outcome{}, err
	}
	head := fitted.Head
	place := make([]int, len(s.Classes)) // of each class among the head's
	for c, label := range s.Classes {
		place[c] = slices.Index(head.Labels, label)
	}
	found := outcome{recipe: fitted.Recipe.String()}
	given, logits := make([]float64, len(head.Labels)), make([]float64, len(s.Classes))
	for _, row := range s.Query[d] {
		head.Logits(given, s.Units[row])
		for c, at := range place {
			logits[c] = given[at]
		}
		found.predictions = append(found.predictions, predict(row, s.Labels[row], logits, fitted.Temperature))
	}
	return found, nil
}

// check says whether all rows of the draws exist.
func (s *Set) check() error {
	if len(s.Units) != len(s.Labels) || len(s.Norms) != len(s.Labels) {
		return fmt.Errorf("%w: %d embeddings for %d photos", ErrProtocol, len(s.Units), len(s.Labels))
	}
	for i, x := range s.Units {
		if len(x) != len(s.Units[0]) {
			return fmt.Errorf("%w: embedding %d has %d values, and the first %d", ErrProtocol, i, len(x), len(s.Units[0]))
		}
	}
	inside := func(rows []int) bool {
		return !slices.ContainsFunc(rows, func(r int) bool { return r < 0 || r >= len(s.Labels) })
	}
	if len(s.Support) == 0 || len(s.Support) != len(s.Query) {
		return fmt.Errorf("%w: %d draws to teach and %d to classify", ErrProtocol, len(s.Support), len(s.Query))
	}
	for i, c := range s.Classes {
		if slices.Contains(s.Classes[:i], c) {
			return fmt.Errorf("%w: class %q is there twice", ErrProtocol, c)
		}
	}
	for _, c := range s.Labels {
		if c < 0 || c >= len(s.Classes) {
			return fmt.Errorf("%w: class %d of %d", ErrProtocol, c, len(s.Classes))
		}
	}
	for d := range s.Support {
		if len(s.Support[d]) != len(s.Classes) || !inside(s.Query[d]) || slices.ContainsFunc(s.Support[d], func(r []int) bool { return !inside(r) }) {
			return fmt.Errorf("%w: draw %d does not fit %d classes and %d photos", ErrProtocol, d, len(s.Classes), len(s.Labels))
		}
	}
	return nil
}

// setScale is the step of stored embeddings, that of Coral's extractor.
const setScale = 0.0235284772

// ReadSet reads stored embeddings: emb.u8 (or emb.crop.u8 for photos fitted by
// dataset.Crop; uint8, zero point 0, one row a photo), labels.json and
// episodes.json in folder dir.
func ReadSet(dir string, fit dataset.Resize) (*Set, error) {
	name := "emb.u8"
	if fit == dataset.Crop {
		name = "emb.crop.u8"
	}
	s := &Set{Name: filepath.Base(filepath.Clean(dir))}
	var labels struct {
		Classes []string
		Labels  []int
	}
	var episodes struct {
		Shots [][][]int
		Test  [][]int
	}
	if err := readJSON(filepath.Join(dir, "labels.json"), &labels); err != nil {
		return nil, err
	}
	if err := readJSON(filepath.Join(dir, "episodes.json"), &episodes); err != nil {
		return nil, err
	}
	s.Classes, s.Labels, s.Support, s.Query = labels.Classes, labels.Labels, episodes.Shots, episodes.Test
	path := filepath.Join(dir, name)
	b, err := readFile(path, maxState)
	if err != nil {
		return nil, fmt.Errorf("read embeddings: %w", err)
	}
	if len(s.Labels) == 0 || len(b) == 0 || len(b)%len(s.Labels) != 0 {
		return nil, fmt.Errorf("read embeddings: %s: %w: %d bytes for %d photos", path, ErrProtocol, len(b), len(s.Labels))
	}
	dim := len(b) / len(s.Labels)
	for i := range s.Labels {
		x := make([]float64, dim)
		for j, q := range b[i*dim : (i+1)*dim] {
			x[j] = float64(q)
		}
		s.Norms = append(s.Norms, setScale*classifier.Normalize(x))
		s.Units = append(s.Units, x)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("read embeddings in %s: %w", dir, err)
	}
	return s, nil
}

func readJSON(path string, v any) error {
	b, err := readFile(path, maxState)
	if err != nil {
		return fmt.Errorf("read embeddings: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read embeddings: %s: %w: %w", path, ErrProtocol, err)
	}
	return nil
}

// EmbedSet embeds labelled photos and draws from them: for each of draws draws,
// photos of each class are taken at random, as many as the largest number of
// shots, and all others are classified. The same items give the same draws.
func EmbedSet(ctx context.Context, name string, b *backbone.Backbone, fit dataset.Resize, items []dataset.Item, shots, draws, threads int, progress func(done, total int)) (*Set, []Skipped, error) {
	s := &Set{Name: name, Devices: make(map[string]int)}
	var skipped []Skipped
	seen := make(map[digest]bool)
	for _, it := range items {
		if !slices.Contains(s.Classes, it.Label) {
			s.Classes = append(s.Classes, it.Label)
		}
	}
	slices.Sort(s.Classes)
	var runners []*backbone.Runner
	defer closeRunners(&runners)
	err := embedPhotos(ctx, b, &runners, threads, fit, items, func(i int, e embedded) error {
		if progress != nil {
			progress(i+1, len(items))
		}
		switch {
		case e.err != nil:
			skipped = append(skipped, Skipped{Path: items[i].Path, Reason: e.err.Error()})
			return nil
		case seen[e.photo]:
			skipped = append(skipped, Skipped{items[i].Path, "the same photo is in the set already", true})
			return nil
		}
		seen[e.photo] = true
		s.Devices[e.device]++
		x := make([]float64, b.Dim())
		s.Norms = append(s.Norms, unit(b, x, e.raw))
		c, _ := slices.BinarySearch(s.Classes, items[i].Label)
		s.Labels, s.Units = append(s.Labels, c), append(s.Units, x)
		s.Photos, s.Hashes = append(s.Photos, Photo{Path: items[i].Path, SHA256: digest(e.photo).String()}), append(s.Hashes, e.hash)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("embed %s: %w", name, err)
	}
	if err := s.sample(shots, draws); err != nil {
		return nil, nil, fmt.Errorf("evaluate %s: %w", name, err)
	}
	return s, skipped, nil
}

// sample fills Shots and Test with random draws from a fixed seed.
func (s *Set) sample(shots, draws int) error {
	rows := s.rows()
	for c, r := range rows {
		if len(r) <= shots {
			return fmt.Errorf("%w: class %q has %d photos; teaching %d and classifying at least one needs more", ErrProtocol, s.Classes[c], len(r), shots)
		}
	}
	if len(s.Classes) < 2 {
		return fmt.Errorf("%w: it has %d classes; two are the least", ErrProtocol, len(s.Classes))
	}
	random := rand.New(rand.NewPCG(2018, uint64(math.MaxUint32)))
	for range draws {
		var teach [][]int
		var test []int
		for c := range rows {
			r := slices.Clone(rows[c])
			random.Shuffle(len(r), func(i, j int) { r[i], r[j] = r[j], r[i] })
			teach = append(teach, r[:shots])
			test = append(test, r[shots:]...)
		}
		s.Support, s.Query = append(s.Support, teach), append(s.Query, test)
	}
	return nil
}

// roots reports whether no embedding has a value below 0, so that square roots may
// serve as features.
func (s *Set) roots() bool {
	return !slices.ContainsFunc(s.Units, func(x []float64) bool { return slices.Min(x) < 0 })
}
