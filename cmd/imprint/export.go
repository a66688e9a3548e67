package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/classifier"
)

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:  "export",
		Usage: "write the model to a file",
		Description: `The labels are in the model, and in a file of their own with --labels.

Examples:
   imprint export -o cones.tflite
   imprint export --layout coral -o cones.tflite --labels labels.txt`,
		Flags: withWorkspace(
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the model to `FILE`", Required: true},
			&cli.StringFlag{Name: "labels", Usage: "write the labels to `FILE` too (default: no)"},
			layoutFlag(), keepFlag()),
		Action: export,
	}
}

func export(c *cli.Context) error {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	k, err := open(c, true)
	if err != nil {
		return err
	}
	defer k.Close()
	s := k.Settings()
	layout, keep := s.Layout, s.KeepClasses
	if c.IsSet("layout") {
		layout = classifier.Layout(c.String("layout")) // open has checked it
	}
	if c.IsSet("keep-classes") {
		keep = c.Bool("keep-classes")
	}
	if err := k.Export(c.String("output"), c.String("labels"), layout, keep); err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "wrote %s, layout %s\n", c.String("output"), layout)
	return nil
}
