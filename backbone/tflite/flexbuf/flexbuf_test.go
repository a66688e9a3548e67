package flexbuf_test

import (
	"errors"
	"fmt"
	"log"
	"math"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite/flexbuf"
)

func ExampleParse() {
	m, err := flexbuf.Parse(backbonetest.Flexbuffer(map[string]any{"max_detections": 10, "use_regular_nms": true}))
	if err != nil {
		log.Fatal(err)
	}
	n, err := m.Int("max_detections")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, m.Has("num_classes"))
	// Output: 10 false
}

// oneByte is {"a": -2, "b": null, "c": 250, "d": true} with elements of one byte.
var oneByte = []byte{
	'a', 0, 'b', 0, 'c', 0, 'd', 0,
	4, 9, 8, 7, 6, // 4 keys, each an offset back
	4, 1, 4, 0xfe, 0, 250, 1, // offset of the keys, their width, 4 elements
	1 << 2, 0, 2 << 2, 26 << 2, // types
	8, 9 << 2, 1, // root: a map 8 bytes back
}

// indirect is {"f": 1.5, "i": -3} with a float64 and an int16 outside the map.
var indirect = []byte{
	'f', 0, 'i', 0,
	0, 0, 0, 0, 0, 0, 0xf8, 0x3f, // 1.5
	0xfd, 0xff, // -3
	2, 15, 14, // 2 keys
	2, 1, 2, 16, 9, // elements: offsets back to 4 and 12
	8<<2 | 3, 6<<2 | 1,
	4, 9 << 2, 1,
}

func TestValues(t *testing.T) {
	for _, test := range []struct {
		buffer []byte
		key    string
		want   float64
	}{
		{oneByte, "a", -2}, {oneByte, "b", 0}, {oneByte, "c", 250}, {oneByte, "d", 1}, {oneByte, "missing", 0},
		{indirect, "f", 1.5}, {indirect, "i", -3},
		{backbonetest.Flexbuffer(map[string]any{"x": float32(0.25), "y": math.MinInt32}), "x", 0.25},
		{backbonetest.Flexbuffer(map[string]any{"x": float32(0.25), "y": math.MinInt32}), "y", math.MinInt32},
		{backbonetest.Flexbuffer(nil), "x", 0},
	} {
		m, err := flexbuf.Parse(test.buffer)
		if err != nil {
			t.Errorf("%s: %v", test.key, err)
			continue
		}
		got, err := m.Float(test.key)
		n, intErr := m.Int(test.key)
		is, boolErr := m.Bool(test.key)
		if err != nil || intErr != nil || boolErr != nil || got != test.want || n != int(test.want) || is != (test.want != 0) {
			t.Errorf("%s: got %v, %d and %v (%v, %v, %v), want %v", test.key, got, n, is, err, intErr, boolErr, test.want)
		}
	}
}

func TestErrors(t *testing.T) {
	change := func(b []byte, at int, v byte) []byte {
		b = slices.Clone(b)
		b[at] = v
		return b
	}
	for name, b := range map[string][]byte{
		"empty":                nil,
		"two bytes":            {9 << 2, 1},
		"not a map":            change(oneByte, len(oneByte)-2, 1<<2),
		"root too wide":        change(oneByte, len(oneByte)-1, 200),
		"root width 3":         change(oneByte, len(oneByte)-1, 3),
		"root before start":    change(oneByte, len(oneByte)-3, 255),
		"many keys":            change(oneByte, 15, 255),
		"keys before start":    change(oneByte, 13, 200),
		"wide keys":            change(oneByte, 14, 9),
		"key before start":     change(oneByte, 9, 200),
		"float of one byte":    change(oneByte, 20, 3<<2),
		"indirect out of file": change(oneByte, 20, 8<<2),
		"key without end":      {'a', 1, 2, 1, 1, 1, 1, 9<<2 | 1},
	} {
		if _, err := flexbuf.Parse(b); !errors.Is(err, flexbuf.ErrCorrupt) {
			t.Errorf("%s: got error %v, want %v", name, err, flexbuf.ErrCorrupt)
		}
	}
	for i := range oneByte {
		broken := [][]byte{oneByte[:i], oneByte[i:]}
		for v := range 256 {
			broken = append(broken, change(oneByte, i, byte(v)), change(indirect, i%len(indirect), byte(v)))
		}
		for _, b := range broken { // some are still valid, and none panics
			if _, err := flexbuf.Parse(b); err != nil && !errors.Is(err, flexbuf.ErrCorrupt) {
				t.Errorf("%v: got error %v, want %v", b, err, flexbuf.ErrCorrupt)
			}
		}
	}
	m, err := flexbuf.Parse(change(oneByte, 22, 5<<2)) // a string
	if err == nil {
		_, err = m.Float("c")
	}
	if !errors.Is(err, flexbuf.ErrType) {
		t.Errorf("a string: got error %v, want %v", err, flexbuf.ErrType)
	}
	for _, v := range []float32{float32(math.NaN()), 3e9, -3e9} {
		m, err := flexbuf.Parse(backbonetest.Flexbuffer(map[string]any{"x": v}))
		if err == nil {
			_, err = m.Int("x")
		}
		if !errors.Is(err, flexbuf.ErrType) {
			t.Errorf("%v as an int: got error %v, want %v", v, err, flexbuf.ErrType)
		}
	}
}

