package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint/predict"
)

func detectCommand() *cli.Command {
	return &cli.Command{
		Name:      "detect",
		Usage:     "find objects in photos with a detector",
		ArgsUsage: "MODEL PHOTO|DIR|- …",
		Description: `Find objects in photos with a detector, an SSD in a TensorFlow Lite file.

Examples:
   imprint detect pets.tflite new.jpg
   imprint detect pets.tflite --min 0.3 -o boxes ./photos
   imprint detect pets_edgetpu.tflite --json new.jpg

A line has the label and score of an object, and its box: left, top, right and
bottom, from 0 to 1.`,
		Flags: append([]cli.Flag{
			&cli.Float64Flag{Name: "min", Usage: "leave out objects with a score below `SCORE`", Value: 0.5},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write photos with boxes to the folder `DIR`, named PHOTO.boxes.jpg", DefaultText: "none"},
			listFlag(),
			&cli.StringFlag{Name: "labels", Usage: "read the class names from `FILE`", DefaultText: "the names in the model"},
			jsonFlag("one object per line"),
			&cli.IntFlag{Name: "threads", Category: advanced, Usage: "use at most `N` cores", DefaultText: "all"},
		}, deviceFlags()...),
		Action: detectObjects,
	}
}

func detectObjects(c *cli.Context) error {
	if c.NArg() == 0 {
		return usagef("detect needs a model and photos: %s", c.Command.ArgsUsage)
	}
	model, o, err := detectOptions(c)
	if err != nil {
		return err
	}
	var missing []missingFile
	photos, left, err := findPhotosIn(c, c.Args().Tail(), "?", &missing) // the labels are ignored
	if err != nil {
		return err
	}
	note(c, skippedLines(left, verbose(c))...)
	pictures := pictureFolder{dir: c.String("output"), taken: make(map[string]bool)}
	if o.Picture {
		if err := os.MkdirAll(pictures.dir, 0o777); err != nil {
			return err
		}
	}
	var bad error
	deliver := func(d predict.Detections) error {
		if d.Err != nil {
			bad = errors.Join(errReported, d.Err)
			reportError(c.App.ErrWriter, d.Err, c.Command.Name, asJSON(c))
		} else if o.Picture {
			if err := pictures.write(d); err != nil {
				return err
			}
		}
		if asJSON(c) {
			return printJSON(c.App.Writer, d)
		}
		if d.Err == nil {
			say(c, detectionLines(d, verbose(c))...)
		}
		return nil
	}
	if err := predict.Detect(c.Context, model, o, photos, deliver); err != nil {
		return err
	}
	for _, m := range missing {
		if err := deliver(predict.Detections{Path: m.path, Err: m}); err != nil {
			return err
		}
	}
	return bad
}

// detectOptions returns the path of the model, and the options that the flags give.
func detectOptions(c *cli.Context) (model string, o predict.DetectOptions, err error) {
	o = predict.DetectOptions{Min: c.Float64("min"), Labels: c.String("labels"), Picture: c.String("output") != ""}
	if !(o.Min >= 0 && o.Min <= 1) {
		return "", o, usagef("--min %v: must be 0 to 1", o.Min)
	}
	if model, err = classifierFile(c.Args().First()); err != nil {
		return "", o, err
	}
	if o.Labels != "" {
		if err := mustExist(o.Labels); err != nil {
			return "", o, err
		}
	}
	if o.Threads, err = threads(c); err != nil {
		return "", o, err
	}
	if o.Devices, err = devices(c); err != nil {
		return "", o, err
	}
	o.Arithmetic, err = arithmetic(c)
	return model, o, err
}

// detectionLines returns a line for each object in a photo, or one that says that there is none.
func detectionLines(d predict.Detections, verbose bool) []string {
	var lines []string
	for _, f := range d.Boxes {
		lines = append(lines, fmt.Sprintf("%s: %s %s at %.3f %.3f %.3f %.3f", d.Path, plain(f.Label), percent(float64(f.Score), 0), f.Box.X0, f.Box.Y0, f.Box.X1, f.Box.Y1))
	}
	if len(lines) == 0 {
		lines = []string{d.Path + ": nothing found"}
	}
	if verbose {
		lines[0] += fmt.Sprintf(", in %s on %s", duration(d.Elapsed), d.Device)
	}
	return lines
}

// A pictureFolder is a folder for photos with boxes.
type pictureFolder struct {
	dir   string
	taken map[string]bool // names of the files written so far
}

// write writes the picture of a photo. Photos of the same name get numbers.
func (p *pictureFolder) write(d predict.Detections) error {
	base := filepath.Base(d.Path)
	base = strings.TrimSuffix(base, filepath.Ext(base))
	name := base + ".boxes.jpg"
	for n := 2; p.taken[name]; n++ {
		name = fmt.Sprintf("%s-%d.boxes.jpg", base, n)
	}
	p.taken[name] = true
	return os.WriteFile(filepath.Join(p.dir, name), d.Picture, 0o666)
}
