package tflite

import (
	"errors"
	"reflect"
	"slices"
	"testing"
)

func TestPruneToHiddenTensor(t *testing.T) {
	m := smallModel()
	if err := m.SetLabels([]string{"cat", "dog", "hot dog"}); err != nil {
		t.Fatal(err)
	}
	m.MetadataBuffer = []int32{4}
	payload := m.Subgraphs[0].Operators[0].CustomOptions
	if err := m.Prune(0, []int32{1}); err != nil {
		t.Fatal(err)
	}
	s := &m.Subgraphs[0]
	var names []string
	for _, tensor := range s.Tensors {
		names = append(names, tensor.Name)
	}
	if want := []string{"in", "hidden"}; !slices.Equal(names, want) {
		t.Errorf("got tensors %q, want %q", names, want)
	}
	if len(s.Operators) != 1 || &s.Operators[0].CustomOptions[0] != &payload[0] {
		t.Errorf("got operators %+v, want only the custom one with its options", s.Operators)
	}
	if want := []OperatorCode{{OpCustom, "edgetpu-custom-op", 1}}; !slices.Equal(m.OperatorCodes, want) {
		t.Errorf("got operator codes %v, want %v", m.OperatorCodes, want)
	}
	if !slices.Equal(s.Inputs, []int32{0}) || !slices.Equal(s.Outputs, []int32{1}) {
		t.Errorf("got inputs %d and outputs %d, want [0] and [1]", s.Inputs, s.Outputs)
	}
	// Buffer 0, min_runtime_version and the metadata remain.
	if len(m.Buffers) != 3 {
		t.Errorf("got %d buffers, want 3", len(m.Buffers))
	}
	if got, _ := m.MetadataEntry("min_runtime_version"); string(got) != "1.5.0\x00\x00\x00" {
		t.Errorf("min_runtime_version is %q", got)
	}
	if b := m.Buffers[m.MetadataBuffer[0]]; string(b) != "1.5.0\x00\x00\x00" {
		t.Errorf("the deprecated list of metadata buffers leads to %q", b)
	}
	d := m.SignatureDefs[0]
	if !slices.Equal(d.Inputs, []TensorMap{{"x", 0}}) || d.Outputs != nil {
		t.Errorf("got signature %+v", d)
	}
	if _, err := m.Labels(); !errors.Is(err, ErrNoLabels) {
		t.Errorf("labels of the former output: got error %v, want ErrNoLabels", err)
	}
	if m.Tail != nil {
		t.Errorf("the tail has %d bytes, want none", len(m.Tail))
	}
	roundTrip(t, m)
}

func TestPruneKeepsNeeded(t *testing.T) {
	m := smallModel()
	if err := m.SetLabels([]string{"cat", "dog", "hot dog"}); err != nil {
		t.Fatal(err)
	}
	// An operator without outputs has side effects.
	main := &m.Subgraphs[0]
	main.Operators = append(main.Operators, Operator{Opcode: m.OperatorCode(142, "", 1), Inputs: []int32{6}, DebugMetadataIndex: -1})
	if err := m.Prune(0, []int32{4, 5}); err != nil {
		t.Fatal(err)
	}
	// Prune removes only the bias, which no operator reads, and its buffer.
	if len(main.Tensors) != 6 || main.Tensors[3].Name != "logits" || !slices.Equal(main.Outputs, []int32{3, 4}) {
		t.Errorf("outputs are %d of tensors %+v", main.Outputs, main.Tensors)
	}
	if len(main.Operators) != 4 || !slices.Equal(main.Operators[1].Inputs, []int32{1, 2, -1}) || !slices.Equal(main.Operators[1].Intermediates, []int32{5}) {
		t.Errorf("got operators %+v", main.Operators)
	}
	if want := []TensorMap{{"probabilities", 4}, {"logits", 3}}; !slices.Equal(m.SignatureDefs[0].Outputs, want) {
		t.Errorf("got signature outputs %v, want %v", m.SignatureDefs[0].Outputs, want)
	}
	if got, err := m.Labels(); err != nil || len(got) != 3 {
		t.Errorf("got labels %q, %v", got, err)
	}
	d, err := m.Describe()
	if err != nil {
		t.Fatal(err)
	}
	if want := []TensorDescription{{}, {Files: []string{"labels.txt"}}}; !reflect.DeepEqual(d.Outputs, want) {
		t.Errorf("got descriptions of the outputs %+v, want %+v", d.Outputs, want)
	}
	roundTrip(t, m)
}

func TestPruneErrors(t *testing.T) {
	blockwise := filledSlots(quantizationTable, quantizationDetailsType, quantizationDetails)
	for _, test := range []struct {
		name    string
		sub     int
		outputs []int32
		edit    func(m *Model)
		want    error
	}{
		{"no such subgraph", 2, nil, func(*Model) {}, ErrCorrupt},
		{"no such tensor", 0, []int32{7}, func(*Model) {}, ErrCorrupt},
		{"negative tensor", 0, []int32{-1}, func(*Model) {}, ErrCorrupt},
		{"wrong index", 0, []int32{1}, func(m *Model) { m.Subgraphs[0].Operators[0].Outputs[0] = 9 }, ErrCorrupt},
		{"memory plan", 0, []int32{1}, func(m *Model) { m.SetMetadataEntry("OfflineMemoryAllocation", make([]byte, 12)) }, ErrUnsupported},
		{"scales in a tensor", 0, []int32{1}, func(m *Model) { m.Subgraphs[0].Tensors[1].Quantization.opaque = blockwise }, ErrUnsupported},
	} {
		t.Run(test.name, func(t *testing.T) {
			m, same := smallModel(), smallModel()
			test.edit(m)
			test.edit(same)
			if err := m.Prune(test.sub, test.outputs); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if !reflect.DeepEqual(m, same) {
				t.Error("the model changed")
			}
		})
	}
}

func TestPruneSharedModels(t *testing.T) {
	for name, file := range sharedModels(t) {
		m, err := Parse(file)
		if err != nil {
			t.Fatal(err)
		}
		s := &m.Subgraphs[0]
		last := s.Operators[len(s.Operators)-1]
		operators := len(s.Operators)
		if err := m.Prune(0, slices.Clone(last.Inputs[:1])); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(s.Operators) >= operators {
			t.Errorf("%s: Prune kept %d of %d operators", name, len(s.Operators), operators)
		}
		roundTrip(t, m)
	}
}
