package main

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"image/jpeg"
	"os"
	"path/filepath"
	"testing"
)

// TestPhotosAreTheSameEverywhere checks the pixels of one photo of each class. The pixels must not
// depend on the processor or the version of Go.
func TestPhotosAreTheSameEverywhere(t *testing.T) {
	want := map[string]uint64{"arrow": 0x34b20edbf59e8a22, "ball": 0x3e582c1bd2f57377, "box": 0xb882336a24980ce3, "cone": 0xb599b0b01c38d673}
	for kind, c := range classes {
		h := fnv.New64a()
		h.Write(photo(kind, 1, 0).Pix)
		if got := h.Sum64(); got != want[c.name] {
			t.Errorf("%s: got pixels %#x, want %#x", c.name, got, want[c.name])
		}
	}
}

func TestWriteMakesPhotosOfEachClass(t *testing.T) {
	dir := t.TempDir()
	if err := write(dir, 2, 7); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, c := range classes {
		for i := range 2 {
			name := filepath.Join(dir, c.name, fmt.Sprintf("%02d.jpg", i+1))
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			config, err := jpeg.DecodeConfig(bytes.NewReader(b))
			if err != nil || config.Width != width || config.Height != height {
				t.Errorf("%s: got %d×%d, error %v, want %d×%d", name, config.Width, config.Height, err, width, height)
			}
			if other, ok := seen[string(b)]; ok {
				t.Errorf("%s is the same photo as %s", name, other)
			}
			seen[string(b)] = name
		}
	}
}

// TestEveryObjectIsVisible checks that enough of the camera's rays hit each object.
func TestEveryObjectIsVisible(t *testing.T) {
	for kind, c := range classes {
		for i := range 50 {
			r := source(kind, 3, i)
			s := newScene(r, c.shape(r))
			hits := 0
			for y := -0.9; y < 1; y += 0.1 {
				for x := -1.2; x < 1.3; x += 0.1 {
					if _, n, _, ok := s.object.hit(s.camera, s.ray(x, y)); ok {
						hits++
						if l := n.dot(n); l < 0.999 || l > 1.001 {
							t.Fatalf("%s %d: normal of length² %v", c.name, i, l)
						}
					}
				}
			}
			if hits < 8 {
				t.Errorf("%s %d: only %d of 475 rays hit the object", c.name, i, hits)
			}
		}
	}
}

func TestTurnBackUndoesTurn(t *testing.T) {
	for _, tangent := range []float64{-2, -0.3, 0, 0.1, 1, 5} {
		r := newTurn(tangent)
		x, y := r.of(3, 4)
		x, y = r.back().of(x, y)
		if dx, dy := x-3, y-4; dx*dx+dy*dy > 1e-24 {
			t.Errorf("tangent %v: got %v, %v, want 3, 4", tangent, x, y)
		}
	}
}

func TestWriteFailsWithoutFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := write(file, 1, 1); err == nil {
		t.Error("write to a file in place of a folder: got no error")
	}
}
