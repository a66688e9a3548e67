package main

import (
	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint"
)

func undoCommand() *cli.Command {
	return &cli.Command{
		Name:  "undo",
		Usage: "take back the last change",
		Description: `Take back the last change; repeat it for up to 32 changes.

Example:
   imprint undo`,
		Flags: withWorkspace(),
		Action: func(c *cli.Context) error {
			if err := needArgs(c, 0, 0); err != nil {
				return err
			}
			return change(c, func(ws *imprint.Workspace) (func(summary) []string, error) {
				undone, err := ws.Undo(c.Context)
				return func(s summary) []string { return undoneLines(undone, s) }, err
			})
		},
	}
}
