package tflite

import (
	"archive/zip"
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func seeds(f *testing.F) []*Model {
	tailed := smallModel()
	tailed.Tail = []byte("tail")
	list := []*Model{smallModel(), describedModel(f), tailed}
	for _, table := range []int{4, 7} { // the members of BuiltinOptions2 with the most fields
		m := smallModel()
		m.Subgraphs[0].Operators[1].opaque = newNode(operatorTable)
		m.Subgraphs[0].Operators[1].opaque.v[operatorOptions2Type] = uint64(table)
		m.Subgraphs[0].Operators[1].opaque.v[operatorOptions2] = filled(builtinOptions2[table])
		list = append(list, m)
	}
	sparse := smallModel()
	sparse.Subgraphs[0].Tensors[0].opaque = filledSlots(tensorTable, tensorSparsity, tensorVariants)
	return append(list, sparse)
}

// FuzzParse checks that a model that Parse accepts survives Encode, unless Encode returns
// an error.
func FuzzParse(f *testing.F) {
	for _, m := range seeds(f) {
		b, err := m.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTooLarge) && !errors.Is(err, ErrUnsupported) {
				t.Fatalf("error wraps no sentinel: %v", err)
			}
			return
		}
		out, err := m.Encode()
		if err != nil {
			if !errors.Is(err, ErrUnsupported) && !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
			return
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatal(err)
		}
		out2, err := again.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out, out2) {
			t.Fatal("a second Encode returned different bytes")
		}
		withoutNaN(m)
		withoutNaN(again)
		if !reflect.DeepEqual(m, again) {
			t.Fatalf("got %+v, want %+v", again, m)
		}
		if _, err := m.Describe(); err == nil {
			m.Labels()
			if err := m.SetLabels([]string{"a"}); err == nil {
				if got, err := m.Labels(); err != nil || !slices.Equal(got, []string{"a"}) {
					t.Fatalf("got labels %q, %v", got, err)
				}
			}
		}
		if len(m.Subgraphs[0].Tensors) > 0 && m.Prune(0, []int32{0}) == nil {
			if _, err := m.Encode(); err != nil && !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
		}
	})
}

// withoutNaN replaces NaNs, which do not equal themselves, so that equal models compare
// as equal.
func withoutNaN(m *Model) {
	for i := range m.Subgraphs {
		for _, t := range m.Subgraphs[i].Tensors {
			if t.Quantization == nil {
				continue
			}
			for _, list := range [][]float32{t.Quantization.Min, t.Quantization.Max, t.Quantization.Scale} {
				for i, x := range list {
					if x != x {
						list[i] = 0
					}
				}
			}
		}
	}
}

// FuzzTail checks that Encode keeps the files in a tail or returns an error.
func FuzzTail(f *testing.F) {
	f.Add([]byte("tail"))
	f.Add(zipOf(f, 0, zip.Store, AssociatedFile{"labels.txt", []byte("a\nb\n")}, AssociatedFile{"b", nil}))
	f.Add(zipOf(f, 100, zip.Deflate, AssociatedFile{"labels.txt", []byte("aaaaaaaaaaaaaaaaa")}))
	body, err := smallModel().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, tail []byte) {
		m, err := Parse(append(slices.Clip(body), tail...))
		if err != nil {
			return
		}
		out, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse(out)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(m.Tail, again.Tail) {
			t.Fatalf("got tail %q, want %q", again.Tail, m.Tail)
		}
		files, err := m.AssociatedFiles()
		if err != nil {
			return
		}
		if len(files) > maxArchiveFiles {
			t.Fatalf("%d files exceed the limit", len(files))
		}
		if err := m.SetAssociatedFile("added", []byte("x")); err != nil {
			return
		}
		if err := m.RemoveAssociatedFile("added"); err != nil {
			t.Fatal(err)
		}
		files = slices.DeleteFunc(files, func(f AssociatedFile) bool { return f.Name == "added" })
		if got, err := m.AssociatedFiles(); err != nil || !reflect.DeepEqual(got, files) && len(got)+len(files) > 0 {
			t.Fatalf("got files %q, %v, want %q", got, err, files)
		}
	})
}

// FuzzLabels checks that Labels returns the labels that SetLabels stored, and that the
// labels of any file that can be read can be stored again, unless a line is not a valid
// label.
func FuzzLabels(f *testing.F) {
	f.Add("a\nb\n")
	f.Add("\ufeffa\r\nb")
	f.Add("50 limit\n\n")
	f.Fuzz(func(t *testing.T, content string) {
		read, err := splitLabels([]byte(content))
		if err != nil {
			return
		}
		m := smallModel()
		if err := m.SetLabels(read); err != nil {
			if strings.Contains(content, "\r") || strings.Contains(content, byteOrderMark) {
				return
			}
			t.Fatal(err)
		}
		if got, err := m.Labels(); err != nil || !slices.Equal(got, read) {
			t.Fatalf("got %q, %v, want %q", got, err, read)
		}
	})
}
