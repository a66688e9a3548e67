package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone/models"
)

func modelsCommand() *cli.Command {
	return &cli.Command{
		Name:  "models",
		Usage: "list and download Coral's published models",
		Description: `Examples:
   imprint models list
   imprint models pull mobilenet_v1_1.0_224_quant_embedding_extractor`,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("%q is not a command of models: they are list and pull", c.Args().First())
			}
			return listModels(c)
		},
		Subcommands: []*cli.Command{{
			Name:   "list",
			Usage:  "show the models there are, and which have been pulled",
			Flags:  []cli.Flag{jsonFlag("models")},
			Action: listModels,
		}, {
			Name:      "pull",
			Usage:     "download models; one that was cut off is continued",
			ArgsUsage: "NAME …",
			Flags:     []cli.Flag{&cli.StringFlag{Name: "url", Usage: "download from this folder at `URL` (default: Coral's repository)", EnvVars: []string{"IMPRINT_MODELS_URL"}}},
			Action:    pullModels,
		}},
	}
}

func listModels(c *cli.Context) error {
	store := models.Store{}
	type row struct {
		Name   string `json:"name"`
		Size   int64  `json:"size"`
		SHA256 string `json:"sha256"`
		About  string `json:"about"`
		Path   string `json:"path,omitempty"`
	}
	var rows []row
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
		if r.Path != "" {
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
		if p := progress(c.App.ErrWriter, name+" kB"); p != nil {
			show = func(done, total int64) { p(int(done/1000), int(total/1000)) }
		}
		path, err := store.Pull(c.Context, name, show)
		if err != nil {
			return err
		}
		fmt.Fprintln(c.App.Writer, path)
	}
	return nil
}
