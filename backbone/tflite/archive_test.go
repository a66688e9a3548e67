package tflite

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"testing"
)

// zipOf returns a zip archive of files whose offsets count from base bytes before it.
func zipOf(t testing.TB, base int, method uint16, files ...AssociatedFile) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	w.SetOffset(int64(base))
	for _, f := range files {
		body, err := w.CreateHeader(&zip.FileHeader{Name: f.Name, Method: method})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := body.Write(f.Content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestArchiveOffsets checks that offsets in an archive may count from the start of the
// file or of the archive, and that Encode counts them from the start of the file.
func TestArchiveOffsets(t *testing.T) {
	body, err := smallModel().Encode()
	if err != nil {
		t.Fatal(err)
	}
	files := []AssociatedFile{{"labels.txt", []byte("a\nb\n")}, {"empty", []byte{}}}
	var want []byte
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		for _, base := range []int{0, len(body), len(body) + 7} {
			for _, padding := range []int{0, 3, 40} {
				start := len(body) + padding
				if base != 0 {
					base = start
				}
				file := append(append(bytes.Clone(body), make([]byte, padding)...), zipOf(t, base, method, files...)...)
				m, err := Parse(file)
				if err != nil {
					t.Fatalf("method %d base %d padding %d: %v", method, base, padding, err)
				}
				if got, err := m.AssociatedFiles(); err != nil || !reflect.DeepEqual(got, files) {
					t.Errorf("method %d base %d padding %d: got %q, %v", method, base, padding, got, err)
				}
				out := roundTrip(t, m)
				if base == 0 && padding == 0 {
					want = out
				} else if !bytes.Equal(out, want) {
					t.Errorf("method %d base %d padding %d: Encode returned a different file", method, base, padding)
				}
				record := out[findEndRecord(out):]
				directory := int(binary.LittleEndian.Uint32(record[endRecordOffset:]))
				if string(out[directory:directory+4]) != centralHeader {
					t.Errorf("the directory is not at byte %d, although the end record says so", directory)
				}
			}
		}
		want = nil
	}
}

// TestOtherTail checks that a tail that is not an archive remains in front of an archive
// that is added.
func TestOtherTail(t *testing.T) {
	m := smallModel()
	m.Tail = []byte("something else")
	roundTrip(t, m)
	if err := m.SetAssociatedFile("a", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if err := m.SetAssociatedFile("b", []byte("2")); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(m.Tail, []byte("something else"+localHeader)) {
		t.Errorf("got tail %q", m.Tail)
	}
	roundTrip(t, m)
	for _, name := range []string{"a", "absent", "b"} {
		if err := m.RemoveAssociatedFile(name); err != nil {
			t.Fatal(err)
		}
	}
	if string(m.Tail) != "something else" {
		t.Errorf("got tail %q", m.Tail)
	}
}

// TestSetAssociatedFileKeepsOthers checks that the packed bytes of unchanged files stay
// the same.
func TestSetAssociatedFileKeepsOthers(t *testing.T) {
	m := smallModel()
	m.Tail = zipOf(t, 0, zip.Deflate, AssociatedFile{"a", bytes.Repeat([]byte("abc"), 20)}, AssociatedFile{"b", []byte("b")})
	packed := bytes.Clone(m.Tail[localHeaderSize+1 : localHeaderSize+1+10])
	if err := m.SetAssociatedFile("b", []byte("new")); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(m.Tail, packed) {
		t.Error("the packed bytes of the other file changed")
	}
	want := []AssociatedFile{{"a", bytes.Repeat([]byte("abc"), 20)}, {"b", []byte("new")}}
	if got, err := m.AssociatedFiles(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func TestArchiveLimits(t *testing.T) {
	names := func(names ...string) []AssociatedFile {
		var files []AssociatedFile
		for _, n := range names {
			files = append(files, AssociatedFile{n, []byte("x")})
		}
		return files
	}
	var seventeen []string
	for i := range maxArchiveFiles + 1 {
		seventeen = append(seventeen, fmt.Sprint(i))
	}
	edit := func(pos int, x uint16) []byte {
		b := zipOf(t, 0, zip.Store, names("a", "b")...)
		entry := bytes.Index(b, []byte(centralHeader))
		binary.LittleEndian.PutUint16(b[entry+pos:], x)
		return b
	}
	for _, test := range []struct {
		name string
		tail []byte
		want error
	}{
		{"folder", zipOf(t, 0, zip.Store, names("a/b")...), ErrCorrupt},
		{"backslash", zipOf(t, 0, zip.Store, names(`a\b`)...), ErrCorrupt},
		{"parent", zipOf(t, 0, zip.Store, names("..")...), ErrCorrupt},
		{"no name", zipOf(t, 0, zip.Store, names("")...), ErrCorrupt},
		{"twice", zipOf(t, 0, zip.Store, names("a", "a")...), ErrCorrupt},
		{"too many", zipOf(t, 0, zip.Store, names(seventeen...)...), ErrTooLarge},
		{"too long", zipOf(t, 0, zip.Store, AssociatedFile{"a", make([]byte, maxArchiveFile+1)}), ErrTooLarge},
		{"bomb", zipOf(t, 0, zip.Deflate, AssociatedFile{"a", make([]byte, maxArchiveFile)}), ErrTooLarge},
		{"cut", zipOf(t, 0, zip.Store, names("a")...)[:60], ErrCorrupt},
		{"encrypted", edit(8, 1), ErrUnsupported},
		{"other method", edit(10, 14), ErrUnsupported},
		{"sound", edit(centralOffset, 0), nil},
		{"overlap", func() []byte {
			b := zipOf(t, 0, zip.Store, AssociatedFile{"a", zipOf(t, 0, zip.Store, names("b")...)}, AssociatedFile{"b", []byte("x")})
			// Point the second entry to the header inside the first file.
			entry := bytes.LastIndex(b, []byte(centralHeader))
			inner := bytes.Index(b[1:], []byte(localHeader)) + 1
			binary.LittleEndian.PutUint32(b[entry+centralOffset:], uint32(inner))
			return b
		}(), ErrCorrupt},
		{"unlisted file", append(zipOf(t, 0, zip.Store, names("a")...)[:localHeaderSize+2], zipOf(t, 0, zip.Store, names("b")...)...), ErrCorrupt},
		{"outside", edit(centralOffset, 60000), ErrCorrupt},
		{"long name", edit(28, 60000), ErrCorrupt},
		{"other name", edit(28, 0), ErrCorrupt},
		{"packed size", edit(20, 60000), ErrCorrupt},
		{"in parts", func() []byte {
			b := edit(centralOffset, 0)
			b[len(b)-endRecordSize+4] = 1
			return b
		}(), ErrCorrupt},
		{"directory too long", func() []byte {
			b := edit(centralOffset, 0)
			b[len(b)-endRecordSize+14] = 1
			return b
		}(), ErrCorrupt},
		{"directory ends early", func() []byte {
			b := edit(centralOffset, 0)
			b[len(b)-endRecordSize+8], b[len(b)-endRecordSize+10] = 1, 1
			return b
		}(), ErrCorrupt},
	} {
		m := smallModel()
		m.Tail = test.tail
		if _, err := m.Encode(); !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
}

// TestArchiveContentDamaged checks that unpacking detects content that does not match the
// checksum in the directory.
func TestArchiveContentDamaged(t *testing.T) {
	m := smallModel()
	m.Tail = zipOf(t, 0, zip.Store, AssociatedFile{"labels.txt", []byte("abc")})
	m.Tail[localHeaderSize+len("labels.txt")] ^= 1
	if _, err := m.AssociatedFiles(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
	if _, err := m.Labels(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("labels: got %v, want ErrCorrupt", err)
	}

	// Labels ignores damage to another file.
	if err := m.SetAssociatedFile("a.txt", []byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := m.SetAssociatedFile("labels.txt", []byte("cat")); err != nil {
		t.Fatal(err)
	}
	m.Tail[bytes.Index(m.Tail, []byte("a.txt"))+len("a.txt")] ^= 1
	if got, err := m.Labels(); err != nil || len(got) != 1 {
		t.Errorf("labels: got %q, %v", got, err)
	}
}

func TestSetAssociatedFileErrors(t *testing.T) {
	m := smallModel()
	for name, size := range map[string]int{"": 1, "a/b": 1, "..": 1, "a\x00": 1, "big": maxArchiveFile + 1} {
		if err := m.SetAssociatedFile(name, make([]byte, size)); err == nil {
			t.Errorf("SetAssociatedFile(%q) of %d bytes returned no error", name, size)
		}
	}
	if m.Tail != nil {
		t.Error("the model changed")
	}
}
