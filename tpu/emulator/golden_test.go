package emulator

import (
	"bytes"
	"context"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/executable"
)

// host is a small driver that loads a package and runs it, in the order of its hints.
type host struct {
	tb   testing.TB
	conn tpu.Conn
	ctx  context.Context
}

// openHost opens a device that runs its firmware, and wakes its core.
func openHost(tb testing.TB, d *Device) *host {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	tb.Cleanup(cancel)
	c, err := NewBus(d).Open(ctx, d.config.Port)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	h := &host{tb, c, ctx}
	h.wake()
	return h
}

// wake makes the register accesses of Google's start sequence that affect the emulator.
func (h *host) wake() {
	h.tb.Helper()
	h.write32(scuCtrl3, 0x5085025c)
	h.write64(descriptorMask, 0xf0)
	h.write64(scalarCoreRun, 1)
	h.write64(fatalControl, 1)
	for i := range uint32(4) {
		h.write64(topControl+16*i, 1)
	}
}

func (h *host) write32(address, v uint32) {
	h.tb.Helper()
	h.register(0x40, 1, address, binary.LittleEndian.AppendUint32(nil, v))
}

func (h *host) write64(address uint32, v uint64) {
	h.tb.Helper()
	h.register(0x40, 0, address, binary.LittleEndian.AppendUint64(nil, v))
}

func (h *host) read32(address uint32) uint32 {
	h.tb.Helper()
	return binary.LittleEndian.Uint32(h.register(0xc0, 1, address, make([]byte, 4)))
}

func (h *host) read64(address uint32) uint64 {
	h.tb.Helper()
	return binary.LittleEndian.Uint64(h.register(0xc0, 0, address, make([]byte, 8)))
}

func (h *host) register(requestType, request uint8, address uint32, p []byte) []byte {
	h.tb.Helper()
	if _, err := h.conn.Control(h.ctx, requestType, request, uint16(address), uint16(address>>16), p); err != nil {
		h.tb.Fatalf("register %#x: %v", address, err)
	}
	return p
}

func (h *host) send(tag byte, p []byte) {
	h.tb.Helper()
	header := [8]byte{4: tag}
	binary.LittleEndian.PutUint32(header[:], uint32(len(p)))
	for _, b := range [][]byte{header[:], p} {
		if _, err := h.conn.Write(h.ctx, 1, b); err != nil {
			h.tb.Fatal(err)
		}
	}
}

// run runs an executable and returns the bytes of its outputs on the wire, by layer name.
func (h *host) run(e *executable.Executable, input []byte) map[string][]byte {
	h.tb.Helper()
	out := make(map[string][]byte)
	for _, hint := range e.Hints {
		switch {
		case hint.Kind == executable.Instructions:
			h.send(tagInstructions, e.Chunks[hint.Chunk].Bytes)
		case hint.Kind == executable.Interrupt:
			var event [16]byte
			if n, err := h.conn.Read(h.ctx, 0x82, event[:]); n != 16 || err != nil || event[12] != 4 {
				h.tb.Fatalf("got event % x and error %v", event[:n], err)
			}
		case hint.Kind != executable.Transfer:
		case hint.Out:
			b := make([]byte, hint.Size)
			for at := 0; at < len(b); {
				n, err := h.conn.Read(h.ctx, 0x81, b[at:])
				if err != nil {
					h.tb.Fatal(err)
				}
				at += n
			}
			out[hint.Name] = append(out[hint.Name], b...)
		case hint.Buffer == executable.Parameter:
			h.send(tagParameters, e.Parameters[hint.Offset:hint.Offset+hint.Size])
		default:
			padded := make([]byte, hint.Offset+hint.Size)
			copy(padded, input)
			h.send(tagInput, padded[hint.Offset:])
		}
	}
	return out
}

// infer loads a package's parameters and runs it. It returns the output tensors.
func (h *host) infer(pkg *executable.Package, input []byte) [][]byte {
	h.tb.Helper()
	if pkg.Caching != nil {
		h.run(pkg.Caching, nil)
	}
	return h.again(pkg, input)
}

// again runs a package whose parameters are loaded. It returns the output tensors.
func (h *host) again(pkg *executable.Package, input []byte) [][]byte {
	h.tb.Helper()
	wire := make([]byte, pkg.Main.Inputs[0].Size)
	if err := pkg.Main.Inputs[0].ToDevice(wire, input); err != nil {
		h.tb.Fatal(err)
	}
	out := h.run(pkg.Main, wire)
	var tensors [][]byte
	for i := range pkg.Main.Outputs {
		l := &pkg.Main.Outputs[i]
		t := make([]byte, l.TensorSize())
		if err := l.FromDevice(t, out[l.Name]); err != nil {
			h.tb.Fatal(err)
		}
		tensors = append(tensors, t)
	}
	return tensors
}

// goldens returns the recorded inputs and outputs of a model. In short mode it returns only the first input and its
// output.
func goldens(t *testing.T, model string) (cases []golden) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(reference.Path(t, "golden", model), "*.tpu"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no goldens of %s: %v", model, err)
	}
	if testing.Short() {
		if !strings.HasPrefix(model, "mobilenet_v1_0.") {
			t.Skip("too slow for short mode")
		}
		files = files[:1]
	}
	for _, f := range files {
		g := golden{name: strings.TrimSuffix(filepath.Base(f), ".tpu")}
		if g.in, err = os.ReadFile(strings.TrimSuffix(f, "tpu") + "in"); err != nil {
			t.Fatal(err)
		}
		if g.out, err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, g)
	}
	return cases
}

