package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/imprintkit/imprint/integrations/beam/embeddings"
)

func init() {
	beam.RegisterType(reflect.TypeFor[*exitFn]())
	beam.RegisterFunction(processOf)
}

// processOf returns the number of the process that it runs in.
func processOf(int) string { return fmt.Sprint(os.Getpid()) }

// TestShare checks that each worker is a process of its own.
func TestShare(t *testing.T) {
	for _, workers := range []int{0, 1, 3} {
		file := filepath.Join(t.TempDir(), "processes")
		o := Options{Workers: workers, Threads: 2}
		_, err := run(context.Background(), o, func(s beam.Scope) {
			parts := share(s, o, []int{1, 2, 3, 4, 5}, func(s beam.Scope, own beam.PCollection) []beam.PCollection {
				return []beam.PCollection{beam.ParDo(s, processOf, own)}
			})
			collect(s, file, parts[0]) // each line once
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := readLines(file)
		if here := slices.Contains(got, processOf(0)); err != nil || len(got) != max(workers, 1) || here != (workers == 0) {
			t.Errorf("%d workers: got processes %q from %d, error %v", workers, got, os.Getpid(), err)
		}
	}
}

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
var impatient = Options{Workers: 1, Threads: 2, Attempts: 20, patience: time.Second}

// TestWorkerEnds checks that a pipeline runs again if its worker process ends, but not for ever.
func TestWorkerEnds(t *testing.T) {
	for _, test := range []struct {
		workers, times, attempts int
		fails                    bool
	}{{1, 0, 20, false}, {1, 1, 20, false}, {3, 1, 20, false}, {2, 2, 2, true}} {
		dir, retries, o := t.TempDir(), 0, impatient
		file := filepath.Join(dir, "numbers")
		o.Workers, o.Attempts, o.Retry = test.workers, test.attempts, func(int, error) { retries++ }
		_, err := run(context.Background(), o, func(s beam.Scope) {
			parts := share(s, o, []int{1, 2, 3, 4, 5, 6, 7, 8, 9}, func(s beam.Scope, own beam.PCollection) []beam.PCollection {
				return []beam.PCollection{beam.ParDo(s, &exitFn{dir, test.times}, own)}
			})
			collect(s, file, parts[0])
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

// TestWorkerProcesses checks that worker processes continue a job, and give the same model.
func TestWorkerProcesses(t *testing.T) {
	photos, labels, err := embeddings.Find([]string{writePhotos(t, 700, 450)})
	if err != nil {
		t.Fatal(err)
	}
	j := create(t, photos, labels, 300)
	want, _ := train(t, j, Options{Threads: 2})
	for _, workers := range []int{1, 2, 4} {
		for _, name := range []string{"set.json", "model.tflite", "parts/000001.parquet", "parts/000001.rows"} {
			if err := os.Remove(filepath.Join(j.Dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		o := impatient
		o.Workers = workers
		got, e := train(t, j, o)
		if !bytes.Equal(got, want) {
			t.Errorf("%d workers: got another model than in one process", workers)
		}
		if kept := e.Counters["chunks_kept"]; kept < 3 || e.Photos != len(photos) {
			t.Errorf("%d workers: got %d photos and %d shards kept, want %d and at least 3", workers, e.Photos, kept, len(photos))
		}
	}
}
