package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/live"
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
   imprint detect ssd_mobilenet_v2_coco_quant_postprocess new.jpg
   imprint detect pets.tflite --min 0.3 -o boxes ./photos
   imprint detect pets_edgetpu.tflite --json new.jpg

MODEL is a file, or the name of a detector that imprint models pull downloaded.
A line has the label and score of an object, and its box: left, top, right and
bottom, from 0 to 1.

Train on what a detector finds, then say whose cat it is:
   imprint detect cats.tflite --only cat --crops crops/tom photos/tom
   imprint add crops
   imprint detect cats.tflite --only cat --classify new.jpg`,
		Flags: withDevices(
			&cli.Float64Flag{Name: "min", Usage: "leave out objects with a score below `SCORE`", Value: 0.5},
			&cli.StringSliceFlag{Name: "only", Usage: "find only objects with `LABEL`; repeatable", DefaultText: "all"},
			&cli.BoolFlag{Name: "classify", Usage: "classify each object with the workspace, which was trained on crops", DefaultText: "no"},
			&cli.StringFlag{Name: "crops", Usage: "write a square photo of each object to the folder `DIR`, named PHOTO.N.jpg", DefaultText: "none"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write photos with boxes to the folder `DIR`, named PHOTO.boxes.jpg", DefaultText: "none"},
			listFlag(),
			&cli.StringFlag{Name: "labels", Usage: "read the class names from `FILE`", DefaultText: "the names in the model"},
			jsonFlag("one object per line")),
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
	pictures, err := newPictureFolder(c.String("output"), photos)
	if err != nil {
		return err
	}
	crops, err := newPictureFolder(c.String("crops"), photos)
	if err != nil {
		return err
	}
	if c.Bool("classify") {
		l, err := openLive(c, &o)
		if err != nil {
			return err
		}
		defer l.Close()
		o.Classify = func(ctx context.Context, crop *dataset.File) (predict.Result, error) {
			return l.ClassifyFile(ctx, crop, 1)
		}
	}
	var bad error
	deliver := func(d predict.Detections) error {
		if d.Err != nil {
			bad = errors.Join(errReported, d.Err)
			reportError(c.App.ErrWriter, d.Err, c.Command.Name, asJSON(c))
		} else if err := writePictures(pictures, crops, d); err != nil {
			return err
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
		if c.Context.Err() != nil && pictures.written+crops.written > 0 {
			return fmt.Errorf("%w; the pictures written so far stay", errInterrupted)
		}
		return err
	}
	for _, m := range missing {
		if err := deliver(predict.Detections{Path: m.path, Err: m}); err != nil {
			return err
		}
	}
	for _, p := range []*pictureFolder{pictures, crops} {
		if p.replaced > 0 {
			note(c, fmt.Sprintf("replaced %s in %s", count(p.replaced, "picture"), plain(p.dir)))
		}
	}
	return bad
}

// detectOptions returns the path of the model, and the options that the flags give.
func detectOptions(c *cli.Context) (model string, o predict.DetectOptions, err error) {
	o = predict.DetectOptions{
		Min: c.Float64("min"), Only: c.StringSlice("only"), Labels: c.String("labels"),
		Picture: c.String("output") != "", Crops: c.String("crops") != "",
	}
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
	if !c.Bool("classify") { // otherwise openLive sets them
		if o.Devices, err = devices(c); err != nil {
			return "", o, err
		}
	}
	o.Arithmetic, err = arithmetic(c)
	return model, o, err
}

// openLive loads the workspace that the flags name, for several goroutines. It runs on the devices of
// the detector.
func openLive(c *cli.Context, detector *predict.DetectOptions) (*live.Live, error) {
	dir, o, err := workspaceOptions(c)
	if err != nil {
		return nil, err
	}
	o.Existing, detector.Devices = true, o.Devices
	l, err := live.Open(c.Context, dir, o)
	if err != nil {
		return nil, err
	}
	if len(l.Labels()) == 0 {
		l.Close()
		return nil, fmt.Errorf("workspace %s: %w", dir, imprint.ErrNoClasses)
	}
	if l.Snapshot().Detector != nil {
		l.Close()
		return nil, hinted{usagef("--classify needs a workspace without a detector: %s has one", dir), "imprint classify finds and classifies the objects"}
	}
	for _, w := range l.Warnings() {
		warn(c, "%s", w)
	}
	return l, nil
}

// detectionLines returns a line for each object in a photo, or one that says that there is none.
func detectionLines(d predict.Detections, verbose bool) []string {
	var lines []string
	for _, f := range d.Boxes {
		what := plain(f.Label) + " " + percent(float64(f.Score), 0)
		if f.Answer != nil {
			what = fmt.Sprintf("%s %s (%s)", plain(f.Answer.Label), percent(f.Answer.Score, 0), what)
		}
		lines = append(lines, fmt.Sprintf("%s: %s at %.3f %.3f %.3f %.3f", d.Path, what, f.Box.X0, f.Box.Y0, f.Box.X1, f.Box.Y1))
	}
	if len(lines) == 0 {
		lines = []string{d.Path + ": nothing found"}
	}
	if verbose {
		lines[0] += fmt.Sprintf(", in %s on %s", duration(d.Elapsed), d.Device)
	}
	return lines
}

// writePictures writes the photo with boxes and the crops, as far as there are any.
func writePictures(pictures, crops *pictureFolder, d predict.Detections) error {
	if d.Picture != nil {
		if err := pictures.write(d.Path, "boxes", d.Picture); err != nil {
			return err
		}
	}
	for i, f := range d.Boxes {
		if f.Crop == nil {
			continue
		}
		if err := crops.write(d.Path, fmt.Sprint(i+1), f.Crop); err != nil {
			return err
		}
	}
	return nil
}

// A pictureFolder is a folder for pictures made from photos.
type pictureFolder struct {
	dir      string
	taken    map[string]bool // names of the files written so far, and of photos to read
	written  int
	replaced int // pictures that were there before
}

// newPictureFolder returns the folder dir, which the first picture makes. Pictures do not replace
// photos that are in it. It fails if dir is a file.
func newPictureFolder(dir string, photos []dataset.Item) (*pictureFolder, error) {
	p := &pictureFolder{dir: dir, taken: make(map[string]bool)}
	info, err := os.Stat(dir)
	if err != nil {
		return p, nil
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("write pictures to %s: it is not a folder", dir)
	}
	for _, photo := range photos {
		if in, err := os.Stat(filepath.Dir(photo.Path)); err == nil && os.SameFile(in, info) {
			p.taken[filepath.Base(photo.Path)] = true
		}
	}
	return p, nil
}

// write writes a JPEG named after the photo, with a suffix. Pictures with the same name get numbers.
func (p *pictureFolder) write(photo, suffix string, content []byte) error {
	base := filepath.Base(photo)
	base = strings.TrimSuffix(base, filepath.Ext(base))
	name := base + "." + suffix + ".jpg"
	for n := 2; p.taken[name]; n++ {
		name = fmt.Sprintf("%s-%d.%s.jpg", base, n, suffix)
	}
	p.taken[name] = true
	p.written++
	if err := os.MkdirAll(p.dir, 0o777); err != nil {
		return err
	}
	// A full disk must not leave part of a picture, or of an earlier run's.
	path := filepath.Join(p.dir, name)
	staged := fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
	err := os.WriteFile(staged, content, 0o666)
	if err == nil {
		_, missing := os.Lstat(path)
		if err = os.Rename(staged, path); err == nil {
			if missing == nil {
				p.replaced++
			}
			return nil
		}
	}
	os.Remove(staged)
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		err = &fs.PathError{Op: "write", Path: path, Err: pathErr.Err} // not the temporary name
	}
	return err
}
