package imprint

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

var kills = flag.Int("kills", 0, "number of processes that TestKill kills (0: 15, or 4 with -short)")

const childRole = "IMPRINT_TEST_CHILD"

// child is the main function of a process that a test starts with the arguments DIR BACKBONE FIRST
// LAST. It adds photos FIRST to LAST−1 one by one, cycling through kinds 0 to 2, and prints the
// number of each photo when Add has returned. In the role "step", a fifth argument N makes the
// process kill itself before the N-th operation on the disk. In the role "change backbone", it does so
// while it changes the backbone of the workspace to BACKBONE.
func child(role string, args []string) int {
	dir, backbone := args[0], args[1]
	var n [3]uint64
	for i, a := range args[2:] {
		n[i], _ = strconv.ParseUint(a, 10, 64)
	}
	o := Options{Backbone: backbone, Threads: 1}
	if role == "change backbone" {
		o.Backbone = ""
	}
	w, err := Open(dir, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer w.Close()
	if role == "step" || role == "change backbone" {
		steps := uint64(0)
		w.store.Disk.Before = func(string, string) error {
			if steps++; steps == n[2] {
				unix.Kill(os.Getpid(), unix.SIGKILL)
				select {} // wait to be killed
			}
			return nil
		}
	}
	if role == "change backbone" {
		if _, err := w.ChangeBackbone(context.Background(), Options{Backbone: backbone}, nil, false, nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	for i := n[0]; i < n[1]; i++ {
		if _, err := w.Add(context.Background(), photos(numbered(i), i%3, i, 1), AddOptions{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(i)
	}
	return 0
}

// numbered returns the label of photo i.
func numbered(i uint64) string { return fmt.Sprint("kind ", i%3) }

func startChild(t *testing.T, role string, args ...any) (*exec.Cmd, *bufio.Scanner, *bytes.Buffer) {
	t.Helper()
	var words []string
	for _, a := range args {
		words = append(words, fmt.Sprint(a))
	}
	cmd := exec.Command(os.Args[0], words...)
	cmd.Env = append(os.Environ(), childRole+"="+role, "GOMAXPROCS=1", "GORACE=atexit_sleep_ms=0")
	stderr := new(bytes.Buffer)
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out), stderr
}

// watchModel reads the model in a loop, like a program that runs it. stop ends the loop and returns
// the number of reads.
func watchModel(t *testing.T, path string) (stop func() int) {
	var seen atomic.Int64
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			b, err := os.ReadFile(path)
			if errors.Is(err, fs.ErrNotExist) && seen.Load() == 0 {
				continue // there is no model yet
			}
			if err == nil {
				_, err = tflite.Parse(b)
			}
			if err != nil {
				t.Errorf("reader: %v", err)
				return
			}
			seen.Add(1)
		}
	})
	var once sync.Once
	return func() int {
		once.Do(func() { close(done) })
		wg.Wait()
		return int(seen.Load())
	}
}

// checkKilled checks a workspace after its writer was killed. All acknowledged photos must be
// there, and the model must be published, or else Repair must publish it. checkKilled reports
// whether Repair was needed.
func checkKilled(t *testing.T, dir, backbone string, acknowledged []uint64) (unpublished bool) {
	t.Helper()
	w, err := Open(dir, Options{Backbone: backbone})
	if err != nil {
		t.Fatalf("open after a kill: %v", err)
	}
	defer w.Close()
	if damage := w.Warnings(); len(damage) > 0 {
		t.Fatalf("after a kill: got warnings %q, want none", damage)
	}
	labels := make(map[string]string) // labels by SHA-256
	for _, c := range w.Classes() {
		for _, p := range c.Photos {
			labels[p.SHA256] = c.Label
		}
	}
	for _, i := range acknowledged {
		if got := labels[store.Sum(picture(i%3, i)).String()]; got != numbered(i) {
			t.Errorf("photo %d: got label %q, want %q", i, got, numbered(i))
		}
	}
	if n := len(labels); n < len(acknowledged) || n > len(acknowledged)+1 {
		t.Errorf("got %d photos, want the %d acknowledged ones and at most one more", n, len(acknowledged))
	}
	lock, err := w.store.Lock(context.Background(), 0)
	if err != nil {
		t.Fatalf("lock after a kill: %v", err)
	}
	lock.Release()
	if len(labels) == 0 {
		return false
	}
	unpublished = !w.isPublished()
	repaired, err := w.Repair(context.Background())
	if err != nil || repaired != unpublished || !w.isPublished() {
		t.Errorf("repair: got %v, %v, want %v, nil", repaired, err, unpublished)
	}
	b, err := os.ReadFile(w.ModelPath())
	if err != nil {
		t.Fatal(err)
	}
	m, err := tflite.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	want, err := headLabels(w)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.Labels(); err != nil || !slices.Equal(got, want) {
		t.Errorf("got labels %q, %v in the model, want %q", got, err, want)
	}
	return unpublished
}

// TestKill kills a process at random moments while it adds photos.
func TestKill(t *testing.T) {
	n := *kills
	if n == 0 {
		n = 15
		if testing.Short() {
			n = 4
		}
	}
	const maxPhotos = 40 // after this number, the test starts a new workspace
	backbone := phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())
	var dir string
	var acknowledged []uint64
	stop := func() int { return 0 }
	defer func() { stop() }()
	total, unpublished, temporary, seen := 0, 0, 0, 0
	for i := range n {
		if i == 0 || len(acknowledged) >= maxPhotos {
			seen += stop()
			dir, acknowledged = filepath.Join(t.TempDir(), "ws"), nil
			stop = watchModel(t, filepath.Join(dir, store.ModelFile))
		}
		first := uint64(len(acknowledged))
		cmd, out, stderr := startChild(t, "add", dir, backbone, first, first+10000)
		// Kill early in most rounds, because the first photos need other writes than later ones.
		moment := time.After(rand.N(60 * time.Millisecond))
		if i%3 > 0 && out.Scan() { // every third process may be killed before its first photo
			acknowledged = addNumber(t, acknowledged, out.Text())
		}
		<-moment
		cmd.Process.Kill()
		for out.Scan() {
			acknowledged = addNumber(t, acknowledged, out.Text())
		}
		if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
			t.Fatalf("the process was not killed: %v %s", err, stderr)
		}
		total += len(acknowledged) - int(first)
		if left, _ := filepath.Glob(filepath.Join(dir, ".*"+store.TemporarySuffix)); len(left) > 0 {
			temporary++
		}
		if checkKilled(t, dir, backbone, acknowledged) {
			unpublished++
		}
		// The killed process may have added one photo more. The next process begins after that
		// photo.
		w := openWorkspace(t, dir, Options{Backbone: backbone})
		count := 0
		for _, c := range w.Classes() {
			count += len(c.Photos)
		}
		for len(acknowledged) < count {
			acknowledged = append(acknowledged, uint64(len(acknowledged)))
		}
		w.Close()
		if t.Failed() {
			t.Fatalf("failed at kill %d", i)
		}
	}
	seen += stop()
	t.Logf("%d kills: none of %d acknowledged photos lost; %d kills left a temporary file, %d a model to repair; %d models read, none damaged",
		n, total, temporary, unpublished, seen)
}

