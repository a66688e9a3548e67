package evaluate

import (
	"context"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/imprintkit/imprint/classifier"
)

// pairBlock is the number of examples in a block of pairsByDistance, and the number of photos from which on
// it compares only some cells.
const (
	pairBlock   = 2048
	fewForCells = 8 * pairBlock
)

// pairsByDistance returns pairs that connect all near-duplicates. It compares all embeddings with each
// other, or, if they are many, those of cells that are close to each other. It works on all cores.
func (s *Set) pairsByDistance(ctx context.Context) ([]nearPair, error) {
	if s.stream != nil {
		return s.stream.pairsByDistance(ctx)
	}
	examples := make([]classifier.Example, len(s.Units))
	for i, x := range s.Units {
		examples[i].Unit = x
	}
	limit := classifier.NearDuplicateDistance(examples)
	if len(examples) >= fewForCells {
		return pairsInCells(ctx, examples, limit)
	}
	rows := make([]int, len(examples))
	for i := range rows {
		rows[i] = i
	}
	return comparePairs(ctx, examples, [][]int{rows}, [][2]int{{0, 0}}, func(_, _ int, x, y []classifier.Example) [][2]int {
		return classifier.NearDuplicatesBetween(x, y, limit)
	})
}

// pairsInCells is like pairsByDistance, for many examples.
func pairsInCells(ctx context.Context, examples []classifier.Example, limit float64) ([]nearPair, error) {
	cells := classifier.NewCells(examplesAt(examples, classifier.CellSample(len(examples))), len(examples))
	nearest := make([]int, len(examples))
	err := parallel(ctx, (len(examples)+pairBlock-1)/pairBlock, func(b int) {
		copy(nearest[b*pairBlock:], cells.Nearest(examples[b*pairBlock:min((b+1)*pairBlock, len(examples))]))
	})
	if err != nil {
		return nil, err
	}
	rows, borders := make([][]int, len(cells.Centers)), make([][]float64, len(cells.Centers))
	for i, cell := range nearest {
		rows[cell] = append(rows[cell], i)
	}
	err = parallel(ctx, len(rows), func(cell int) {
		borders[cell] = cells.Borders(cell, examplesAt(examples, rows[cell]))
	})
	if err != nil {
		return nil, err
	}
	return comparePairs(ctx, examples, rows, cells.Pairs(borders, limit), func(i, j int, x, y []classifier.Example) [][2]int {
		return cells.NearDuplicatesBetween(i, j, x, y, limit)
	})
}

// comparePairs compares the rows of pairs of cells, in blocks. compare gets two blocks and their cells.
func comparePairs(ctx context.Context, examples []classifier.Example, rows [][]int, cells [][2]int, compare func(i, j int, x, y []classifier.Example) [][2]int) ([]nearPair, error) {
	type task struct {
		i, j int
		x, y []int
	}
	var tasks []task
	for _, p := range cells {
		own, others := slices.Collect(slices.Chunk(rows[p[0]], pairBlock)), slices.Collect(slices.Chunk(rows[p[1]], pairBlock))
		for k, x := range own {
			if p[0] == p[1] {
				others = own[:k+1]
			}
			for _, y := range others {
				tasks = append(tasks, task{p[0], p[1], x, y})
			}
		}
	}
	found := make([][]nearPair, len(tasks))
	err := parallel(ctx, len(tasks), func(k int) {
		t := tasks[k]
		x := examplesAt(examples, t.x)
		y := x
		if &t.x[0] != &t.y[0] {
			y = examplesAt(examples, t.y)
		}
		for _, p := range compare(t.i, t.j, x, y) {
			found[k] = append(found[k], nearPair{a: t.x[p[0]], b: t.y[p[1]]})
		}
	})
	return slices.Concat(found...), err
}

func examplesAt(examples []classifier.Example, rows []int) []classifier.Example {
	some := make([]classifier.Example, len(rows))
	for k, row := range rows {
		some[k] = examples[row]
	}
	return some
}

// parallel calls f with 0 to n-1, on all cores.
func parallel(ctx context.Context, n int, f func(int)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for k := range n {
		group.Go(func() error {
			if ctx.Err() == nil {
				f(k)
			}
			return ctx.Err()
		})
	}
	return group.Wait()
}
