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
		Description: `Give a class another name; no photo is read.

Example:
   imprint rename cone "traffic cone"`,
		Flags: withWorkspace(jsonFlag("what was renamed")),
		Action: func(c *cli.Context) error {
			if err := needArgs(c, 2, 2); err != nil {
				return err
			}
			from, to := c.Args().Get(0), c.Args().Get(1)
			return change(c, func(ws *imprint.Workspace) (changed, error) {
				classes := ws.Classes()
				err := ws.Rename(c.Context, from, to)
				return changed{
					lines: func(summary) []string { return renamedLines(from, to) },
					object: func(a after) any {
						return struct {
							From string `json:"from"`
							To   string `json:"to"`
							after
						}{from, to, a}
					},
				}, otherCase(unknownLabel(err, from, classes), to, classes)
			})
		},
	}
}
