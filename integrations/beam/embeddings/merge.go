package embeddings

import (
	"bufio"
	"container/heap"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/imprintkit/imprint/dataset"
)

// maxRuns is the number of runs that are merged at once.
const maxRuns = 256

// Merge makes a set of all shards, without the rows at the positions in dropped. It reads each shard
// once, or once more for every 256 shards, with a memory of a few megabytes.
func (j *Job) Merge(dropped map[int64]bool, u *Units) (*Set, error) {
	var runs []string
	for c := range j.Chunks {
		runs = append(runs, j.part(c, "rows"))
	}
	for level := 0; len(runs) > maxRuns; level++ {
		var fewer []string
		for first := 0; first < len(runs); first += maxRuns {
			name := j.part(first/maxRuns, fmt.Sprintf("level%d", level))
			w, err := newRunWriter(name)
			if err != nil {
				return nil, err
			}
			err = j.mergeRuns(runs[first:min(first+maxRuns, len(runs))], u, func(r *Row) { w.write(r) })
			if closed := w.close(); err == nil {
				err = closed
			}
			if err != nil {
				return nil, err
			}
			defer os.Remove(name)
			fewer = append(fewer, name)
		}
		runs = fewer
	}
	w, err := j.newSetWriter()
	if err != nil {
		return nil, err
	}
	defer w.remove()
	err = j.mergeRuns(runs, u, func(r *Row) {
		if !dropped[r.Position] {
			w.write(r)
		}
	})
	if err == nil {
		err = w.close()
	}
	if err != nil {
		return nil, err
	}
	return Open(j.Dir)
}

// mergeRuns calls f with the rows of several runs, sorted. f must not keep them.
func (j *Job) mergeRuns(paths []string, u *Units, f func(*Row)) error {
	var q runQueue
	defer func() {
		for _, r := range q {
			r.Close()
		}
	}()
	advance := func(r *run) bool {
		if !r.next() {
			return false
		}
		r.unit = u.copyOf(r.row.Embedding)
		return true
	}
	for _, path := range paths {
		r, err := openRun(path, j)
		if err != nil {
			return err
		}
		if advance(r) {
			q = append(q, r)
			continue
		}
		r.Close()
		if r.err != nil {
			return r.err
		}
	}
	heap.Init(&q)
	for len(q) > 0 {
		r := q[0]
		f(&r.row)
		if advance(r) {
			heap.Fix(&q, 0)
			continue
		}
		heap.Pop(&q)
		r.Close()
		if r.err != nil {
			return r.err
		}
	}
	return nil
}

// A runQueue is a heap of runs with the smallest row first.
type runQueue []*run

func (q runQueue) Len() int           { return len(q) }
func (q runQueue) Less(a, b int) bool { return compare(&q[a].row, &q[b].row, q[a].unit, q[b].unit) < 0 }
func (q runQueue) Swap(a, b int)      { q[a], q[b] = q[b], q[a] }
func (q *runQueue) Push(r any)        { *q = append(*q, r.(*run)) }

func (q *runQueue) Pop() any {
	old := *q
	r := old[len(old)-1]
	*q = old[:len(old)-1]
	return r
}

// A setWriter writes the files of a Set.
type setWriter struct {
	job    *Job
	files  [3]*os.File // emb.u8, labels.json and photos.tsv
	out    [3]*bufio.Writer
	rows   int
	counts []int
}

// setFile returns the name of the file of raw embeddings, as evaluate.ReadSet expects it.
func setFile(mode dataset.Resize) string {
	if mode == dataset.Crop {
		return "emb.crop.u8"
	}
	return "emb.u8"
}

const (
	labelsFile = "labels.json"
	photosFile = "photos.tsv"
	countsFile = "set.json"
)

func (j *Job) newSetWriter() (*setWriter, error) {
	w := &setWriter{job: j, counts: make([]int, len(j.Classes))}
	for i := range w.files {
		f, err := os.CreateTemp(j.Dir, ".tmp-*")
		if err != nil {
			w.remove()
			return nil, err
		}
		w.files[i], w.out[i] = f, bufio.NewWriterSize(f, 1<<18)
	}
	classes, err := json.Marshal(j.Classes)
	if err != nil {
		w.remove()
		return nil, err
	}
	fmt.Fprintf(w.out[1], `{"classes": %s, "labels": [`, classes)
	return w, nil
}

func (w *setWriter) write(r *Row) {
	w.out[0].Write(r.Embedding)
	if w.rows > 0 {
		w.out[1].WriteByte(',')
	}
	w.out[1].WriteString(strconv.Itoa(r.class))
	fmt.Fprintf(w.out[2], "%x\t%016x\t%s\n", r.SHA256, uint64(r.Hash), oneLine(r.Path))
	w.rows++
	w.counts[r.class]++
}

// close completes the files. set.json comes last: it says that the set is complete.
func (w *setWriter) close() error {
	w.out[1].WriteString("]}\n")
	for i, name := range []string{setFile(w.job.Resize), labelsFile, photosFile} {
		if err := finish(w.files[i], w.job.path(name), w.out[i].Flush()); err != nil {
			return err
		}
		w.files[i] = nil
	}
	b, err := json.Marshal(struct {
		Photos int   `json:"photos"`
		Counts []int `json:"counts"`
	}{w.rows, w.counts})
	if err != nil {
		return err
	}
	return WriteFile(w.job.path(countsFile), b)
}

// remove removes the temporary files of an incomplete set.
func (w *setWriter) remove() {
	for _, f := range w.files {
		if f != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}
}

// Sweep removes temporary files that a killed process has left.
func (j *Job) Sweep() {
	for _, pattern := range []string{j.path(".tmp-*"), filepath.Join(j.Dir, partsDir, ".tmp-*"), filepath.Join(j.Dir, partsDir, "*.level*")} {
		left, _ := filepath.Glob(pattern) // the pattern is valid
		for _, path := range left {
			os.Remove(path)
		}
	}
}
