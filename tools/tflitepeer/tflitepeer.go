// Package tflitepeer runs .tflite models on the TensorFlow Lite C library, so that what this project computes and
// writes can be held against the runtime people use. Call [FromEnvironment] first; setup.sh makes the program it
// names.
package tflitepeer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// Environment is the variable that holds the path of the compiled tflitepeer.c; setup.sh prints that path.
const Environment = "IMPRINT_TFLITEPEER"

// ErrNotSet is returned by [FromEnvironment] when the variable is empty.
var ErrNotSet = errors.New(Environment + " is not set; tools/tflitepeer/setup.sh prints the path it needs")

// Peer is the compiled tflitepeer.c. It may be used by several goroutines at once: every call is a process of its own.
type Peer struct {
	Path    string // the executable
	Threads int    // threads of the interpreter; 0 means 1
	// XNNPACK has the library's XNNPACK delegate run int8 operators; it rounds otherwise than the default kernels.
	XNNPACK bool
}

// FromEnvironment returns the peer that [Environment] names, or [ErrNotSet].
func FromEnvironment() (Peer, error) {
	path := os.Getenv(Environment)
	if path == "" {
		return Peer{}, ErrNotSet
	}
	return Peer{Path: path}, nil
}

// Run runs the model file on every input and returns as many outputs. An input is the bytes of all input tensors of
// the model one after the other (little-endian, the element types of the model), an output the same of all output
// tensors. All inputs run in one process, in order.
func (p Peer) Run(ctx context.Context, model string, inputs [][]byte) (outputs [][]byte, err error) {
	if len(inputs) == 0 {
		return nil, nil
	}
	for i, in := range inputs {
		// The program reads one stream: an input of another length would shift all that follow it.
		if len(in) != len(inputs[0]) {
			return nil, fmt.Errorf("tflitepeer: run %s: input %d has %d bytes, input 0 has %d", model, i, len(in), len(inputs[0]))
		}
	}
	out, err := p.start(ctx, model, bytes.Join(inputs, nil), model, p.threads(), strconv.Itoa(len(inputs)))
	if err != nil {
		return nil, err
	}
	size := len(out) / len(inputs)
	for i := range inputs {
		outputs = append(outputs, out[i*size:(i+1)*size:(i+1)*size])
	}
	return outputs, nil
}

// Timing says how long the library took for one inference.
type Timing struct {
	Repeat, Threads int
	Min, Median     time.Duration
}

// Time runs the model file repeat times on one input (nil: zeros), after one run that is not counted.
func (p Peer) Time(ctx context.Context, model string, input []byte, repeat int) (Timing, error) {
	out, err := p.start(ctx, model, input, "--repeat", strconv.Itoa(repeat), model, p.threads())
	if err != nil {
		return Timing{}, err
	}
	var t struct {
		Repeat  int     `json:"repeat"`
		Threads int     `json:"threads"`
		Min     float64 `json:"min_ms"`
		Median  float64 `json:"median_ms"`
	}
	if err := json.Unmarshal(out, &t); err != nil {
		return Timing{}, fmt.Errorf("tflitepeer: time %s: %w", model, err)
	}
	millis := func(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
	return Timing{Repeat: t.Repeat, Threads: t.Threads, Min: millis(t.Min), Median: millis(t.Median)}, nil
}

func (p Peer) threads() string { return strconv.Itoa(max(p.Threads, 1)) }

// start runs the program with args and returns what it wrote; model is for the error.
func (p Peer) start(ctx context.Context, model string, stdin []byte, args ...string) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	if p.XNNPACK {
		args = append([]string{"--xnnpack"}, args...)
	}
	cmd := exec.CommandContext(ctx, p.Path, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("tflitepeer: run %s: %w: %s", model, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}
