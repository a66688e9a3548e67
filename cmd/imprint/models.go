package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/models"
)

func modelsCommand() *cli.Command {
	return &cli.Command{
		Name:  "models",
		Usage: "list the models there are and download Coral's",
		Description: `Examples:
   imprint models list
   imprint models pull mobilenet_v1_1.0_224_quant_embedding_extractor`,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return unknownCommand(c.Command.Subcommands, c.Args().First())
			}
			return listModels(c)
		},
		Subcommands: []*cli.Command{{
			Name:  "list",
			Usage: "show the models there are, and which have been pulled",
			Description: `Example:
   imprint models list`,
			Flags:  []cli.Flag{jsonFlag("models")},
			Action: listModels,
		}, {
			Name:      "pull",
			Usage:     "download models; one that was cut off is continued",
			ArgsUsage: "NAME …",
			Description: `A model is checked against the size and SHA-256 known to imprint; its path is
printed. A model that is here already is not downloaded again.

Examples:
   imprint models pull mobilenet_v1_1.0_224_quant_embedding_extractor
   imprint models pull mobilenet_v2_1.0_224_quant --url https://mirror.example.org/coral`,
			Flags:  []cli.Flag{&cli.StringFlag{Name: "url", Usage: "download from this folder at `URL`", DefaultText: "Coral's repository", EnvVars: []string{"IMPRINT_MODELS_URL"}}},
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
	rows := []row{{Name: builtin.Name, Size: int64(len(builtin.Model())), SHA256: builtin.SHA256, About: "128×128, our own; used when no other is named"}}
	for _, m := range models.List() {
		path, err := store.Path(m.Name)
		if err != nil {
			path = ""
		}
		rows = append(rows, row{m.Name, m.Size, m.SHA256, m.About, path})
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, rows)
	}
	t := tabwriter.NewWriter(c.App.Writer, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		state := ""
		switch {
		case r.Name == builtin.Name:
			state = "built in"
		case r.Path != "":
			state = "pulled"
		}
		fmt.Fprintf(t, "%s\t%.1f MB\t%s\t%s\n", r.Name, float64(r.Size)/1e6, state, r.About)
	}
	return t.Flush()
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
			return hinted{fmt.Errorf("pull %s: %w", name, errInterrupted), "the same command goes on where this one stopped"}
		}
		if err != nil {
			return err
		}
		fmt.Fprintln(c.App.Writer, path)
	}
	return nil
}
