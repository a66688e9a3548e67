package kernels

import (
	"errors"
	"os"
	"slices"
	"testing"
)

// eachImplementation runs a test with every implementation, and skips those that this
// processor cannot run.
func eachImplementation(t *testing.T, test func(t *testing.T)) {
	for _, i := range append(implementations(), purego) {
		t.Run(i.name, func(t *testing.T) {
			if !slices.Contains(Implementations(), i.name) {
				t.Skip("this processor cannot run it")
			}
			t.Setenv(Environment, i.name)
			test(t)
		})
	}
}

func TestImplementation(t *testing.T) {
	t.Setenv(Environment, "")
	if got, err := Implementation(); err != nil || got != Implementations()[0] {
		t.Errorf("Implementation() = %q, %v; want the first of %v", got, err, Implementations())
	}
	t.Setenv(Environment, "purego")
	if got, err := Implementation(); err != nil || got != "purego" {
		t.Errorf("Implementation() = %q, %v; want purego", got, err)
	}
	t.Setenv(Environment, "abacus")
	if got, err := Implementation(); !errors.Is(err, ErrUnsupported) {
		t.Errorf("Implementation() = %q, %v; want ErrUnsupported", got, err)
	}
	unit := Window{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1}
	if _, err := NewConv2D(Conv2DParams{Window: unit}, u8(1, 1, 1, 1), constant(u8(1, 1, 1, 1)), nil, u8(1, 1, 1, 1)); !errors.Is(err, ErrUnsupported) {
		t.Errorf("NewConv2D: got error %v, want ErrUnsupported", err)
	}
}

// asPlainGo calls make while plain Go is the chosen implementation.
func asPlainGo(t *testing.T, make func()) {
	before := os.Getenv(Environment)
	t.Setenv(Environment, purego.name)
	make()
	t.Setenv(Environment, before)
}
