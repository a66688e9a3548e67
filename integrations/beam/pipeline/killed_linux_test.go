package pipeline

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"

	"github.com/imprintkit/imprint/integrations/beam/embeddings"
)

// TestKilledWorker kills the worker process in the middle of a chunk, when other chunks are done. The
// pipeline must run again, and give the same model.
func TestKilledWorker(t *testing.T) {
	photos, labels, err := embeddings.Find([]string{writePhotos(t, 40, 40)})
	if err != nil {
		t.Fatal(err)
	}
	want, _ := addAll(t, itemsOf(t, photos, labels))
	// The worker waits for the last photo, because its file is a pipe.
	last := &photos[len(photos)-1]
	pipe := filepath.Join(t.TempDir(), "pipe")
	content := readFile(t, last.Path)
	last.Tar, last.Path, last.Size = pipe, filepath.Base(last.Path), int64(len(content))
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip("this file system has no pipes: ", err)
	}
	j := create(t, photos, labels, 10)

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

	killed := make(chan error, 1)
	go func() {
		f, err := os.OpenFile(pipe, os.O_WRONLY, 0) // returns when the worker opens the pipe
		if err != nil {
			killed <- err
			return
		}
		defer f.Close()
		if err := killWorker(); err != nil {
			killed <- err
			return
		}
		killed <- embeddings.WriteFile(pipe, content)
	}()
	retries := 0
	got, e := train(t, j, Options{Threads: 1, Retry: func(int, error) {
		if retries++; retries == 1 {
			if err := <-killed; err != nil {
				t.Error(err)
			}
		}
	}})
	if retries == 0 || e.Photos != len(photos) {
		t.Errorf("got %d photos after %d retries, want %d after at least one", e.Photos, retries, len(photos))
	}
	if !bytes.Equal(got, want) {
		t.Error("got another model than imprint add makes")
	}
}

// killWorker kills the child process that is a worker.
func killWorker() error {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return err
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // the process has ended
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // state, parent, …
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if fields[1] != strconv.Itoa(os.Getpid()) || !bytes.Contains(line, []byte("--provision_endpoint=")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return err
		}
		return syscall.Kill(pid, syscall.SIGKILL)
	}
	return os.ErrNotExist
}
