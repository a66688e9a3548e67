package kernels

import (
	"fmt"
	"os"
	"slices"
)

// Environment is the name of the environment variable that selects an implementation.
const Environment = "IMPRINT_KERNELS"

// An implementation computes the operators that take the most time. All implementations
// give the same bytes. A function is called once for each operator and returns its
// implementation. If the function is nil, or returns nil because it cannot compute the
// operator exactly, plain Go is used.
type implementation struct {
	name string
	// available reports whether the processor has the instructions.
	available func() bool
	product   func(w *weights) product
	lines     bool // whether products can read rows that consist of lines
	verify    bool // whether to compare each product with plain Go before using it
	// windows is called with near set if stride and dilation along a row are 1.
	windows func(w *weights, near bool) windows
	adder   func(s *sum) adder
}

// purego is the implementation in plain Go, for every processor.
var purego = implementation{name: "purego"}

// Implementations returns the names of the implementations that this processor can run,
// the fastest first. The last is "purego", which is plain Go.
func Implementations() []string {
	var names []string
	for _, i := range implementations() {
		if i.available() {
			names = append(names, i.name)
		}
	}
	return append(names, purego.name)
}

// Implementation returns the name of the implementation that new kernels use: the first
// of [Implementations], or the one that the environment variable IMPRINT_KERNELS names. If
// this processor cannot run that one, the error wraps [ErrUnsupported].
func Implementation() (string, error) {
	i, err := chosen()
	if err != nil {
		return "", err
	}
	return i.name, nil
}

// chosen returns the implementation that new kernels use.
func chosen() (*implementation, error) {
	names := Implementations()
	name := os.Getenv(Environment)
	if name == "" {
		name = names[0]
	}
	if !slices.Contains(names, name) {
		return nil, fmt.Errorf("%w: %s is %q, but this processor has %v", ErrUnsupported, Environment, name, names)
	}
	for _, i := range implementations() {
		if i.name == name {
			return &i, nil
		}
	}
	return &purego, nil
}
