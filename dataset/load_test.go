package dataset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestReadFile(t *testing.T) {
	photo := asPNG(t, corners(8, 6))
	dir := write(t, map[string][]byte{"a.png": photo, "empty.jpg": nil, "text.jpg": []byte("hello")})
	p, err := ReadFile(filepath.Join(dir, "a.png"), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if p.Path != filepath.Join(dir, "a.png") || p.Width != 8 {
		t.Errorf("got %s of %d×%d pixels, want a.png of 8×6 pixels", p.Path, p.Width, p.Height)
	}
	for _, tt := range []struct {
		name string
		l    Limits
		want error
	}{
		{"empty.jpg", DefaultLimits(), ErrEmpty}, // donkeycar#952
		{"text.jpg", DefaultLimits(), ErrFormat},
		{"a.png", Limits{1000, int64(len(photo)) - 1}, ErrTooLarge},
		{"absent.png", DefaultLimits(), os.ErrNotExist},
		{".", DefaultLimits(), errNotRegular},
	} {
		path := filepath.Join(dir, tt.name)
		p, err := ReadFile(path, tt.l)
		if !errors.Is(err, tt.want) || p != nil {
			t.Errorf("%s: got %v, %v, want %v", tt.name, p, err, tt.want)
		} else if n := strings.Count(err.Error(), path); n != 1 {
			t.Errorf("error %q has the path %d times, want once", err, n)
		}
	}
}

// writePhotos writes n photos. Photo i is 1+i%50 pixels wide, and every seventh photo is
// damaged.
func writePhotos(t testing.TB, n int) []Item {
	t.Helper()
	files := map[string][]byte{}
	var items []Item
	for i := range n {
		name := fmt.Sprintf("%04d.png", i)
		b := asPNG(t, corners(1+i%50, 20))
		if i%7 == 3 {
			b = b[:len(b)/2]
		}
		files[name] = b
		items = append(items, Item{Path: name, Label: fmt.Sprint("label ", i)})
	}
	dir := write(t, files)
	for i := range items {
		items[i].Path = filepath.Join(dir, items[i].Path)
	}
	return items
}

// decode is a work function for Load that decodes the photo.
func decode(_ context.Context, _ int, f *File) (*Photo, error) { return f.Decode() }

func TestLoad(t *testing.T) {
	defer goleak.VerifyNone(t)
	items := writePhotos(t, 100)
	tight := Limits{MaxPixels: 50 * 20, MaxBytes: 5000} // enough for one photo at a time
	for _, l := range []Limits{DefaultLimits(), tight} {
		for _, workers := range []int{0, 1, 3, 200} {
			next := 0
			var inside atomic.Int32
			err := Load(t.Context(), items, l, workers, decode, func(i int, p *Photo, err error) error {
				if inside.Add(1) != 1 {
					t.Error("deliver was called concurrently")
				}
				defer inside.Add(-1)
				if i != next {
					t.Errorf("got photo %d, want %d", i, next)
				}
				next++
				if i%7 == 3 {
					if !errors.Is(err, ErrDamaged) || p != nil || !strings.Contains(err.Error(), items[i].Path) {
						t.Errorf("photo %d: got %v, %v, want ErrDamaged", i, p, err)
					}
					return nil
				}
				if err != nil {
					t.Errorf("photo %d: %v", i, err)
					return nil
				}
				if p.Width != 1+i%50 || p.Path != items[i].Path || p.Label != items[i].Label {
					t.Errorf("photo %d: got %s, %q, %d pixels wide", i, p.Path, p.Label, p.Width)
				}
				return nil
			})
			if err != nil || next != len(items) {
				t.Errorf("%d workers: got %d photos and error %v, want %d photos", workers, next, err, len(items))
			}
		}
	}
	if err := Load(t.Context(), nil, tight, 0, decode, nil); err != nil {
		t.Errorf("no items: %v", err)
	}
}

func TestLoadStops(t *testing.T) {
	defer goleak.VerifyNone(t)
	items := writePhotos(t, 50)
	full := errors.New("disk full")
	for _, at := range []int{0, 1, 25, 49} {
		calls := 0
		err := Load(t.Context(), items, DefaultLimits(), 2, decode, func(i int, _ *Photo, _ error) error {
			calls++
			if i == at {
				return full
			}
			return nil
		})
		if err != full || calls != at+1 {
			t.Errorf("deliver fails at photo %d: got %v after %d calls", at, err, calls)
		}

		ctx, cancel := context.WithCancel(t.Context())
		calls = 0
		err = Load(ctx, items, DefaultLimits(), 2, decode, func(i int, _ *Photo, _ error) error {
			calls++
			if i == at {
				cancel()
			}
			return nil
		})
		last := at == len(items)-1
		if (err == nil) != last || err != nil && !errors.Is(err, context.Canceled) || calls != at+1 {
			t.Errorf("canceled at photo %d: got %v after %d calls", at, err, calls)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := Load(ctx, items, DefaultLimits(), 2, decode, func(int, *Photo, error) error {
		t.Error("deliver was called")
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("canceled before the call: got %v, want %v", err, context.Canceled)
	}
}

func TestLoadPanic(t *testing.T) {
	defer goleak.VerifyNone(t)
	items := writePhotos(t, 20)
	defer func() {
		if recover() != "mine" {
			t.Error("Load did not propagate the panic of deliver")
		}
	}()
	_ = Load(t.Context(), items, DefaultLimits(), 2, decode, func(int, *Photo, error) error { panic("mine") })
}
