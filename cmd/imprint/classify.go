package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/modelfile"
	"github.com/imprintkit/imprint/imprint/predict"
)

func classifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "classify",
		Usage:     "say what photos show",
		ArgsUsage: "PHOTO|DIR|- …",
		Description: `Say what photos show, one line for each.

In a workspace with a detector, each object that it finds has a line.

Examples:
   imprint classify new.jpg
   imprint classify --top 3 --json ./photos
   imprint classify --model model.tflite new.jpg      without a workspace`,
		Flags: withDevices(
			&cli.IntFlag{Name: "top", Usage: "print the `N` best classes", Value: 1},
			listFlag(),
			&cli.StringFlag{Name: "model", Usage: "use `MODEL` instead of a workspace: a file, or a name from imprint models list", DefaultText: "none"},
			&cli.StringFlag{Name: "labels", Usage: "with --model, read the class names from `FILE`", DefaultText: "the names in the model"},
			jsonFlag("one object per line"), resizeFlag()),
		Action: classify,
	}
}

func classify(c *cli.Context) error {
	top := c.Int("top")
	if top < 1 {
		return usagef("--top %d: must be 1 or more", top)
	}
	var missing []missingFile
	photos, left, err := findPhotos(c, "?", &missing) // the labels are ignored
	if err != nil {
		return err
	}
	note(c, skippedLines(left, verbose(c))...)
	var bad error
	deliver := func(r predict.Result) error {
		if r.Err != nil {
			bad = errors.Join(errReported, r.Err)
			reportError(c.App.ErrWriter, r.Err, c.Command.Name, asJSON(c))
			if !asJSON(c) {
				return nil
			}
		}
		if asJSON(c) {
			return printJSON(c.App.Writer, r)
		}
		say(c, resultLines(r, top, verbose(c))...)
		return nil
	}
	best := top
	if !asJSON(c) {
		best = max(top, 2) // "unknown" also shows the nearest class
	}
	if c.String("labels") != "" && c.String("model") == "" {
		return usagef("--labels needs --model; a workspace has its own labels")
	}
	if model := c.String("model"); model != "" {
		err = classifyWith(c, model, photos, best, deliver)
	} else {
		err = classifyInWorkspace(c, photos, best, deliver)
	}
	if err != nil {
		return err
	}
	for _, m := range missing {
		if err := deliver(predict.Result{Path: m.path, Err: m}); err != nil {
			return err
		}
	}
	return bad
}

func classifyInWorkspace(c *cli.Context, photos []dataset.Item, top int, deliver func(predict.Result) error) error {
	k, err := open(c, true)
	if err != nil {
		return err
	}
	defer k.Close()
	err = k.Classify(c.Context, photos, top, deliver)
	if err != nil && k.Settings().Layout == classifier.TPU && onDevice(err) {
		return hinted{err, "imprint doctor finds the problem; --device cpu computes the same results on the CPU"}
	}
	return err
}

// classifierFile returns the path of the model that --model names: a file, the model of a workspace's
// folder, or a pulled model.
func classifierFile(name string) (string, error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		inside := filepath.Join(name, "model.tflite")
		if mustExist(inside) == nil {
			return inside, nil
		}
		return "", hinted{fmt.Errorf("load model %s: it is a folder", name), "name a .tflite file; a workspace's model is model.tflite in its folder"}
	}
	if _, err := models.Find(name); err != nil {
		return name, mustExist(name)
	}
	return modelfile.Locate(name)
}

// classifyWith classifies photos with a model file, without a workspace.
func classifyWith(c *cli.Context, model string, photos []dataset.Item, top int, deliver func(predict.Result) error) error {
	model, err := classifierFile(model)
	if err != nil {
		return err
	}
	o := predict.Options{Top: top, Labels: c.String("labels")}
	if o.Labels != "" {
		if err := mustExist(o.Labels); err != nil {
			return err
		}
	}
	if o.Resize, err = resizeMode(c); err != nil {
		return err
	}
	if o.Threads, err = threads(c); err != nil {
		return err
	}
	if o.Devices, err = devices(c); err != nil {
		return err
	}
	if o.Arithmetic, err = arithmetic(c); err != nil {
		return err
	}
	return predict.File(c.Context, model, o, photos, deliver)
}
