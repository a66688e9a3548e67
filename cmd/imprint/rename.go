package main

import (
	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint"
)

func renameCommand() *cli.Command {
	return &cli.Command{
		Name:      "rename",
		Usage:     "give a class another name",
		ArgsUsage: "OLD NEW",
		Description: `Give a class another name; no photo is read again.

Example:
   imprint rename cone "traffic cone"`,
		Flags: withWorkspace(),
		Action: func(c *cli.Context) error {
			if err := needArgs(c, 2, 2); err != nil {
				return err
			}
			from, to := c.Args().Get(0), c.Args().Get(1)
			return change(c, func(ws *imprint.Workspace) (func(summary) []string, error) {
				classes := ws.Classes()
				err := ws.Rename(c.Context, from, to)
				return func(summary) []string { return renamedLines(from, to) }, unknownLabel(err, from, classes)
			})
		},
	}
}
