package kernels

import (
	"fmt"
	"os"
	"slices"
)

// Environment is the name of the environment variable that selects an implementation.
const Environment = "IMPRINT_KERNELS"

// An implementation computes the operators that take the most time. All implementations
// produce the same bytes. Each function is called once per operator and returns that
// operator's implementation. Plain Go is used if the function is nil, or returns nil
// because it cannot compute the operator exactly.
type implementation struct {
	name string
	// available reports whether the processor has the required instructions.
	available func() bool
	product   func(w *weights) product
	lines     bool // whether products can read rows that consist of lines; see weights.line
	verify    bool // whether to compare each product with plain Go before using it
	windows   func(w *weights) windows
	rows      func(w *weights, g *geometry, pad byte) rows // takes precedence over windows
	adder     func(s *sum) adder
}

// purego is the implementation in plain Go, which every processor can run.
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

// Implementation returns the name of the implementation that new kernels use: the one
// named in the environment variable IMPRINT_KERNELS or, by default, the first of
// [Implementations]. If this processor cannot run the named implementation, the error
// wraps [ErrUnsupported].
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
		return nil, fmt.Errorf("%w: %s is %q, but this processor supports only %v", ErrUnsupported, Environment, name, names)
	}
	for _, i := range implementations() {
		if i.name == name {
			return &i, nil
		}
	}
	return &purego, nil
}
