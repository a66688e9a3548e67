package main

import (
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint"
)

func removeCommand() *cli.Command {
	return &cli.Command{
		Name:      "remove",
		Aliases:   []string{"rm"},
		Usage:     "remove a class, or single photos",
		ArgsUsage: "[PHOTO …]",
		Description: `Remove a class or photos: the model becomes, byte for byte, what it would be
without them.

Examples:
   imprint remove --label cone             the whole class
   imprint remove ./photos/cone/7.jpg      one photo
   imprint remove --negatives              all photos given with add --negative`,
		Flags: withWorkspace(labelFlag("remove only photos of `NAME`", "any"),
			&cli.BoolFlag{Name: "negatives", Usage: "remove all photos given with imprint add --negative", DefaultText: "no"}),
		Action: remove,
	}
}

func remove(c *cli.Context) error {
	label := c.String("label")
	if c.IsSet("label") && label == "" {
		return usagef("--label is empty")
	}
	all := c.Bool("negatives")
	if label == "" && c.NArg() == 0 && !all {
		return usagef("remove needs --label NAME, photos or --negatives")
	}
	if all && (label != "" || c.NArg() > 0) {
		return usagef("remove --negatives takes neither --label nor photos")
	}
	return change(c, func(ws *imprint.Workspace) (func(summary) []string, error) {
		what := ""
		if all {
			n, err := ws.RemoveNegatives(c.Context)
			what = count(n, "negative")
			return func(s summary) []string { return removedLines(what, s) }, err
		}
		classes := ws.Classes()
		n, err := ws.Remove(c.Context, label, c.Args().Slice())
		what = count(n, "photo")
		if label != "" {
			what += " of " + plain(label)
		}
		if errors.Is(err, imprint.ErrNoPhotos) {
			err = hinted{err, "imprint list --photos shows the photos"}
		}
		return func(s summary) []string { return removedLines(what, s) }, unknownLabel(err, label, classes)
	})
}
