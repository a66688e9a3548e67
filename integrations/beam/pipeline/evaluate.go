package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/stats"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/evaluate"
)

// Evaluate evaluates heads on the set in dir, as [evaluate.Set.LeaveOneOut] does. The result is that of
// a workspace with the same name to which imprint add adds the same photos.
func Evaluate(ctx context.Context, dir string, heads []classifier.Method, support []int, episodes int, o Options) (*evaluate.Evaluation, error) {
	p := &place{Dir: dir, Threads: o.Threads}
	if err := p.openSet(); err != nil {
		return nil, err
	}
	defer p.close()
	set, rows, err := describe(p)
	if err != nil {
		return nil, err
	}
	if len(rows) <= max(few, p.engine.Backbone().Dim()) {
		all, err := p.set.Pick(p.units, upTo(len(rows)))
		if err != nil {
			return nil, err
		}
		set.Units, set.Norms = make([][]float64, len(rows)), make([]float64, len(rows))
		for i, row := range rows {
			set.Units[row], set.Norms[row] = all[i].Unit, all[i].Norm
		}
		return set.LeaveOneOut(ctx, heads, support, episodes)
	}
	examples, err := stream(ctx, p, o)
	if err != nil {
		return nil, err
	}
	st := evaluate.Stream{Set: set, Examples: examples, Rows: rows, Sqrt: p.engine.Roots()}
	st.NearDuplicates = func(ctx context.Context) (pairs [][2]int, err error) {
		groups, err := nearDuplicates(ctx, p, o, examples.Totals.NearDuplicateDistance(), true)
		for _, g := range groups {
			for _, row := range g[1:] {
				pairs = append(pairs, [2]int{g[0], row})
			}
		}
		return pairs, err
	}
	st.Correct = func(ctx context.Context, all []evaluate.Episode) ([]int, error) { return correct(ctx, p, all, o) }
	return st.LeaveOneOut(ctx, heads, support, episodes)
}

// describe returns the set without its embeddings, in the order of a workspace: by label and SHA-256.
// rows holds the place there of each row of the folder.
func describe(p *place) (set *evaluate.Set, rows []int, err error) {
	type photo struct {
		evaluate.Photo
		hash       uint64
		class, row int
	}
	all := make([]photo, 0, p.set.Rows())
	err = p.set.Photos(func(class int, sum string, hash uint64, path string) {
		all = append(all, photo{evaluate.Photo{Path: path, SHA256: sum}, hash, class, len(all)})
	})
	if err != nil {
		return nil, nil, err
	}
	if len(all) == 0 {
		return nil, nil, fmt.Errorf("evaluate %s: no photo could be embedded", p.Dir)
	}
	slices.SortFunc(all, func(a, b photo) int {
		return cmp.Or(cmp.Compare(a.class, b.class), strings.Compare(a.SHA256, b.SHA256))
	})
	set, rows = &evaluate.Set{Name: filepath.Base(p.Dir)}, make([]int, len(all))
	for i, a := range all {
		if i == 0 || all[i-1].class != a.class {
			set.Classes = append(set.Classes, p.set.Classes[a.class])
		}
		set.Labels, set.Photos, set.Hashes = append(set.Labels, len(set.Classes)-1), append(set.Photos, a.Photo), append(set.Hashes, a.hash)
		rows[a.row] = i
	}
	return set, rows, nil
}

// correct returns the number of rows that the head of each episode classifies correctly.
func correct(ctx context.Context, p *place, all []evaluate.Episode, o Options) ([]int, error) {
	temp, err := os.MkdirTemp(p.Dir, ".episodes-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temp)
	var tasks []queryTask
	for d, e := range all {
		if err := writeGob(episodeFile(temp, d), e); err != nil {
			return nil, err
		}
		for _, r := range blocksOf(0, p.set.Rows()) {
			tasks = append(tasks, queryTask{d, r.From, r.To})
		}
	}
	file := filepath.Join(temp, "correct")
	_, err = run(ctx, o, func(s beam.Scope) {
		f := &correctFn{place: place{Dir: p.Dir, Threads: o.Threads}, Folder: temp}
		counts := share(s, o, tasks, func(s beam.Scope, own beam.PCollection) []beam.PCollection {
			return []beam.PCollection{beam.ParDo(s, f, own)}
		})
		collect(s, file, beam.ParDo(s, sumLine, stats.SumPerKey(s, counts[0])))
	})
	if err != nil {
		return nil, fmt.Errorf("classify the embeddings in %s: %w", p.Dir, err)
	}
	lines, err := readLines(file)
	if err != nil {
		return nil, err
	}
	counts := make([]int, len(all))
	for _, line := range lines {
		d, n, err := twoNumbers(line)
		if err != nil || d < 0 || d >= len(counts) {
			return nil, fmt.Errorf("read the results of episodes: got line %q", line)
		}
		counts[d] = n
	}
	return counts, nil
}

func sumLine(key, sum int) string { return fmt.Sprintf("%d\t%d", key, sum) }

func episodeFile(folder string, episode int) string {
	return filepath.Join(folder, fmt.Sprint("episode", episode))
}

// A queryTask says to classify the rows From ≤ i < To with the head of an episode.
type queryTask struct{ Episode, From, To int }

// correctFn counts the rows that the head of an episode classifies correctly. It emits the episode and
// the count.
type correctFn struct {
	place
	Folder string // of the episodes
}

func (f *correctFn) ProcessElement(t queryTask, emit func(episode, count int)) error {
	if err := f.openSet(); err != nil {
		return err
	}
	defer take(f.engine.adding)()
	var e evaluate.Episode
	if err := readGob(episodeFile(f.Folder, t.Episode), &e); err != nil {
		return err
	}
	examples, err := f.set.Read(f.units, t.From, t.To)
	if err != nil {
		return err
	}
	emit(t.Episode, e.Correct(t.From, examples))
	return nil
}

func (f *correctFn) Teardown() error { return f.close() }
