package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/live"
	"github.com/imprintkit/imprint/tools/hostile"
	"github.com/imprintkit/imprint/tools/race"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/executable"
)

// hostileSeeds returns valid models that the tests change: our own and, if there are reference files, small published ones.
// Each compiled model precedes its uncompiled model.
func hostileSeeds(t testing.TB) [][]byte {
	t.Helper()
	seeds := [][]byte{
		sampleCompiled(t), backbonetest.Extractor(), backbonetest.Classifier(3), builtin.Model(),
		backbonetest.FloatClassifier(backbonetest.Float32Weights, 3, []float32{1, 2, 3}, []float32{4, 5, 6}),
		backbonetest.FloatClassifier(backbonetest.Float16Weights, 3, nil, nil),
		backbonetest.FloatClassifier(backbonetest.Int8Weights, 3, nil, nil), backbonetest.Classifier(5),
		backbonetest.Operators(0)["all"].File, backbonetest.Operators(1)["all"].File,
	}
	folder, ok := reference.Folder()
	if !ok {
		return seeds
	}
	for _, name := range []string{"pairs/color_red_64x64", "pairs/dense_256", "mobilenet_v1_0.25_128_quant", "detect/ssdlite_v2_1class"} {
		for _, form := range []string{"_edgetpu", ""} {
			if b, err := os.ReadFile(filepath.Join(folder, "models", name+form+".tflite")); err == nil {
				seeds = append(seeds, b)
			}
		}
	}
	return seeds
}

