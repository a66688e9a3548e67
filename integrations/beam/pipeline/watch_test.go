package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
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

// TestWorkerEnds checks that a pipeline runs again if its worker process ends, but not for ever.
func TestWorkerEnds(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	config, err := json.Marshal(map[string]string{"command": binary})
	if err != nil {
		t.Fatal(err)
	}
	kind, was, worker := *jobopts.EnvironmentType, *jobopts.EnvironmentConfig, *jobopts.WorkerBinary
	defer func() {
		*jobopts.EnvironmentType, *jobopts.EnvironmentConfig, *jobopts.WorkerBinary = kind, was, worker
	}()
	*jobopts.EnvironmentType, *jobopts.EnvironmentConfig, *jobopts.WorkerBinary = "PROCESS", string(config), binary
	for _, test := range []struct {
		times, attempts int
		fails           bool
	}{{0, 1, false}, {1, 3, false}, {2, 2, true}} {
		dir, retries := t.TempDir(), 0
		file := filepath.Join(dir, "numbers")
		_, err := run(context.Background(), Options{Attempts: test.attempts, Retry: func(int, error) { retries++ }}, func(s beam.Scope) {
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
