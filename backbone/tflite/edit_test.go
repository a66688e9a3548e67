package tflite

import "testing"

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
			t.Errorf("subgraph %d tensor %d: got %d bytes, want %d", test.sub, test.tensor, len(got), test.want)
		}
	}
	if got := m.Subgraphs[0].Tensors[2].NumElements(); got != 12 {
		t.Errorf("got %d elements, want 12", got)
	}
	if got := (&Tensor{}).NumElements(); got != 1 {
		t.Errorf("a scalar has %d elements, want 1", got)
	}
}

// TestSetMetadataEntryInSharedBuffer checks that setting an entry does not change a
// buffer that has other users.
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
		t.Error("MetadataEntry found an absent entry")
	}
}