type golden struct {
	name    string
	in, out []byte
}

// beforeSoftmax returns the output of the last layer with a filter in the last inference.
func beforeSoftmax(d *Device) []byte {
	var b []byte
	for _, l := range d.models[0].programs[0].network.layers {
		if l.layout != nil {
			b = l.out.data
		}
	}
	return b
}

// TestGoldens compares inferences with the results of an independent program. The rules of that program were derived
// from recordings of a physical device. For classifiers, it compares the tensors before SOFTMAX, which never leave the
// chip.
func TestGoldens(t *testing.T) {
	tests := []struct {
		model      string
		classifier bool
	}{
		{"mobilenet_v1_0.25_128_quant", true},
		{"mobilenet_v1_0.5_160_quant", true},
		{"mobilenet_v1_1.0_224_quant_embedding_extractor", false},
	}
	for _, test := range tests {
		t.Run(test.model, func(t *testing.T) {
			compiled := reference.Read(t, "models", test.model+"_edgetpu.tflite")
			d := New(Config{Application: true, Log: t.Logf})
			if err := d.Register(compiled, reference.Read(t, "models", test.model+".tflite")); err != nil {
				t.Fatal(err)
			}
			pkg := parsePackage(t, compiled)
			h := openHost(t, d)
			h.run(pkg.Caching, nil)
			for _, g := range goldens(t, test.model) {
				got := h.again(pkg, g.in)[0]
				if test.classifier {
					got = beforeSoftmax(d)
				}
				if !bytes.Equal(got, g.out) {
					t.Errorf("%s: %s", g.name, difference(got, g.out))
				}
			}
		})
	}
}

// TestParametersSent runs a model with weights from a second model of the same architecture, and compares the outputs
// with recordings of the second model. The device must compute with the weights that it received, not with the weights
// in the registered files.
func TestParametersSent(t *testing.T) {
	for _, model := range []string{"mobilenet_v1_0.25_128_quant", "mobilenet_v2_1.0_224_quant"} {
		t.Run(model, func(t *testing.T) {
			compiled := reference.Read(t, "models", "older", model+"_edgetpu.tflite")
			d := New(Config{Application: true, Log: t.Logf})
			if err := d.Register(compiled, reference.Read(t, "models", "older", model+".tflite")); err != nil {
				t.Fatal(err)
			}
			other, err := tflite.Parse(reference.Read(t, "models", model+".tflite"))
			if err != nil {
				t.Fatal(err)
			}
			pkg := parsePackage(t, compiled)
			parameters := bytes.Clone(pkg.Caching.Parameters)
			var layers []*layer
			for _, l := range d.models[0].programs[0].network.layers {
				if l.layout != nil {
					layers = append(layers, l)
				}
			}
			changed := 0
			for _, op := range other.Subgraphs[0].Operators {
				if len(op.Inputs) < 3 {
					continue
				}
				y := layers[0].layout
				layers = layers[1:]
				weights, biases := other.TensorBytes(0, op.Inputs[1]), other.TensorBytes(0, op.Inputs[2])
				y.eachWeight(func(i, at int) bool {
					if parameters[at] != weights[i] {
						changed++
					}
					parameters[at] = weights[i]
					return true
				})
				for o := range y.outputs {
					if y.bias {
						copy(parameters[y.biasAt(o):], biases[4*o:4*o+4])
					}
				}
			}
			if changed == 0 || len(layers) != 0 {
				t.Fatalf("%d weights changed, %d layers not found", changed, len(layers))
			}
			pkg.Caching.Parameters = parameters
			h := openHost(t, d)
			h.run(pkg.Caching, nil)
			for _, g := range goldens(t, model) {
				h.again(pkg, g.in)
				if got := beforeSoftmax(d); !bytes.Equal(got, g.out) {
					t.Errorf("%s: %s", g.name, difference(got, g.out))
				}
			}
		})
	}
}

// TestInstructionsSent runs models on a device that knows only another model of their architecture, so that it must
// take the multipliers from the instructions. The outputs must equal the outputs of a device that knows each model.
func TestInstructionsSent(t *testing.T) {
	read := func(color string) (compiled, uncompiled []byte) {
		return reference.Read(t, "models", "pairs", "color_"+color+"_64x64_edgetpu.tflite"), reference.Read(t, "models", "pairs", "color_"+color+"_64x64.tflite")
	}
	other := New(Config{Application: true, Log: t.Logf})
	compiled, uncompiled := read("red")
	if err := other.Register(compiled, uncompiled); err != nil {
		t.Fatal(err)
	}
	input := make([]byte, 64*64*3)
	for i := range input {
		input[i] = byte(i * i / 7)
	}
	red := openHost(t, other).infer(parsePackage(t, compiled), input)[0]
	differs := false
	for _, color := range []string{"yellow", "green", "blue"} {
		compiled, uncompiled := read(color)
		own := New(Config{Application: true, Log: t.Logf})
		if err := own.Register(compiled, uncompiled); err != nil {
			t.Fatal(err)
		}
		pkg := parsePackage(t, compiled)
		want := openHost(t, own).infer(pkg, input)[0]
		got := openHost(t, other).infer(pkg, input)[0]
		if !bytes.Equal(got, want) {
			t.Errorf("%s model on a device that knows only the red model: got %v, want %v", color, got, want)
		}
		differs = differs || !bytes.Equal(got, red)
	}
	if !differs {
		t.Error("all models have the same output")
	}
}
