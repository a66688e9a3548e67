package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/imprint/outcome"
	"github.com/imprintkit/imprint/tpu/pool"
)

func runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "run any model on raw bytes",
		ArgsUsage: "MODEL",
		Description: `Run a TensorFlow Lite model on files of raw tensor bytes.

Examples:
   imprint run model.tflite --input photo.rgb --output scores.raw
   imprint run model.tflite --input photo.rgb --output layer.raw --tensor 31
   imprint run model.tflite --input photo.rgb --repeat 100 --threads 2 --json
   imprint run model_edgetpu.tflite --input photo.rgb --output scores.raw \
      --device tpu

A file contains the bytes of one tensor, row by row and little-endian. If the
model has several inputs or outputs, repeat --input or --output in its order.`,
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "input", Aliases: []string{"i"}, Usage: "read an input tensor from `FILE`", DefaultText: "none"},
			&cli.StringSliceFlag{Name: "output", Aliases: []string{"o"}, Usage: "write an output tensor to `FILE`", DefaultText: "none"},
			&cli.IntSliceFlag{Name: "tensor", Usage: "write the tensor at `INDEX` instead of the model's outputs; repeatable", DefaultText: "the outputs"},
			&cli.IntFlag{Name: "repeat", Usage: "run `N` times", Value: 1},
			jsonFlag("times"),
			&cli.IntFlag{Name: "threads", Category: advanced, Usage: "use `N` cores", Value: 1},
		}, deviceFlags()...),
		Action: runModel,
	}
}

func runModel(c *cli.Context) error {
	if err := needArgs(c, 1, 1); err != nil {
		return err
	}
	n, err := threads(c)
	if err != nil {
		return err
	}
	if r := c.Int("repeat"); r < 1 || r > 1e6 {
		return usagef("--repeat %d: must be 1 to 1000000", r)
	}
	o := pool.RunOptions{Threads: n, Repeat: c.Int("repeat")}
	if o.Pool, err = devices(c); err != nil {
		return err
	}
	if o.Arithmetic, err = arithmetic(c); err != nil {
		return err
	}
	for _, t := range c.IntSlice("tensor") {
		if t < 0 || t > math.MaxInt32 {
			return usagef("--tensor %d: must be an index that imprint inspect -v shows", t)
		}
		o.Tensors = append(o.Tensors, int32(t))
	}
	model, outputs := c.Args().First(), c.StringSlice("output")
	if err := mustExist(append(c.StringSlice("input"), model)...); err != nil {
		return err
	}
	for _, path := range c.StringSlice("input") {
		b, err := tflite.ReadFile(path)
		if err != nil {
			return err
		}
		o.Inputs = append(o.Inputs, b)
	}
	files, err := newOutputFiles(outputs)
	if err != nil {
		return err
	}
	r, err := pool.Run(c.Context, model, o)
	if err != nil {
		return err
	}
	if len(outputs) > 0 && len(outputs) != len(r.Outputs) {
		return usagef("run %s: there are %s to write, but --output names %s", model, count(len(r.Outputs), "tensor"), count(len(outputs), "file"))
	}
	if err := files.write(r.Outputs); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	least, median := slices.Min(r.Times), middle(r.Times)
	if asJSON(c) {
		return printJSON(c.App.Writer, struct {
			Min    float64 `json:"min_ms"`
			Median float64 `json:"median_ms"`
			Device string  `json:"device"`
		}{ms(least), ms(median), r.Device})
	}
	say(c, ranLine(model, median, len(r.Times), r.Device))
	detail(c, ranDetails(least, median))
	return nil
}

func ms(d time.Duration) float64 { return outcome.Milliseconds(d) }

// outputFiles lists the paths of the files for the output tensors. Regular files are replaced only
// once all tensors are written; pipes and devices are written directly.
type outputFiles []string

func newOutputFiles(paths []string) (outputFiles, error) {
	files := make(outputFiles, len(paths))
	for i, path := range paths {
		files[i] = path
		if info, err := os.Stat(path); err == nil && !info.IsDir() && !info.Mode().IsRegular() {
			continue
		}
		var err error
		if files[i], err = target(path); err != nil {
			return nil, err
		}
		if files[i] == "" || slices.Contains(files[:i], files[i]) {
			return nil, usagef("--output %q: each output needs its own file", path)
		}
	}
	return files, nil
}

func (files outputFiles) write(contents [][]byte) error {
	staged := make([]string, len(files))
	defer func() {
		for _, path := range staged {
			if path != "" {
				os.Remove(path)
			}
		}
	}()
	for i, path := range files {
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			if err := os.WriteFile(path, contents[i], 0o644); err != nil {
				return err
			}
			continue
		}
		staged[i] = fmt.Sprintf("%s.%d.tmp", path, os.Getpid())
		if err := os.WriteFile(staged[i], contents[i], 0o644); err != nil {
			return err
		}
	}
	for i, path := range files {
		if staged[i] == "" {
			continue
		}
		if err := os.Rename(staged[i], path); err != nil {
			return err
		}
		staged[i] = ""
	}
	return nil
}

// middle returns the median of d: for an even number of durations, the mean of the middle two.
func middle(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return (d[(len(d)-1)/2] + d[len(d)/2]) / 2
}
