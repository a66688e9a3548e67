package tflite

import (
	"bytes"
	"reflect"
	"testing"
)

func TestRoundTripSharedModels(t *testing.T) {
	for name, file := range sharedModels(t) {
		t.Run(name, func(t *testing.T) {
			m, err := Parse(file)
			if err != nil {
				t.Fatal(err)
			}
			out, err := m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			again, err := Parse(out)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(m, again) {
				t.Error("Parse(Encode(m)) differs from m")
			}
			out2, err := again.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out, out2) {
				t.Error("a second Encode gives other bytes")
			}
			t.Logf("%d bytes became %d", len(file), len(out))
		})
	}
}
