package main

import (
	"errors"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/serve"
)

func retrainCommand() *cli.Command {
	return &cli.Command{
		Name:  "retrain",
		Usage: "train the model again, with other settings",
		Description: `Train the model again with other settings; no photo is read.

Examples:
   imprint retrain --unknown 0.05          answer "unknown" for other things
   imprint retrain --head lda --reload     and wait for a running imprint serve
   imprint retrain --layout coral          for pycoral's ImprintingEngine
   imprint retrain --compiled mobilenet_edgetpu.tflite \
      --uncompiled mobilenet.tflite        the last layer on the Edge TPU`,
		Flags: withWorkspace(unknownRateFlag(),
			&cli.BoolFlag{Name: "reload", Usage: "wait until a running imprint serve uses the new model", DefaultText: "no"},
			jsonFlag("the result (with --reload, two objects)"),
			layoutFlag(), headFlag(), keepFlag(), compiledFlag(), uncompiledFlag(),
			&cli.StringFlag{Name: "socket", Category: advanced, Usage: "with --reload, the server's Unix socket `FILE`", DefaultText: "serve.sock in the workspace"}),
		Action: retrain,
	}
}

func retrain(c *cli.Context) error {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	if c.IsSet("socket") && !c.Bool("reload") {
		return usagef("--socket needs --reload")
	}
	start := time.Now()
	err := change(c, func(ws *imprint.Workspace) (changed, error) {
		err := ws.Retrain(c.Context, "")
		took := time.Since(start)
		return changed{
			lines: func(s summary) []string {
				lines := retrainedLines(took, s)
				switch {
				case c.Bool("reload"):
					return lines[:1] // reload prints the second line
				case c.IsSet("unknown"):
					lines[1] = unknownLine(s.settings.Unknown, s.rejection)
				}
				return lines
			},
			object: func(a after) any {
				return struct {
					Head head    `json:"head"`
					MS   float64 `json:"ms"`
					after
					Written *imprint.Written `json:"written,omitempty"`
				}{head{ws.Head().Recipe, ws.Head().Candidates}, ms(took), a, ws.Written()}
			},
		}, err
	})
	if err != nil || !c.Bool("reload") {
		return err
	}
	return reload(c)
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
