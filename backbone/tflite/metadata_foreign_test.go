package tflite

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite/flatbuf"
)

// content returns the Content table of the described model's input.
func content(t *testing.T, m *Model) *node {
	t.Helper()
	root, _, err := m.readMetadata()
	if err != nil {
		t.Fatal(err)
	}
	return root.tables(mmSubgraphs)[0].tables(smInputs)[0].v[tmContent].(*node)
}

// rewritten returns the described model after a change to its metadata.
func rewritten(t *testing.T, change func(root *node)) *Model {
	t.Helper()
	m := describedModel(t)
	root, _, err := m.readMetadata()
	if err != nil {
		t.Fatal(err)
	}
	change(root)
	m.SetMetadataEntry(MetadataName, writeFlatbuffer(root, metadataIdentifier, 0))
	return m
}

func inputContent(root *node) *node {
	return root.tables(mmSubgraphs)[0].tables(smInputs)[0].v[tmContent].(*node)
}

// TestUnusualMetadata checks that models with unusual or broken metadata can
// be read, pruned and given labels.
func TestUnusualMetadata(t *testing.T) {
	garbage := describedModel(t)
	garbage.SetMetadataEntry(MetadataName, []byte("no flatbuffer at all"))
	// Metadata of a later schema, with one field more in the root table.
	later := *modelMetadataTable
	later.Fields = append(slices.Clone(later.Fields), text("later"))
	newer := rewritten(t, func(root *node) {
		root.t, root.v = &later, append(root.v, "kept")
	})
	tests := []struct {
		name     string
		m        *Model
		readable bool
		same     bool // want unchanged metadata
	}{
		{"type without value", rewritten(t, func(root *node) {
			c := inputContent(root)
			c.v[0], c.v[1] = uint64(1), nil
		}), true, false},
		{"unknown member", rewritten(t, func(root *node) { inputContent(root).v[0] = uint64(9) }), true, false},
		{"unknown member without value", rewritten(t, func(root *node) {
			c := inputContent(root)
			c.v[0], c.v[1] = uint64(9), nil
		}), true, false},
		{"unknown options", rewritten(t, func(root *node) {
			root.tables(mmSubgraphs)[0].tables(smInputs)[0].tables(tmUnits)[0].v[unitOptionsType] = uint64(77)
		}), true, false},
		{"unknown field", newer, true, true},
		{"garbage", garbage, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file, err := test.m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			m, err := Parse(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.Describe(); (err == nil) != test.readable {
				t.Errorf("Describe returned error %v", err)
			}
			before, _ := m.MetadataEntry(MetadataName)
			before = bytes.Clone(before)
			if _, err := m.Labels(); err != nil { // from the only text file if the metadata names none
				t.Errorf("Labels returned error %v", err)
			}
			if err := m.Prune(0, m.Subgraphs[0].Operators[0].Outputs); err != nil {
				t.Errorf("Prune returned error %v", err)
			}
			want := []string{"x", "y", "z"}
			if err := m.SetLabels(want); err != nil {
				t.Fatal(err)
			}
			if file, err = m.Encode(); err != nil {
				t.Fatal(err)
			}
			if m, err = Parse(file); err != nil {
				t.Fatal(err)
			}
			if got, err := m.Labels(); err != nil || !slices.Equal(got, want) {
				t.Errorf("got labels %q, error %v", got, err)
			}
			if after, _ := m.MetadataEntry(MetadataName); test.same && !bytes.Equal(after, before) {
				t.Error("the metadata changed")
			}
		})
	}
}

// TestForeignMembersAreKept rewrites metadata with union members of a later schema twice
// and checks that the contents of the members stay the same.
func TestForeignMembersAreKept(t *testing.T) {
	m := rewritten(t, func(root *node) { inputContent(root).v[0] = uint64(9) })
	known := inputContentBytes(t, m)
	for range 2 {
		if err := m.SetLabels([]string{"a", "b", "c"}); err != nil {
			t.Fatal(err)
		}
		if got := inputContentBytes(t, m); !reflect.DeepEqual(got, known) {
			t.Errorf("got %v, want %v", got, known)
		}
	}
}

// inputContentBytes reads the union member of unknown type with the first known type that
// fits.
func inputContentBytes(t *testing.T, m *Model) *node {
	t.Helper()
	c := content(t, m)
	f, ok := c.v[1].(foreign)
	if !ok || c.get(0, 0) != 9 {
		t.Fatalf("got member %d, %T", c.get(0, 0), c.v[1])
	}
	// Make the member the root of a copy of the flatbuffer.
	b := bytes.Clone(f.flatbuffer)
	b[0], b[1], b[2], b[3] = byte(f.at), byte(f.at>>8), byte(f.at>>16), byte(f.at>>24)
	table := tensorMetadataTable.Fields[tmContent].Table.Fields[1].Union
	for _, member := range table[1:] {
		if _, unknown, err := verifyFlatbuffer(b, "", member); err == nil && unknown == "" && len(member.Fields) > 0 {
			return readNode(flatbuf.Root(b, member))
		}
	}
	t.Fatal("the member does not match any of its former types")
	return nil
}
