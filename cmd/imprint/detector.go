package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/dataset/annotations"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/detector"
	"github.com/imprintkit/imprint/imprint/modelfile"
	"github.com/imprintkit/imprint/imprint/predict"
)

func detectorCommand() *cli.Command {
	return &cli.Command{
		Name:  "detector",
		Usage: "retrain a detector on a few photos with boxes",
		Description: `Retrain an object detector on a few photos with boxes.

Examples:
   imprint detector train --model pets.tflite --photos ./photos \
      --annotations boxes.csv -o raccoon.tflite
   imprint detector eval --model pets.tflite --photos ./photos \
      --annotations ./annotations --support 5,10,20
   imprint detect raccoon.tflite new.jpg`,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return unknownCommand(c.Command.Subcommands, c.Args().First())
			}
			return cli.ShowSubcommandHelp(c)
		},
		Subcommands: []*cli.Command{{
			Name:  "train",
			Usage: "teach a detector new classes",
			Description: `Teach a detector (SSD) new classes from photos with boxes, as a new model.

Only the predictors of classes are fitted. Those of boxes stay as they are, so
the boxes of things unlike those that the detector was made for fit less well.

Examples:
   imprint detector train --model pets.tflite --photos ./photos \
      --annotations boxes.csv -o raccoon.tflite
   imprint detector train --model pets.tflite --photos ./photos \
      --annotations ./annotations --keep-classes -o more.tflite
   imprint detector train --model ssd.tflite --compiled ssd_edgetpu.tflite \
      --photos ./photos --annotations boxes.json -o cup.tflite

The last example also writes cup_edgetpu.tflite; it keeps its number of classes.
Annotations are a file or folder of Pascal VOC XML, COCO or Label Studio JSON,
CSV or YOLO text. They belong to the photos with the same file names.`,
			Flags: append(detectorFlags(),
				&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the new model to `FILE`; required", DefaultText: "none"},
				&cli.StringFlag{Name: "compiled", Usage: "also write the new detector into a copy of the compiled `MODEL` that was made from --model, as FILE_edgetpu.tflite", DefaultText: "none"},
				jsonFlag("the result")),
			Action: detectorTrain,
		}, {
			Name:  "eval",
			Usage: "measure how good a retrained detector is",
			Description: `Train on a few of the photos and measure the new detector with others.

This is repeated with other photos.

Examples:
   imprint detector eval --model pets.tflite --photos ./photos \
      --annotations boxes.csv --support 5,10,20 --episodes 3

The number is the average precision at IoU 0.5: 100 % if every object is found
with a box that overlaps it by half, before anything else is.`,
			Flags: append(detectorFlags(),
				&cli.StringFlag{Name: "support", Usage: "train on `N` photos; separate several numbers with commas", Value: "5,10,20"},
				&cli.IntFlag{Name: "episodes", Usage: "repeat `N` times, with other photos each time", Value: 3},
				&cli.IntFlag{Name: "hold-out", Usage: "measure with `N` photos, at most half of all", Value: 100},
				jsonFlag("the results")),
			Action: detectorEval,
		}},
	}
}

func detectorFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "model", Usage: "retrain the detector `MODEL`, an uncompiled .tflite file; required", DefaultText: "none"},
		&cli.StringFlag{Name: "photos", Usage: "train on the photos in the folder `DIR`; required", DefaultText: "none"},
		&cli.StringFlag{Name: "annotations", Usage: "read boxes from `PATH`, a file or folder; required", DefaultText: "none"},
		&cli.BoolFlag{Name: "keep-classes", Category: advanced, Usage: "keep the detector's classes and their scores; new classes follow them", DefaultText: "no"},
		&cli.StringFlag{Name: "labels", Category: advanced, Usage: "with --keep-classes, read the names of the detector's classes from `FILE`", DefaultText: "the names in the model"},
		&cli.IntFlag{Name: "threads", Category: advanced, Usage: "use at most `N` cores", DefaultText: "all"},
	}
}

// detectorInput is what detector train and eval read.
type detectorInput struct {
	model   string
	content []byte
	classes int // of the model
	photos  []detector.Photo
	options detector.Options
}

