package embeddings

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/parquet-go/parquet-go"
)

// A Row is one embedded photo, as it is in a Parquet shard.
type Row struct {
	Position  int64  `parquet:"position"` // index of the photo in the list
	Label     string `parquet:"label,dict"`
	Path      string `parquet:"path"`
	SHA256    []byte `parquet:"sha256"`    // of the photo's file
	Hash      int64  `parquet:"hash"`      // the bits of dataset.Hash
	Embedding []byte `parquet:"embedding"` // raw output of the backbone
	class     int    // index of Label in Job.Classes
}

// A Skipped is a photo that was not added, and why.
type Skipped struct {
	Position int64
	Path     string
	Reason   string
}

// WriteShard writes the rows and the skipped photos of a chunk. It sorts both.
func (j *Job) WriteShard(chunk int, rows []Row, skipped []Skipped, u *Units) error {
	for i := range rows {
		rows[i].class, _ = slices.BinarySearch(j.Classes, rows[i].Label)
	}
	keys := make(map[int64][]float64, len(rows))
	for _, r := range rows {
		keys[r.Position] = u.copyOf(r.Embedding)
	}
	slices.SortFunc(rows, func(a, b Row) int { return compare(&a, &b, keys[a.Position], keys[b.Position]) })
	var lines []byte
	for _, s := range skipped {
		lines = fmt.Appendf(lines, "%d\t%s\t%s\n", s.Position, oneLine(s.Path), oneLine(s.Reason))
	}
	if err := WriteFile(j.part(chunk, "skipped.tsv"), lines); err != nil {
		return err
	}
	w, err := newRunWriter(j.part(chunk, "rows"))
	if err != nil {
		return err
	}
	for i := range rows {
		w.write(&rows[i])
	}
	if err := w.close(); err != nil {
		return err
	}
	// The Parquet file comes last: it says that the shard is complete.
	f, err := os.CreateTemp(filepath.Join(j.Dir, partsDir), ".tmp-*")
	if err != nil {
		return err
	}
	p := parquet.NewGenericWriter[Row](f, parquet.Compression(&parquet.Snappy))
	_, err = p.Write(rows)
	if closed := p.Close(); err == nil {
		err = closed
	}
	return finish(f, j.part(chunk, "parquet"), err)
}

// HasShard reports whether a chunk has a shard.
func (j *Job) HasShard(chunk int) bool {
	_, err := os.Stat(j.part(chunk, "parquet"))
	return err == nil
}

// ReadShard calls f with each row of a chunk and its class, an index in Job.Classes.
func (j *Job) ReadShard(chunk int, f func(r *Row, class int)) error {
	r, err := openRun(j.part(chunk, "rows"), j)
	if err != nil {
		return err
	}
	defer r.Close()
	for r.next() {
		f(&r.row, r.row.class)
	}
	return r.err
}

// Skipped returns the skipped photos of a chunk.
func (j *Job) Skipped(chunk int) ([]Skipped, error) {
	b, err := os.ReadFile(j.part(chunk, "skipped.tsv"))
	if err != nil {
		return nil, err
	}
	var all []Skipped
	for line := range strings.Lines(string(b)) {
		column := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 3)
		if len(column) < 3 {
			return nil, fmt.Errorf("read the skipped photos of chunk %d: got line %q", chunk, line)
		}
		position, err := strconv.ParseInt(column[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read the skipped photos of chunk %d: %w", chunk, err)
		}
		all = append(all, Skipped{position, column[1], column[2]})
	}
	return all, nil
}

// A run is a file of sorted rows that is read from the beginning to the end.
type run struct {
	file *os.File
	in   *bufio.Reader
	job  *Job
	row  Row
	unit []float64
	err  error
}

// runBuffer is the size of the buffer of a run. Merge has maxRuns of them.
const runBuffer = 16 << 10

func openRun(path string, j *Job) (*run, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &run{file: f, in: bufio.NewReaderSize(f, runBuffer), job: j}, nil
}

func (r *run) Close() error { return r.file.Close() }

// next reads a row. It returns false at the end and after an error.
func (r *run) next() bool {
	var head [24]byte
	if _, err := io.ReadFull(r.in, head[:]); err != nil {
		if !errors.Is(err, io.EOF) {
			r.err = fmt.Errorf("read %s: %w", r.file.Name(), err)
		}
		return false
	}
	r.row.class = int(binary.LittleEndian.Uint32(head[:]))
	path := int(binary.LittleEndian.Uint32(head[4:]))
	r.row.Position, r.row.Hash = int64(binary.LittleEndian.Uint64(head[8:])), int64(binary.LittleEndian.Uint64(head[16:]))
	if r.row.class >= len(r.job.Classes) || path > 1<<16 {
		r.err = fmt.Errorf("read %s: the file is damaged", r.file.Name())
		return false
	}
	r.row.Label = r.job.Classes[r.row.class]
	rest := make([]byte, path+32+r.job.Size)
	if _, err := io.ReadFull(r.in, rest); err != nil {
		r.err = fmt.Errorf("read %s: %w", r.file.Name(), err)
		return false
	}
	r.row.Path, r.row.SHA256, r.row.Embedding = string(rest[:path]), rest[path:path+32], rest[path+32:]
	return true
}

// A runWriter writes a run.
type runWriter struct {
	path string
	file *os.File
	out  *bufio.Writer
}

func newRunWriter(path string) (*runWriter, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return nil, err
	}
	return &runWriter{path, f, bufio.NewWriter(f)}, nil
}

// write appends a row. close returns the error.
func (w *runWriter) write(r *Row) {
	var head [24]byte
	binary.LittleEndian.PutUint32(head[:], uint32(r.class))
	binary.LittleEndian.PutUint32(head[4:], uint32(len(r.Path)))
	binary.LittleEndian.PutUint64(head[8:], uint64(r.Position))
	binary.LittleEndian.PutUint64(head[16:], uint64(r.Hash))
	w.out.Write(head[:])
	w.out.WriteString(r.Path)
	w.out.Write(r.SHA256)
	w.out.Write(r.Embedding)
}

func (w *runWriter) close() error { return finish(w.file, w.path, w.out.Flush()) }
