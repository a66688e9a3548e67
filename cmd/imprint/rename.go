package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/outcome"
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
					lines:  func(summary) []string { return renamedLines(from, to) },
					object: func(a outcome.Workspace) any { return outcome.Renamed{From: from, To: to, Workspace: a} },
				}, taken(otherCase(unknownLabel(err, from, classes), to, classes), from, to, classes)
			})
		},
	}
}

// taken adds a hint to an error about renaming a class to the name of another: to join
// two classes their photos are moved.
func taken(err error, from, to string, classes []imprint.Class) error {
	there := func(label string) bool {
		return slices.ContainsFunc(classes, func(class imprint.Class) bool { return class.Label == label })
	}
	if !errors.Is(err, imprint.ErrLabel) || from == to || !there(from) || !there(to) {
		return err
	}
	return hinted{err, fmt.Sprintf("to join the two: imprint move --to %s PHOTO…; imprint list --photos shows the photos of %s", shellQuote(to), plain(from))}
}
