package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint"
)

func mergeCommand() *cli.Command {
	return &cli.Command{
		Name:      "merge",
		Usage:     "combine workspaces, for instance from several cars",
		ArgsUsage: "WORKSPACE …",
		Description: `Combine workspaces into one, as if all photos had been added to it.

Examples:
   imprint merge ../car2/.imprint ../car3/.imprint      into this workspace
   imprint merge car1 car2 car3 -o fleet                into a new one

All workspaces need the same backbone. No photo is read; the order does not
matter. A photo in several workspaces counts once. If its labels differ, merge
fails and changes nothing.`,
		Flags: withDevices(
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "make a new workspace in `DIR`", DefaultText: "add to the workspace"},
			unknownRateFlag(), noneFlag(), jsonFlag("what was added"), layoutFlag(), headFlag(), keepFlag()),
		Action: merge,
	}
}

func merge(c *cli.Context) error {
	if err := needArgs(c, 1, -1); err != nil {
		return err
	}
	if err := mustExist(c.Args().Slice()...); err != nil {
		return err
	}
	dir, o, err := workspaceOptions(c)
	if err != nil {
		return err
	}
	if output := c.String("output"); output != "" {
		if text(c, "workspace") != "" {
			return usagef("merge takes -o for a new workspace or --workspace for an existing one, not both")
		}
		if _, err := imprint.Open(output, imprint.Options{Existing: true}); !errors.Is(err, imprint.ErrNoClasses) {
			return hinted{fmt.Errorf("merge into %s: there is already a workspace", output), "--workspace " + output + " instead of -o adds to it"}
		}
		dir = output
	}
	ws, merged, err := imprint.Merge(c.Context, dir, c.Args().Slice(), o)
	if err != nil {
		return err
	}
	defer ws.Close()
	for _, w := range append(ws.Warnings(), merged.Warnings...) {
		warn(c, "%s", w)
	}
	if asJSON(c) {
		return printJSON(c.App.Writer, struct {
			*imprint.Merged
			Estimate   classifier.Estimate `json:"estimate"`
			Generation uint64              `json:"generation"`
			Model      string              `json:"model"`
		}{merged, merged.Estimate, ws.Generation(), ws.ModelPath()})
	}
	s := summarize(ws)
	say(c, mergedLines(merged, c.NArg(), s)...)
	detail(c, mergedDetails(merged, s)...)
	return nil
}
