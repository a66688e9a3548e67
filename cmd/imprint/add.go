package main

import (
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
)

func addCommand() *cli.Command {
	own := []cli.Flag{
		labelFlag("the photos show `NAME`", "the name of the folder they are in"),
		listFlag(), negativeFlag(), unknownRateFlag(), jsonFlag("what was added"),
	}
	own = append(own, tubFlags()...)
	return &cli.Command{
		Name:      "add",
		Usage:     "add photos of a class",
		ArgsUsage: "PHOTO|DIR|- …",
		Description: `Add photos of one or more classes and train the model on them.

Examples:
   imprint add --label cone ./photos/cone    all photos in a folder
   imprint add --label cone 1.jpg 2.jpg      single photos
   imprint add ./photos                      ./photos/cone/*, ./photos/duck/*, …
   imprint add --list photos.txt             lines of path, tab, label
   ls *.jpg | imprint add --label cone -     paths (or one photo) from a pipe
   imprint add --unknown 0.05 --negative ./photos/street
                                             reject what is not in your classes
   imprint add --label cone --tub ~/mycar/data --records 100:200
                                             from a Donkey Car's recording`,
		Flags:  withDevices(append(own, autoResizeFlag(), layoutFlag(), headFlag(), keepFlag(), compiledFlag())...),
		Action: add,
	}
}

func add(c *cli.Context) error {
	if c.IsSet("label") && c.String("label") == "" {
		return usagef("--label is empty")
	}
	others, left, err := negatives(c)
	if err != nil {
		return err
	}
	var photos []dataset.Item
	if len(others) == 0 || c.NArg() > 0 || c.IsSet("list") || c.IsSet("tub") {
		var more []imprint.Skipped
		if photos, more, err = findPhotos(c, c.String("label")); err != nil {
			return err
		}
		left = append(left, more...)
	}
	ws, err := open(c, false)
	if err != nil {
		return err
	}
	defer ws.Close()
	var fresh *backbone.Backbone // of a new workspace
	if ws.Generation() == 0 {
		fresh = ws.Backbone()
	}
	show, clear := progress(c, "photo")
	added, err := ws.Add(c.Context, photos, imprint.AddOptions{Negatives: others, Progress: show})
	clear()
	if added != nil {
		added.Skipped = append(left, added.Skipped...)
		if err != nil || !c.Bool("json") {
			note(c, skippedLines(added.Skipped, verbose(c))...)
		}
	}
	if added != nil && errors.Is(err, imprint.ErrNoPhotos) {
		return dataError{err} // there are photos, and none can be used
	}
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printAdded(c, added, ws)
	}
	s := summarize(ws)
	lines := addedLines(added, s)
	if c.IsSet("unknown") {
		lines[1] = unknownLine(s.settings.Unknown, s.rejection)
	}
	say(c, lines...)
	detail(c, addedDetails(added, fresh, s)...)
	return nil
}

func printAdded(c *cli.Context, added *imprint.Added, ws *imprint.Workspace) error {
	h := ws.Head()
	return printJSON(c.App.Writer, struct {
		*imprint.Added
		Head       head                `json:"head"`
		Estimate   classifier.Estimate `json:"estimate"`
		MS         float64             `json:"ms"`
		Generation uint64              `json:"generation"`
		Model      string              `json:"model"`
		Written    *imprint.Written    `json:"written,omitempty"`
	}{added, head{h.Recipe, h.Candidates}, added.Estimate, ms(added.Elapsed), ws.Generation(), ws.ModelPath(), ws.Written()})
}

// head is how the last layer was trained and what it was chosen from, as JSON.
type head struct {
	classifier.Recipe
	Candidates []classifier.Candidate `json:"tried,omitempty"`
}
