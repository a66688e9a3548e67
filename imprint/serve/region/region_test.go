package region

import (
	"errors"
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/internal/crashtest"
)

func TestParse(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"door=0.1,0.2,0.4,0.9", ""},
		{"a=b=0,0,1,1", ""},
		{"<b>/+#\"é=0, 0, 1, 1", ""},
		{"door", "want NAME=LEFT,TOP,RIGHT,BOTTOM"},
		{"door=0,0,1", "want NAME=LEFT,TOP,RIGHT,BOTTOM"},
		{"door=0,0,1,1,1", "want NAME=LEFT,TOP,RIGHT,BOTTOM"},
		{"door=0,0,1,x", `"x" is not a number`},
		{"door=0.1,0.2,1.3,0.4", `unusable region "door": 0.1,0.2,1.3,0.4 is outside the picture, whose left and top are 0 and whose right and bottom are 1`},
		{"door=-0.1,0,1,1", "outside the picture"},
		{"door=NaN,0,1,1", "outside the picture"},
		{"door=0,0,Inf,1", "outside the picture"},
		{"door=0.5,0,0.5,1", "is empty"},
		{"door=0,0.5,1,0.4", "is empty"},
		{"=0,0,1,1", "name"},
		{" door=0,0,1,1", "name"},
		{"a\nb=0,0,1,1", "name"},
		{strings.Repeat("x", 61) + "=0,0,1,1", "at most 60 bytes"},
		{"\xff=0,0,1,1", "UTF-8"},
	} {
		r, err := Parse(c.text)
		switch {
		case c.want == "" && err == nil:
			if again, err := Parse(r.Name + "=" + r.Box.String()); err != nil || again != r {
				t.Errorf("%q: got %+v, %v, want %+v", c.text, again, err, r)
			}
		case c.want == "" || !errors.Is(err, ErrRegion) || !strings.Contains(err.Error(), c.want):
			t.Errorf("%q: got error %v, want %q", c.text, err, c.want)
		}
	}
}

func TestPixels(t *testing.T) {
	for _, c := range []struct {
		box     Box
		picture image.Rectangle
		want    image.Rectangle
	}{
		{Box{0, 0, 1, 1}, image.Rect(0, 0, 640, 480), image.Rect(0, 0, 640, 480)},
		{Box{0.25, 0.5, 0.5, 1}, image.Rect(10, 20, 110, 120), image.Rect(35, 70, 60, 120)},
		{Box{0.999, 0.999, 1, 1}, image.Rect(0, 0, 10, 10), image.Rect(9, 9, 10, 10)},
		{Box{0.5, 0.5, 0.5 + 1e-12, 0.5 + 1e-12}, image.Rect(0, 0, 10, 10), image.Rect(5, 5, 6, 6)},
		{Box{math.Nextafter(1, 0), 0, 1, 1}, image.Rect(0, 0, 1, 1), image.Rect(0, 0, 1, 1)},
	} {
		if got := c.box.Pixels(c.picture); got != c.want {
			t.Errorf("%v of %v: got %v, want %v", c.box, c.picture, got, c.want)
		}
	}
}

// TestTracker steps through answers, and lists the states that they make.
func TestTracker(t *testing.T) {
	r := New("door", Box{0, 0, 1, 1}) // 3 answers, from 0.6, or 0.5 for the state
	unknown, none := Answer{"open", 0.9, true}, Answer{}
	open, closed := func(score float64) Answer { return Answer{"open", score, false} }, func(score float64) Answer { return Answer{"closed", score, false} }
	for _, c := range []struct {
		name    string
		answers []Answer
		want    string // labels of the states; - is unknown
		known   string
	}{
		{"too few", []Answer{open(1), open(1)}, "", ""},
		{"enough", []Answer{open(0.6), open(0.7), open(0.8), open(0.9)}, "open", "open"},
		{"one other answer starts again", []Answer{open(1), open(1), closed(1), open(1), open(1)}, "", ""},
		{"unsure is unknown", []Answer{open(0.59), open(0.59), open(0.59)}, "-", ""},
		{"hysteresis keeps the state", []Answer{open(1), open(1), open(1), open(0.5), open(0.5), open(0.5)}, "open", "open"},
		{"below the hysteresis", []Answer{open(1), open(1), open(1), open(0.49), open(0.49), open(0.49)}, "open -", "open"},
		{"another label gets none", []Answer{open(1), open(1), open(1), closed(0.55), closed(0.55), closed(0.55)}, "open -", "open"},
		{"unknown and back", []Answer{open(1), open(1), open(1), unknown, unknown, unknown, none, open(1), open(1), open(1)}, "open - open", "open"},
		{"flicker", []Answer{open(1), open(1), open(1), closed(1), unknown, closed(1), unknown, open(1)}, "open", "open"},
		{"no classes", []Answer{none, none, none}, "-", ""},
		{"change", []Answer{open(1), open(1), open(1), closed(1), closed(1), closed(1), none, none, none}, "open closed -", "closed"},
	} {
		var tracker Tracker
		var got []string
		for i, a := range c.answers {
			if tracker.Step(r, a, time.Unix(int64(i), 0)) {
				label := tracker.State().Label
				if label == "" {
					label = "-"
				}
				got = append(got, label)
			}
		}
		if s := tracker.State(); strings.Join(got, " ") != c.want || s.Known != c.known || s.Changes != uint64(len(got)) {
			t.Errorf("%s: got states %q, then %+v, want %q and known %q", c.name, got, s, c.want, c.known)
		}
	}
}

