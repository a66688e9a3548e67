package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint"
)

func mergeCommand() *cli.Command {
	return &cli.Command{
		Name:      "merge",
		Usage:     "teach what other workspaces were taught",
		ArgsUsage: "WORKSPACE …",
		Description: `No photo is read: the workspaces are folders such as .imprint, of the same backbone. The
model becomes byte for byte what it would be had all photos been taught in one
workspace, in any order. Of the same photo one counts; under different labels it is an
error, and nothing is changed.

Examples:
   imprint merge ../car2/.imprint ../car3/.imprint      into this workspace
   imprint merge car1 car2 car3 -o fleet                into a new one`,
		Flags: withDevices(
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "make a new workspace in `DIR`", DefaultText: "that of --workspace"},
			layoutFlag(), headFlag(), unknownRateFlag(), keepFlag(), jsonFlag("what was learned")),
		Action: merge,
	}
}

func merge(c *cli.Context) error {
	if err := needArgs(c, 1, -1); err != nil {
		return err
	}
	dir, o, err := workspaceOptions(c)
	if err != nil {
		return err
	}
	if output := c.String("output"); output != "" {
		if text(c, "workspace") != "" {
			return usagef("merge takes -o for a new workspace or --workspace for one that is there, not both")
		}
		if _, err := imprint.Open(output, imprint.Options{Existing: true}); !errors.Is(err, imprint.ErrNoClasses) {
			return hinted{fmt.Errorf("merge into %s: a workspace is there already", output), "--workspace " + output + " instead of -o adds to it"}
		}
		dir = output
	}
	k, merged, err := imprint.Merge(c.Context, dir, c.Args().Slice(), o)
	if err != nil {
		return err
	}
	defer k.Close()
	for _, w := range append(k.Warnings(), merged.Warnings...) {
		warn(c, "%s", w)
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, struct {
			*imprint.Merged
			Estimate   estimate `json:"estimate"`
			Generation uint64   `json:"generation"`
			Model      string   `json:"model"`
		}{merged, estimate(merged.Estimate), k.Generation(), k.ModelPath()})
	}
	fmt.Fprintf(c.App.Writer, "merged %s; %d %s more than once\n", countLine(merged.Classes, merged.Negatives), merged.Duplicates, map[bool]string{true: "photo was there", false: "photos were there"}[merged.Duplicates == 1])
	tellModel(c.App.Writer, k, merged.Estimate)
	return nil
}
