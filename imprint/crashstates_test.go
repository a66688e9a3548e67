package imprint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/imprint/internal/crashtest"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// A crashTest records the disk operations of changes to a workspace, and checks the states that a
// crash can leave.
type crashTest struct {
	*testing.T
	disk    string  // folder that stands for the disk
	o       Options // of changes after a crash
	rec     *crashtest.Recorder
	want    []onDisk // after each acknowledged change
	damaged bool     // whether the disk was damaged before the recording
}

// onDisk is what a disk holds.
type onDisk struct {
	workspace string
	exports   [2]string
}

const crashWorkspace = "new/ws" // two folders to create

// crashExports are the paths of an exported model and its labels.
var crashExports = [2]string{"m.tflite", "m.txt"}

// newCrashTest uses a disk in memory, if there is one, because no test cuts its power.
func newCrashTest(t *testing.T, o Options) *crashTest {
	t.Helper()
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		t.Setenv("TMPDIR", "/dev/shm")
	}
	c := &crashTest{T: t, o: o}
	c.disk = c.folder()
	return c
}

// folder returns a new folder.
func (c *crashTest) folder() string {
	c.Helper()
	dir, err := os.MkdirTemp("", "imprint-crash-")
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// record starts to record. Everything on the disk now counts as durable.
func (c *crashTest) record() {
	c.Helper()
	rec, err := crashtest.NewRecorder(c.disk)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { rec.Close() })
	c.rec, c.want = rec, nil
	c.expect()
}

func (c *crashTest) expect() {
	c.Helper()
	now, err := readDisk(c.disk)
	if err != nil {
		c.Fatal(err)
	}
	c.want = append(c.want, now)
}

// do calls f with the workspace and, after record, records its disk operations up to its return.
func (c *crashTest) do(o Options, f func(*Workspace) error) {
	c.Helper()
	w := openWorkspace(c, filepath.Join(c.disk, crashWorkspace), o)
	if c.rec != nil {
		w.store.Disk.Before = c.rec.Before
	}
	if err := f(w); err != nil {
		c.Fatal(err)
	}
	if c.rec == nil {
		return
	}
	if err := c.rec.Acknowledge(); err != nil {
		c.Fatal(err)
	}
	c.expect()
}

func (c *crashTest) history() *crashtest.History {
	c.Helper()
	h, err := c.rec.History()
	if err != nil {
		c.Fatal(err)
	}
	return h
}

// readDisk reads the workspace and the exported files on a disk.
func readDisk(disk string) (now onDisk, err error) {
	for i, name := range crashExports {
		b, err := os.ReadFile(filepath.Join(disk, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return now, err
		}
		now.exports[i] = string(b)
	}
	w, err := Open(filepath.Join(disk, crashWorkspace), Options{Existing: true})
	if errors.Is(err, ErrNoClasses) {
		return now, nil
	}
	if err != nil {
		return now, err
	}
	defer w.Close()
	b, err := json.Marshal([]any{w.Generation(), w.Classes(), w.Negatives(), w.state.Settings, len(w.state.History)})
	now.workspace = string(b)
	return now, err
}

// run checks every step-th state of a history, with n random ones at each point, and returns their
// number and the errors of those that fail. It ends after stop errors.
func (c *crashTest) run(h *crashtest.History, n, step, stop int) (states int, failed []error) {
	c.Helper()
	i := 0
	for s := range h.States(n) {
		if i++; i%step > 0 {
			continue
		}
		states++
		disk := c.folder()
		if err := s.Write(disk); err != nil {
			c.Fatal(err)
		}
		if err := c.check(disk, s); err != nil {
			if failed = append(failed, fmt.Errorf("%s, after %d changes: %w", s.Name, s.Acknowledged, err)); len(failed) == stop {
				break
			}
		}
		os.RemoveAll(disk)
	}
	return states, failed
}

// check checks a disk after a crash, then makes a change on it.
func (c *crashTest) check(disk string, s *crashtest.State) error {
	got, err := readDisk(disk)
	if err != nil {
		return err
	}
	want := []onDisk{c.want[s.Acknowledged]}
	if next := s.Acknowledged + 1; s.InFlight && next < len(c.want) {
		want = append(want, c.want[next])
	}
	if err := expected(got, want, s.InFlight && s.Torn); err != nil {
		return err
	}
	w, err := Open(filepath.Join(disk, crashWorkspace), c.o)
	if err != nil {
		return err
	}
	defer w.Close()
	mayDamage := s.InFlight && s.Torn || c.damaged && s.Acknowledged == 0
	if damage := w.Warnings(); len(damage) > 0 && !mayDamage {
		return fmt.Errorf("got warnings %q, want none", damage)
	}
	if w.Generation() > 0 {
		published := w.isPublished()
		if _, err := w.PublishedSnapshot(); err != nil && (published || !errors.Is(err, ErrUnpublished)) {
			return fmt.Errorf("published: %v, snapshot: %w", published, err)
		}
		if !published && !s.InFlight && !mayDamage {
			return errors.New("the acknowledged model is not published")
		}
		if repaired, err := w.Repair(context.Background()); err != nil || repaired == published || !w.isPublished() {
			return fmt.Errorf("repair: got %v, %v, then published: %v", repaired, err, w.isPublished())
		}
	}
	return nextChange(w)
}

// expected returns an error unless got is one of want, in each of its parts. With torn, the file
// system may have destroyed exported files while it replaced them.
func expected(got onDisk, want []onDisk, torn bool) error {
	match := func(part func(onDisk) string) bool {
		for _, w := range want {
			if part(got) == part(w) {
				return true
			}
		}
		return false
	}
	if !match(func(d onDisk) string { return d.workspace }) {
		return fmt.Errorf("got %.300s, want %.300s", got.workspace, want[0].workspace)
	}
	for i, name := range crashExports {
		if !match(func(d onDisk) string { return d.exports[i] }) && !(torn && got.exports[i] == "") {
			return fmt.Errorf("%s: got %d bytes, want the old or the new %d", name, len(got.exports[i]), len(want[0].exports[i]))
		}
	}
	return nil
}

// nextChange adds a photo and checks all files of the workspace.
func nextChange(w *Workspace) error {
	dir, generation, counts := w.store.Dir, w.Generation(), photoCounts(w)
	if _, err := w.Add(context.Background(), photos("next", 3, 900, 1), AddOptions{}); err != nil {
		return fmt.Errorf("next change: %w", err)
	}
	again, err := Open(dir, Options{})
	if err != nil {
		return fmt.Errorf("after the next change: %w", err)
	}
	defer again.Close()
	counts["next"]++
	if got := photoCounts(again); fmt.Sprint(got) != fmt.Sprint(counts) || again.Generation() != generation+1 || !again.isPublished() || len(again.Warnings()) > 0 {
		return fmt.Errorf("after the next change: got photos %v, generation %d, published: %v, warnings %q; want photos %v, generation %d",
			got, again.Generation(), again.isPublished(), again.Warnings(), counts, generation+1)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".*"+store.TemporarySuffix)); len(left) > 0 {
		return fmt.Errorf("after the next change: temporary files are left: %q", left)
	}
	for _, name := range []string{store.ModelFile, store.LabelsFile, store.BackboneFile} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o644 {
			return fmt.Errorf("after the next change: %s: got %v, %v, want mode 0644", name, info, err)
		}
	}
	m, err := tflite.Parse(again.file)
	if err == nil && len(m.Subgraphs) == 0 {
		err = errors.New("the backbone is empty")
	}
	return err
}