// FuzzParse parses any buffer and looks up its keys as every type.
func FuzzParse(f *testing.F) {
	f.Add(oneByte, "a")
	f.Add(indirect, "f")
	f.Add(backbonetest.Flexbuffer(map[string]any{"x": float32(0.25), "y": true, "z": -1}), "x")
	f.Fuzz(func(t *testing.T, b []byte, key string) {
		m, err := flexbuf.Parse(b)
		if err != nil {
			if !errors.Is(err, flexbuf.ErrCorrupt) {
				t.Fatalf("got error %v, want %v", err, flexbuf.ErrCorrupt)
			}
			return
		}
		v, err := m.Float(key)
		if err != nil && !errors.Is(err, flexbuf.ErrType) {
			t.Fatalf("Float: got error %v, want %v", err, flexbuf.ErrType)
		}
		if n, err := m.Int(key); err == nil && n != int(v) {
			t.Fatalf("Int: got %d, want %v", n, v)
		} else if err != nil && !errors.Is(err, flexbuf.ErrType) {
			t.Fatalf("Int: got error %v, want %v", err, flexbuf.ErrType)
		}
		if is, err := m.Bool(key); err == nil && is != (v != 0) {
			t.Fatalf("Bool: got %v, want %v", is, v != 0)
		}
	})
}

func TestSet(t *testing.T) {
	wide := backbonetest.Flexbuffer(map[string]any{"x": float32(0.25), "y": 7, "z": 9})
	for _, test := range []struct {
		buffer []byte
		key    string
		x      float64
		want   error
	}{
		{wide, "x", 0.5, nil}, {wide, "y", 123456, nil}, {indirect, "f", -2.25, nil}, {indirect, "i", 32767, nil}, {oneByte, "a", 127, nil},
		{indirect, "i", 32768, flexbuf.ErrType}, {oneByte, "a", 128, flexbuf.ErrType}, {wide, "y", 0.5, flexbuf.ErrType},
		{oneByte, "b", 1, flexbuf.ErrType}, {oneByte, "missing", 1, flexbuf.ErrType}, {nil, "x", 1, flexbuf.ErrCorrupt},
	} {
		before := slices.Clone(test.buffer)
		b, err := flexbuf.Set(test.buffer, test.key, test.x)
		if !errors.Is(err, test.want) || !slices.Equal(before, test.buffer) {
			t.Errorf("set %s to %v: %v, want %v", test.key, test.x, err, test.want)
		}
		if err != nil {
			continue
		}
		m, err := flexbuf.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := m.Float(test.key); got != test.x || err != nil {
			t.Errorf("%s is %v, %v, want %v", test.key, got, err, test.x)
		}
	}
	b, err := flexbuf.Set(wide, "y", 8)
	if err != nil {
		t.Fatal(err)
	}
	m, err := flexbuf.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	if z, _ := m.Int("z"); z != 9 {
		t.Errorf("the next value is %d, want 9", z)
	}
}
