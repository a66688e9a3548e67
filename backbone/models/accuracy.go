package models

import "strings"

// An Accuracy is what a backbone reached on photo sets that it was not trained on: the accuracy in
// % of the default head. docs/accuracy.md says how it was measured.
type Accuracy struct {
	Clothing float64 `json:"clothing"` // with 5 photos per class
	Flowers  float64 `json:"flowers"`  // with 5 photos per class
	Mean     float64 `json:"mean"`     // over eight sets, of the accuracies with 1 and with 5 photos per class
}

// measured holds the results for the backbones whose files were at hand, by name. The first one is
// imprint's own.
var measured = map[string]Accuracy{
	"imprint-mobilenet_v1_0.25_128":                  {Clothing: 40.7, Flowers: 74.7, Mean: 55.4},
	"mobilenet_v1_0.25_128_quant":                    {Clothing: 43.5, Flowers: 77.5, Mean: 58.0},
	"mobilenet_v1_0.5_160_quant":                     {Clothing: 52.9, Flowers: 83.0, Mean: 64.0},
	"mobilenet_v1_0.75_192_quant":                    {Clothing: 56.7, Flowers: 85.7, Mean: 66.9},
	"mobilenet_v1_1.0_224_quant_embedding_extractor": {Clothing: 58.4, Flowers: 87.5, Mean: 68.6},
	"mobilenet_v2_1.0_224_quant":                     {Clothing: 64.1, Flowers: 83.1, Mean: 68.4},
	"tf2_mobilenet_v2_1.0_224_ptq":                   {Clothing: 69.2, Flowers: 82.2, Mean: 69.2},
	"mobilenet_v2_1.0_224_inat_bird_quant":           {Clothing: 19.4, Flowers: 65.7, Mean: 45.5},
	"mobilenet_v2_1.0_224_inat_insect_quant":         {Clothing: 24.5, Flowers: 76.3, Mean: 48.7},
}

// Measured returns the published accuracy of the backbone with the given name, and whether there is
// one.
func Measured(name string) (Accuracy, bool) {
	a, ok := measured[strings.TrimSuffix(name, ".tflite")]
	return a, ok
}

// Prior returns the accuracy in % to expect from a backbone on photos that are not known yet: the
// mean of its published accuracy. Without one, it is that of MobileNet v2 or, for a model trained
// on one kind of living things, that of the others like it.
func Prior(name string) float64 {
	if a, ok := Measured(name); ok {
		return a.Mean
	}
	if strings.Contains(name, "_inat_") {
		return measured["mobilenet_v2_1.0_224_inat_insect_quant"].Mean
	}
	return measured["mobilenet_v2_1.0_224_quant"].Mean
}
