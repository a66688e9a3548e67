package predict_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"sync/atomic"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/predict"
)

// TestDetect checks that the results come in order and do not depend on the number of threads.
func TestDetect(t *testing.T) {
	model := phototest.Backbone(t, "d.tflite", backbonetest.Detector(4))
	photos := append(phototest.Kinds(0, 1), dataset.Item{Path: "bad.png", Content: []byte("not a photo")})
	var first []string
	for _, threads := range []int{1, 3, 8} {
		var lines []string
		err := predict.Detect(context.Background(), model, predict.DetectOptions{Threads: threads, Min: 0.1}, photos, func(d predict.Detections) error {
			d.Elapsed = 0
			b, err := json.Marshal(d)
			lines = append(lines, string(b))
			if want := photos[len(lines)-1].Path; d.Path != want || (d.Err != nil) != (want == "bad.png") {
				t.Errorf("result %d is %s, error %v, want %s", len(lines), d.Path, d.Err, want)
			}
			return err
		})
		if err != nil || len(lines) != len(photos) {
			t.Fatalf("%d results, %v", len(lines), err)
		}
		if first == nil {
			first = lines
		}
		if fmt.Sprint(lines) != fmt.Sprint(first) {
			t.Errorf("%d threads: got %s\nwant %s", threads, lines, first)
		}
	}
	stop := errors.New("stop")
	if err := predict.Detect(context.Background(), model, predict.DetectOptions{}, photos, func(predict.Detections) error { return stop }); err != stop {
		t.Errorf("got error %v, want %v", err, stop)
	}
	if err := predict.File(context.Background(), model, predict.Options{}, photos, nil); !errors.Is(err, predict.ErrDetector) {
		t.Errorf("File: got error %v, want %v", err, predict.ErrDetector)
	}
}

func TestDetectionsJSON(t *testing.T) {
	found := predict.Found{Label: "cat", Detection: detect.Detection{Score: 0.75, Box: detect.Box{X0: 0.1, Y0: 0.2, X1: 0.5, Y1: 1}}}
	for _, test := range []struct {
		d    predict.Detections
		want string
	}{
		{predict.Detections{Path: "a.png", Boxes: []predict.Found{found}, Device: "cpu", Elapsed: 1500000},
			`{"path":"a.png","boxes":[{"label":"cat","score":0.75,"box":[0.1,0.2,0.5,1]}],"device":"cpu","ms":1.5}`},
		{predict.Detections{Path: "a.png", Device: "cpu"}, `{"path":"a.png","boxes":[],"device":"cpu","ms":0}`},
		{predict.Detections{Path: "a.png", Err: errors.New("bad")}, `{"path":"a.png","error":"bad"}`},
	} {
		if got, err := json.Marshal(test.d); err != nil || string(got) != test.want {
			t.Errorf("got %s, %v, want %s", got, err, test.want)
		}
	}
}

// TestPicture checks that a picture has the size of the photo and a colored edge where the best box is.
func TestPicture(t *testing.T) {
	model := phototest.Backbone(t, "d.tflite", backbonetest.Detector(1))
	var gray bytes.Buffer
	if err := png.Encode(&gray, image.NewGray(image.Rect(0, 0, 400, 300))); err != nil {
		t.Fatal(err)
	}
	photos := []dataset.Item{{Path: "gray.png", Content: gray.Bytes()}}
	err := predict.Detect(context.Background(), model, predict.DetectOptions{Picture: true}, photos, func(d predict.Detections) error {
		img, err := jpeg.Decode(bytes.NewReader(d.Picture))
		if err != nil {
			return err
		}
		if img.Bounds() != image.Rect(0, 0, 400, 300) || len(d.Boxes) == 0 {
			t.Fatalf("got a picture of %v with %d boxes", img.Bounds(), len(d.Boxes))
		}
		box := d.Boxes[0].Box
		x, y := int(box.X0*400+0.5), int(box.Y1*300+0.5)-1
		if c := color.RGBAModel.Convert(img.At(x, y)).(color.RGBA); int(c.B)-int(c.R) < 60 {
			t.Errorf("the corner of %v at %d, %d has the color %v, want blue", box, x, y, c)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestCrops checks that each object is cut out as a square and classified, and that Only selects.
func TestCrops(t *testing.T) {
	model := phototest.Backbone(t, "d.tflite", backbonetest.Detector(2))
	photos := phototest.Kinds(0, 1)
	var asked atomic.Int64
	o := predict.DetectOptions{Crops: true, Only: []string{"thing 1"}, Classify: func(_ context.Context, crop *dataset.File) (predict.Result, error) {
		asked.Add(1)
		p, err := crop.Decode()
		if err != nil {
			return predict.Result{}, err
		}
		return predict.Result{Label: fmt.Sprint(p.Width, "×", p.Height), Score: 0.5}, nil
	}}
	boxes := 0
	err := predict.Detect(context.Background(), model, o, photos, func(d predict.Detections) error {
		for _, f := range d.Boxes {
			boxes++
			c, err := jpeg.DecodeConfig(bytes.NewReader(f.Crop))
			if err != nil {
				return err
			}
			if f.Label != "thing 1" || f.Answer == nil || f.Answer.Label != fmt.Sprint(c.Width, "×", c.Height) || c.Width > 40 || c.Height > 30 {
				t.Errorf("got %s, %+v, a crop of %d×%d", f.Label, f.Answer, c.Width, c.Height)
			}
		}
		return nil
	})
	if err != nil || boxes == 0 || int(asked.Load()) != boxes {
		t.Errorf("got %d boxes, %d classified, %v", boxes, asked.Load(), err)
	}
	o.Only = []string{"dog"}
	if err := predict.Detect(context.Background(), model, o, photos, nil); !errors.Is(err, predict.ErrNoClass) {
		t.Errorf("got error %v, want %v", err, predict.ErrNoClass)
	}
	o.Only, o.Classify = nil, func(context.Context, *dataset.File) (predict.Result, error) {
		return predict.Result{}, context.DeadlineExceeded
	}
	if err := predict.Detect(context.Background(), model, o, photos, func(predict.Detections) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got error %v, want that of Classify", err)
	}
}
