package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/bulk"
	"github.com/imprintkit/imprint/integrations/beam/embeddings"
)

// Fitted is the result of [Fit].
type Fitted struct {
	*bulk.Model
	Photos  int
	Elapsed time.Duration
}

// few is the number of photos up to which a head is trained on all of them in memory. A stream needs more
// photos than this and than the embedding has values.
const few = 1024

// Fit trains a head on the set in dir, and writes model.tflite and labels.txt to the folder out. The
// model has the same bytes as that of imprint add.
func Fit(ctx context.Context, dir, out string, method classifier.Method, o Options) (*Fitted, error) {
	start := time.Now()
	p := &place{Dir: dir, Threads: o.Threads}
	if err := p.openSet(); err != nil {
		return nil, err
	}
	defer p.close()
	var model *bulk.Model
	var err error
	if rows := p.set.Rows(); rows > max(few, p.engine.Backbone().Dim()) {
		var s *classifier.Stream
		if s, err = stream(ctx, p, o); err == nil {
			model, err = p.engine.Train(method, s)
		}
	} else if rows == 0 {
		err = fmt.Errorf("fit %s: no photo could be embedded", dir)
	} else {
		var all []classifier.Example
		if all, err = p.set.Pick(p.units, upTo(rows)); err == nil {
			model, err = p.engine.TrainExamples(method, all)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(out, 0o777); err != nil {
		return nil, err
	}
	// The labels come first, so that a program that reads the new model finds its labels.
	if err := embeddings.WriteFile(filepath.Join(out, "labels.txt"), model.Labels); err != nil {
		return nil, err
	}
	if err := embeddings.WriteFile(filepath.Join(out, "model.tflite"), model.File); err != nil {
		return nil, err
	}
	return &Fitted{model, p.set.Rows(), time.Since(start)}, nil
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// stream describes the examples of a set for training: one pipeline adds up sums, and another finds
// near-duplicates.
func stream(ctx context.Context, p *place, o Options) (*classifier.Stream, error) {
	temp, err := os.MkdirTemp(p.Dir, ".fit-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	sumsFile := filepath.Join(temp, "sums")
	shared := place{Dir: p.Dir, Threads: o.Threads}
	_, err = run(ctx, o, func(s beam.Scope) {
		parts := share(s, o, rangesOf(p.set), func(s beam.Scope, own beam.PCollection) []beam.PCollection {
			return []beam.PCollection{beam.Combine(s, &sumsFn{place: shared}, own)}
		})
		beam.ParDo0(s, &saveFn{sumsFile}, beam.Combine(s, addSums, parts[0]))
	})
	if err != nil {
		return nil, fmt.Errorf("add up the embeddings in %s: %w", p.Dir, err)
	}
	b, err := os.ReadFile(sumsFile)
	if err != nil {
		return nil, err
	}
	st := &classifier.Stream{Totals: new(classifier.Totals)}
	if err := st.Totals.UnmarshalBinary(b); err != nil {
		return nil, err
	}
	if st.Bursts, err = nearDuplicates(ctx, p, o, st.Totals.NearDuplicateDistance(), false); err != nil {
		return nil, err
	}
	st.Read = func(rows []int) ([]classifier.Example, error) { return p.set.Pick(p.units, rows) }
	return st, nil
}

// nearDuplicates returns the groups of rows that are near-duplicates: those of each class, or of all
// classes together.
func nearDuplicates(ctx context.Context, p *place, o Options, limit float64, together bool) ([][]int, error) {
	temp, err := os.MkdirTemp(p.Dir, ".near-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	counts := p.set.Counts
	if together {
		counts = []int{p.set.Rows()}
	}
	file, shared, tasks := filepath.Join(temp, "groups"), place{Dir: p.Dir, Threads: o.Threads}, pairTasks(counts)
	compare := func(s beam.Scope) beam.PCollection {
		return share(s, o, tasks, func(s beam.Scope, own beam.PCollection) []beam.PCollection {
			return []beam.PCollection{beam.ParDo(s, &pairsFn{place: shared, Limit: limit, Together: together}, own)}
		})[0]
	}
	if together && p.set.Rows() >= fewForCells {
		f := cellFolder{Folder: temp}
		tasks, err := cellTasks(ctx, p, o, &f, limit)
		if err != nil {
			return nil, fmt.Errorf("make cells of the embeddings in %s: %w", p.Dir, err)
		}
		compare = func(s beam.Scope) beam.PCollection {
			return share(s, o, tasks, func(s beam.Scope, own beam.PCollection) []beam.PCollection {
				return []beam.PCollection{beam.ParDo(s, &comparedFn{place: shared, cellFolder: cellFolder{Folder: temp}, Limit: limit}, own)}
			})[0]
		}
	}
	_, err = run(ctx, o, func(s beam.Scope) {
		collect(s, file, beam.ParDo(s, &groupsFn{}, beam.GroupByKey(s, compare(s))))
	})
	if err != nil {
		return nil, fmt.Errorf("find near-duplicates in %s: %w", p.Dir, err)
	}
	return readGroups(file)
}

// readGroups reads groups of rows, and sorts them by their first row.
func readGroups(path string) ([][]int, error) {
	lines, err := readLines(path)
	if err != nil {
		return nil, err
	}
	groups := make([][]int, len(lines))
	for i, line := range lines {
		for word := range strings.FieldsSeq(line) {
			row, err := strconv.Atoi(word)
			if err != nil {
				return nil, fmt.Errorf("read groups of near-duplicates: %w", err)
			}
			groups[i] = append(groups[i], row)
		}
	}
	slices.SortFunc(groups, func(a, b []int) int { return a[0] - b[0] })
	return groups, nil
}

// block is the number of rows that a function has in memory at once; pairsFn has two blocks.
const block = 2048

// A rowRange is the rows From ≤ i < To of one class.
type rowRange struct{ From, To int }

// rangesOf returns blocks of rows that cover a set.
func rangesOf(s *embeddings.Set) (all []rowRange) {
	for c, n := range s.Counts {
		all = append(all, blocksOf(s.First[c], s.First[c]+n)...)
	}
	return all
}

// sums is an accumulator: totals, or nil before the first example.
type sums struct{ totals *classifier.Totals }

func encodeSums(s sums) ([]byte, error) {
	if s.totals == nil {
		return nil, nil
	}
	return s.totals.MarshalBinary()
}

func decodeSums(b []byte) (s sums, err error) {
	if len(b) > 0 {
		s.totals = new(classifier.Totals)
		err = s.totals.UnmarshalBinary(b)
	}
	return s, err
}

// sumsFn is a CombineFn that adds up the class sums, Gram matrices and counts of examples.
type sumsFn struct{ place }

func (f *sumsFn) CreateAccumulator() sums { return sums{} }

func (f *sumsFn) AddInput(a sums, r rowRange) (sums, error) {
	if err := f.openSet(); err != nil {
		return a, err
	}
	defer take(f.engine.adding)()
	if a.totals == nil {
		a.totals = classifier.NewTotals(f.engine.Backbone().Dim(), f.engine.Roots())
	}
	examples, err := f.set.Read(f.units, r.From, r.To)
	if err != nil {
		return a, err
	}
	for _, e := range examples {
		if err := a.totals.Add(e.Label, e.Unit); err != nil {
			return a, err
		}
	}
	return a, nil
}

func (f *sumsFn) MergeAccumulators(a, b sums) (sums, error) { return addSums(a, b) }

func addSums(a, b sums) (sums, error) {
	switch {
	case a.totals == nil:
		return b, nil
	case b.totals == nil:
		return a, nil
	}
	return a, a.totals.Merge(b.totals)
}

func (f *sumsFn) Teardown() error { return f.close() }

// saveFn writes sums to a file.
type saveFn struct{ Path string }

func (f *saveFn) ProcessElement(s sums) error {
	b, err := encodeSums(s)
	if err != nil {
		return err
	}
	return embeddings.WriteFile(f.Path, b)
}

// A pairTask says which rows to compare: the classes First ≤ c < Last, each with itself, or the blocks
// I and J of the class First.
type pairTask struct{ First, Last, I, J int }

// pairTasks returns tasks that compare all pairs of rows of each class. Small classes share a task.
func pairTasks(counts []int) (tasks []pairTask) {
	small, first := 0, 0 // rows of small classes since class first
	flush := func(last int) {
		if small > 0 {
			tasks = append(tasks, pairTask{First: first, Last: last})
		}
		small = 0
	}
	for c, n := range counts {
		if n > block || small+n > 4*block {
			flush(c)
		}
		if n > block {
			for i := range (n + block - 1) / block {
				for j := range i + 1 {
					tasks = append(tasks, pairTask{c, c + 1, i, j})
				}
			}
			continue
		}
		if small == 0 {
			first = c
		}
		small += n
	}
	flush(len(counts))
	return tasks
}

// pairsFn finds near-duplicates among rows. It emits pairs of rows that connect them, by class.
type pairsFn struct {
	place
	Limit    float64 // the largest distance of near-duplicates
	Together bool    // all classes count as one
}

func (f *pairsFn) ProcessElement(_ context.Context, t pairTask, emit func(class int, pairs []byte)) error {
	if err := f.openSet(); err != nil {
		return err
	}
	defer take(f.engine.adding)()
	for c := t.First; c < t.Last; c++ {
		first, end := f.set.First[c], f.set.First[c+1]
		if f.Together {
			first, end = 0, f.set.Rows()
		}
		i, j := first+t.I*block, first+t.J*block
		if i == end { // an empty class
			continue
		}
		a, err := f.set.Read(f.units, i, min(i+block, end))
		if err != nil {
			return err
		}
		b := a
		if i != j {
			if b, err = f.set.Read(f.units, j, min(j+block, end)); err != nil {
				return err
			}
		}
		pairs := classifier.NearDuplicatesBetween(a, b, f.Limit)
		for k, p := range pairs {
			pairs[k] = [2]int{i + p[0], j + p[1]}
		}
		if len(pairs) > 0 {
			emit(c, encodePairs(pairs))
		}
	}
	return nil
}

func encodePairs(pairs [][2]int) (b []byte) {
	for _, p := range pairs {
		b = binary.LittleEndian.AppendUint64(b, uint64(p[0]))
		b = binary.LittleEndian.AppendUint64(b, uint64(p[1]))
	}
	return b
}

func (f *pairsFn) Teardown() error { return f.close() }

// groupsFn joins the pairs of a class to groups, and emits a line with the rows of each group.
type groupsFn struct{}

func (*groupsFn) ProcessElement(_ int, encoded func(*[]byte) bool, emit func(string)) error {
	var pairs [][2]int
	var part []byte
	for encoded(&part) {
		if len(part)%16 != 0 {
			return fmt.Errorf("got %d bytes of pairs of rows", len(part))
		}
		for ; len(part) > 0; part = part[16:] {
			pairs = append(pairs, [2]int{int(binary.LittleEndian.Uint64(part)), int(binary.LittleEndian.Uint64(part[8:]))})
		}
	}
	for _, g := range classifier.Groups(pairs) {
		emit(strings.Trim(fmt.Sprint(g), "[]"))
	}
	return nil
}
