package main

import (
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/outcome"
)

func removeCommand() *cli.Command {
	return &cli.Command{
		Name:      "remove",
		Aliases:   []string{"rm"},
		Usage:     "remove a class, or single photos",
		ArgsUsage: "[PHOTO|DIR …]",
		Description: `Remove a class or photos; the model becomes byte-identical to one trained
without them.

Examples:
   imprint remove --label cone             the whole class
   imprint remove ./photos/cone/7.jpg      one photo
   imprint remove ./photos/cone            all photos from a folder
   imprint remove --negatives              all photos added with add --negative
   imprint remove --from car17             what was merged from a workspace`,
		Flags: withWorkspace(labelFlag("remove only photos of `NAME`", "any"),
			&cli.BoolFlag{Name: "negatives", Usage: "remove all photos added with imprint add --negative", DefaultText: "no"},
			&cli.StringFlag{Name: "from", Usage: "remove what was merged from `WORKSPACE`, except photos that others have too", DefaultText: "any"},
			jsonFlag("what was removed")),
		Action: remove,
	}
}

func remove(c *cli.Context) error {
	label := c.String("label")
	if c.IsSet("label") && label == "" {
		return usagef("--label is empty")
	}
	all := c.Bool("negatives")
	from := c.String("from")
	if label == "" && c.NArg() == 0 && !all && from == "" {
		return usagef("remove needs --label NAME, photos, --negatives or --from WORKSPACE")
	}
	if all && (label != "" || c.NArg() > 0) {
		return usagef("remove --negatives takes neither --label nor photos")
	}
	if from != "" && (label != "" || all || c.NArg() > 0) {
		return usagef("remove --from takes neither --label, --negatives nor photos")
	}
	return change(c, func(ws *imprint.Workspace) (changed, error) {
		classes := ws.Classes()
		n, negatives, what := 0, 0, ""
		var err error
		switch {
		case from != "":
			if n, negatives, err = ws.RemoveContribution(c.Context, from); err != nil {
				return changed{}, hinted{err, "imprint list -v shows the merged workspaces"}
			}
			what = removedOf(n, negatives) + " of " + plain(from)
		case all:
			negatives, err = ws.RemoveNegatives(c.Context)
			what = count(negatives, "negative")
		default:
			n, err = ws.Remove(c.Context, label, c.Args().Slice())
			what = count(n, "photo")
		}
		if label != "" {
			what += " of " + plain(label)
		}
		return changed{
			lines: func(s summary) []string { return removedLines(what, s) },
			object: func(a outcome.Workspace) any {
				return outcome.Removed{Photos: n, Negatives: negatives, Workspace: a}
			},
		}, notAdded(unknownLabel(err, label, classes), c.Args().Slice(), classes)
	})
}

// notAdded adds a hint to the error that photos are not in the workspace. If one of the names is a
// class, the hint says how to remove that class.
func notAdded(err error, names []string, classes []imprint.Class) error {
	if !errors.Is(err, imprint.ErrNoPhotos) {
		return err
	}
	for _, name := range names {
		for _, class := range classes {
			if name == class.Label {
				return hinted{err, "did you mean the class? imprint remove --label " + shellQuote(name)}
			}
		}
	}
	return hinted{err, "imprint list --photos shows the photos"}
}

// removedOf describes removed photos and negatives.
func removedOf(photos, negatives int) string {
	if negatives == 0 {
		return count(photos, "photo")
	}
	return count(photos, "photo") + " and " + count(negatives, "negative")
}
