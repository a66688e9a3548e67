package main

import (
	"errors"

	"github.com/imprintkit/imprint/imprint/modelfile"
	"github.com/urfave/cli/v2"
)

func compileCommand() *cli.Command {
	return &cli.Command{
		Name:      "compile",
		Usage:     "write a model's weights into a compiled model",
		ArgsUsage: "MODEL",
		Description: `Write the weights of MODEL into a model of the same architecture that Google's
compiler made for the Edge TPU.

Example:
   imprint compile --compiled mobilenet_edgetpu.tflite \
      --uncompiled mobilenet.tflite retrained.tflite -o retrained_edgetpu.tflite

MODEL must have the operators and shapes of the uncompiled model; its weights
and scales may differ. If a layer does not fit, compile names it and writes
nothing.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "compiled", Usage: "read the compiled model from `FILE`; required", DefaultText: "none"},
			&cli.StringFlag{Name: "uncompiled", Usage: "read the uncompiled form of --compiled from `FILE`; required", DefaultText: "none"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the new compiled model to `FILE`; required", DefaultText: "none"},
			jsonFlag("what was written"),
		},
		Action: compile,
	}
}

func compile(c *cli.Context) error {
	if err := needArgs(c, 1, 1); err != nil {
		return err
	}
	for _, f := range []string{"compiled", "uncompiled", "output"} {
		if c.String(f) == "" {
			return usagef("compile needs --compiled FILE, --uncompiled FILE and -o FILE")
		}
	}
	model := c.Args().First()
	if err := errors.Join(mustBeModel(c.String("compiled")), mustBeModel(c.String("uncompiled")), mustExist(model)); err != nil {
		return err
	}
	output, err := target(c.String("output"))
	if err != nil {
		return err
	}
	if err := modelfile.Compile(c.Context, model, output, c.String("compiled"), c.String("uncompiled")); err != nil {
		return err
	}
	if asJSON(c) {
		return printJSON(c.App.Writer, struct {
			Model string `json:"model"`
		}{c.String("output")})
	}
	say(c, wroteLines(c.String("output"), nil)...)
	return nil
}
