package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/imprintkit/imprint/integrations/beam/embeddings"
)

func init() { register.DoFn2x1[int, func(string), error](&exitFn{}) }

// exitFn ends its process at the number 5, as often as there is no file for it in Dir.
type exitFn struct {
	Dir   string
	Times int
}

func (f *exitFn) ProcessElement(n int, emit func(string)) error {
	for i := 0; n == 5 && i < f.Times; i++ {
		file, err := os.OpenFile(filepath.Join(f.Dir, fmt.Sprint(i)), os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return err
		}
		file.Close()
		os.Exit(3)
	}
	emit(fmt.Sprint(n))
	return nil
}

// impatient runs pipelines again soon, and often enough for a machine that is slow to end one.
var impatient = Options{Threads: 2, Attempts: 20, patience: time.Second}

// useProcess makes Prism run functions in a worker process until the test ends.
func useProcess(t *testing.T) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]string{"command": binary})
	if err != nil {
		t.Fatal(err)
	}
	kind, was, worker := *jobopts.EnvironmentType, *jobopts.EnvironmentConfig, *jobopts.WorkerBinary
	t.Cleanup(func() {
		*jobopts.EnvironmentType, *jobopts.EnvironmentConfig, *jobopts.WorkerBinary = kind, was, worker
	})
	*jobopts.EnvironmentType, *jobopts.EnvironmentConfig, *jobopts.WorkerBinary = "PROCESS", string(config), binary
}

// TestWorkerEnds checks that a pipeline runs again if its worker process ends, but not for ever.
func TestWorkerEnds(t *testing.T) {
	useProcess(t)
	for _, test := range []struct {
		times, attempts int
		fails           bool
	}{{0, 20, false}, {1, 20, false}, {2, 2, true}} {
		dir, retries, o := t.TempDir(), 0, impatient
		file := filepath.Join(dir, "numbers")
		o.Attempts, o.Retry = test.attempts, func(int, error) { retries++ }
		_, err := run(context.Background(), o, func(s beam.Scope) {
			numbers := beam.Reshuffle(s, beam.Create(s, 1, 2, 3, 4, 5, 6, 7, 8, 9))
			collect(s, file, beam.ParDo(s, &exitFn{dir, test.times}, numbers))
		})
		if (err != nil) != test.fails || retries < min(test.times, test.attempts-1) {
			t.Errorf("%d ends, %d attempts: got error %v after %d retries", test.times, test.attempts, err, retries)
		}
		if test.fails {
			continue
		}
		got, err := readLines(file)
		if want := []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%d ends: got %q, error %v, want %q", test.times, got, err, want)
		}
	}
}

// TestWorkerProcess checks that a worker process continues a job, and gives the same model.
func TestWorkerProcess(t *testing.T) {
	photos, labels, err := embeddings.Find([]string{writePhotos(t, 700, 450)})
	if err != nil {
		t.Fatal(err)
	}
	j := create(t, photos, labels, 300)
	want, _ := train(t, j, Options{Threads: 2})
	for _, name := range []string{"set.json", "model.tflite", "parts/000001.parquet", "parts/000001.rows"} {
		if err := os.Remove(filepath.Join(j.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	useProcess(t)
	got, e := train(t, j, impatient)
	if !bytes.Equal(got, want) {
		t.Error("got another model than in one process")
	}
	if kept := e.Counters["chunks_kept"]; kept < 3 || e.Photos != len(photos) {
		t.Errorf("got %d photos and %d shards kept, want %d and at least 3", e.Photos, kept, len(photos))
	}
}
