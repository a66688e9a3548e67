package main

import (
	"errors"
	"fmt"
	"net"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/models"
)

func modelsCommand() *cli.Command {
	return &cli.Command{
		Name:  "models",
		Usage: "list known models and download Coral's",
		Description: `List the models that imprint knows, and download Coral's.

Examples:
   imprint models list
   imprint models pull mobilenet_v1_1.0_224_quant_embedding_extractor`,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return unknownCommand(c.Command.Subcommands, c.Args().First())
			}
			return listModels(c)
		},
		Flags: []cli.Flag{jsonFlag("models")},
		Subcommands: []*cli.Command{{
			Name:    "list",
			Aliases: []string{"ls"},
			Usage:   "list known models, and which are downloaded",
			Description: `List the known models, and which of them are on this computer.

Example:
   imprint models list`,
			Flags:  []cli.Flag{jsonFlag("models")},
			Action: listModels,
		}, {
			Name:      "pull",
			Usage:     "download models",
			ArgsUsage: "NAME …",
			Description: `Download models, check their SHA-256 and print their paths.

Examples:
   imprint models pull mobilenet_v1_1.0_224_quant_embedding_extractor
   imprint models pull mobilenet_v2_1.0_224_quant \
      --url https://mirror.example.org/coral

An interrupted download is resumed. A model that is already here is not
downloaded again.`,
			Flags:  []cli.Flag{&cli.StringFlag{Name: "url", Usage: "download from the folder at `URL`", DefaultText: "Coral's repository", EnvVars: []string{"IMPRINT_MODELS_URL"}}, jsonFlag("one object per model")},
			Action: pullModels,
		}},
	}
}

func listModels(c *cli.Context) error {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	store := models.Store{}
	type row struct {
		Name   string `json:"name"`
		Size   int64  `json:"size"`
		SHA256 string `json:"sha256"`
		About  string `json:"about"`
		Path   string `json:"path,omitempty"`
	}
	rows := []row{{Name: builtin.Name, Size: int64(len(builtin.Model())), SHA256: builtin.SHA256, About: "imprint's own, 128×128; the default"}}
	for _, m := range models.List() {
		path, err := store.Path(m.Name)
		if err != nil {
			path = ""
		}
		rows = append(rows, row{m.Name, m.Size, m.SHA256, m.About, path})
	}
	if asJSON(c) {
		return printJSON(c.App.Writer, rows)
	}
	var lines [][]string
	for _, r := range rows {
		state := ""
		switch {
		case r.Name == builtin.Name:
			state = "built in"
		case r.Path != "":
			state = "pulled"
		}
		lines = append(lines, []string{r.Name, megabytes(r.Size), state, r.About})
	}
	say(c, table(lines, 0)...)
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
			if err := printJSON(c.App.Writer, pulled{name, path, m.Size, m.SHA256}); err != nil {
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
	Name   string `json:"name"`
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
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
