package main

import (
	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint/outcome"
)

func listCommand() *cli.Command {
	return &cli.Command{
		Name:    "list",
		Aliases: []string{"ls"},
		Usage:   "list the classes and their photos",
		Description: `List the classes, how many photos each has, and how accurate the model is.

Examples:
   imprint list
   imprint list --photos`,
		Flags: withWorkspace(
			&cli.BoolFlag{Name: "photos", Usage: "list every photo", DefaultText: "no"},
			jsonFlag("classes and photos")),
		Action: list,
	}
}

func list(c *cli.Context) error {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	ws, err := open(c, true)
	if err != nil {
		return err
	}
	defer ws.Close()
	if asJSON(c) {
		return printJSON(c.App.Writer, outcome.ListOf(ws))
	}
	s := summarize(ws)
	say(c, classLines(s.classes, c.Bool("photos"))...)
	say(c, accuracyLine(s.estimate, s.classes))
	detail(c, contributionLines(ws.Contributions())...)
	detail(c, backboneLine(ws.Backbone(), s.settings.Resize))
	detail(c, s.details()...)
	return nil
}
