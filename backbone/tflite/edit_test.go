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
		t.Errorf("tensors %q, want %q", names, want)
	}
	if len(s.Operators) != 1 || &s.Operators[0].CustomOptions[0] != &payload[0] {
		t.Errorf("operators %+v, want the custom one with its bytes", s.Operators)
	}
	if want := []OperatorCode{{OpCustom, "edgetpu-custom-op", 1}}; !slices.Equal(m.OperatorCodes, want) {
		t.Errorf("operator codes %v, want %v", m.OperatorCodes, want)
	}
	if !slices.Equal(s.Inputs, []int32{0}) || !slices.Equal(s.Outputs, []int32{1}) {
		t.Errorf("inputs %d, outputs %d", s.Inputs, s.Outputs)
	}
	// Buffer 0, the version and the description remain.
	if len(m.Buffers) != 3 {
		t.Errorf("%d buffers, want 3", len(m.Buffers))
	}
	if got, _ := m.MetadataEntry("min_runtime_version"); string(got) != "1.5.0\x00\x00\x00" {
		t.Errorf("version %q", got)
	}
	if b := m.Buffers[m.MetadataBuffer[0]]; string(b) != "1.5.0\x00\x00\x00" {
		t.Errorf("old list of metadata leads to %q", b)
	}
	d := m.SignatureDefs[0]
	if !slices.Equal(d.Inputs, []TensorMap{{"x", 0}}) || d.Outputs != nil {
		t.Errorf("signature %+v", d)
	}
	if _, err := m.Labels(); !errors.Is(err, ErrNoLabels) {
		t.Errorf("labels of the output that is gone: %v, want ErrNoLabels", err)
	}
	if m.Tail != nil {
		t.Errorf("tail of %d bytes, want none", len(m.Tail))
	}
	roundTrip(t, m)
}

func TestPruneKeepsWhatIsNeeded(t *testing.T) {
	m := smallModel()
	if err := m.SetLabels([]string{"cat", "dog", "hot dog"}); err != nil {
		t.Fatal(err)
	}
	// An operator without outputs works by side effect.
	main := &m.Subgraphs[0]
	main.Operators = append(main.Operators, Operator{Opcode: m.OperatorCode(142, "", 1), Inputs: []int32{6}, DebugMetadataIndex: -1})
	if err := m.Prune(0, []int32{4, 5}); err != nil {
		t.Fatal(err)
	}
	// Only the bias, which no operator reads, and its buffer are gone.
	if len(main.Tensors) != 6 || main.Tensors[3].Name != "logits" || !slices.Equal(main.Outputs, []int32{3, 4}) {
		t.Errorf("outputs %d of %+v", main.Outputs, main.Tensors)
	}
	if len(main.Operators) != 4 || !slices.Equal(main.Operators[1].Inputs, []int32{1, 2, -1}) || !slices.Equal(main.Operators[1].Intermediates, []int32{5}) {
		t.Errorf("operators %+v", main.Operators)
	}
	if want := []TensorMap{{"probabilities", 4}, {"logits", 3}}; !slices.Equal(m.SignatureDefs[0].Outputs, want) {
		t.Errorf("signature outputs %v, want %v", m.SignatureDefs[0].Outputs, want)
	}
	if got, err := m.Labels(); err != nil || len(got) != 3 {
		t.Errorf("labels %q, %v", got, err)
	}
	d, err := m.Describe()
	if err != nil {
		t.Fatal(err)
	}
	if want := []TensorDescription{{}, {Files: []string{"labels.txt"}}}; !reflect.DeepEqual(d.Outputs, want) {
		t.Errorf("outputs are described as %+v, want %+v", d.Outputs, want)
	}
	roundTrip(t, m)
}

func TestPruneLeavesTheModelOnError(t *testing.T) {
	blockwise := carry(quantizationTable, quantizationDetailsType, quantizationDetails)
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
		{"scales in a tensor", 0, []int32{1}, func(m *Model) { m.Subgraphs[0].Tensors[1].Quantization.carried = blockwise }, ErrUnsupported},
		{"metadata", 0, []int32{1}, func(m *Model) { m.SetMetadataEntry(MetadataName, make([]byte, 12)) }, ErrCorrupt},
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
			t.Errorf("%s: %d operators of %d remain", name, len(s.Operators), operators)
		}
		roundTrip(t, m)
	}
}

func TestAdd(t *testing.T) {
	m := &Model{Version: 3, Subgraphs: make([]Subgraph, 1)}
	if got := m.AddBuffer([]byte{1, 2}); got != 1 {
		t.Errorf("the first buffer has index %d, want 1", got)
	}
	for _, test := range []struct {
		sub  int
		want int32
	}{{0, 0}, {0, 1}, {1, -1}, {-1, -1}} {
		if got := m.AddTensor(test.sub, Tensor{Type: TypeUint8, Shape: []int32{2}, Buffer: 1}); got != test.want {
			t.Errorf("a tensor of subgraph %d has index %d, want %d", test.sub, got, test.want)
		}
	}
	if _, err := m.Encode(); err != nil {
		t.Error(err)
	}
}

func TestOperatorCode(t *testing.T) {
	m := &Model{}
	for _, want := range []uint32{0, 1, 2, 3} {
		code := []OperatorCode{{OpCustom, "a", 1}, {OpCustom, "b", 1}, {OpAdd, "", 1}, {OpAdd, "", 2}}[want]
		for range 2 {
			if got := m.OperatorCode(code.Builtin, code.CustomCode, code.Version); got != want {
				t.Errorf("%v: got %d, want %d", code, got, want)
			}
		}
	}
}

func TestTensorBytes(t *testing.T) {
	m := smallModel()
	for _, test := range []struct {
		sub    int
		tensor int32
		want   int
	}{{0, 2, 12}, {0, 3, 16}, {0, 0, 0}, {0, 6, 0}, {0, -1, 0}, {0, 7, 0}, {2, 0, 0}, {-1, 0, 0}} {
		got := m.TensorBytes(test.sub, test.tensor)
		if len(got) != test.want || (test.want == 0) != (got == nil) {
			t.Errorf("subgraph %d tensor %d: %d bytes, want %d", test.sub, test.tensor, len(got), test.want)
		}
	}
	if got := m.Subgraphs[0].Tensors[2].NumElements(); got != 12 {
		t.Errorf("%d elements, want 12", got)
	}
	if got := (&Tensor{}).NumElements(); got != 1 {
		t.Errorf("a scalar has %d elements, want 1", got)
	}
}

// An entry whose buffer is also used elsewhere must not change that.
func TestSetMetadataEntryInSharedBuffer(t *testing.T) {
	m := smallModel()
	m.Metadata = append(m.Metadata, Metadata{"shared", 1}, Metadata{"none", 0})
	weights := string(m.Buffers[1])
	m.SetMetadataEntry("shared", []byte("new"))
	m.SetMetadataEntry("none", []byte("some"))
	m.SetMetadataEntry("none", []byte("more"))
	if got := string(m.TensorBytes(0, 2)); got != weights {
		t.Errorf("weights became %q", got)
	}
	if len(m.Buffers[0]) != 0 {
		t.Error("buffer 0 is not empty")
	}
	for name, want := range map[string]string{"shared": "new", "none": "more"} {
		if got, ok := m.MetadataEntry(name); !ok || string(got) != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if _, ok := m.MetadataEntry("absent"); ok {
		t.Error("an absent entry is there")
	}
}
