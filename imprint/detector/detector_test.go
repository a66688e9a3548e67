package detector_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"log"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/dataset/annotations"
	"github.com/imprintkit/imprint/imprint/detector"
)

// scenes returns photos of noise with one rectangle each, red and blue by turns or only red.
func scenes(seed uint64, n int, labels ...string) []detector.Photo {
	random := rand.New(rand.NewPCG(seed, 0))
	var list []detector.Photo
	for i := range n {
		const side = 64
		img := image.NewNRGBA(image.Rect(0, 0, side, side))
		for p := range img.Pix {
			img.Pix[p] = byte(100 + random.IntN(40))
			if p%4 == 3 {
				img.Pix[p] = 255
			}
		}
		label := i % len(labels)
		fill := []color.NRGBA{{250, 20, 20, 255}, {20, 20, 250, 255}}[label]
		at := image.Rect(0, 0, 13, 13).Add(image.Pt(16*random.IntN(4)+random.IntN(3), 16*random.IntN(4)+random.IntN(3))) // near an anchor
		draw.Draw(img, at, image.NewUniform(fill), image.Point{}, draw.Src)
		var b bytes.Buffer
		if err := png.Encode(&b, img); err != nil {
			panic(err)
		}
		list = append(list, detector.Photo{
			Item: dataset.Item{Path: fmt.Sprintf("%d-%d.png", seed, i), Content: b.Bytes()},
			Boxes: []annotations.Box{{Label: labels[label], X0: float64(at.Min.X) / side, Y0: float64(at.Min.Y) / side,
				X1: float64(at.Max.X) / side, Y1: float64(at.Max.Y) / side}},
		})
	}
	return list
}

func Example() {
	photos := scenes(1, 10, "red") // or the photos that Match returns
	r, err := detector.Train(context.Background(), backbonetest.Detector(2), photos, detector.Options{})
	if err != nil {
		log.Fatal(err)
	}
	d, err := detect.Parse(r.Model, detect.Options{Name: "red.tflite"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Labels, r.Photos, r.Boxes, d.Head.Params.Classes)
	// Output: [red] 10 10 1
}

// TestTrain checks that a detector of two new classes finds them in other photos.
func TestTrain(t *testing.T) {
	for _, m := range []struct {
		name  string
		model []byte
		least float64 // the features of the int8 model hardly tell the classes apart
	}{{"uint8", backbonetest.Detector(3), 0.8}, {"one class", backbonetest.Detector(1), 0.8}, {"int8", signed(t), 0.45}} {
		t.Run(m.name, func(t *testing.T) {
			photos := scenes(3, 36, "red", "blue")
			scores, err := detector.Evaluate(t.Context(), m.model, photos, detector.EvaluateOptions{Shots: []int{3, 5}, Draws: 1, HoldOut: 16})
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range scores {
				if !(s.AP50 >= m.least) || s.Photos < 2*float64(s.Shots)-3 || s.Photos > 2*float64(s.Shots)+3 || s.HoldOut != 16 || len(s.Each) != 1 {
					t.Errorf("%+v", s)
				}
			}
		})
	}
}

// TestOrder checks that the bytes of a model do not depend on the order of the photos, on copies of
// them, or on the number of threads, and that they are the same on every processor.
func TestOrder(t *testing.T) {
	const want = "2c4362d78a9e2ffadbb3613052a5ddf3ce17f2dac2e5a20b07eb30db554b93ce"
	photos := scenes(3, 7, "red", "blue")
	first, err := detector.Train(t.Context(), backbonetest.Detector(2), photos, detector.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(first.Model)); got != want {
		t.Errorf("the model has the SHA-256 %s, want %s", got, want)
	}
	again := append(slices.Clone(photos), photos[2])
	slices.Reverse(again)
	for i := range again { // the order of boxes and repeated ones have no influence either
		again[i].Boxes = append(slices.Clone(again[i].Boxes), again[i].Boxes...)
		slices.Reverse(again[i].Boxes)
	}
	second, err := detector.Train(t.Context(), backbonetest.Detector(2), again, detector.Options{Threads: 4})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Model, second.Model) || second.Photos != 7 || len(second.Skipped) != 1 {
		t.Errorf("in another order, the model differs (%d photos, skipped %v)", second.Photos, second.Skipped)
	}
}

