package main

import (
	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/outcome"
)

func undoCommand() *cli.Command {
	return &cli.Command{
		Name:  "undo",
		Usage: "undo the last change",
		Description: `Undo the last change; repeat the command to undo up to 32 changes.

Example:
   imprint undo`,
		Flags: withWorkspace(jsonFlag("what was undone")),
		Action: func(c *cli.Context) error {
			if err := needArgs(c, 0, 0); err != nil {
				return err
			}
			return change(c, func(ws *imprint.Workspace) (changed, error) {
				undone, err := ws.Undo(c.Context)
				return changed{
					lines:  func(s summary) []string { return undoneLines(undone, s) },
					object: func(a outcome.Workspace) any { return outcome.UndoneIn(a, undone) },
				}, err
			})
		},
	}
}
