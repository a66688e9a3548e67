// Package tflitepeer runs models on the TensorFlow Lite C library 2.9 and on LiteRT 2.3, so that tests can compare this
// project's results and models with theirs. Run setup.sh or litert.sh to get the program, then call [FromEnvironment].
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

// The environment variables with the paths of the programs.
const (
	TFLite = "IMPRINT_TFLITEPEER" // the compiled tflitepeer.c, whose path setup.sh prints
	LiteRT = "IMPRINT_LITERT"     // litert.py, whose path litert.sh prints
)

// ErrNotSet means that the environment variable of a program is empty.
var ErrNotSet = errors.New("the environment variable is not set to the path that a script in tools/tflitepeer prints")

// Peer is one of the programs. It is safe for concurrent use by multiple goroutines: every call starts a process.
type Peer struct {
	Path    string // the executable
	Threads int    // number of threads of the interpreter; 0 means 1
	// XNNPACK makes TensorFlow Lite run int8 operators, and LiteRT all operators, with the XNNPACK delegate, which
	// rounds differently from the default kernels.
	XNNPACK bool
}

// FromEnvironment returns the peer at the path in the environment variable [TFLite] or [LiteRT], or [ErrNotSet].
func FromEnvironment(variable string) (Peer, error) {
	path := os.Getenv(variable)
	if path == "" {
		return Peer{}, fmt.Errorf("%s: %w", variable, ErrNotSet)
	}
	return Peer{Path: path}, nil
}

// Run runs the model file on every input and returns one output for each. An input consists of the bytes of the model's
// input tensors, one after the other, in their element types and little-endian. An output consists of the bytes of the
// output tensors in the same format. One process runs all inputs in order.
func (p Peer) Run(ctx context.Context, model string, inputs [][]byte) (outputs [][]byte, err error) {
	if len(inputs) == 0 {
		return nil, nil
	}
	for i, in := range inputs {
		// The program reads one stream, so an input of another length would shift all inputs after it.
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

// Timing is the library's time per inference.
type Timing struct {
	Repeat, Threads int
	Min, Median     time.Duration
	// Processor times of the whole process, only measured by LiteRT's program.
	CPUMin, CPUMedian time.Duration
}

// Time runs the model file repeat times on one input and returns the times. Before that, it runs the model once
// untimed. A nil input means zeros.
func (p Peer) Time(ctx context.Context, model string, input []byte, repeat int) (Timing, error) {
	out, err := p.start(ctx, model, input, "--repeat", strconv.Itoa(repeat), model, p.threads())
	if err != nil {
		return Timing{}, err
	}
	var t struct {
		Repeat    int     `json:"repeat"`
		Threads   int     `json:"threads"`
		Min       float64 `json:"min_ms"`
		Median    float64 `json:"median_ms"`
		CPUMin    float64 `json:"cpu_min_ms"`
		CPUMedian float64 `json:"cpu_median_ms"`
	}
	if err := json.Unmarshal(out, &t); err != nil {
		return Timing{}, fmt.Errorf("tflitepeer: time %s: %w", model, err)
	}
	millis := func(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }
	return Timing{
		Repeat: t.Repeat, Threads: t.Threads, Min: millis(t.Min), Median: millis(t.Median),
		CPUMin: millis(t.CPUMin), CPUMedian: millis(t.CPUMedian),
	}, nil
}

func (p Peer) threads() string { return strconv.Itoa(max(p.Threads, 1)) }

// start runs the program with args and returns its output. model only appears in errors.
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
