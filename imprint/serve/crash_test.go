package serve

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"unsafe"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/internal/crashtest"
	"github.com/imprintkit/imprint/imprint/internal/store"
	"github.com/imprintkit/imprint/imprint/live"
	"github.com/imprintkit/imprint/imprint/serve/source"
	"github.com/imprintkit/imprint/tools/race"
)

// hookDisk makes before the hook of the workspace's disk, which is private to package imprint.
func hookDisk(ws *imprint.Workspace, before func(op, path string) error) {
	field := reflect.ValueOf(ws).Elem().FieldByName("store")
	(*store.Store)(unsafe.Pointer(field.UnsafeAddr())).Disk.Before = before
}

// classNames lists the classes of a workspace with the number of their photos.
func (s *testServer) classNames() string {
	var list Classes
	s.do("GET", "/v1/classes", "", http.StatusOK, &list)
	text := fmt.Sprint("generation ", list.Generation)
	for _, c := range list.Classes {
		text += fmt.Sprintf(", %d %s", len(c.Photos), c.Label)
	}
	return text
}

// TestCrashStates records what a server writes while it trains, and starts servers on the disks that
// crashes leave behind. They must have all acknowledged classes, and must replace damaged photos
// when they are added again.
func TestCrashStates(t *testing.T) {
	if race.Enabled {
		t.Skip("too slow")
	}
	disk := t.TempDir()
	rec, err := crashtest.NewRecorder(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	backbone := filepath.Join(t.TempDir(), "extractor.tflite")
	if err := os.WriteFile(backbone, backbonetest.Extractor(), 0o644); err != nil {
		t.Fatal(err)
	}
	c := testConfig{dir: filepath.Join(disk, "ws"), noCamera: true, workspace: imprint.Options{Backbone: backbone, Threads: 1}}
	s := start(t, c)
	want := []string{s.classNames()}
	change := func(f func(*imprint.Workspace) error) {
		t.Helper()
		err := s.change(t.Context(), func(ws *imprint.Workspace) error { hookDisk(ws, rec.Before); return f(ws) })
		if err == nil {
			err = rec.Acknowledge()
		}
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, s.classNames())
	}
	teach := func(label string, kind uint64) {
		t.Helper()
		change(func(ws *imprint.Workspace) error {
			_, err := s.workspace.add(t.Context(), ws, label, "camera", []observed{{picture: pictureOf(kind, 0)}, {picture: pictureOf(kind, 1)}})
			return err
		})
	}
	teach("a", 0)
	teach("b", 1)
	change(func(ws *imprint.Workspace) error { _, err := ws.Undo(context.Background()); return err })
	teach("b", 1)
	change(func(ws *imprint.Workspace) error { _, err := ws.Remove(context.Background(), "a", nil); return err })
	h, err := rec.History()
	if err != nil {
		t.Fatal(err)
	}
	n, step := 2, 5
	if testing.Short() {
		step = 50
	}
	if os.Getenv("IMPRINT_TORTURE") == "1" {
		n, step = 0, 1
	}
	tried, states := 0, 0
	for state := range h.States(n) {
		if states++; states%step > 0 {
			continue
		}
		tried++
		if !t.Run(fmt.Sprint(states), func(t *testing.T) { checkCrash(t, state, want, c) }) {
			t.Fatal(state.Name)
		}
	}
	t.Logf("%d of %d states after crashes in %d changes", tried, states, len(want)-1)
}

func pictureOf(kind, seed uint64) *picture {
	return &picture{Frame: source.Frame{Photo: backbonetest.Photo(kind, seed), Name: "photo"}}
}

// checkCrash starts a server on a disk after a crash and trains a class.
func checkCrash(t *testing.T, state *crashtest.State, want []string, c testConfig) {
	disk := t.TempDir()
	if err := state.Write(disk); err != nil {
		t.Fatal(err)
	}
	c.dir = filepath.Join(disk, "ws")
	s := start(t, c)
	got := s.classNames()
	if next := state.Acknowledged + 1; got != want[state.Acknowledged] && !(state.InFlight && next < len(want) && got == want[next]) {
		t.Fatalf("got %s, want %s", got, want[state.Acknowledged])
	}
	for kind, label := range []string{"a", "b"} {
		photo := backbonetest.Photo(uint64(kind), 0)
		s.do("POST", "/v1/examples?label="+label, string(photo), http.StatusOK, nil)
		s.body(fmt.Sprintf("/v1/examples/%x/thumbnail.jpg", sumOf(photo)))
	}
	s.example("c", 2, 0, http.StatusOK, nil)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	ws, err := imprint.Open(c.dir, imprint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	if _, err := ws.PublishedSnapshot(); err != nil || len(ws.Warnings()) > 0 || len(ws.Classes()) != 3 {
		t.Errorf("in the end: got %d classes, warnings %q, error %v, want 3 without warnings", len(ws.Classes()), ws.Warnings(), err)
	}
}

// TestKeepDamagedPhoto keeps a photo whose file has the right size and the wrong content.
func TestKeepDamagedPhoto(t *testing.T) {
	s := photoStore{t.TempDir()}
	photo := backbonetest.Photo(0, 0)
	path, err := s.keep(photo)
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{0, len(photo) / 2, len(photo), len(photo) + 1} {
		if err := os.WriteFile(path, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := s.keep(photo); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, photo) {
			t.Errorf("file of %d zeros: got %d bytes, %v, want the photo", size, len(got), err)
		}
	}
}

// TestDamagedAtStart starts a server on a workspace whose newest state is damaged. Reloading must
// not fail, because the server uses the previous state already.
func TestDamagedAtStart(t *testing.T) {
	c := testConfig{noCamera: true, dir: filepath.Join(t.TempDir(), "ws")}
	s := start(t, c)
	s.example("a", 0, 0, http.StatusOK, nil)
	s.example("b", 1, 0, http.StatusOK, nil)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, store.SlotFile(2)), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s = start(t, testConfig{noCamera: true, dir: c.dir, anyBackbone: true})
	var r live.Reloaded
	s.do("POST", "/v1/reload", "", http.StatusOK, &r)
	if r.Generation != 1 || r.Changed {
		t.Errorf("got %+v, want generation 1, unchanged", r)
	}
	s.example("a", 0, 0, http.StatusOK, nil) // nothing new
	s.example("c", 2, 0, http.StatusOK, nil)
	if got, want := s.classNames(), "generation 2, 1 a, 1 c"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
