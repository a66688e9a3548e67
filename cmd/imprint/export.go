package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/outcome"
)

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:  "export",
		Usage: "write the model to a file",
		Description: `Write the model to a file, with its labels in it.

Examples:
   imprint export -o cones.tflite
   imprint export --layout coral -o cones.tflite --labels labels.txt
   imprint export --layout frigate -o model_cache/door
   imprint export --compiled mobilenet_edgetpu.tflite \
      --uncompiled mobilenet.tflite -o cones_edgetpu.tflite`,
		Flags: withWorkspace(
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the model to `FILE`, or for Frigate to a folder; required", DefaultText: "none"},
			&cli.StringFlag{Name: "labels", Usage: "also write the labels to `FILE`", DefaultText: "no"},
			jsonFlag("what was written"),
			exportLayoutFlag(), keepFlag(), compiledFlag(), uncompiledFlag()),
		Action: export,
	}
}

func export(c *cli.Context) (err error) {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	output, labels := c.String("output"), c.String("labels")
	if output == "" {
		return usagef("export needs -o FILE")
	}
	frigate := c.String("layout") == string(classifier.Frigate)
	if frigate {
		var undo func()
		if output, labels, undo, err = frigateFiles(c, output); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				undo()
			}
		}()
	}
	if output == labels {
		return usagef("the model and its labels can't both be written to %s", output)
	}
	shown, shownLabels := output, labels
	for _, path := range []*string{&output, &labels} {
		if *path, err = target(*path); err != nil {
			return err
		}
	}
	ws, err := open(c, true)
	if err != nil {
		return err
	}
	defer ws.Close()
	s := ws.Settings()
	layout, keep := s.Layout, s.KeepClasses
	if c.IsSet("compiled") {
		layout = classifier.TPU
	}
	if frigate {
		layout = classifier.Frigate
	} else if c.IsSet("layout") {
		layout = classifier.Layout(c.String("layout")) // already validated by open
	}
	if c.IsSet("keep-classes") {
		keep = c.Bool("keep-classes")
	}
	if layout == classifier.TPU && c.Bool("keep-classes") {
		return imprint.ErrKeepClasses
	}
	written, err := ws.Export(output, labels, layout, keep)
	if err != nil {
		return err
	}
	if asJSON(c) {
		return printJSON(c.App.Writer, outcome.Exported{Model: shown, Labels: shownLabels, Layout: layout, Written: written})
	}
	say(c, wroteLines(shown, written)...)
	detail(c, exportDetails(layout, written)...)
	return nil
}

// target returns path with symbolic links resolved, or an error if no file can be written there.
// Commands call it before they do any work. A target must be new or a plain file: anything else,
// such as /dev/null, would be replaced by a plain file.
func target(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return "", fmt.Errorf("write %s: it is a folder", path)
	case err == nil && !info.Mode().IsRegular():
		return "", fmt.Errorf("write %s: it is not a plain file", path)
	case err == nil:
		return filepath.EvalSymlinks(path)
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("write %w", err)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return "", hinted{fmt.Errorf("write %s: there is no folder %s", path, filepath.Dir(path)), "make the folder first: mkdir -p " + filepath.Dir(path)}
	}
	return path, nil
}
