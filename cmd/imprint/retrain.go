package main

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/outcome"
	"github.com/imprintkit/imprint/imprint/serve"
)

func retrainCommand() *cli.Command {
	return &cli.Command{
		Name:      "retrain",
		Usage:     "train the model again, with other settings or another backbone",
		ArgsUsage: "[PHOTO|DIR …]",
		Description: `Train the model again, with other settings or another backbone.

Only another backbone needs the photos: it embeds them again from where they
were added. If they have moved, name the folders that have them now.

Examples:
   imprint retrain --backbone auto         the best backbone for these photos
   imprint retrain --unknown 0.02          accept fewer other things
   imprint retrain --unknown off           always answer one of your classes
   imprint retrain --head lda --reload     and wait for a running imprint serve
   imprint retrain --layout coral          for pycoral's ImprintingEngine
   imprint retrain --compiled mobilenet_edgetpu.tflite \
      --uncompiled mobilenet.tflite        the last layer on the Edge TPU`,
		Flags: withWorkspace(unknownRateFlag(), noneFlag(),
			&cli.BoolFlag{Name: "reload", Usage: "wait until a running imprint serve uses the new model", DefaultText: "no"},
			&cli.BoolFlag{Name: "drop-missing", Category: advanced, Usage: "with another backbone, leave out photos that are missing or have changed", DefaultText: "fail"},
			jsonFlag("the result (with --reload, two objects)"),
			layoutFlag(), headFlag(), keepFlag(), compiledFlag(), uncompiledFlag(),
			&cli.StringFlag{Name: "socket", Category: advanced, Usage: "with --reload, the server's Unix socket `FILE`", DefaultText: "serve.sock in the workspace"}),
		Action: retrain,
	}
}

func retrain(c *cli.Context) error {
	if c.IsSet("socket") && !c.Bool("reload") {
		return usagef("--socket needs --reload")
	}
	to, moved, err := otherBackbone(c)
	if err != nil {
		return err
	}
	start := time.Now()
	err = change(c, func(ws *imprint.Workspace) (changed, error) {
		was := ws.Backbone().Name
		dropped, err := trainAgain(c, ws, to, moved)
		took := time.Since(start)
		return changed{
			lines: func(s summary) []string {
				lines := retrainedLines(took, s)
				unknown := unknownLine(s)
				if now := ws.Backbone().Name; now != was {
					lines[0] += fmt.Sprintf(", with %s instead of %s", plain(now), plain(was))
				}
				switch {
				case c.Bool("reload"):
					return lines[:1] // reload prints the second line
				case c.IsSet("unknown") && unknown != "":
					lines[1] = unknown
				}
				return lines
			},
			object: func(outcome.Workspace) any {
				o := outcome.RetrainedIn(ws, took)
				o.Dropped = dropped
				return o
			},
		}, err
	})
	if err != nil || !c.Bool("reload") {
		return err
	}
	return reload(c)
}

// otherBackbone returns the backbone that --backbone names if it is not the workspace's, and photos
// that may have moved. It then clears --backbone, so that the workspace opens with its own.
func otherBackbone(c *cli.Context) (to imprint.Options, moved []dataset.Item, err error) {
	given := text(c, "backbone") != ""
	if c.NArg() > 0 && given {
		if err := mustExist(c.Args().Slice()...); err != nil {
			return to, nil, err
		}
		if moved, _, err = dataset.Walk(c.Args().Slice(), "?"); err != nil { // the workspace knows the labels
			return to, nil, err
		}
	}
	if err := chooseAgain(c, moved); err != nil {
		return to, nil, err
	}
	dir, o, err := workspaceOptions(c)
	if err != nil {
		return to, nil, err
	}
	if o.Backbone != "" {
		o.Existing = true
		ws, err := imprint.Open(dir, o)
		switch {
		case errors.Is(err, imprint.ErrOtherBackbone):
			to.Backbone, to.Embedding = o.Backbone, o.Embedding
			if err := errors.Join(setText(c, "backbone", ""), setText(c, "embedding", "")); err != nil {
				return to, nil, err
			}
		case err == nil:
			ws.Close()
		}
	}
	if to.Backbone == "" {
		if !given && (c.Bool("drop-missing") || c.NArg() > 0) {
			return to, nil, usagef("photos are read only for another backbone: name one with --backbone")
		}
	}
	return to, moved, nil
}

// pathsNow returns the paths of the photos in moved, and of the copies that a server keeps in the
// workspace, by their SHA-256.
func pathsNow(dir string, moved []dataset.Item) map[string]string {
	now := make(map[string]string)
	kept, _ := filepath.Glob(filepath.Join(dir, "photos", "*")) // the pattern is valid
	for _, path := range kept {
		sum, _, _ := strings.Cut(filepath.Base(path), ".")
		now[sum] = path
	}
	for _, it := range moved {
		if b, err := os.ReadFile(it.Path); err == nil {
			now[fmt.Sprintf("%x", sha256.Sum256(b))] = it.Path
		}
	}
	return now
}

// chooseAgain chooses a backbone by the workspace's photos if --backbone is auto.
func chooseAgain(c *cli.Context, moved []dataset.Item) error {
	if text(c, "backbone") != autoBackbone {
		return nil
	}
	ws, err := imprint.Open(workspace(c), imprint.Options{Existing: true})
	if err != nil {
		return err
	}
	defer ws.Close()
	var photos []dataset.Item
	now := pathsNow(workspace(c), moved)
	for _, class := range ws.Classes() {
		for _, p := range class.Photos {
			photos = append(photos, dataset.Item{Path: cmp.Or(now[p.SHA256], p.Path), Label: class.Label, Source: p.Source, Time: p.Taken})
		}
	}
	_, err = chooseBackbone(c, photos, ws.Settings().Resize)
	return err
}

// maxNamedMissing is the largest number of missing photos that are named one by one without --verbose.
const maxNamedMissing = 20

// trainAgain trains the workspace again, with the backbone in to if there is one.
func trainAgain(c *cli.Context, ws *imprint.Workspace, to imprint.Options, moved []dataset.Item) ([]imprint.Skipped, error) {
	if to.Backbone == "" {
		return nil, ws.Retrain(c.Context, "")
	}
	show, clear := progress(c, "photo")
	missing, err := ws.ChangeBackbone(c.Context, to, moved, c.Bool("drop-missing"), show)
	clear()
	note(c, skippedLines(missing, verbose(c) || len(missing) <= maxNamedMissing)...)
	if errors.Is(err, imprint.ErrMissing) {
		err = hinted{err, "name the folder that has them now: imprint retrain --backbone " + shellQuote(to.Backbone) + " DIR; or leave them out with --drop-missing"}
	}
	return missing, err
}

// reload waits until the server on the workspace uses the newest model.
func reload(c *cli.Context) error {
	socket := c.String("socket")
	if socket == "" {
		socket = serve.SocketPath(workspace(c))
	}
	reloaded, err := serve.AskReload(c.Context, socket)
	running := !errors.Is(err, serve.ErrNoServer)
	switch {
	case err != nil && running:
		return err
	case asJSON(c):
		return printJSON(c.App.Writer, struct {
			Serving    bool   `json:"serving"` // whether a server is running on the workspace
			Generation uint64 `json:"generation"`
		}{running, reloaded.Generation})
	case running:
		say(c, reloadedLine(reloaded.Generation))
	default:
		say(c, "no imprint serve is running on this workspace")
	}
	return nil
}