func TestGray(t *testing.T) {
	plain := image.NewGray(image.Rect(5, 5, 325, 245))
	spot := image.NewGray(plain.Rect)
	bright := image.NewRGBA(plain.Rect)
	for i := range plain.Pix {
		plain.Pix[i], spot.Pix[i] = 100, 100
	}
	for y := range 15 {
		for x := range 20 {
			spot.SetGray(5+20*7+x, 5+15*3+y, color.Gray{Y: 200})
		}
	}
	for y := range 240 {
		for x := range 320 {
			bright.Set(5+x, 5+y, color.Gray{Y: 151})
		}
	}
	for _, c := range []struct {
		a, b image.Image
		want float64
	}{
		{plain, plain, 0},
		{plain, spot, 100. / 255},
		{spot, plain, 100. / 255},
		{plain, bright, 51. / 255},
		{plain.SubImage(image.Rect(5, 5, 6, 6)), bright, 51. / 255},
	} {
		if got := NewGray(c.a).Difference(NewGray(c.b)); got != c.want {
			t.Errorf("got difference %v, want %v", got, c.want)
		}
	}
	if got := NewGray(image.NewYCbCr(image.Rect(0, 0, 7, 3), image.YCbCrSubsampleRatio420)); *got != (Gray{}) {
		t.Errorf("got %v, want black", got)
	}
}

func TestFile(t *testing.T) {
	path := Path(t.TempDir())
	if got, err := Load(path); got != nil || err != nil {
		t.Fatalf("without a file: got %v, %v", got, err)
	}
	want := []Region{New(`<b>"/+#`, Box{0, 0.1, 0.2, 1}), New("gate", Box{0, 0, 1, 1})}
	if err := Save(path, want); err != nil {
		t.Fatal(err)
	}
	if got, err := Load(path); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, c := range []struct {
		content string
		want    error
	}{
		{"", imprint.ErrCorrupt},
		{strings.Repeat("\x00", 300), imprint.ErrCorrupt},
		{"null", imprint.ErrCorrupt},
		{`{"regions":[]}`, imprint.ErrCorrupt},
		{`{"version":1,"regions":[]}}`, imprint.ErrCorrupt},
		{`{"version":1,"regions":[`, imprint.ErrCorrupt},
		{`{"version":1,"regions":[{"name":"a","box":[0,0,2,1],"answers":1}]}`, imprint.ErrCorrupt},
		{`{"version":1,"regions":[{"name":"a"}]}`, imprint.ErrCorrupt},
		{`{"version":1,"regions":[{"name":"a","box":[0,0,1]}]}`, imprint.ErrCorrupt},
		{`{"version":1,"color":"red"}`, imprint.ErrCorrupt},
		{`{"version":2,"color":"red"}`, imprint.ErrVersion},
	} {
		if err := os.WriteFile(path, []byte(c.content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); !errors.Is(err, c.want) {
			t.Errorf("%s: got error %v, want %v", c.content, err, c.want)
		}
	}
	if _, err := Load(filepath.Dir(path)); err == nil {
		t.Error("loaded a folder")
	}
	if err := CheckAll(append(want, want[0])); !errors.Is(err, ErrRegion) || !strings.Contains(err.Error(), "two regions") {
		t.Errorf("got error %v", err)
	}
	if err := CheckAll(make([]Region, Max+1)); !errors.Is(err, ErrRegion) {
		t.Errorf("got error %v", err)
	}
}

// TestPowerLoss loads the files that power loss leaves behind on a disk that ignores syncs. They must hold
// a list that was saved, or be refused.
func TestPowerLoss(t *testing.T) {
	dir := t.TempDir()
	rec, err := crashtest.NewRecorder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	lists := [][]Region{nil}
	for i, name := range []string{"a", "b", strings.Repeat("long", 15)} {
		lists = append(lists, append(slices.Clone(lists[i]), New(name, Box{0, 0, 1, 1})))
		if err := errors.Join(Save(Path(dir), lists[i+1]), rec.Acknowledge()); err != nil {
			t.Fatal(err)
		}
	}
	h, err := rec.History()
	if err != nil {
		t.Fatal(err)
	}
	loaded, refused := 0, 0
	for state := range h.States(50) {
		at := t.TempDir()
		if err := state.Write(at); err != nil {
			t.Fatal(err)
		}
		got, err := Load(Path(at))
		switch {
		case errors.Is(err, imprint.ErrCorrupt):
			refused++
		case err == nil && slices.ContainsFunc(lists, func(l []Region) bool { return slices.Equal(l, got) }):
			loaded++
		default:
			t.Errorf("%s: got %+v, %v", state.Name, got, err)
		}
	}
	if loaded == 0 || refused == 0 {
		t.Errorf("%d files were loaded and %d refused, want both", loaded, refused)
	}
}
