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
	"github.com/imprintkit/imprint/imprint/evaluate"
	"github.com/imprintkit/imprint/imprint/outcome"
	"github.com/imprintkit/imprint/imprint/serve"
)

func retrainCommand() *cli.Command {
	return &cli.Command{
		Name:      "retrain",
		Usage:     "train the model again, with other settings or another backbone",
		ArgsUsage: "[PHOTO|DIR …]",
		Description: `Train the model again, with other settings or another backbone.

Only another backbone or detector needs the photos: it embeds them again from
where they were added. If they have moved, name the folders that have them now.

Examples:
   imprint retrain --backbone auto         the best backbone for these photos
   imprint retrain --detector cats.tflite  crop the photos to what it finds
   imprint retrain --unknown 0.02          accept fewer other things
   imprint retrain --unknown off           always answer one of your classes
   imprint retrain --head lda --reload     and wait for a running imprint serve
   imprint retrain --layout coral          for pycoral's ImprintingEngine
   imprint retrain --compiled mobilenet_edgetpu.tflite \
      --uncompiled mobilenet.tflite        the last layer on the Edge TPU`,
		Flags: withWorkspace(append(croppingFlags(), unknownRateFlag(), noneFlag(),
			&cli.BoolFlag{Name: "reload", Usage: "wait until a running imprint serve uses the new model", DefaultText: "no"},
			&cli.BoolFlag{Name: "drop-missing", Category: advanced, Usage: "with another backbone or detector, leave out photos that are missing, have changed or show no object", DefaultText: "fail"},
			jsonFlag("the result (with --reload, two objects)"),
			layoutFlag(), headFlag(), keepFlag(), compiledFlag(), uncompiledFlag(),
			&cli.StringFlag{Name: "socket", Category: advanced, Usage: "with --reload, the server's Unix socket `FILE`", DefaultText: "serve.sock in the workspace"})...),
		Action: retrain,
	}
}

func retrain(c *cli.Context) error {
	if c.IsSet("socket") && !c.Bool("reload") {
		return usagef("--socket needs --reload")
	}
	to, moved, chosen, err := otherModels(c)
	if err != nil {
		return err
	}
	start := time.Now()
	err = change(c, func(ws *imprint.Workspace) (changed, error) {
		was, detector := ws.Backbone().Name, ws.Settings().Detector
		dropped, err := trainAgain(c, ws, to, moved)
		took := time.Since(start)
		return changed{
			lines: func(s summary) []string {
				lines := retrainedLines(took, s)
				unknown := answersLine(c, s)
				noteIgnoredHead(c, s)
				if now := ws.Backbone().Name; now != was {
					lines[0] += fmt.Sprintf(", with %s instead of %s", plain(now), plain(was))
					noteWithoutBackground(c, now, s)
				}
				if to.Detector != nil {
					lines[0] += detectorChange(detector, ws.Settings().Detector)
				}
				switch {
				case c.Bool("reload"):
					return lines[:1] // reload prints the second line
				case unknown != "":
					lines[1] = unknown
				}
				return lines
			},
			object: func(outcome.Workspace) any {
				o := outcome.RetrainedIn(ws, took)
				o.Dropped, o.Chosen = dropped, chosen
				return o
			},
		}, err
	})
	if err != nil || !c.Bool("reload") {
		return err
	}
	return reload(c)
}

// otherModels returns the backbone that --backbone names if it is not the workspace's, the detector that
// --detector names, photos that may have moved, and the comparison if --backbone is auto. It then
// clears both flags, so that the workspace opens with its own.
func otherModels(c *cli.Context) (to imprint.Options, moved []dataset.Item, chosen *evaluate.BackboneChoice, err error) {
	given := text(c, "backbone") != "" || c.IsSet("detector")
	if c.NArg() > 0 && given {
		if err := mustExist(c.Args().Slice()...); err != nil {
			return to, nil, nil, err
		}
		if moved, _, err = dataset.WalkContext(c.Context, c.Args().Slice(), "?"); err != nil { // the workspace knows the labels
			return to, nil, nil, err
		}
	}
	if chosen, err = chooseAgain(c, moved); err != nil {
		return to, nil, nil, err
	}
	dir, o, err := workspaceOptions(c)
	if err != nil {
		return to, nil, nil, err
	}
	if to.Detector = o.Detector; to.Detector != nil {
		if err := c.Set("detector", ""); err != nil {
			return to, nil, nil, err
		}
		o.Detector = nil
	}
	if o.Backbone != "" {
		o.Existing = true
		ws, err := imprint.Open(dir, o)
		switch {
		case errors.Is(err, imprint.ErrOtherBackbone):
			to.Backbone, to.Embedding = o.Backbone, o.Embedding
			if err := errors.Join(setText(c, "backbone", ""), setText(c, "embedding", "")); err != nil {
				return to, nil, nil, err
			}
		case err == nil:
			ws.Close()
		}
	}
	if to.Backbone == "" {
		if !given && (c.Bool("drop-missing") || c.NArg() > 0) {
			return to, nil, nil, usagef("photos are read only for another backbone or detector: name one with --backbone or --detector")
		}
	}
	return to, moved, chosen, nil
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

// chooseAgain chooses a backbone by the workspace's photos if --backbone is auto. Otherwise it returns nil.
func chooseAgain(c *cli.Context, moved []dataset.Item) (*evaluate.BackboneChoice, error) {
	if text(c, "backbone") != autoBackbone {
		return nil, nil
	}
	ws, err := imprint.Open(workspace(c), imprint.Options{Existing: true})
	if err != nil {
		return nil, err
	}
	defer ws.Close()
	var photos []dataset.Item
	now := pathsNow(workspace(c), moved)
	for _, class := range ws.Classes() {
		for _, p := range class.Photos {
			photos = append(photos, dataset.Item{Path: cmp.Or(now[p.File], p.Path), Label: class.Label, Source: p.Source, Time: p.Taken, Box: boxOf(p)})
		}
	}
	if len(photos) == 0 {
		return nil, fmt.Errorf("choose a backbone: %w", imprint.ErrNoClasses)
	}
	return chooseBackbone(c, photos, ws.Settings().Resize)
}

// maxNamedMissing is the largest number of missing photos that are named one by one without --verbose.
const maxNamedMissing = 20

// trainAgain trains the workspace again, with the backbone and detector in to if there are any.
func trainAgain(c *cli.Context, ws *imprint.Workspace, to imprint.Options, moved []dataset.Item) ([]imprint.Skipped, error) {
	if to.Backbone == "" && to.Detector == nil {
		return nil, ws.Retrain(c.Context, "")
	}
	show, clear := progress(c, "photo")
	missing, err := ws.ChangeBackbone(c.Context, to, moved, c.Bool("drop-missing"), show)
	clear()
	note(c, skippedLines(missing, verbose(c) || len(missing) <= maxNamedMissing)...)
	if errors.Is(err, imprint.ErrMissing) {
		again := "--backbone " + shellQuote(to.Backbone)
		if to.Backbone == "" {
			again = "--detector MODEL"
		}
		text := "name the folder that has them now: imprint retrain " + again + " DIR; or leave them out with --drop-missing"
		if to.Detector != nil && to.Detector.Model != "" {
			text += "; a lower --detect-min finds more"
		}
		err = hinted{err, text}
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
