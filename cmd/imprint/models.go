package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/imprint/modelfile"
)

func timeFlag() cli.Flag {
	return &cli.BoolFlag{Name: "time", Usage: "measure how long each model on this computer takes for a photo", DefaultText: "no"}
}

func modelsCommand() *cli.Command {
	return &cli.Command{
		Name:  "models",
		Usage: "list known models and download Coral's",
		Description: `List the models that imprint knows, and download Coral's.

Examples:
   imprint models list
   imprint models pull mobilenet_v1_1.0_224_quant_embedding_extractor
   imprint models pull ssd_mobilenet_v2_coco_quant_postprocess`,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return unknownCommand(c.Command.Subcommands, c.Args().First())
			}
			return listModels(c)
		},
		Flags: []cli.Flag{timeFlag(), jsonFlag("models")},
		Subcommands: []*cli.Command{{
			Name:    "list",
			Aliases: []string{"ls"},
			Usage:   "list known models, and which are downloaded",
			Description: `List the known backbones and detectors: which are on this computer, the
accuracy of backbones in % with 5 photos per class of clothing and of flowers,
and whether they also exist compiled for the Edge TPU.

Examples:
   imprint models list
   imprint models list --time    also measure how fast they are here`,
			Flags:  []cli.Flag{timeFlag(), jsonFlag("models")},
			Action: listModels,
		}, {
			Name:      "pull",
			Usage:     "download models",
			ArgsUsage: "NAME …",
			Description: `Download models, check their SHA-256 or git id, and print their paths.

Examples:
   imprint models pull mobilenet_v1_1.0_224_quant_embedding_extractor
   imprint models pull mobilenet_v2_1.0_224_quant \
      --url https://mirror.example.org/coral

An interrupted download is resumed. A model that is already here is not
downloaded again. Detectors come with their labels.`,
			Flags:  []cli.Flag{&cli.StringFlag{Name: "url", Usage: "download from the folder at `URL`", DefaultText: "Coral's repository", EnvVars: []string{"IMPRINT_MODELS_URL"}}, jsonFlag("one object per model")},
			Action: pullModels,
		}},
	}
}

// A modelRow is one model of imprint models list.
type modelRow struct {
	Name     string           `json:"name"`
	Size     int64            `json:"size,omitempty"`
	SHA256   string           `json:"sha256,omitempty"`
	GitBlob  string           `json:"git_blob,omitempty"`
	About    string           `json:"about"`
	Detector bool             `json:"detector,omitempty"`
	Path     string           `json:"path,omitempty"`
	Compiled string           `json:"compiled,omitempty"` // the same model compiled for the Edge TPU
	Accuracy *models.Accuracy `json:"accuracy,omitempty"`
	MS       float64          `json:"ms,omitempty"` // with --time
}

func listModels(c *cli.Context) error {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	rows := []modelRow{{Name: builtin.Name, Size: int64(len(builtin.Model())), SHA256: builtin.SHA256, About: "imprint's own, 128×128; the default"}}
	for _, m := range slices.Concat(models.List(), models.Detectors()) {
		row := modelRow{Detector: m.Detector(), Name: m.Name, Size: m.Size, SHA256: m.SHA256, GitBlob: m.GitBlob, About: m.About}
		if path, err := (models.Store{}).Path(m.Name); err == nil {
			row.Path = path
		}
		if row.Size == 0 && row.Path != "" {
			bytes, _ := modelFacts(m.Name)
			row.Size = int64(bytes)
		}
		if !m.Compiled() {
			row.Compiled = m.Counterpart
		}
		rows = append(rows, row)
	}
	for i := range rows {
		if a, ok := models.Measured(rows[i].Name); ok {
			rows[i].Accuracy = &a
		}
	}
	if c.Bool("time") {
		if err := timeModels(c, rows); err != nil {
			return err
		}
	}
	if asJSON(c) {
		return printJSON(c.App.Writer, rows)
	}
	say(c, modelLines(rows, c.Bool("time"))...)
	return nil
}

// timeModels measures how long each backbone at hand takes to embed one photo.
func timeModels(c *cli.Context, rows []modelRow) error {
	n, err := threads(c)
	if err != nil {
		return err
	}
	for _, name := range backbonesAtHand(c) {
		b, _, err := modelfile.Backbone(name, nil, backbone.Options{})
		if err != nil {
			return err
		}
		took, err := timeBackbone(c.Context, b, n)
		if err != nil {
			return err
		}
		rows[slices.IndexFunc(rows, func(r modelRow) bool { return r.Name == name })].MS = ms(took)
	}
	return nil
}

func pullModels(c *cli.Context) error {
	if err := needArgs(c, 1, -1); err != nil {
		return err
	}
	for _, name := range c.Args().Slice() {
		if _, err := models.Find(name); err != nil {
			return err
		}
	}
	store := models.Store{BaseURL: c.String("url")}
	for _, name := range c.Args().Slice() {
		var show func(done, total int64)
		count, clear := progress(c, name+" kB")
		if count != nil {
			show = func(done, total int64) { count(int(done/1000), int(total/1000)) }
		}
		path, err := store.Pull(c.Context, name, show)
		clear()
		if err != nil && c.Context.Err() != nil {
			return hinted{fmt.Errorf("pull %s: %w", name, errInterrupted), "run the same command again to continue"}
		}
		if err != nil {
			return byHand(err, store, name)
		}
		if asJSON(c) {
			m, err := models.Find(name)
			if err != nil {
				return err
			}
			if info, err := os.Stat(path); err == nil {
				m.Size = info.Size()
			}
			if err := printJSON(c.App.Writer, pulled{name, path, m.Size, m.SHA256, m.GitBlob}); err != nil {
				return err
			}
			continue
		}
		say(c, path)
	}
	return nil
}

// pulled describes a downloaded model in JSON.
type pulled struct {
	Name    string `json:"name"`
	Path    string `json:"path"`
	Size    int64  `json:"size"`
	SHA256  string `json:"sha256,omitempty"`
	GitBlob string `json:"git_blob,omitempty"`
}

// byHand adds a hint on how to download the model by hand, if err means that the server could not
// be reached.
func byHand(err error, store models.Store, name string) error {
	var network net.Error // from DNS, the connection or TLS
	if !errors.As(err, &network) {
		return err
	}
	url, path, sourceErr := store.Source(name)
	if sourceErr != nil {
		return err
	}
	return hinted{err, fmt.Sprintf("if this computer has no network, download %s elsewhere and save it as %s", url, path)}
}
