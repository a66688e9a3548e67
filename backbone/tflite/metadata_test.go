package tflite

import (
	"reflect"
	"slices"
	"testing"
)

// describedModel returns a model with metadata in every field that this package reads and
// a label file for its output.
func describedModel(t testing.TB) *Model {
	t.Helper()
	text := func(table *tableType, texts map[int]string) *node {
		n := newNode(table)
		for slot, s := range texts {
			n.v[slot] = s
		}
		return n
	}
	file := func(name string, kind uint64) *node {
		n := text(associatedFileTable, map[int]string{afName: name, afLocale: "en"})
		n.v[afType] = kind
		return n
	}
	unit := newNode(processUnitTable)
	normalization := newNode(processUnitTable.Fields[unitOptions].Union[unitNormalization])
	normalization.setFloat32s(0, []float32{127.5})
	normalization.setFloat32s(1, []float32{128})
	unit.v[unitOptionsType], unit.v[unitOptions] = uint64(unitNormalization), normalization
	input := text(tensorMetadataTable, map[int]string{tmName: "image", tmDescription: "a photo"})
	input.v[tmUnits] = []*node{unit}
	input.v[tmContent] = filled(tensorMetadataTable.Fields[tmContent].Table)
	output := text(tensorMetadataTable, map[int]string{tmName: "probability"})
	output.v[tmFiles] = []*node{file("old.txt", fileAxisLabels), file("calibration.csv", 4)}
	sub := newNode(subgraphMetadataTable)
	sub.v[smInputs], sub.v[smOutputs] = []*node{input}, []*node{output}
	sub.v[smFiles] = []*node{file("notes.md", 1)}
	root := text(modelMetadataTable, map[int]string{
		mmName: "classifier", mmDescription: "says what it sees", mmVersion: "v1", mmAuthor: "imprint",
		mmLicense: "Apache-2.0", mmMinParserVersion: "1.0.1",
	})
	root.v[mmSubgraphs] = []*node{sub}

	m := smallModel()
	m.SetMetadataEntry(MetadataName, writeFlatbuffer(root, metadataIdentifier, 0))
	for _, f := range []AssociatedFile{
		{"old.txt", []byte("one\r\ntwo\r\nthree")}, {"calibration.csv", []byte("1,2,3\n")}, {"notes.md", []byte("# Notes\n")},
	} {
		if err := m.SetAssociatedFile(f.Name, f.Content); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestDescribe(t *testing.T) {
	want := Description{
		Name: "classifier", Description: "says what it sees", Version: "v1", Author: "imprint", License: "Apache-2.0",
		Inputs:  []TensorDescription{{Name: "image", Description: "a photo", Mean: []float32{127.5}, Std: []float32{128}}},
		Outputs: []TensorDescription{{Name: "probability", Files: []string{"old.txt", "calibration.csv"}}},
		Files:   []string{"notes.md"},
	}
	m := describedModel(t)
	if got, err := m.Describe(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if got, err := m.Labels(); err != nil || !slices.Equal(got, []string{"one", "two", "three"}) {
		t.Errorf("got labels %q, %v", got, err)
	}
	roundTrip(t, m)

	if got, err := smallModel().Describe(); err != nil || !reflect.DeepEqual(got, Description{}) {
		t.Errorf("without metadata: got %+v, %v", got, err)
	}
}
