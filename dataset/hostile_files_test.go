package dataset

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/tools/hostile"
)

// damageSeeds holds valid files for the cases of one process.
type damageSeeds struct {
	photos        [][]byte
	video, dir    string
	manifest      []byte
	catalog, list []byte
}

func newDamageSeeds(t testing.TB) damageSeeds {
	picture := corners(16, 12)
	s := damageSeeds{video: donkeyVideo("one", "two", "three"), dir: writeTub(t, 4, 2), list: []byte("a.jpg\tcat\n\"b, c.jpg\",dog\n")}
	s.photos = [][]byte{
		asJPEG(t, picture), jpegWith(asJPEG(t, picture), exifBlock(binary.LittleEndian, 6, "2024:02:29 12:34:56")),
		asPNG(t, picture), pngWith(asPNG(t, picture), exifBlock(binary.BigEndian, 5, "")), asPNG(t, paletted(picture)),
		asBMP(t, picture), asGIF(t, paletted(picture)), makeGIF(t, image.Rect(2, 1, 8, 5), 6, 4),
		makeTIFF(binary.LittleEndian, rgbData(picture), append(rgbTags(16, 12), short(tagOrientation, 6))),
		append([]byte("P6 16 12 255\n"), rgbData(picture)...),
	}
	for _, name := range []string{"lossless.webp", "oriented.webp", "alpha.webp", "animated.webp", "progressive.jpg", "cmyk.jpg"} {
		s.photos = append(s.photos, testdata(t, name))
	}
	for name, b := range map[string]*[]byte{"manifest.json": &s.manifest, "catalog_0.catalog": &s.catalog} {
		var err error
		if *b, err = os.ReadFile(filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// run changes a photo or, in a fifth of the cases, a stream, a tub or a list, and reads it.
func (s damageSeeds) run(c *hostile.Case) {
	switch kind := c.Choice % (len(s.photos) + 4); kind {
	case 0:
		s.stream(c)
	case 1, 2:
		s.tub(c, kind == 1)
	case 3:
		if b := hostile.Lines(s.list, c.Edits); b != nil {
			c.Do("ReadList", uint64(8<<20+512*len(b)), func(context.Context) { ReadList(bytes.NewReader(b), "photos") })
		}
	default:
		if b := hostile.Photo(s.photos[kind-4], c.Edits); b != nil {
			s.photo(c, b)
		}
	}
}

// photo reads a photo as the commands do, and as a whole. It may take the memory that the limits promise.
func (s damageSeeds) photo(c *hostile.Case, b []byte) {
	l := DefaultLimits()
	most := uint64(l.memory() + 3*int64(len(b)) + 1<<20)
	known := func(err error) {
		if err != nil && !slices.ContainsFunc([]error{ErrEmpty, ErrFormat, ErrHEIC, ErrTooLarge, ErrDamaged}, func(k error) bool { return errors.Is(err, k) }) {
			c.Fatalf("error %v wraps none of the documented errors", err)
		}
	}
	c.Do("Decode", most, func(context.Context) {
		_, err := Decode(b, l)
		known(err)
	})
	for _, mode := range []Resize{Crop, Pad} {
		c.Do("Load "+string(mode), most, func(ctx context.Context) {
			dst := make([]byte, 32*32*3)
			err := Load(ctx, []Item{{Path: "photo", Content: b}}, l, 1, func(_ context.Context, _ int, f *File) (int, error) {
				return 0, (&Resizer{Mode: mode, Width: 32, Height: 32}).Read(dst, f)
			}, func(_, _ int, err error) error { return err })
			if ctx.Err() == nil {
				known(err)
			}
		})
	}
}

func (s damageSeeds) stream(c *hostile.Case) {
	b := hostile.Lines([]byte(s.video), c.Edits)
	c.Do("Stream", uint64(4<<20+8*len(b)), func(context.Context) {
		for r, err := NewStream(bytes.NewReader(b), donkeyType, Limits{MaxBytes: 1 << 20}); err == nil; {
			_, err = r.Next()
		}
	})
}

// tub changes the manifest or the catalog of a tub and reads its photos.
func (s damageSeeds) tub(c *hostile.Case, manifest bool) {
	name, b := "catalog_0.catalog", s.catalog
	if manifest {
		name, b = "manifest.json", s.manifest
	}
	if b = hostile.Lines(b, c.Edits); b == nil {
		return
	}
	if err := os.WriteFile(filepath.Join(s.dir, name), b, 0o644); err != nil {
		c.Fatal(err)
	}
	defer func() {
		if err := errors.Join(os.WriteFile(filepath.Join(s.dir, "manifest.json"), s.manifest, 0o644),
			os.WriteFile(filepath.Join(s.dir, "catalog_0.catalog"), s.catalog, 0o644)); err != nil {
			c.Fatal(err)
		}
	}()
	c.Do("OpenTub", uint64(32<<20+64*len(b)), func(context.Context) {
		t, err := OpenTub(s.dir)
		if err != nil {
			return
		}
		items, _, err := t.Select(TubFilter{Sessions: []string{"26-11-28_0"}, Fields: map[string]string{"user/mode": "user"}}, "x")
		if err != nil {
			return
		}
		for _, item := range items {
			if dir := filepath.Dir(item.Path); dir != filepath.Join(s.dir, "images") {
				c.Errorf("a photo in %s, outside of the tub's images", dir)
			}
			Open(item, DefaultLimits())
		}
	})
}

// TestHostilePhotos reads changed photos, streams, tubs and lists.
func TestHostilePhotos(t *testing.T) { hostile.Run(t, 1000, newDamageSeeds(t).run) }

// FuzzHostile is TestHostilePhotos for Go's fuzzing engine.
func FuzzHostile(f *testing.F) {
	s := newDamageSeeds(f)
	for i := range len(s.photos) + 4 {
		f.Add([]byte{byte(i), 0, 9, 0, 0, 1, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, content []byte) { s.run(hostile.New(t, content)) })
}
