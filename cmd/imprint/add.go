package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/evaluate"
	"github.com/imprintkit/imprint/imprint/outcome"
)

func addCommand() *cli.Command {
	own := []cli.Flag{
		labelFlag("label the photos `NAME`", "the name of their folder"),
		&cli.BoolFlag{Name: "recursive", Aliases: []string{"r"}, Usage: "with --label, also add the photos in subfolders that look like classes", DefaultText: "refuse such folders"},
		listFlag(), annotationsFlag(), frigateFlag(), negativeFlag(), unknownRateFlag(), noneFlag(), jsonFlag("what was added"),
	}
	own = append(append(own, tubFlags()...), croppingFlags()...)
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
   imprint add --backbone auto ./photos      with the best backbone for them
   imprint add --negative ./photos/street    reject such things more often
   imprint add --label cone --tub ~/mycar/data --records 100:200
                                             from a Donkey Car's recording
   imprint add --frigate clips/door          the dataset of a Frigate model
   imprint add --detector pets.tflite --detect cat --label tom ./photos/tom
                                             only the cat in each photo
   imprint add --annotations boxes.csv ./photos
                                             the labeled boxes in photos`,
		Flags:  withDevices(append(own, autoResizeFlag(), layoutFlag(), headFlag(), keepFlag(), compiledFlag())...),
		Action: add,
	}
}

func add(c *cli.Context) error {
	if c.IsSet("label") && c.String("label") == "" {
		return usagef("--label is empty")
	}
	if err := mustBeOneClass(c); err != nil {
		return err
	}
	if err := mustBeNew(c); err != nil {
		return err
	}
	others, left, err := negatives(c)
	if err != nil {
		return err
	}
	photos, none, more, err := frigatePhotos(c)
	if err != nil {
		return err
	}
	others, left = append(others, none...), append(left, more...)
	if len(others)+len(photos) == 0 || c.NArg() > 0 || c.IsSet("list") || c.IsSet("tub") {
		found, more, err := photosToAdd(c)
		if err != nil {
			return err
		}
		photos, left = append(photos, found...), append(left, more...)
	}
	resize, err := resizeMode(c)
	if err != nil {
		return err
	}
	chosen, err := chooseBackbone(c, photos, resize)
	if err != nil {
		return err
	}
	ws, err := open(c, false)
	if err != nil {
		return err
	}
	defer ws.Close()
	var fresh *backbone.Backbone // the backbone of a new workspace, else nil
	if ws.Generation() == 0 {
		fresh = ws.Backbone()
	}
	before := ws.Classes()
	show, clear := progress(c, "photo")
	added, err := ws.Add(c.Context, photos, imprint.AddOptions{Negatives: others, Progress: show})
	clear()
	if added != nil {
		added.Skipped = append(left, added.Skipped...)
		if err != nil || !asJSON(c) {
			note(c, skippedFor(labelsByPath(photos), added.Skipped, verbose(c))...)
		}
	}
	if added != nil && errors.Is(err, imprint.ErrNoPhotos) {
		return noneAdded(err, added.Skipped) // photos were found, but none could be read
	}
	if err != nil {
		for _, it := range photos {
			err = otherCase(err, it.Label, before)
		}
		if name := text(c, "backbone"); fresh != nil && name != "" {
			err = hinted{err, hintOfNew(hint(err, "add"), name)}
		}
		return err
	}
	warnOfTypos(c, before, added.Classes)
	warnOfDepth(c, photos)
	warnOfQuantization(c, ws)
	if d := text(c, "device"); d != "" && d != "auto" && added.Devices["cpu"] > 0 && ws.Settings().Layout == classifier.TPU {
		note(c, "the CPU embedded the photos: in the layout tpu, Edge TPUs only classify")
	}
	if asJSON(c) {
		return printAdded(c, added, ws, chosen)
	}
	if allKnown(added) && !verbose(c) {
		return nil // the notes on skipped photos already say so
	}
	s := summarize(ws)
	if fresh != nil {
		noteWithoutBackground(c, fresh.Name, s)
	}
	lines := addedLines(added, s)
	if line := answersLine(c, s); line != "" {
		lines[1] = line
	}
	noteIgnoredHead(c, s)
	say(c, lines...)
	detail(c, addedDetails(added, fresh, s)...)
	return nil
}

// hintOfNew adds to a hint about a new workspace that its backbone must be named again:
// nothing was written that could remember it.
func hintOfNew(hint, backbone string) string {
	again := "no workspace was made, so give --backbone " + shellQuote(backbone) + " again next time"
	if hint == "" {
		return again
	}
	return hint + "; " + again
}

// mustBeOneClass returns a usage error if --label is given for a folder whose
// subfolders look like classes, unless --recursive is given too.
func mustBeOneClass(c *cli.Context) error {
	label := c.String("label")
	if c.Bool("recursive") && label == "" {
		return usagef("--recursive needs --label: without it each subfolder is a class")
	}
	if c.Bool("recursive") || label == "" {
		return nil
	}
	for _, dir := range c.Args().Slice() {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			continue
		}
		subfolders, err := dataset.Subfolders(c.Context, dir)
		if err != nil {
			return err
		}
		if len(subfolders) < 2 {
			continue
		}
		names := subfolders
		if len(names) > 4 {
			names = append(names[:3:3], fmt.Sprintf("%d more", len(names)-3))
		}
		return hinted{usagef("%s has subfolders that look like classes: %s", dir, enumerate(names)),
			fmt.Sprintf("imprint add %s adds each as a class; --recursive adds all their photos to %s", shellQuote(dir), shellQuote(label))}
	}
	return nil
}

// labelsByPath returns the labels of whole photos. Boxes of a photo can have several labels.
func labelsByPath(photos []dataset.Item) map[string]string {
	labels := make(map[string]string)
	for _, it := range photos {
		if it.Box == (dataset.Box{}) {
			labels[it.Path] = it.Label
		}
	}
	return labels
}

// allKnown reports whether nothing was added because the workspace already had all the
// photos.
func allKnown(a *imprint.Added) bool {
	return a.Photos+a.Negatives == 0 && !slices.ContainsFunc(a.Skipped, func(s imprint.Skipped) bool { return !s.Duplicate })
}

// noneAdded turns the error that no photo could be read into a data error, with a hint if one of
// the photos is a HEIC file.
func noneAdded(err error, skipped []imprint.Skipped) error {
	if slices.ContainsFunc(skipped, func(s imprint.Skipped) bool { return strings.Contains(s.Reason, "HEIC") }) {
		err = hinted{err, heicHint}
	} else if !slices.ContainsFunc(skipped, func(s imprint.Skipped) bool { return !strings.Contains(s.Reason, dataset.ErrEmpty.Error()) }) {
		err = hinted{err, "copy or download it again: a file of 0 bytes is no photo"}
	}
	return dataError{err}
}

// warnOfTypos warns about new classes whose names may be misspelled.
func warnOfTypos(c *cli.Context, before []imprint.Class, added map[string]int) {
	known, all := make(map[string]bool), make(map[string]int)
	maps.Copy(all, added)
	for _, class := range before {
		known[class.Label], all[class.Label] = true, 0
	}
	labels := slices.Sorted(maps.Keys(all))
	for _, label := range labels {
		if known[label] {
			continue
		}
		for _, other := range labels {
			if other != label && typo(label, other) {
				warn(c, "%q is a new class; did you mean %q? imprint undo removes it", label, other)
				break
			}
		}
	}
}

// warnOfDepth warns if the classes of a folder have their photos only in several folders below, as if
// the folder above the right one was given.
func warnOfDepth(c *cli.Context, photos []dataset.Item) {
	if c.String("label") != "" || c.String("annotations") != "" {
		return
	}
	for _, dir := range c.Args().Slice() {
		inside := make(map[string]map[string]bool) // the folders in each class; "" for photos directly in it
		for _, it := range photos {
			path, err := filepath.Rel(dir, it.Path)
			parts := strings.Split(path, string(filepath.Separator))
			if err != nil || len(parts) < 2 || parts[0] == ".." {
				continue
			}
			if inside[parts[0]] == nil {
				inside[parts[0]] = make(map[string]bool)
			}
			inside[parts[0]][strings.Join(parts[1:min(2, len(parts)-1)], "")] = true
		}
		deepest := ""
		for _, class := range slices.Sorted(maps.Keys(inside)) {
			if inside[class][""] {
				deepest = ""
				break
			}
			if deepest == "" || len(inside[class]) > len(inside[deepest]) {
				deepest = class
			}
		}
		if len(inside[deepest]) < 2 {
			continue
		}
		warn(c, "%s became one class; if the folders in it are the classes: imprint undo, then imprint add %s",
			deepest, shellQuote(filepath.Join(dir, deepest)))
	}
}

func printAdded(c *cli.Context, added *imprint.Added, ws *imprint.Workspace, chosen *evaluate.BackboneChoice) error {
	o := outcome.AddedTo(ws, added)
	o.Chosen = chosen
	return printJSON(c.App.Writer, o)
}
