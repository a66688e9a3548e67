package evaluate

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
)

// candidates returns two backbones. The second one makes more multiplications.
func candidates(t *testing.T, priors ...float64) []BackboneCandidate {
	t.Helper()
	var all []BackboneCandidate
	for i, model := range [][]byte{backbonetest.Extractor(), backbonetest.EfficientNet(5)} {
		b, err := backbone.Parse(model, backbone.Options{Name: "test"})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, BackboneCandidate{Name: []string{"fast", "slow"}[i], Backbone: b, Prior: priors[i]})
	}
	return all
}

// TestDecide checks how priors and the scores of photos left out are weighed.
func TestDecide(t *testing.T) {
	for _, test := range []struct {
		name       string
		priors     []float64
		photos     int
		fast, slow [2]float64 // scores in % of photos with even and with odd numbers
		want       string
		counted    int
	}{
		{"no photos", []float64{60, 70}, 0, [2]float64{}, [2]float64{}, "slow", 0},
		{"no photos, nearly equal", []float64{69.8, 70}, 0, [2]float64{}, [2]float64{}, "fast", 0},
		{"too few photos", []float64{60, 70}, 9, [2]float64{100, 100}, [2]float64{10, 10}, "slow", 0},
		{"photos against the prior", []float64{60, 65}, 200, [2]float64{90, 80}, [2]float64{60, 70}, "fast", 200},
		{"a few photos with noise", []float64{60, 65}, 12, [2]float64{95, 30}, [2]float64{50, 70}, "slow", 12},
		{"unsure heads", []float64{60, 70}, 20, [2]float64{12, 12.1}, [2]float64{10, 10.1}, "slow", 20},
		{"equal on the photos", []float64{60, 60}, 50, [2]float64{80, 70}, [2]float64{70.1, 80.1}, "fast", 50},
		{"slightly better", []float64{60, 60}, 50, [2]float64{80, 70}, [2]float64{82, 72}, "slow", 50},
	} {
		all := candidates(t, test.priors...)
		for i, scores := range [][2]float64{test.fast, test.slow} {
			all[i].losses = make(map[int]float64)
			for p := range test.photos {
				all[i].losses[p] = -math.Log(scores[p%2] / 100)
			}
		}
		choice := &BackboneChoice{Candidates: all}
		choice.decide()
		if choice.Backbone != test.want || choice.Candidates[0].Name != test.want || choice.Photos != test.counted {
			t.Errorf("%s: got %s by %d photos, want %s by %d: %+v", test.name, choice.Backbone, choice.Photos, test.want, test.counted, choice.Candidates)
		}
	}
}

// TestDecideComparesTheSamePhotos checks that only photos left out with all candidates count.
func TestDecideComparesTheSamePhotos(t *testing.T) {
	all := candidates(t, 60, 60)
	for i := range all {
		all[i].losses = make(map[int]float64)
		for p := range 20 {
			all[i].losses[p] = []float64{0.1, 1}[i]
		}
	}
	for p := range 1000 {
		all[0].losses[100+p] = 20
	}
	choice := &BackboneChoice{Candidates: all}
	if choice.decide(); choice.Backbone != "fast" || choice.Photos != 20 {
		t.Errorf("got %s by %d photos, want fast by 20", choice.Backbone, choice.Photos)
	}
}

func TestChooseBackbone(t *testing.T) {
	all := candidates(t, 60, 62)
	var items []dataset.Item
	for i := range 20 {
		items = append(items, dataset.Item{Path: fmt.Sprint(i, ".png"), Label: []string{"blue", "red"}[i%2], Content: backbonetest.WidePhoto(i%2, false, uint64(i))})
	}
	items = append(items, items[0], dataset.Item{Path: "damaged.png", Label: "red", Content: items[0].Content[:100]})
	calls, last := 0, 0
	choice, err := ChooseBackbone(t.Context(), all, items, EmbedOptions{Resize: dataset.Crop, Threads: 2, Progress: func(done, total int) {
		calls, last = calls+1, total
	}})
	if err != nil {
		t.Fatal(err)
	}
	if choice.Photos != 20 || calls != 2*len(items) || last != calls {
		t.Errorf("got %d photos and %d calls of Progress with total %d, want 20 and %d", choice.Photos, calls, last, 2*len(items))
	}
	for _, c := range choice.Candidates {
		if e := c.Estimate; e.Total != 20 || e.Correct < 12 || !(c.Score > 50 && c.Score <= 100) {
			t.Errorf("%s: got estimate %+v and score %v, want at least 12 of 20 correct", c.Name, e, c.Score)
		}
	}
	slices.Reverse(items)
	again, err := ChooseBackbone(t.Context(), all, items[2:], EmbedOptions{Resize: dataset.Crop, Threads: 1})
	if err != nil || again.Backbone != choice.Backbone {
		t.Errorf("in another order: got %+v, %v, want %s", again, err, choice.Backbone)
	}
	if one, err := ChooseBackbone(t.Context(), all, phototest.Photos("cone", 0, 0, 12), EmbedOptions{Resize: dataset.Crop}); err != nil || one.Photos != 0 || one.Backbone != "slow" {
		t.Errorf("with one class: got %+v, %v, want slow by its prior", one, err)
	}
	if _, err := ChooseBackbone(t.Context(), nil, items, EmbedOptions{Resize: dataset.Crop}); err == nil {
		t.Error("no error without candidates")
	}
}

func TestSomeOfEach(t *testing.T) {
	items := slices.Concat(phototest.Photos("a", 0, 0, 5), phototest.Photos("b", 2, 0, 1), phototest.Photos("c", 4, 0, 9))
	got := someOfEach(items, 9)
	if want := slices.Concat(items[:3], items[5:6], items[6:9]); !reflect.DeepEqual(got, want) {
		t.Errorf("got %d items, want 3, 1 and 3", len(got))
	}
	if got := someOfEach(items, 100); !reflect.DeepEqual(got, items) {
		t.Errorf("got %d items, want all %d", len(got), len(items))
	}
}
