package main

import (
	"slices"
	"strings"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/tpu"
)

// A choice is a possible value of a flag or an argument, with a short description. Help, completion
// and errors all use these values.
type choice struct{ value, about string }

var (
	layouts = []choice{
		{string(classifier.Float), "exact"}, {string(classifier.Coral), "for pycoral's ImprintingEngine"}, {string(classifier.TPU), "into a compiled model"},
	}
	exportLayouts = append(layouts[:len(layouts):len(layouts)], choice{string(classifier.Frigate), "for Frigate's custom classification"})
	methods       = []choice{
		{string(classifier.Auto), "the most accurate"}, {string(classifier.Mean), "imprinting"}, {string(classifier.Ridge), "least squares"},
		{string(classifier.LDA), "linear discriminants"}, {string(classifier.RidgeLDA), "their sum"}, {string(classifier.MeanRidgeLDA), "the sum of all three"},
		{string(classifier.Softmax), "logistic regression"}, {string(classifier.CoralSGD), "the baseline"},
	}
	resizeModes = []choice{
		{string(dataset.Crop), "central 87.5 % square"}, {string(dataset.Squash), ""}, {string(dataset.Pad), ""},
	}
	autoResizeModes = append(resizeModes[:len(resizeModes):len(resizeModes)], choice{string(imprint.AutoResize), "squash if clearly more accurate, else crop"})
	deviceNames     = []choice{{"auto", "compiled models on Edge TPUs, others on the CPU"}, {"cpu", ""}, {"tpu", "all Edge TPUs"}}
	clocks          = []choice{{tpu.ClockLow.String(), ""}, {tpu.ClockMedium.String(), ""}, {tpu.ClockHigh.String(), ""}, {tpu.ClockMax.String(), ""}}
	arithmetics     = []choice{{backbone.TFLite.String(), ""}, {backbone.EdgeTPU.String(), "predicts an Edge TPU's output"}}
	shells          = []choice{{"bash", ""}, {"zsh", ""}, {"fish", ""}}
	sourceKinds     = []choice{{"camera:", "a camera of this machine"}, {"mjpeg:", "a camera on the network"}, {"folder:", "photos"}, {"tub:", "a Donkey Car's recording"}, {"none", "clients post frames"}}
)

// orList lists choices for help: "float (exact), coral or tpu".
func orList(choices []choice) string {
	var words []string
	for _, c := range choices {
		if c.about != "" {
			c.value += " (" + c.about + ")"
		}
		words = append(words, c.value)
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// modelNames returns the published models for which keep returns true.
func modelNames(keep func(models.Published) bool) []choice {
	var names []choice
	for _, m := range slices.Concat(models.List(), models.Detectors()) {
		if !keep(m) {
			continue
		}
		about := m.About
		if _, err := (models.Store{}).Path(m.Name); err != nil {
			about += "; not pulled"
		}
		names = append(names, choice{m.Name, about})
	}
	return names
}

func backboneNames() []choice {
	known := modelNames(func(m models.Published) bool { return m.Embedding > 0 && !m.Compiled() })
	return append([]choice{{builtin.Name, "built in"}}, known...)
}

// labelsOf returns the classes of the workspace in dir, or nil if it can't be read.
func labelsOf(dir string) []choice {
	labels, _ := workspaceLabels(dir) // completion reports no errors
	return labels
}

// workspaceLabels returns the classes of the workspace in dir.
func workspaceLabels(dir string) ([]choice, error) {
	ws, err := imprint.Open(dir, imprint.Options{Existing: true})
	if err != nil {
		return nil, err
	}
	defer ws.Close()
	var labels []choice
	for _, class := range ws.Classes() {
		labels = append(labels, choice{class.Label, count(len(class.Photos), "photo")})
	}
	return labels, nil
}
