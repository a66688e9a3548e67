package tflitepeer

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// anyDetection returns random options for a random number of boxes, and the number of score columns.
func anyDetection(r *rand.Rand) (p kernels.DetectionParams, boxes, columns int) {
	p = kernels.DetectionParams{
		Classes: 1 + r.IntN(7), MaxDetections: 1 + r.IntN(12), ClassesPerBox: 1, Regular: r.IntN(2) == 0, PerClass: 1 + r.IntN(9),
		ScoreThreshold: [...]float32{1e-8, 0.3, 0.7, -1}[r.IntN(4)], IoUThreshold: [...]float32{0.6, 0.3, 1, 0.05}[r.IntN(4)],
		Scale: [4]float32{10, 10, 5, 5},
	}
	if !p.Regular && r.IntN(2) == 0 {
		p.ClassesPerBox = 1 + r.IntN(p.Classes) // TensorFlow Lite leaves more than that undefined
	}
	if r.IntN(3) == 0 {
		p.Scale = [4]float32{1 + 9*r.Float32(), 1 + 9*r.Float32(), 1 + 9*r.Float32(), 1 + 9*r.Float32()}
	}
	return p, 1 + r.IntN(60), p.Classes + r.IntN(2)
}

// anyFrame returns random encodings and scores with many equal scores.
func anyFrame(r *rand.Rand, t tflite.TensorType, boxes, columns int) (encodings, scores []byte) {
	add := func(list []byte, code byte, v float64) []byte {
		if t == tflite.TypeUint8 {
			return append(list, code)
		}
		return binary.LittleEndian.AppendUint32(list, math.Float32bits(float32(v)))
	}
	for range 4 * boxes {
		code := 131 + 30*r.NormFloat64()
		encodings = add(encodings, byte(min(max(code, 0), 255)), 3*r.NormFloat64())
	}
	levels := []int{3, 40, 256}[r.IntN(3)]
	for range columns * boxes {
		code := r.IntN(levels) * 255 / (levels - 1)
		scores = add(scores, byte(code), float64(code)/255)
	}
	return encodings, scores
}

// TestPeerDetectionPostProcess compares TFLite_Detection_PostProcess on random options and inputs,
// bit for bit.
func TestPeerDetectionPostProcess(t *testing.T) {
	p := peer(t)
	r := rand.New(rand.NewPCG(11, 12))
	detections, dir := 0, t.TempDir()
	for i := range 120 {
		kind := []tflite.TensorType{tflite.TypeUint8, tflite.TypeFloat32}[i%2]
		params, boxes, columns := anyDetection(r)
		file := backbonetest.PostProcess(params, kind, boxes, columns)
		m, err := tflite.Parse(file)
		if err != nil {
			t.Fatal(err)
		}
		in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{Threads: 1})
		if err != nil {
			t.Fatalf("%+v: %v", params, err)
		}
		defer in.Close()
		var inputs, ours [][]byte
		for range 5 {
			encodings, scores := anyFrame(r, kind, boxes, columns)
			inputs = append(inputs, append(bytes.Clone(encodings), scores...))
			copy(in.Input(0), encodings)
			copy(in.Input(1), scores)
			if err := in.Invoke(t.Context()); err != nil {
				t.Fatal(err)
			}
			ours = append(ours, defined(params, in.Output(0), in.Output(1), in.Output(2), in.Output(3)))
		}
		path := filepath.Join(dir, fmt.Sprint(i, ".tflite"))
		if err := os.WriteFile(path, file, 0o644); err != nil {
			t.Fatal(err)
		}
		theirs, err := p.Run(t.Context(), path, inputs)
		if err != nil {
			t.Fatalf("%+v: %v", params, err)
		}
		for j, out := range theirs {
			n := 4 * params.Detections()
			got, want := ours[j], defined(params, out[:4*n], out[4*n:5*n], out[5*n:6*n], out[6*n:])
			if !bytes.Equal(got, want) {
				t.Errorf("%v %+v, %d boxes, input %d: got %v\nwant %v", kind, params, boxes, j, floatsIn(got), floatsIn(want))
			}
			detections += int(floatsIn(want)[0])
		}
	}
	t.Logf("%d detections compared", detections)
}

// defined returns the parts of the outputs that TensorFlow Lite writes. It leaves those of the fast
// form beyond the last detection as they were in memory.
func defined(p kernels.DetectionParams, boxes, classes, scores, count []byte) []byte {
	n := p.Detections()
	if !p.Regular {
		n = int(floatsIn(count)[0]) * p.ClassesPerBox
	}
	return bytes.Join([][]byte{count, boxes[:16*n], classes[:4*n], scores[:4*n]}, nil)
}