func readDetectorInput(c *cli.Context) (in detectorInput, err error) {
	if err := needArgs(c, 0, 0); err != nil {
		return in, err
	}
	for _, name := range []string{"model", "photos", "annotations"} {
		if c.String(name) == "" {
			return in, usagef("detector %s needs --%s", c.Command.Name, name)
		}
	}
	for _, name := range []string{"photos", "annotations", "labels"} {
		if path := c.String(name); path != "" {
			if err := mustExist(path); err != nil {
				return in, err
			}
		}
	}
	if err := mustReplaceModel(c.String("output")); err != nil {
		return in, err
	}
	if in.model, err = classifierFile(c.String("model")); err != nil {
		return in, err
	}
	if in.options.Threads, err = threads(c); err != nil {
		return in, err
	}
	file, err := tflite.ReadModel(in.model)
	if err != nil {
		return in, fmt.Errorf("load model: %w", err)
	}
	in.content = file.Model
	d, err := detect.Parse(file.Model, detect.Options{Name: filepath.Base(in.model)})
	if err != nil {
		return in, err
	}
	in.classes = d.Head.Params.Classes
	if in.options.Keep = c.Bool("keep-classes"); in.options.Keep {
		if in.options.Labels, err = predict.DetectorLabels(d, file, c.String("labels")); err != nil {
			return in, fmt.Errorf("load model %s: %w", in.model, err)
		}
	}
	set, err := annotations.Read(c.String("annotations"))
	if err != nil {
		return in, err
	}
	found, left, err := dataset.Walk([]string{c.String("photos")}, "?") // the boxes have the labels
	if err != nil {
		return in, err
	}
	if len(found) == 0 {
		return in, fmt.Errorf("%s: %w found", c.String("photos"), imprint.ErrNoPhotos)
	}
	photos, unmatched := detector.Match(found, set)
	in.photos = photos
	note(c, skippedLines(leftOut(append(left, unmatched...)), verbose(c))...)
	return in, nil
}

// mustReplaceModel returns a usage error if path is a file with content, but no model. It may be a photo or
// annotations, which nothing could restore.
func mustReplaceModel(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return nil // writing it fails, or makes it
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return nil // target refuses other things than files
	}
	const identifier = "TFL3"
	start := make([]byte, 4+len(identifier)) // the offset of the model comes first
	if _, err := io.ReadFull(f, start); err == nil && string(start[4:]) == identifier {
		return nil
	}
	return usagef("-o %s would replace a file that is not a model: choose another name", path)
}

// A trainedObject is the result of detector train as JSON.
type trainedObject struct {
	Model    string            `json:"model"`
	Compiled string            `json:"compiled,omitempty"`
	Labels   []string          `json:"labels"`
	Photos   int               `json:"photos"`
	Boxes    int               `json:"boxes"`
	Missed   int               `json:"missed"` // boxes that no predicted box overlaps by half
	AP50     float64           `json:"ap50"`   // estimated from photos left out
	Seconds  float64           `json:"seconds"`
	Skipped  []imprint.Skipped `json:"skipped"`
}

// detectorOutput is what detector train writes.
type detectorOutput struct {
	model, compiled string // paths, the second "" without a compiled model
	template        modelfile.Template
}

func newDetectorOutput(c *cli.Context, in *detectorInput) (out detectorOutput, err error) {
	shown := c.String("output")
	if shown == "" {
		return out, usagef("detector train needs -o FILE")
	}
	if out.model, err = target(shown); err != nil {
		return out, err
	}
	out.template = modelfile.Template{Compiled: c.String("compiled"), Uncompiled: in.model}
	if out.template.Compiled != "" {
		if err := mustBeModel(out.template.Compiled); err != nil {
			return out, err
		}
		if in.options.Keep {
			return out, usagef("a compiled model keeps its number of classes: use --compiled or --keep-classes, not both")
		}
		if err := mustReplaceModel(compiledName(shown)); err != nil {
			return out, err
		}
		if out.compiled, err = target(compiledName(shown)); err != nil {
			return out, err
		}
		in.options.SameScales = true
	}
	for _, file := range []string{in.model, out.template.Compiled} {
		if sameFile(file, out.model) || sameFile(file, out.compiled) {
			return out, usagef("-o %s would replace %s, which train reads: choose another name", shown, file)
		}
	}
	return out, nil
}

// compiledName returns the name of the compiled form of a model.
func compiledName(model string) string {
	return strings.TrimSuffix(model, ".tflite") + "_edgetpu.tflite"
}

