package main

import (
	"os"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint/modelfile"
)

func compileCommand() *cli.Command {
	return &cli.Command{
		Name:      "compile",
		Usage:     "write a model's weights into a compiled model",
		ArgsUsage: "MODEL",
		Description: `Write the weights of MODEL into a model of the same architecture that Google's
compiler made for the Edge TPU.

Examples:
   imprint compile retrained.tflite -o retrained_edgetpu.tflite
   imprint compile --compiled mobilenet_edgetpu.tflite retrained.tflite \
      -o retrained_edgetpu.tflite

Without --compiled, compile chooses among the pulled models; imprint models
list shows them. MODEL must have the operators and shapes of the uncompiled
model; its weights and scales may differ, and a classifier may have fewer
classes. The outputs after the last class then belong to no class, and their
scores are almost always 0. If a layer does not fit, compile names it and writes
nothing.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "compiled", Usage: "write into a copy of the compiled `MODEL`, a file or name", DefaultText: "a pulled model that fits"},
			&cli.StringFlag{Name: "uncompiled", Usage: "read the uncompiled form of --compiled from `MODEL`, a file or name", DefaultText: "its name without _edgetpu"},
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
	t := modelfile.Template{Compiled: c.String("compiled"), Uncompiled: c.String("uncompiled")}
	if c.String("output") == "" {
		return usagef("compile needs -o FILE")
	}
	if t.Compiled == "" && t.Uncompiled != "" {
		return usagef("--uncompiled needs --compiled")
	}
	if err := mustBeModel(t.Compiled); err != nil {
		return err
	}
	if t.Compiled != "" && t.Uncompiled == "" {
		var err error
		if t.Uncompiled, err = modelfile.Uncompiled(t.Compiled); err != nil {
			return usagef("--compiled needs --uncompiled, the model that it was compiled from: %v", err)
		}
	}
	model := c.Args().First()
	if err := mustBeModel(t.Uncompiled); err != nil {
		return err
	}
	if err := mustExist(model); err != nil {
		return err
	}
	output, err := target(c.String("output"))
	if err != nil {
		return err
	}
	for _, name := range []string{model, t.Compiled, t.Uncompiled} {
		if sameFile(name, output) {
			return usagef("-o %s would replace a model that compile reads: choose another name", output)
		}
	}
	used, err := modelfile.Compile(c.Context, model, output, t)
	if err != nil {
		return err
	}
	if asJSON(c) {
		return printJSON(c.App.Writer, struct {
			Model string `json:"model"`
			modelfile.Template
		}{c.String("output"), used})
	}
	if t.Compiled == "" {
		say(c, "compiled like "+used.Compiled)
	}
	say(c, wroteLines(c.String("output"), nil)...)
	return nil
}

// sameFile reports whether two paths lead to one existing file.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
