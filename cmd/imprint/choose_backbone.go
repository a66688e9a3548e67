package main

import (
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/evaluate"
	"github.com/imprintkit/imprint/imprint/modelfile"
)

// autoBackbone is the value of --backbone that chooses one by the user's photos.
const autoBackbone = "auto"

// chooseBackbone chooses a backbone for photos if --backbone is auto, and puts its name in place of
// auto. Otherwise it returns nil.
func chooseBackbone(c *cli.Context, photos []dataset.Item, mode dataset.Resize) (*evaluate.BackboneChoice, error) {
	if text(c, "backbone") != autoBackbone {
		return nil, nil
	}
	if text(c, "embedding") != "" {
		return nil, usagef("--embedding names a tensor of one backbone; --backbone auto compares several")
	}
	n, err := threads(c)
	if err != nil {
		return nil, err
	}
	var candidates []evaluate.BackboneCandidate
	for _, name := range backbonesAtHand(c) {
		b, own, err := modelfile.Backbone(name, nil, backbone.Options{})
		if err != nil {
			return nil, err
		}
		if mode == "" || mode == imprint.AutoResize {
			mode = own
		}
		candidates = append(candidates, evaluate.BackboneCandidate{Name: name, Backbone: b, Prior: models.Prior(name)})
	}
	show, clear := progress(c, "photo")
	choice, err := evaluate.ChooseBackbone(c.Context, candidates, photos, evaluate.EmbedOptions{Resize: mode, Threads: n, Progress: show})
	clear()
	if err != nil {
		return nil, err
	}
	if !asJSON(c) {
		note(c, backboneChoiceLine(choice))
	}
	return choice, setText(c, "backbone", choice.Backbone)
}

// mustBeNew returns an error if --backbone is auto and the workspace already has photos.
func mustBeNew(c *cli.Context) error {
	if text(c, "backbone") != autoBackbone {
		return nil
	}
	ws, err := imprint.Open(workspace(c), imprint.Options{Existing: true})
	if errors.Is(err, imprint.ErrNoClasses) {
		return nil
	} else if err != nil {
		return err
	}
	defer ws.Close()
	if len(ws.Classes())+len(ws.Negatives()) == 0 {
		return nil
	}
	return hinted{fmt.Errorf("choose a backbone: %w: %s", imprint.ErrOtherBackbone, ws.Backbone().Name), "imprint retrain --backbone auto chooses again; or leave the option out"}
}