// TestCopies checks which boxes count if copies of a photo have different ones: most of them, in any order.
func TestCopies(t *testing.T) {
	photos := scenes(3, 4, "red", "blue")
	fewer, other := photos[0], photos[1]
	fewer.Item.Path, fewer.Boxes = "fewer.png", nil
	other.Item.Path = "other.png"
	other.Boxes = slices.Clone(other.Boxes)
	other.Boxes[0].X0 /= 2
	var models [2][]byte
	var scores [2][]float64
	for i := range models {
		all := append(slices.Clone(photos), fewer, other)
		if i > 0 {
			slices.Reverse(all)
		}
		r, err := detector.Train(t.Context(), backbonetest.Detector(2), all, detector.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Skipped) != 2 || r.Photos != len(photos) || r.Boxes != boxes(photos) {
			t.Errorf("trained on %d boxes in %d photos, skipped %v", r.Boxes, r.Photos, r.Skipped)
		}
		models[i] = r.Model
		found, err := detector.Evaluate(t.Context(), backbonetest.Detector(2), all, detector.EvaluateOptions{Shots: []int{2}, Draws: 2, HoldOut: 2})
		if err != nil {
			t.Fatal(err)
		}
		scores[i] = found[0].Each
	}
	if !bytes.Equal(models[0], models[1]) {
		t.Error("in another order, the model differs")
	}
	if !slices.Equal(scores[0], scores[1]) {
		t.Errorf("in another order, the scores differ: %v and %v", scores[0], scores[1])
	}
}

// boxes returns the number of boxes in photos.
func boxes(photos []detector.Photo) (n int) {
	for _, p := range photos {
		n += len(p.Boxes)
	}
	return n
}

// scoresOf returns the codes of the scores of a detector for a photo of random pixels.
func scoresOf(t *testing.T, file []byte) (codes []byte, columns int) {
	t.Helper()
	m, err := tflite.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	h, err := detect.FindHead(m)
	if err != nil {
		t.Fatal(err)
	}
	in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{Outputs: []int32{h.Scores}})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	random := rand.New(rand.NewPCG(9, 9))
	for i := range in.Input(0) {
		in.Input(0)[i] = byte(random.Uint32())
	}
	if err := in.Invoke(t.Context()); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(in.Output(0)), int(in.Outputs()[0].Shape[2])
}

