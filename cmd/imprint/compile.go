package main

import (
	"fmt"

	"github.com/imprintkit/imprint/imprint/modelfile"
	"github.com/urfave/cli/v2"
)

func compileCommand() *cli.Command {
	return &cli.Command{
		Name:      "compile",
		Usage:     "write a model's weights into a compiled model of the same architecture",
		ArgsUsage: "MODEL",
		Description: `The template is a model that Google's compiler made for the Edge TPU; the twin is what
it was made of. MODEL has the twin's operators and shapes, with weights and scales of
its own. What can't be expressed is refused, and the layer named.

Example:
   imprint compile --template mobilenet_edgetpu.tflite --twin mobilenet.tflite retrained.tflite -o retrained_edgetpu.tflite`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "template", Usage: "the compiled model, `FILE`", DefaultText: "must be given"},
			&cli.StringFlag{Name: "twin", Usage: "the model that the template was compiled from, `FILE`", DefaultText: "must be given"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the model to `FILE`", DefaultText: "must be given"},
		},
		Action: func(c *cli.Context) error {
			if err := needArgs(c, 1, 1); err != nil {
				return err
			}
			for _, f := range []string{"template", "twin", "output"} {
				if c.String(f) == "" {
					return usagef("compile needs --template COMPILED, --twin UNCOMPILED and -o FILE")
				}
			}
			output, err := target(c.String("output"))
			if err != nil {
				return err
			}
			if err := modelfile.Compile(c.Context, c.Args().First(), output, c.String("template"), c.String("twin")); err != nil {
				return err
			}
			fmt.Fprintf(c.App.Writer, "wrote %s\n", c.String("output"))
			return nil
		},
	}
}
