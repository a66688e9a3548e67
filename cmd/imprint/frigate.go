package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
)

func frigateFlag() cli.Flag {
	return &cli.StringFlag{Name: "frigate", Usage: "add the photos that Frigate's custom classification has in `DIR`, clips/NAME", DefaultText: "none"}
}

// frigatePhotos returns the photos of the classes in the folder that --frigate names, and those of
// the folder none, which show none of the classes. Frigate keeps them in DIR/dataset/CLASS, and
// photos that nobody has labeled in DIR/train. In a new workspace it also makes Frigate's
// choices the defaults: photos are squashed, and the label for unknown things is "none".
func frigatePhotos(c *cli.Context) (photos, none []dataset.Item, left []imprint.Skipped, err error) {
	dir := c.String("frigate")
	if !c.IsSet("frigate") {
		return nil, nil, nil, nil
	}
	if c.IsSet("label") {
		return nil, nil, nil, usagef("--frigate takes the labels from the names of folders; leave out --label")
	}
	if err := mustExist(dir); err != nil {
		return nil, nil, nil, err
	}
	if info, err := os.Stat(filepath.Join(dir, "dataset")); err == nil && info.IsDir() {
		dir = filepath.Join(dir, "dataset")
	}
	found, skipped, err := dataset.WalkContext(c.Context, []string{dir}, "")
	if err != nil {
		return nil, nil, nil, err
	}
	for _, it := range found {
		if it.Label == classifier.FrigateNone {
			none = append(none, it)
		} else {
			photos = append(photos, it)
		}
	}
	if len(found) == 0 {
		return nil, nil, nil, fmt.Errorf("add the dataset of Frigate in %s: %w found", dir, imprint.ErrNoPhotos)
	}
	ws, err := imprint.Open(workspace(c), imprint.Options{Existing: true})
	if err == nil {
		return photos, none, leftOut(skipped), ws.Close()
	}
	if !errors.Is(err, imprint.ErrNoClasses) {
		return nil, nil, nil, err
	}
	for name, value := range map[string]string{"resize": string(dataset.Squash), "none": classifier.FrigateNone} {
		if !c.IsSet(name) {
			if err := c.Set(name, value); err != nil {
				return nil, nil, nil, err
			}
		}
	}
	return photos, none, leftOut(skipped), nil
}

// frigateFiles returns the model and the label file that Frigate's custom classification reads in
// the folder dir. It makes the folder if only its parent exists; undo removes it again. The layout
// frigate is not one of workspaces, so it clears the flag.
func frigateFiles(c *cli.Context, dir string) (model, labels string, undo func(), err error) {
	if c.IsSet("labels") {
		return "", "", nil, usagef("the layout frigate always writes its labels, to labelmap.txt in the folder of -o")
	}
	if err := c.Set("layout", ""); err != nil {
		return "", "", nil, err
	}
	undo = func() {}
	switch info, err := os.Stat(dir); {
	case err == nil && !info.IsDir():
		return "", "", nil, fmt.Errorf("write %s: it is not a folder, which the layout frigate needs", dir)
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Mkdir(dir, 0o777); err != nil {
			return "", "", nil, fmt.Errorf("make the folder for the model and its labels: %w", err)
		}
		undo = func() { os.Remove(dir) }
	}
	return filepath.Join(dir, "model.tflite"), filepath.Join(dir, "labelmap.txt"), undo, nil
}