// sampleCompiled returns a model with the program that the tests of package executable make.
func sampleCompiled(t testing.TB) []byte {
	t.Helper()
	options, err := os.ReadFile("../../tpu/executable/testdata/sample.bin")
	if err != nil {
		t.Fatal(err)
	}
	m := &tflite.Model{Version: 3, Buffers: []tflite.Buffer{nil}, Subgraphs: []tflite.Subgraph{{DebugMetadataIndex: -1}}}
	tensor := func(name string, kind tflite.TensorType, shape ...int32) int32 {
		return m.AddTensor(0, tflite.Tensor{Name: name, Type: kind, Shape: shape, Quantization: &tflite.Quantization{Scale: []float32{0.5}, ZeroPoint: []int64{0}}})
	}
	g := &m.Subgraphs[0]
	g.Inputs = []int32{tensor("in", tflite.TypeInt8, 1, 3, 3, 3)}
	g.Outputs = []int32{tensor("plain", tflite.TypeFloat32, 1, 5), tensor("tiled", tflite.TypeUint8, 1, 3, 3, 6)}
	g.Operators = []tflite.Operator{{Opcode: m.OperatorCode(tflite.OpCustom, executable.CustomOperator, 1), CustomOptions: options,
		Inputs: g.Inputs, Outputs: []int32{g.Outputs[1], g.Outputs[0]}, DebugMetadataIndex: -1}}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// hostileWorkspace has a folder of photos and the seeds, for the cases of one process.
type hostileWorkspace struct {
	dir   string
	seeds [][]byte
}

func newHostileWorkspace(t testing.TB) hostileWorkspace {
	h := hostileWorkspace{dir: t.TempDir(), seeds: hostileSeeds(t)}
	for kind, class := range []string{"red", "blue"} {
		for i, name := range []string{"a.png", "b.png"} {
			h.write(t, filepath.Join("photos", class, name), backbonetest.Photo(uint64(kind), uint64(i)))
		}
	}
	return h
}

func (h hostileWorkspace) write(t testing.TB, name string, content []byte) {
	t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// memoryBound returns the number of bytes that a command may allocate for a model: 64 MiB, 64 times the file, and eight
// times what the model needs to run.
func memoryBound(file []byte) uint64 {
	most := uint64(64<<20 + 64*len(file))
	m, err := tflite.Parse(file)
	if err != nil {
		return most
	}
	if in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{}); err == nil {
		need := in.Memory()
		most += 8 * uint64(need.Weights+need.Arena+need.Scratch)
		in.Close()
	}
	for _, op := range m.Subgraphs[0].Operators {
		if pkg, err := executable.Parse(op.CustomOptions); err == nil {
			for _, e := range pkg.Executables {
				need := e.ScratchBytes // also in the emulator
				for _, l := range slices.Concat(e.Inputs, e.Outputs) {
					need += l.Size
				}
				most += 8 * uint64(need)
			}
		}
	}
	return most
}

// runHostile changes a model and gives it to every command that reads models.
func (h hostileWorkspace) runHostile(c *hostile.Case) {
	seed := c.Choice % len(h.seeds)
	file := hostile.Model(h.seeds[seed], c.Edits)
	if file == nil {
		return
	}
	h.write(c, "model.tflite", file)
	h.write(c, "seed.tflite", h.seeds[seed])
	for _, name := range []string{"ws", "out"} {
		if err := os.RemoveAll(filepath.Join(h.dir, name)); err != nil {
			c.Fatal(err)
		}
	}
	most := memoryBound(file)
	command := func(line string) {
		h.command(c, most, strings.Fields(line))
	}
	command("inspect -v model.tflite")
	command("inspect --json model.tflite")
	command("run model.tflite --input model.tflite")
	if m, err := tflite.Parse(file); err == nil && len(m.Subgraphs[0].Inputs) == 1 {
		n := m.Subgraphs[0].Tensors[m.Subgraphs[0].Inputs[0]].NumElements()
		if n >= 0 && n < 1<<20 {
			h.write(c, "in", make([]byte, n))
			command("run model.tflite --input in")
			if backbone.Compiled(m) {
				command("run model.tflite --input in --device tpu")
			}
		}
	}
	command("classify --model model.tflite photos/red/a.png")
	command("--workspace ws --backbone model.tflite add photos")
	command("--workspace ws classify -v photos/red/a.png")
	h.reload(c, most)
	command("--workspace ws export --layout coral -o out")
	command("--workspace ws export --keep-classes -o out")
	command("--workspace ws retrain --head ridge")
	command("eval --backbone model.tflite photos --support 1 --episodes 2 --head mean,ridge")
	h.write(c, "partner.tflite", h.seeds[seed^1])
	if compiled := []byte(executable.CustomOperator); bytes.Contains(h.seeds[seed], compiled) {
		command("inspect --uncompiled partner.tflite model.tflite")
		command("compile --compiled model.tflite --uncompiled partner.tflite partner.tflite -o out")
	} else if bytes.Contains(h.seeds[seed^1], compiled) {
		command("compile --compiled partner.tflite --uncompiled model.tflite seed.tflite -o out")
		command("compile --compiled partner.tflite --uncompiled seed.tflite model.tflite -o out")
	}
}

// reload does what serve does when another program has retrained the workspace.
func (h hostileWorkspace) reload(c *hostile.Case, most uint64) {
	c.Do("serve", most, func(ctx context.Context) {
		ws := filepath.Join(h.dir, "ws")
		l, err := live.Open(ctx, ws, imprint.Options{Existing: true})
		if err != nil {
			return
		}
		defer l.Close()
		var out bytes.Buffer
		run(ctx, []string{"imprint", "--workspace", ws, "retrain", "--head", "mean"}, strings.NewReader(""), &out, &out, h.bus)
		l.Reload(ctx)
		if f, err := dataset.Open(dataset.Item{Path: filepath.Join(h.dir, "photos/red/a.png")}, dataset.DefaultLimits()); err != nil {
			c.Error(err)
		} else {
			l.ClassifyFile(ctx, f, 2)
		}
	})
}

// bus returns a bus with an emulated device that knows the program of model.tflite, if it can run it.
func (h hostileWorkspace) bus() (tpu.Bus, error) {
	d := emulator.New(emulator.Config{Application: true})
	if file, err := os.ReadFile(filepath.Join(h.dir, "model.tflite")); err == nil && d.Register(file, nil) == nil {
		return emulator.NewBus(d), nil
	}
	return nil, tpu.ErrNoDevice
}

// command runs a command in h.dir. It must end with a status that is documented.
func (h hostileWorkspace) command(c *hostile.Case, most uint64, args []string) {
	name := strings.Join(args, " ")
	for i, a := range args {
		switch a {
		case "model.tflite", "seed.tflite", "partner.tflite", "photos", "ws", "out", "in", "photos/red/a.png":
			args[i] = filepath.Join(h.dir, a)
		}
	}
	c.Do(name, most, func(ctx context.Context) {
		var out, errors bytes.Buffer
		code := run(ctx, append([]string{"imprint"}, args...), strings.NewReader(""), &out, &errors, h.bus)
		if code == 2 || code > 4 || code < 0 {
			c.Fatalf("imprint %s: status %d: %s", name, code, &errors)
		}
	})
}

// TestHostileModels gives changed models to every command.
func TestHostileModels(t *testing.T) {
	if race.Enabled {
		t.Skip("slow under the race detector, and nothing is concurrent")
	}
	hostile.Run(t, 30, newHostileWorkspace(t).runHostile)
}

// FuzzHostile is TestHostileModels for Go's fuzzing engine.
func FuzzHostile(f *testing.F) {
	h := newHostileWorkspace(f)
	for i := range 8 {
		f.Add([]byte{byte(i), 3, 9, 0, 0, 1, 0, 0, 0})
	}
	f.Fuzz(func(t *testing.T, content []byte) { h.runHostile(hostile.New(t, content)) })
}