// write writes the model and its compiled form, or nothing.
func (out *detectorOutput) write(r *detector.Result, classes int) error {
	if out.compiled == "" {
		return modelfile.Save(out.model, r.Model)
	}
	if len(r.Labels) != classes {
		return fmt.Errorf("write into %s: it has %s, and the boxes have %s: a compiled model keeps its number of classes", out.template.Compiled, count(classes, "class"), count(len(r.Labels), "label"))
	}
	compiled, err := modelfile.Retarget(out.template, r.Model)
	if err != nil {
		return fmt.Errorf("write into %s: %w", out.template.Compiled, err)
	}
	if err := modelfile.Save(out.model, r.Model); err != nil {
		return err
	}
	return modelfile.Save(out.compiled, compiled)
}

func detectorTrain(c *cli.Context) error {
	start := time.Now()
	in, err := readDetectorInput(c)
	if err != nil {
		return err
	}
	out, err := newDetectorOutput(c, &in)
	if err != nil {
		return err
	}
	show, clear := progress(c, "photo")
	in.options.Progress = show
	r, err := detector.Train(c.Context, in.content, in.photos, in.options)
	clear()
	if err != nil {
		return fmt.Errorf("train detector %s: %w", in.model, err)
	}
	skipped := append([]imprint.Skipped{}, leftOut(r.Skipped)...)
	note(c, skippedLines(skipped, verbose(c))...)
	if err := out.write(r, in.classes); err != nil {
		return err
	}
	took := time.Since(start)
	object := trainedObject{Model: c.String("output"), Labels: r.Labels, Photos: r.Photos, Boxes: r.Boxes, Missed: r.Missed,
		AP50: r.AP, Seconds: took.Seconds(), Skipped: skipped}
	if out.compiled != "" {
		object.Compiled = compiledName(object.Model)
	}
	if asJSON(c) {
		return printJSON(c.App.Writer, object)
	}
	say(c, trainedLines(object, took, r.Labels[len(in.options.Labels):])...)
	say(c, wroteLines(object.Model, nil)...)
	if object.Compiled != "" {
		say(c, wroteLines(object.Compiled, nil)...)
	}
	return nil
}

// trainedLines says what a detector was trained on and how good it is.
func trainedLines(o trainedObject, took time.Duration, classes []string) []string {
	var names []string
	for _, l := range classes {
		names = append(names, plain(l))
	}
	lines := []string{
		fmt.Sprintf("trained %s on %s in %s, in %s", enumerate(names), count(o.Boxes, "box"), count(o.Photos, "photo"), duration(took)),
		fmt.Sprintf("average precision %s, estimated on photos left out", percent(o.AP50, 0)),
	}
	if o.Missed > 0 {
		lines = append(lines, fmt.Sprintf("%s not used: no box that the detector predicts overlaps them by half", count(o.Missed, "box")))
	}
	return lines
}

func detectorEval(c *cli.Context) error {
	in, err := readDetectorInput(c)
	if err != nil {
		return err
	}
	o := detector.EvaluateOptions{Options: in.options, Draws: c.Int("episodes"), HoldOut: c.Int("hold-out")}
	if o.Shots, err = numbers("support", c.String("support")); err != nil {
		return err
	}
	if o.Draws < 1 || o.Draws > 1000 {
		return usagef("--episodes %d: must be 1 to 1000", o.Draws)
	}
	if o.HoldOut < 1 {
		return usagef("--hold-out %d: must be at least 1", o.HoldOut)
	}
	show, clear := progress(c, "training")
	o.Progress = show
	results, err := detector.Evaluate(c.Context, in.content, in.photos, o)
	clear()
	if err != nil {
		err = fmt.Errorf("evaluate detector %s: %w", in.model, err)
		if errors.Is(err, detector.ErrNoBoxes) {
			err = hinted{err, "add photos with boxes, or train on fewer with --support and measure with fewer with --hold-out"}
		}
		return err
	}
	if asJSON(c) {
		return printJSON(c.App.Writer, struct {
			Results []detector.Score `json:"results"`
		}{results})
	}
	for _, s := range results {
		say(c, fmt.Sprintf("%s: average precision %s on %d held out (%s, trained in %s)", count(s.Shots, "photo"), percent(s.AP50, 1), s.HoldOut,
			count(s.Draws, "episode"), duration(time.Duration(s.Seconds*float64(time.Second)))))
	}
	return nil
}
