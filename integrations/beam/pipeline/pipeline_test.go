package pipeline

import (
	"archive/tar"
	"bytes"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/imprintkit/imprint/integrations/beam/embeddings"
)

// TestMain sets up Beam. In a worker process of a test, it works and ends.
func TestMain(m *testing.M) {
	if worker := WorkerArguments(os.Args[1:]); worker != nil {
		if err := flag.CommandLine.Parse(worker); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	beam.Init()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	os.Exit(m.Run())
}

// TestSameModel checks that the model has the same bytes as that of a workspace, for few photos and
// for so many that they are trained on sums, and with any number of threads.
func TestSameModel(t *testing.T) {
	for _, counts := range [][]int{{30, 1, 20}, {500, 370, 300}} {
		photos, labels, err := embeddings.Find([]string{writePhotos(t, counts...)})
		if err != nil {
			t.Fatal(err)
		}
		want, _ := addAll(t, itemsOf(t, photos, labels))
		for _, threads := range []int{1, 2, 4} {
			t.Run(fmt.Sprint(len(photos), " photos, ", threads, " threads"), func(t *testing.T) {
				j := create(t, photos, labels, 100)
				got, e := train(t, j, Options{Threads: threads})
				if !bytes.Equal(got, want) {
					t.Error("got another model than imprint add makes")
				}
				if n := int64(len(photos)); e.Counters["photos"] != n || e.Photos != len(photos) || e.Skipped != 0 {
					t.Errorf("got %+v, want %d photos", e, n)
				}
			})
		}
	}
}

// TestPoison checks that damaged photos and duplicates are skipped as imprint add skips them, and
// named, and that the order of the list does not matter for the others.
func TestPoison(t *testing.T) {
	photos, labels, err := embeddings.Find([]string{filepath.Join(writePhotos(t, 300, 200), "*", "*.png")})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := 0; i < len(photos); i += 100 {
		writeFile(t, photos[i].Path, readFile(t, photos[i].Path)[:60])
		want = append(want, photos[i].Path)
	}
	missing := filepath.Join(t.TempDir(), "missing.png")
	photos, labels = append(photos, embeddings.Photo{Path: missing}), append(labels, "class1")
	want = append(want, missing)
	copied := filepath.Join(t.TempDir(), "copy\tof 5.png") // of another class
	writeFile(t, copied, readFile(t, photos[5].Path))
	photos, labels = append(photos, embeddings.Photo{Path: copied}), append(labels, "class1")
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(photos), func(i, j int) {
		photos[i], photos[j], labels[i], labels[j] = photos[j], photos[i], labels[j], labels[i]
	})
	same := func(p embeddings.Photo) bool { return p.Path == copied || strings.HasSuffix(p.Path, "class0/0005.png") }
	first := slices.IndexFunc(photos, same)
	second := first + 1 + slices.IndexFunc(photos[first+1:], same)
	want = append(want, strings.ReplaceAll(photos[second].Path, "\t", " "))

	model, n := addAll(t, itemsOf(t, photos, labels))
	j := create(t, photos, labels, 64)
	got, e := train(t, j, Options{Threads: 2})
	if !bytes.Equal(got, model) {
		t.Error("got another model than imprint add makes")
	}
	if e.Photos != n || e.Skipped != len(want) || e.Counters["damaged"] != int64(len(want)-1) {
		t.Errorf("got %+v, want %d photos and %d skipped", e, n, len(want))
	}
	var skipped []string
	for line := range strings.Lines(string(readFile(t, filepath.Join(j.Dir, skippedFile)))) {
		path, reason, _ := strings.Cut(line, "\t")
		skipped = append(skipped, path)
		if path == want[len(want)-1] && reason != fmt.Sprintf("already in %q\n", labels[first]) || reason == "\n" {
			t.Errorf("%s was skipped because %s", path, reason)
		}
	}
	slices.Sort(skipped)
	slices.Sort(want)
	if !slices.Equal(skipped, want) {
		t.Errorf("got %q in skipped.tsv, want %q", skipped, want)
	}
}

// TestTar checks that photos in tar files give the same model as those in folders.
func TestTar(t *testing.T) {
	dir := writePhotos(t, 20, 20)
	want, labels, err := embeddings.Find([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "photos.tar")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(f)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	photos, inTar, err := embeddings.Find([]string{name})
	if err != nil || !slices.Equal(inTar, labels) {
		t.Fatalf("got labels %q, error %v, want %q", inTar, err, labels)
	}
	model, _ := addAll(t, itemsOf(t, want, labels))
	if got, _ := train(t, create(t, photos, inTar, 7), Options{Threads: 2}); !bytes.Equal(got, model) {
		t.Error("got another model than from the folders")
	}
}

// TestTasks checks that functions never have more than a few blocks of rows in memory, and that they
// cover everything once.
func TestTasks(t *testing.T) {
	for _, counts := range [][]int{{1}, {0, 3, 0}, {block, block + 1, 3 * block, 5}, slices.Repeat([]int{17}, 3000)} {
		pairs, want := 0, 0
		for _, n := range counts {
			want += n * (n + 1) / 2
		}
		for _, task := range pairTasks(counts) {
			rows := 0
			for c := task.First; c < task.Last; c++ {
				a := min(counts[c]-task.I*block, block)
				b := min(counts[c]-task.J*block, block)
				rows += a
				if task.I == task.J {
					pairs += a * (a + 1) / 2
				} else {
					pairs, rows = pairs+a*b, rows+b
				}
			}
			if rows > 4*block {
				t.Errorf("%d classes: task %+v has %d rows", len(counts), task, rows)
			}
		}
		if pairs != want {
			t.Errorf("%d classes: got %d pairs, want %d", len(counts), pairs, want)
		}
	}
}
