package main

import (
	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
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
		return printList(c, ws)
	}
	s := summarize(ws)
	say(c, classLines(s.classes, c.Bool("photos"))...)
	say(c, accuracyLine(s.estimate, s.classes))
	detail(c, backboneLine(ws.Backbone(), s.settings.Resize))
	detail(c, s.details()...)
	return nil
}

func printList(c *cli.Context, ws *imprint.Workspace) error {
	s := ws.Settings()
	return printJSON(c.App.Writer, struct {
		Backbone    string              `json:"backbone"`
		Resize      dataset.Resize      `json:"fit"`
		Layout      classifier.Layout   `json:"layout"`
		KeepClasses bool                `json:"keep_classes"`
		Head        head                `json:"head"`
		Generation  uint64              `json:"generation"`
		Classes     []imprint.Class     `json:"classes"`
		Estimate    classifier.Estimate `json:"estimate"`
		Model       string              `json:"model"`
		Written     *imprint.Written    `json:"written,omitempty"`
		Unknown     float64             `json:"unknown"`
	}{ws.Backbone().Name, s.Resize, s.Layout, s.KeepClasses, head{ws.Head().Recipe, ws.Head().Candidates}, ws.Generation(), append([]imprint.Class{}, ws.Classes()...), ws.Head().Estimate, ws.ModelPath(), ws.Written(), s.Unknown})
}
