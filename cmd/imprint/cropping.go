package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/dataset/annotations"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/detector"
	"github.com/imprintkit/imprint/imprint/predict"
)

// noDetector is the value of --detector for no detector.
const noDetector = "none"

// croppingFlags returns the flags that choose a workspace's detector.
func croppingFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "detector", Usage: "crop photos to the largest object that the detector `MODEL` finds; none takes whole photos", DefaultText: "the workspace's, or none"},
		&cli.StringSliceFlag{Name: "detect", Usage: "with --detector, find only objects with `LABEL`; repeatable", DefaultText: "the workspace's, or all"},
		&cli.Float64Flag{Name: "detect-min", Usage: "with --detector, leave out objects with a score below `SCORE`", DefaultText: "the workspace's, or 0.5"},
	}
}

func annotationsFlag() cli.Flag {
	return &cli.StringFlag{Name: "annotations", Usage: "add each box in the annotations at `PATH` as an example of its label: Pascal VOC, COCO, YOLO, Label Studio or CSV", DefaultText: "none"}
}

// detectorChoice returns the detector that the flags name, or nil if they name none.
func detectorChoice(c *cli.Context) (*predict.DetectorChoice, error) {
	model := c.String("detector")
	if model == "" {
		for _, name := range []string{"detect", "detect-min"} {
			if c.IsSet(name) && !c.IsSet("detector") { // retrain clears --detector
				return nil, usagef("--%s needs --detector", name)
			}
		}
		return nil, nil
	}
	if model == noDetector {
		return new(predict.DetectorChoice), nil
	}
	if text(c, "backbone") == autoBackbone && c.Command.Name == "add" {
		return nil, usagef("--backbone auto chooses by whole photos, so it can't be combined with --detector")
	}
	if err := mustBeModel(model); err != nil {
		return nil, err
	}
	d := &predict.DetectorChoice{Model: model, Only: c.StringSlice("detect"), Min: c.Float64("detect-min")}
	if c.IsSet("detect-min") && !(d.Min > 0 && d.Min <= 1) {
		return nil, usagef("--detect-min %v: must be more than 0, and at most 1", d.Min)
	}
	return d, nil
}

// photosToAdd returns the photos that the flags and arguments name or, with --annotations, the boxes in
// them. It also returns the files that it skipped.
func photosToAdd(c *cli.Context) ([]dataset.Item, []imprint.Skipped, error) {
	path := c.String("annotations")
	if path == "" {
		return findPhotos(c, c.String("label"), nil)
	}
	if c.IsSet("label") {
		return nil, nil, usagef("--annotations have labels of their own: leave out --label")
	}
	if err := mustExist(path); err != nil {
		return nil, nil, err
	}
	set, err := annotations.Read(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read annotations: %w", err)
	}
	photos, skipped, err := findPhotos(c, "?", nil) // the labels are ignored
	if err != nil {
		return nil, nil, err
	}
	var items []dataset.Item
	skip := func(it dataset.Item, err error) {
		skipped = append(skipped, imprint.Skipped{Path: it.Path, Reason: err.Error()})
	}
	for _, it := range photos {
		found, err := set.Find(it.Path)
		if err == nil && len(found.Boxes) == 0 {
			err = annotations.ErrNotAnnotated
		}
		if err == nil {
			err = detector.CheckShape(it, found)
		}
		if err != nil {
			skip(it, err)
			continue
		}
		for _, b := range found.Boxes {
			it.Label = b.Label
			if it.Box, err = dataset.NewBox(b.X0, b.Y0, b.X1, b.Y1); err != nil {
				skip(it, err)
				continue
			}
			items = append(items, it)
		}
	}
	if len(items) == 0 {
		note(c, skippedLines(skipped, verbose(c))...)
		return nil, nil, fmt.Errorf("add %s: %w with a box", path, imprint.ErrNoPhotos)
	}
	return items, skipped, nil
}

// boxOf returns the part of a photo that is an example, or the zero Box for all of it.
func boxOf(p imprint.Photo) dataset.Box {
	if p.Box == nil {
		return dataset.Box{}
	}
	return *p.Box
}

// detectorName returns what a workspace's detector finds, for people.
func detectorName(d *predict.DetectorChoice) string {
	if d == nil {
		return "no detector"
	}
	name := plain(d.Model)
	if len(d.Only) > 0 {
		name += " for " + plain(enumerate(d.Only))
	}
	return name
}

// detectorChange says that a workspace's detector was replaced.
func detectorChange(was, now *predict.DetectorChoice) string {
	a, b := detectorName(now), detectorName(was)
	if a == b && now != nil && was != nil && now.Min != was.Min {
		a += fmt.Sprintf(" with scores of at least %.4g", now.Min)
		b = fmt.Sprintf("%.4g", was.Min)
	}
	return fmt.Sprintf(", with %s instead of %s", a, b)
}
