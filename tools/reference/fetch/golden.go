package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/tools/tflitepeer"
)

// errNoPeer means that an output is missing and that this machine cannot compute it.
var errNoPeer = errors.New("no TensorFlow Lite library")

// maker makes golden files in a folder.
type maker struct {
	folder string
	peer   *tflitepeer.Peer // nil without the library
	models map[string]*tflite.Model
}

// makeGoldens makes the files for all goldens whose models and photos are in folder. It lists them in
// golden/manifest.json and returns the number of goldens that have all their files. If a file's checksum differs from
// the recorded one, makeGoldens returns an error and does not write the file: the arithmetic of this project, or the
// library, has changed.
func makeGoldens(ctx context.Context, folder string, goldens []*golden) (complete int, err error) {
	m := maker{folder: folder, models: make(map[string]*tflite.Model)}
	if peer, err := findPeer(ctx); err != nil {
		fmt.Println("golden: cannot compute outputs:", err)
	} else {
		m.peer = &peer
	}
	var errs []error
	manifest := make(map[string]*entry)
	for _, g := range goldens {
		if ctx.Err() != nil {
			return complete, context.Cause(ctx)
		}
		switch err := m.make(ctx, g); {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, errNoPeer):
			continue
		case err != nil:
			errs = append(errs, fmt.Errorf("golden/%s/%s: %w", g.model, g.name, err))
			continue
		}
		complete++
		e := manifest[g.model]
		if e == nil {
			in := m.input(g.model)
			e = &entry{File: g.model + ".tflite", Inputs: []tensor{{Type: strings.ToLower(fmt.Sprint(in.Type)), Shape: in.Shape}}}
			manifest[g.model] = e
		}
		e.Cases = append(e.Cases, recording{Image: strings.TrimPrefix(g.source, "images/"), Input: g.name + ".in", Output: g.name + ".out"})
	}
	if complete > 0 {
		b, err := json.MarshalIndent(map[string]any{"models": manifest}, "", "  ")
		if err != nil {
			return complete, err
		}
		errs = append(errs, write(filepath.Join(folder, "golden", "manifest.json"), append(b, '\n')))
	}
	return complete, errors.Join(errs...)
}

// These are the fields of manifest.json that tests read.
type (
	entry struct {
		File   string      `json:"file"`
		Inputs []tensor    `json:"inputs"`
		Cases  []recording `json:"cases"`
	}
	tensor struct {
		Type  string  `json:"type"`
		Shape []int32 `json:"shape"`
	}
	recording struct {
		Image  string `json:"image"`
		Input  string `json:"input"`
		Output string `json:"output"`
	}
)

// findPeer returns the program with the real library. If the environment does not name one, findPeer downloads the
// library and compiles the program.
func findPeer(ctx context.Context) (tflitepeer.Peer, error) {
	if runtime.GOARCH != "amd64" {
		return tflitepeer.Peer{}, fmt.Errorf("the outputs were recorded on amd64; the library's outputs differ on %s", runtime.GOARCH)
	}
	if p, err := tflitepeer.FromEnvironment(tflitepeer.TFLite); err == nil {
		return p, nil
	}
	c := exec.CommandContext(ctx, "./tools/tflitepeer/setup.sh")
	c.Stderr = os.Stderr
	path, err := c.Output()
	if err != nil {
		return tflitepeer.Peer{}, fmt.Errorf("set up the TensorFlow Lite library (needs npm and a C compiler): %w", err)
	}
	return tflitepeer.Peer{Path: string(bytes.TrimSpace(path))}, nil
}

// make writes the missing files of a golden.
func (m *maker) make(ctx context.Context, g *golden) error {
	path := filepath.Join(m.folder, "models", g.model+".tflite")
	if m.models[g.model] == nil {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if m.models[g.model], err = tflite.Parse(b); err != nil {
			return err
		}
	}
	in, err := m.file(g, 0, func() ([]byte, error) { return m.makeInput(g) })
	if err != nil {
		return err
	}
	_, err = m.file(g, 2, func() ([]byte, error) { return edgeTPU(ctx, m.models[g.model], in) })
	if err != nil {
		return err
	}
	_, err = m.file(g, 1, func() ([]byte, error) {
		if m.peer == nil {
			return nil, errNoPeer
		}
		outputs, err := m.peer.Run(ctx, path, [][]byte{in})
		if err != nil {
			return nil, err
		}
		return outputs[0], nil
	})
	return err
}

// file returns the content of the golden's file with the i-th suffix. If the file is missing or has the wrong
// checksum, file calls make and writes the result. If the golden has no such file, file returns nil.
func (m *maker) file(g *golden, i int, make func() ([]byte, error)) ([]byte, error) {
	if g.sums[i] == "-" {
		return nil, nil
	}
	path := filepath.Join(m.folder, filepath.FromSlash(g.path(suffixes[i])))
	if b, err := os.ReadFile(path); err == nil && sum(b) == g.sums[i] {
		return b, nil
	}
	b, err := make()
	if err != nil {
		return nil, err
	}
	if sum(b) != g.sums[i] {
		return nil, fmt.Errorf("the computed bytes of %s differ from the recorded ones", suffixes[i])
	}
	return b, write(path, b)
}

// input returns the model's only input tensor.
func (m *maker) input(model string) *tflite.Tensor {
	g := &m.models[model].Subgraphs[0]
	return &g.Tensors[g.Inputs[0]]
}

func (m *maker) makeInput(g *golden) ([]byte, error) {
	shape := m.input(g.model).Shape
	n := 1
	for _, s := range shape {
		n *= int(s)
	}
	kind, value, _ := strings.Cut(g.source, ":")
	switch kind {
	case "const", "noise":
		v, err := strconv.ParseUint(value, 10, 32)
		if err != nil {
			return nil, err
		}
		b := bytes.Repeat([]byte{byte(v)}, n)
		for i, x := 0, uint32(v); kind == "noise" && i < n; i++ {
			x = 1664525*x + 1013904223 // Numerical Recipes' generator
			b[i] = byte(x >> 24)
		}
		return b, nil
	case "output":
		return os.ReadFile(filepath.Join(m.folder, "golden", value, g.name+".out"))
	}
	p, err := dataset.ReadFile(filepath.Join(m.folder, filepath.FromSlash(g.source)), dataset.DefaultLimits())
	if err != nil {
		return nil, err
	}
	b := make([]byte, n)
	return b, dataset.Squash.Resize(b, p.Image, int(shape[2]), int(shape[1]))
}

// edgeTPU runs a model on an input in the Edge TPU's arithmetic. It returns the tensor that SOFTMAX reads or, without
// SOFTMAX, the output.
func edgeTPU(ctx context.Context, m *tflite.Model, input []byte) ([]byte, error) {
	g := &m.Subgraphs[0]
	o := backbone.InterpreterOptions{Arithmetic: backbone.EdgeTPU, Threads: runtime.GOMAXPROCS(0), Outputs: g.Outputs}
	for _, op := range g.Operators {
		if m.OperatorCodes[op.Opcode].Builtin == tflite.OpSoftmax {
			o.Outputs = op.Inputs[:1]
		}
	}
	in, err := backbone.NewInterpreter(m, o)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	copy(in.Input(0), input)
	if err := in.Invoke(ctx); err != nil {
		return nil, err
	}
	return bytes.Clone(in.Output(0)), nil
}
