package embeddings

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/bulk"
)

func open(t *testing.T) *bulk.Engine {
	t.Helper()
	e, err := bulk.Open(bulk.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

// fill writes all shards of n random photos of three classes, of which the middle one has none.
func fill(t *testing.T, e *bulk.Engine, n, chunk int) *Job {
	t.Helper()
	photos, labels := make([]Photo, n), make([]string, n)
	for i := range photos {
		photos[i].Path, labels[i] = fmt.Sprintf("/photos/%d.jpg", i), []string{"a", "c"}[i%2]
	}
	photos, labels = append(photos, Photo{Path: "/photos/damaged.jpg"}), append(labels, "b")
	j, err := Create(t.TempDir(), e, bulk.Options{}, photos, labels, chunk)
	if err != nil {
		t.Fatal(err)
	}
	for c := range j.Chunks {
		list, err := j.List(c)
		if err != nil {
			t.Fatal(err)
		}
		var rows []Row
		var skipped []Skipped
		for k, p := range list {
			i := c*chunk + k
			if i == n {
				skipped = append(skipped, Skipped{int64(i), p.Path, "damaged\tphoto"})
				continue
			}
			r := rand.New(rand.NewPCG(1, uint64(i)))
			raw := make([]byte, j.Size)
			for b := range raw {
				raw[b] = byte(r.IntN(256) * r.IntN(2))
			}
			sum := sha256.Sum256(raw)
			rows = append(rows, Row{Position: int64(i), Label: j.Classes[p.Class], Path: p.Path, SHA256: sum[:], Hash: -int64(i), Embedding: raw})
		}
		if err := j.WriteShard(c, rows, skipped, NewUnits(e)); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

// TestMerge checks that the set does not depend on the chunks, even with more shards than are merged at
// once, and that it is sorted.
func TestMerge(t *testing.T) {
	e := open(t)
	const n = maxRuns + 10
	var want [4][]byte
	for _, chunk := range []int{n + 1, 100, 1} {
		j := fill(t, e, n, chunk)
		s, err := j.Merge(map[int64]bool{7: true}, NewUnits(e))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if s.Rows() != n-1 || !slices.Equal(s.Counts, []int{n / 2, 0, n/2 - 1}) || s.Class(0) != 0 || s.Class(n/2-1) != 0 || s.Class(n/2) != 2 {
			t.Fatalf("chunks of %d: got %d rows, counts %v", chunk, s.Rows(), s.Counts)
		}
		for c := range s.Counts {
			for i := s.First[c]; i < s.First[c+1]; i++ {
				got, err := s.Read(NewUnits(e), i, i+1)
				if err != nil || got[0].Label != j.Classes[c] {
					t.Fatalf("row %d: got %v, error %v", i, got, err)
				}
				if before, _ := s.Read(NewUnits(e), max(i-1, s.First[c]), max(i, s.First[c]+1)); slices.Compare(before[0].Unit, got[0].Unit) > 0 {
					t.Fatalf("row %d is smaller than the row before", i)
				}
			}
		}
		for k, name := range []string{setFile(j.Resize), labelsFile, photosFile, countsFile} {
			b, err := os.ReadFile(filepath.Join(j.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if want[k] == nil {
				want[k] = b
			} else if !bytes.Equal(b, want[k]) {
				t.Errorf("chunks of %d: got another %s", chunk, name)
			}
		}
		if left, _ := filepath.Glob(filepath.Join(j.Dir, "parts", "*.level*")); len(left) > 0 || j.Done() != j.Chunks {
			t.Errorf("chunks of %d: %d of %d chunks are done, and there are %q", chunk, j.Done(), j.Chunks, left)
		}
	}
}

// TestShard reads a shard with the Parquet library.
func TestShard(t *testing.T) {
	j := fill(t, open(t), 9, 10)
	rows, err := parquet.ReadFile[Row](j.part(0, "parquet"))
	if err != nil || len(rows) != 9 {
		t.Fatalf("got %d rows, error %v, want 9", len(rows), err)
	}
	i := 0
	err = j.ReadShard(0, func(r *Row, class int) {
		p := rows[i]
		if p.Position != r.Position || p.Label != j.Classes[class] || p.Path != r.Path || p.Hash != r.Hash || !bytes.Equal(p.SHA256, r.SHA256) || !bytes.Equal(p.Embedding, r.Embedding) {
			t.Errorf("row %d: got %+v in Parquet, want %+v", i, p, r)
		}
		i++
	})
	if err != nil || i != 9 {
		t.Errorf("read %d rows, error %v, want 9", i, err)
	}
	want := Skipped{9, "/photos/damaged.jpg", "damaged photo"}
	if got, err := j.Skipped(0); err != nil || len(got) != 1 || got[0] != want {
		t.Errorf("got skipped photos %v, error %v, want %v", got, err, want)
	}
}

func TestErrors(t *testing.T) {
	e, dir := open(t), t.TempDir()
	create := func(path string, labels ...string) error {
		photos := make([]Photo, len(labels))
		for i := range photos {
			photos[i].Path = path
		}
		_, err := Create(dir, e, bulk.Options{}, photos, labels, 10)
		return err
	}
	for _, test := range []struct {
		name string
		err  error
		want error
	}{
		{"first", create("/a.jpg", "hat", "cap"), nil},
		{"the same again", create("/a.jpg", "hat", "cap"), nil},
		{"other classes", create("/a.jpg", "hat", "cup"), ErrOther},
		{"other photos", create("/b.jpg", "hat", "cap"), ErrOther},
		{"labels that differ in case", create("/a.jpg", "hat", "Hat"), imprint.ErrLabel},
	} {
		if !errors.Is(test.err, test.want) {
			t.Errorf("%s: got error %v, want %v", test.name, test.err, test.want)
		}
	}
	if _, err := Open(dir); !errors.Is(err, ErrUnfinished) {
		t.Errorf("got error %v, want %v", err, ErrUnfinished)
	}
}
