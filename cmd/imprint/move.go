package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/outcome"
)

func moveCommand() *cli.Command {
	return &cli.Command{
		Name:      "move",
		Aliases:   []string{"mv"},
		Usage:     "move photos to another class",
		ArgsUsage: "PHOTO|DIR …",
		Description: `Move photos to another class, as if they had been added to it; no photo is
embedded again.

Examples:
   imprint move --to shoes ./photos/hat/7.jpg      one photo
   imprint move --to shoes ./photos/shoes          all photos from a folder`,
		Flags: withWorkspace(&cli.StringFlag{Name: "to", Usage: "move the photos to the class `NAME`; required", DefaultText: "none"},
			jsonFlag("what was moved")),
		Action: move,
	}
}

func move(c *cli.Context) error {
	to := c.String("to")
	if to == "" {
		return usagef("move needs --to NAME")
	}
	if err := needArgs(c, 1, -1); err != nil {
		return err
	}
	return change(c, func(ws *imprint.Workspace) (changed, error) {
		classes := ws.Classes()
		n, err := ws.Move(c.Context, to, c.Args().Slice())
		if errors.Is(err, imprint.ErrNoPhotos) {
			err = hinted{err, "imprint list --photos shows the photos; imprint add --label NAME adds new ones"}
		}
		return changed{
			lines:  func(s summary) []string { return movedLines(n, to, s) },
			object: func(a outcome.Workspace) any { return outcome.Moved{Photos: n, To: to, Workspace: a} },
		}, otherCase(err, to, classes)
	})
}

// movedLines returns the output of imprint move for n photos.
func movedLines(n int, to string, s summary) []string {
	if n == 0 {
		return []string{"nothing to move: the photos are already in " + plain(to)}
	}
	return []string{fmt.Sprintf("moved %s to %s %s", count(n, "photo"), plain(to), s.total()), accuracyLine(s.estimate, s.classes)}
}