// TestKeep checks that kept classes keep their scores.
func TestKeep(t *testing.T) {
	model := backbonetest.Detector(3)
	r, err := detector.Train(t.Context(), model, scenes(4, 12, "red"), detector.Options{Keep: true, Labels: []string{"a", "b", "c"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a", "b", "c", "red"}; !slices.Equal(r.Labels, want) {
		t.Errorf("labels %v, want %v", r.Labels, want)
	}
	before, n := scoresOf(t, model)
	after, columns := scoresOf(t, r.Model)
	if n != 4 || columns != 5 {
		t.Fatalf("%d and %d columns", n, columns)
	}
	new := make(map[byte]bool)
	for i := range len(before) / n {
		if was, is := before[n*i:][:n], after[columns*i:][:n]; !bytes.Equal(was, is) {
			t.Fatalf("box %d had the scores %v and has %v", i, was, is)
		}
		new[after[columns*i+n]] = true
	}
	if len(new) < 3 {
		t.Errorf("the scores of the new class are %v", new)
	}
	d, err := detect.Parse(r.Model, detect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if labels, err := d.Model().Labels(); err != nil || !slices.Equal(labels, r.Labels) {
		t.Errorf("labels %v, %v", labels, err)
	}
}

// classConvs returns the operators that predict classes.
func classConvs(m *tflite.Model) (list []*tflite.Operator) {
	g := &m.Subgraphs[0]
	for i := range g.Operators {
		if name := g.Tensors[g.Operators[i].Outputs[0]].Name; name == "level 0/classes" || name == "level 1/classes" {
			list = append(list, &g.Operators[i])
		}
	}
	return list
}

func TestErrors(t *testing.T) {
	photos := scenes(5, 3, "red")
	huge := scenes(5, 3, "red")
	for i := range huge {
		huge[i].Boxes[0] = annotations.Box{Label: "all", X1: 1, Y1: 1}
	}
	for _, test := range []struct {
		name   string
		model  []byte
		photos []detector.Photo
		o      detector.Options
		want   error
	}{
		{"shared", backbonetest.Changed(backbonetest.Detector(2), func(m *tflite.Model) {
			convs := classConvs(m)
			convs[1].Inputs = append([]int32{convs[1].Inputs[0]}, convs[0].Inputs[1:]...)
		}), photos, detector.Options{}, detector.ErrSharedPredictors},
		{"activation", backbonetest.Changed(backbonetest.Detector(2), func(m *tflite.Model) {
			op := classConvs(m)[0]
			o := op.Options.Conv2D()
			o.Activation = tflite.ActRelu
			op.Options = o.Options()
		}), photos, detector.Options{}, detector.ErrPredictors},
		{"no input", backbonetest.Changed(backbonetest.Detector(2), func(m *tflite.Model) {
			for i := range m.Subgraphs[0].Operators {
				op := &m.Subgraphs[0].Operators[i]
				if o := op.Options.Concatenation(); o.Axis == 1 {
					op.Inputs = append([]int32{-1}, op.Inputs[1:]...)
				}
			}
		}), photos, detector.Options{}, detector.ErrPredictors},
		{"no detector", backbonetest.Classifier(3), photos, detector.Options{}, detect.ErrNoDetector},
		{"no boxes", backbonetest.Detector(2), []detector.Photo{{Item: photos[0].Item}}, detector.Options{}, detector.ErrNoBoxes},
		{"no photos", backbonetest.Detector(2), nil, detector.Options{}, detector.ErrNoBoxes},
		{"out of reach", backbonetest.Detector(2), huge, detector.Options{}, detector.ErrNoBoxes},
		{"known class", backbonetest.Detector(2), photos, detector.Options{Keep: true, Labels: []string{"red", "x"}}, detector.ErrClass},
		{"corrupt", []byte("no model"), photos, detector.Options{}, tflite.ErrCorrupt},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := detector.Train(t.Context(), test.model, test.photos, test.o); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	if _, err := detector.Evaluate(t.Context(), backbonetest.Detector(2), photos, detector.EvaluateOptions{Shots: []int{5}, Draws: 1, HoldOut: 1}); !errors.Is(err, detector.ErrNoBoxes) {
		t.Errorf("too few photos: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := detector.Train(ctx, backbonetest.Detector(2), photos, detector.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

func TestMatch(t *testing.T) {
	set := &annotations.Set{}
	_, skipped := detector.Match([]dataset.Item{{Path: "a.jpg"}}, set)
	if len(skipped) != 1 || !errors.Is(skipped[0].Err, annotations.ErrNotAnnotated) {
		t.Errorf("skipped %v", skipped)
	}
	path := filepath.Join(t.TempDir(), "boxes.csv")
	table := "filename,width,height,class,xmin,ymin,xmax,ymax\na.png,80,60,left,0,0,16,32\nb.png,60,80,left,0,0,16,32\n"
	if err := os.WriteFile(path, []byte(table), 0o644); err != nil {
		t.Fatal(err)
	}
	set, err := annotations.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	photo := backbonetest.Photo(1, 1) // of 40×30 pixels
	photos, skipped := detector.Match([]dataset.Item{{Path: "a.png", Content: photo}, {Path: "b.png", Content: photo}}, set)
	if len(photos) != 1 || photos[0].Item.Path != "a.png" || len(skipped) != 1 || !errors.Is(skipped[0].Err, annotations.ErrShape) {
		t.Errorf("got photos %v, skipped %v, want a.png, and b.png skipped because of its shape", photos, skipped)
	}
}

// signed returns the file of the tiny detector with int8 codes, a scale for each row of the class
// predictors' weights, and a DEQUANTIZE before each input of the post-process.
func signed(t *testing.T) []byte {
	t.Helper()
	return backbonetest.Changed(backbonetest.Detector(2), func(m *tflite.Model) {
		g := &m.Subgraphs[0]
		post := &g.Operators[len(g.Operators)-1]
		for i := range g.Tensors {
			tensor := &g.Tensors[i]
			if tensor.Type != tflite.TypeUint8 || i == int(post.Inputs[2]) {
				continue
			}
			tensor.Type = tflite.TypeInt8
			q := *tensor.Quantization
			q.ZeroPoint = []int64{q.ZeroPoint[0] - 128}
			if b := m.Buffers[tensor.Buffer]; len(b) > 0 {
				b = slices.Clone(b)
				for k := range b {
					b[k] ^= 0x80
				}
				m.Buffers[tensor.Buffer] = b
				q.ZeroPoint = []int64{0}
			}
			tensor.Quantization = &q
		}
		for _, op := range classConvs(m) {
			w, b := &g.Tensors[op.Inputs[1]], &g.Tensors[op.Inputs[2]]
			rows := int(w.Shape[0])
			for _, tensor := range []*tflite.Tensor{w, b} {
				q := *tensor.Quantization
				q.Scale, q.ZeroPoint, q.Dimension = slices.Repeat(q.Scale, rows), make([]int64, rows), 0
				tensor.Quantization = &q
			}
		}
		var widened []tflite.Operator
		post.Inputs = slices.Clone(post.Inputs)
		for k := range 2 {
			from := post.Inputs[k]
			post.Inputs[k] = m.AddTensor(0, tflite.Tensor{Name: fmt.Sprint("real ", k), Type: tflite.TypeFloat32, Shape: g.Tensors[from].Shape})
			widened = append(widened, tflite.Operator{Opcode: m.OperatorCode(tflite.OpDequantize, "", 2), Inputs: []int32{from}, Outputs: []int32{post.Inputs[k]}, DebugMetadataIndex: -1})
		}
		// The anchors must have the type of the encodings.
		anchors := &g.Tensors[post.Inputs[2]]
		codes := m.TensorBytes(0, post.Inputs[2])
		var reals []byte
		for _, c := range codes {
			reals = binary.LittleEndian.AppendUint32(reals, math.Float32bits(float32(c)*anchors.Quantization.Scale[0]))
		}
		anchors.Type, anchors.Quantization, anchors.Buffer = tflite.TypeFloat32, nil, m.AddBuffer(reals)
		g.Operators = slices.Insert(g.Operators, len(g.Operators)-1, widened...)
	})
}

// TestSameScales checks that the scales of all tensors other than weights and biases stay, as well as the
// options of the post-process, and that the class is still found.
func TestSameScales(t *testing.T) {
	model := backbonetest.Detector(1)
	photos := scenes(6, 30, "red")
	r, err := detector.Train(t.Context(), model, photos[:10], detector.Options{SameScales: true})
	if err != nil {
		t.Fatal(err)
	}
	was, err := tflite.Parse(model)
	if err != nil {
		t.Fatal(err)
	}
	is, err := tflite.Parse(r.Model)
	if err != nil {
		t.Fatal(err)
	}
	for i, op := range was.Subgraphs[0].Operators {
		new := is.Subgraphs[0].Operators[i]
		if !bytes.Equal(op.CustomOptions, new.CustomOptions) {
			t.Errorf("operator %d has other options", i)
		}
		a, b := was.Subgraphs[0].Tensors[op.Outputs[0]], is.Subgraphs[0].Tensors[new.Outputs[0]]
		if qa, qb := a.Quantization, b.Quantization; qa != nil && (!slices.Equal(qa.Scale, qb.Scale) || !slices.Equal(qa.ZeroPoint, qb.ZeroPoint)) {
			t.Errorf("%q had the scale %v and has %v", a.Name, qa.Scale, qb.Scale)
		}
	}
	scores, err := detector.Evaluate(t.Context(), model, photos, detector.EvaluateOptions{Options: detector.Options{SameScales: true}, Shots: []int{10}, Draws: 1, HoldOut: 10})
	if err != nil || !(scores[0].AP50 >= 0.6) {
		t.Errorf("scores %+v, %v", scores, err)
	}
}
