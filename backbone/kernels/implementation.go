package kernels

import (
	"fmt"
	"os"
	"slices"
)

// Environment is the variable that forces an implementation by name.
const Environment = "IMPRINT_KERNELS"

// An implementation is a way of computing the operators that take the time.
// All give the same bytes. Each function makes, once for each operator, what is
// run many times; one that is nil, or gives nil because it cannot compute these
// values exactly, leaves the operator to plain Go.
type implementation struct {
	name string
	// available reports whether this processor has the instructions.
	available func() bool
	product   func(w *weights) product
	lines     bool                                // whether products read rows of lines
	tried     bool                                // whether each product is compared with plain Go before it is used
	windows   func(w *weights, near bool) windows // near if windows move by one pixel of a row and have neighbouring taps
	adder     func(s *sum) adder
}

// purego is what every processor has.
var purego = implementation{name: "purego"}

// Implementations lists the implementations that this processor can run, the best
// first. The last is "purego", which is plain Go.
func Implementations() []string {
	var names []string
	for _, i := range implementations() {
		if i.available() {
			names = append(names, i.name)
		}
	}
	return append(names, purego.name)
}

// Implementation is the name of the implementation that kernels made now will
// use: the first of [Implementations] unless the environment variable
// IMPRINT_KERNELS names another. The error wraps [ErrUnsupported] when it names
// one that this processor does not have.
func Implementation() (string, error) {
	i, err := chosen()
	if err != nil {
		return "", err
	}
	return i.name, nil
}

func chosen() (*implementation, error) {
	names := Implementations()
	name := os.Getenv(Environment)
	if name == "" {
		name = names[0]
	}
	if !slices.Contains(names, name) {
		return nil, fmt.Errorf("%w: %s is %q, this processor has %v", ErrUnsupported, Environment, name, names)
	}
	for _, i := range implementations() {
		if i.name == name {
			return &i, nil
		}
	}
	return &purego, nil
}
