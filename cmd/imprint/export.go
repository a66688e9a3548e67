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
)

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:  "export",
		Usage: "write the model to a file",
		Description: `The labels are in the model, and in a file of their own with --labels. The
workspace stays as it is.

Examples:
   imprint export -o cones.tflite
   imprint export --layout coral -o cones.tflite --labels labels.txt
   imprint export --layout tpu --template mobilenet_edgetpu.tflite --twin mobilenet.tflite -o cones_edgetpu.tflite`,
		Flags: withWorkspace(
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the model to `FILE`", DefaultText: "must be given"},
			&cli.StringFlag{Name: "labels", Usage: "write the labels to `FILE` too", DefaultText: "no"},
			layoutFlag(), keepFlag(), templateFlag(), twinFlag()),
		Action: export,
	}
}

func export(c *cli.Context) error {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	output, labels := c.String("output"), c.String("labels")
	if output == "" {
		return usagef("export needs -o FILE")
	}
	if output == labels {
		return usagef("the model and its labels can't both be written to %s", output)
	}
	for _, path := range []*string{&output, &labels} {
		var err error
		if *path, err = target(*path); err != nil {
			return err
		}
	}
	k, err := open(c, true)
	if err != nil {
		return err
	}
	defer k.Close()
	s := k.Settings()
	layout, keep := s.Layout, s.KeepClasses
	if c.IsSet("template") {
		layout = classifier.TPU
	}
	if c.IsSet("layout") {
		layout = classifier.Layout(c.String("layout")) // open has checked it
	}
	if c.IsSet("keep-classes") {
		keep = c.Bool("keep-classes")
	}
	if layout == classifier.TPU && c.Bool("keep-classes") {
		return imprint.ErrKeepClasses
	}
	w, err := k.Export(output, labels, layout, keep)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "wrote %s, layout %s\n", c.String("output"), layout)
	tellWritten(c.App.Writer, w)
	return nil
}

// target returns the place of the file that is to be written at path, following
// links, or why there can't be one. It is asked before any work is done. What is
// no plain file, such as /dev/null, would be replaced by one.
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
