package pipeline

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"os"
	"path/filepath"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/integrations/beam/embeddings"
)

// fewForCells is the number of rows up to which all pairs of rows are compared. Of more rows, only those
// of cells that are close to each other are compared.
const fewForCells = 8 * block

// A cellFolder is a temporary folder with files about cells: "cells", the cells themselves; "nearest" and a
// row, the cells of a block of rows; "order", the rows sorted by cell; "borders" and a cell, its borders.
type cellFolder struct {
	Folder string
	cells  *classifier.Cells
}

func (f *cellFolder) path(name string, n ...int) string {
	return filepath.Join(f.Folder, name+fmt.Sprint(n))
}

// rows returns the rows at some places of the order.
func (f *cellFolder) rows(r rowRange) ([]int, error) {
	file, err := os.Open(f.path("order"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b := make([]byte, 8*(r.To-r.From))
	if _, err := file.ReadAt(b, 8*int64(r.From)); err != nil {
		return nil, fmt.Errorf("read the rows of a cell: %w", err)
	}
	rows := make([]int, r.To-r.From)
	for i := range rows {
		rows[i] = int(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return rows, nil
}

func readGob(path string, v any) error {
	b, err := os.ReadFile(path)
	if err == nil {
		err = gob.NewDecoder(bytes.NewReader(b)).Decode(v)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

func writeGob(path string, v any) error {
	var b bytes.Buffer
	if err := gob.NewEncoder(&b).Encode(v); err != nil {
		return err
	}
	return embeddings.WriteFile(path, b.Bytes())
}

// blocksOf returns blocks of the numbers from ≤ i < to.
func blocksOf(from, to int) (blocks []rowRange) {
	for ; from < to; from += block {
		blocks = append(blocks, rowRange{from, min(from+block, to)})
	}
	return blocks
}

// cellTasks makes cells of the rows of p, and returns the pairs of blocks that must be compared to find
// near-duplicates.
func cellTasks(ctx context.Context, p *place, o Options, f *cellFolder, limit float64) ([]cellTask, error) {
	n := p.set.Rows()
	sample, err := p.set.Pick(p.units, classifier.CellSample(n))
	if err != nil {
		return nil, err
	}
	f.cells = classifier.NewCells(sample, n)
	if err := writeGob(f.path("cells"), f.cells); err != nil {
		return nil, err
	}
	shared := place{Dir: p.Dir, Threads: o.Threads}
	_, err = run(ctx, o, func(s beam.Scope) {
		share(s, o, blocksOf(0, n), func(s beam.Scope, own beam.PCollection) []beam.PCollection {
			beam.ParDo0(s, &nearestFn{place: shared, cellFolder: cellFolder{Folder: f.Folder}}, own)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	cells, err := f.sort(n)
	if err != nil {
		return nil, err
	}
	_, err = run(ctx, o, func(s beam.Scope) {
		share(s, o, cells, func(s beam.Scope, own beam.PCollection) []beam.PCollection {
			beam.ParDo0(s, &bordersFn{place: shared, cellFolder: cellFolder{Folder: f.Folder}}, own)
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	borders := make([][]float64, len(cells))
	for i := range borders {
		if err := readGob(f.path("borders", i), &borders[i]); err != nil {
			return nil, err
		}
	}
	var tasks []cellTask
	for _, p := range f.cells.Pairs(borders, limit) {
		own, others := cells[p[0]], cells[p[1]]
		for k, x := range blocksOf(own.Places.From, own.Places.To) {
			for l, y := range blocksOf(others.Places.From, others.Places.To) {
				if p[0] != p[1] || l <= k {
					tasks = append(tasks, cellTask{I: p[0], J: p[1], X: x, Y: y})
				}
			}
		}
	}
	return tasks, nil
}

// sort writes the order of n rows, and returns the places of each cell in it.
func (f *cellFolder) sort(n int) ([]cell, error) {
	nearest, count := make([]uint16, 0, n), make([]int, len(f.cells.Centers))
	for _, r := range blocksOf(0, n) {
		var part []uint16
		if err := readGob(f.path("nearest", r.From), &part); err != nil {
			return nil, err
		}
		nearest = append(nearest, part...)
	}
	for _, c := range nearest {
		count[c]++
	}
	cells, end := make([]cell, len(count)), 0
	for c, n := range count {
		cells[c] = cell{c, rowRange{end, end}}
		end += n
	}
	order := make([]byte, 8*n)
	for row, c := range nearest {
		binary.LittleEndian.PutUint64(order[8*cells[c].Places.To:], uint64(row))
		cells[c].Places.To++
	}
	return cells, embeddings.WriteFile(f.path("order"), order)
}

// A cell is the number of a cell, and its places in the order.
type cell struct {
	Number int
	Places rowRange
}

// nearestFn writes the cells of blocks of rows.
type nearestFn struct {
	place
	cellFolder
}

func (f *nearestFn) ProcessElement(r rowRange) error {
	if err := f.start(&f.place); err != nil {
		return err
	}
	defer take(f.engine.adding)()
	examples, err := f.set.Read(f.units, r.From, r.To)
	if err != nil {
		return err
	}
	nearest := make([]uint16, len(examples))
	for i, c := range f.cells.Nearest(examples) {
		nearest[i] = uint16(c)
	}
	return writeGob(f.path("nearest", r.From), nearest)
}

func (f *nearestFn) Teardown() error { return f.close() }

// bordersFn writes the borders of cells.
type bordersFn struct {
	place
	cellFolder
}

func (f *bordersFn) ProcessElement(c cell) error {
	if err := f.start(&f.place); err != nil {
		return err
	}
	defer take(f.engine.adding)()
	least := f.cells.Borders(c.Number, nil)
	for _, r := range blocksOf(c.Places.From, c.Places.To) {
		_, examples, err := f.read(&f.place, r)
		if err != nil {
			return err
		}
		for k, v := range f.cells.Borders(c.Number, examples) {
			least[k] = min(least[k], v)
		}
	}
	return writeGob(f.path("borders", c.Number), least)
}

func (f *bordersFn) Teardown() error { return f.close() }

// A cellTask says to compare the rows at the places X of the order, which are in the cell I, with those
// at Y in the cell J.
type cellTask struct {
	I, J int
	X, Y rowRange
}

// comparedFn finds near-duplicates among the rows of two cells. It emits pairs like pairsFn.
type comparedFn struct {
	place
	cellFolder
	Limit    float64
	at       rowRange // places of the rows x, which the next task often has too
	rows     []int
	examples []classifier.Example
}

func (f *comparedFn) ProcessElement(t cellTask, emit func(class int, pairs []byte)) (err error) {
	if err := f.start(&f.place); err != nil {
		return err
	}
	defer take(f.engine.adding)()
	if f.at != t.X {
		if f.rows, f.examples, err = f.read(&f.place, t.X); err != nil {
			return err
		}
		f.at = t.X
	}
	rows, examples := f.rows, f.examples
	if t.X != t.Y {
		if rows, examples, err = f.read(&f.place, t.Y); err != nil {
			return err
		}
	}
	pairs := f.cells.NearDuplicatesBetween(t.I, t.J, f.examples, examples, f.Limit)
	for k, p := range pairs {
		pairs[k] = [2]int{f.rows[p[0]], rows[p[1]]}
	}
	if len(pairs) > 0 {
		emit(0, encodePairs(pairs))
	}
	return nil
}

func (f *comparedFn) Teardown() error { return f.close() }

// start opens the set and the cells.
func (f *cellFolder) start(p *place) error {
	if err := p.openSet(); err != nil || f.cells != nil {
		return err
	}
	return readGob(f.path("cells"), &f.cells)
}

// read returns the rows at some places of the order, and their examples.
func (f *cellFolder) read(p *place, r rowRange) ([]int, []classifier.Example, error) {
	rows, err := f.rows(r)
	if err != nil {
		return nil, nil, err
	}
	examples, err := p.set.Pick(p.units, rows)
	return rows, examples, err
}