func addNumber(t *testing.T, numbers []uint64, line string) []uint64 {
	t.Helper()
	i, err := strconv.ParseUint(strings.TrimSpace(line), 10, 64)
	if err != nil || i != uint64(len(numbers)) {
		t.Fatalf("the process printed %q, want %d", line, len(numbers))
	}
	return append(numbers, i)
}

// stepsOf returns the disk operations of adding photo i.
func stepsOf(t *testing.T, dir, backbone string, i uint64) (steps []string) {
	t.Helper()
	w := openWorkspace(t, dir, Options{Backbone: backbone})
	w.store.Disk.Before = func(op, path string) error {
		steps = append(steps, op+" "+filepath.Base(path))
		return nil
	}
	mustAdd(t, w, photos(numbered(i), i%3, i, 1)...)
	return steps
}

// TestKillAtEveryStep kills a process before each disk operation of adding a photo, in a new
// workspace and in a workspace with photos.
func TestKillAtEveryStep(t *testing.T) {
	backbone := phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())
	for _, before := range []uint64{0, 3} {
		t.Run(fmt.Sprint(before, " photos"), func(t *testing.T) {
			prepare := func() (dir string, acknowledged []uint64) {
				dir = filepath.Join(t.TempDir(), "ws")
				if before > 0 {
					w := openWorkspace(t, dir, Options{Backbone: backbone})
					for i := range before {
						mustAdd(t, w, photos(numbered(i), i%3, i, 1)...)
						acknowledged = append(acknowledged, i)
					}
				}
				return dir, acknowledged
			}
			dir, _ := prepare()
			steps := stepsOf(t, dir, backbone, before)
			unpublished := 0
			for i, step := range steps {
				if testing.Short() && i%4 > 0 {
					continue
				}
				dir, acknowledged := prepare()
				stop := watchModel(t, filepath.Join(dir, store.ModelFile))
				cmd, out, stderr := startChild(t, "step", dir, backbone, before, before+1, i+1)
				for out.Scan() {
					t.Errorf("step %d, %s: the process was not killed and printed %s", i, step, out.Text())
				}
				if err := cmd.Wait(); err == nil || stderr.Len() > 0 {
					t.Fatalf("step %d, %s: the process was not killed: %v %s", i, step, err, stderr)
				}
				if checkKilled(t, dir, backbone, acknowledged) {
					unpublished++
				}
				w := openWorkspace(t, dir, Options{Backbone: backbone})
				mustAdd(t, w, photos(numbered(before), before%3, before, 1)...)
				if n := photoCounts(w)[numbered(before)]; n == 0 || !w.isPublished() {
					t.Errorf("step %d, %s: after adding again: got photos %v, published: %v, want the photo, published", i, step, photoCounts(w), w.isPublished())
				}
				if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
					t.Errorf("step %d, %s: after adding again, temporary files are left: %q", i, step, left)
				}
				stop()
			}
			if unpublished == 0 && !testing.Short() {
				t.Error("no kill came between writing the state and writing the model")
			}
			t.Logf("killed before each of %d operations; %d kills left a model to repair: %s", len(steps), unpublished, strings.Join(steps, ", "))
		})
	}
}
