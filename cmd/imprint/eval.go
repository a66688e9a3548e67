package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
)

func evalCommand() *cli.Command {
	return &cli.Command{
		Name:      "eval",
		Usage:     "measure accuracy",
		ArgsUsage: "[DIR]",
		Description: `With a folder of labelled photos (DIR/<label>/*): teaches some photos of each class
and classifies all others, several times with other photos. With --embeddings: the
same on stored embeddings (emb.u8, labels.json, episodes.json). With neither: leaves
out one photo of the workspace at a time.

Examples:
   imprint eval
   imprint eval ./clothing --shots 1,5,10,20 --draws 10 --backbone mobilenet.tflite
   imprint eval --embeddings ./embeddings/clothing --head mean`,
		Flags: withDevices(
			&cli.StringFlag{Name: "shots", Usage: "teach so many photos of each class, a list of `N`", Value: "1,5,10,20"},
			&cli.IntFlag{Name: "draws", Usage: "choose the photos to teach `N` times", Value: 10},
			&cli.StringFlag{Name: "head", Usage: "measure these heads, a list of `NAME`", Value: "mean"},
			&cli.StringFlag{Name: "embeddings", Usage: "use stored embeddings in `DIR`", DefaultText: "none"},
			fitFlag(), jsonFlag("one object")),
		Action: eval,
	}
}

func eval(c *cli.Context) error {
	if err := needArgs(c, 0, 1); err != nil {
		return err
	}
	shots, err := numbers("shots", c.String("shots"))
	if err != nil {
		return err
	}
	if c.Int("draws") < 1 || c.Int("draws") > 1000 {
		return usagef("--draws %d: it must be 1 to 1000", c.Int("draws"))
	}
	var heads []classifier.Method
	for _, h := range strings.Split(c.String("head"), ",") {
		if !slices.Contains(classifier.Methods(), classifier.Method(h)) {
			return usagef("--head %q: the heads there are are %v", h, classifier.Methods())
		}
		heads = append(heads, classifier.Method(h))
	}
	stored := c.String("embeddings")
	switch {
	case stored != "" && c.NArg() > 0:
		return usagef("eval takes a folder of photos or --embeddings, not both")
	case stored == "" && c.NArg() == 0:
		for _, f := range []string{"shots", "draws", "fit"} {
			if c.IsSet(f) {
				return usagef("--%s needs a folder of photos, or --embeddings", f)
			}
		}
		return evalWorkspace(c)
	}
	var set *imprint.Set
	var skipped []imprint.Skipped
	if stored != "" {
		way, err := fit(c)
		if err != nil {
			return err
		}
		if set, err = imprint.ReadSet(stored, way); errors.Is(err, fs.ErrNotExist) {
			return hinted{err, "a folder of stored embeddings holds emb.u8, or emb.crop.u8 for --fit crop, labels.json and episodes.json"}
		} else if err != nil {
			return dataError{err}
		}
	} else if set, skipped, err = embedSet(c, c.Args().First(), slices.Max(shots)); err != nil {
		return err
	}
	tellSkipped(c.App.ErrWriter, skipped)
	ev, err := set.Evaluate(heads, shots)
	if err != nil {
		return tooFew(err)
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, ev)
	}
	return printAccuracies(c.App.Writer, set, ev)
}

// embedSet embeds a folder of labelled photos with the named backbone, or that of
// the workspace.
func embedSet(c *cli.Context, dir string, shots int) (*imprint.Set, []imprint.Skipped, error) {
	found, left, err := dataset.Walk([]string{dir}, "")
	if err != nil {
		return nil, nil, err
	}
	if len(found) == 0 {
		return nil, nil, fmt.Errorf("evaluate %s: %w found", dir, imprint.ErrNoPhotos)
	}
	n, err := threads(c)
	if err != nil {
		return nil, nil, err
	}
	way, err := fit(c)
	if err != nil {
		return nil, nil, err
	}
	o := imprint.Options{Backbone: text(c, "backbone"), Embedding: text(c, "embedding"), Fit: way}
	if o.Devices, err = devices(c); err != nil {
		return nil, nil, err
	}
	if o.Arithmetic, err = arithmetic(c); err != nil {
		return nil, nil, err
	}
	b, way, err := imprint.LoadBackbone(workspace(c), o)
	if err != nil {
		return nil, nil, err
	}
	fmt.Fprintln(c.App.ErrWriter, backboneLine(b, way))
	name := filepath.Base(filepath.Clean(dir))
	show, clear := progress(c, "photo")
	set, skipped, err := imprint.EmbedSet(c.Context, name, b, way, found, shots, c.Int("draws"), n, show)
	clear()
	return set, append(leftOut(left), skipped...), tooFew(err)
}

// tooFew says what to do when a set has fewer photos than are to be taught.
func tooFew(err error) error {
	if errors.Is(err, imprint.ErrProtocol) {
		return hinted{err, "each class needs more photos than the largest number in --shots; fewer are taught with, for example, --shots 1,2"}
	}
	return err
}

// backboneLine says what photos are turned into.
func backboneLine(b *backbone.Backbone, way dataset.Fit) string {
	return fmt.Sprintf("backbone %s: photos %d×%d fitted by %s, embedding %q of %d values", b.Name, b.Width, b.Height, way, b.Embedding.Name, b.Dim())
}

func printAccuracies(w io.Writer, s *imprint.Set, ev *imprint.Evaluation) error {
	fmt.Fprintf(w, "%s: %d classes, %d photos; accuracy in %%, mean ± standard deviation of %d draws%s\n", s.Name, len(s.Classes), len(s.Labels), len(s.Shots), onDevices(s.Devices))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := "head\t"
	for _, r := range ev.Results {
		if r.Head == ev.Results[0].Head {
			line += fmt.Sprintf("%d %s\t", r.Shots, plural(r.Shots, "photo"))
		}
	}
	for i, r := range ev.Results {
		if i == 0 || r.Head != ev.Results[i-1].Head {
			fmt.Fprintln(t, line)
			line = r.Head + "\t"
		}
		line += fmt.Sprintf("%.1f ± %.1f\t", r.Mean, r.Std)
	}
	fmt.Fprintln(t, line)
	return t.Flush()
}

func evalWorkspace(c *cli.Context) error {
	k, err := open(c, true)
	if err != nil {
		return err
	}
	defer k.Close()
	e, classes := k.Estimate(), len(k.Classes())
	if c.Bool("json") {
		type result struct {
			Head string `json:"head"`
			estimate
		}
		return printJSON(c.App.Writer, struct {
			Set     string   `json:"set"`
			Results []result `json:"results"`
		}{workspace(c), []result{{"mean", estimate(e)}}})
	}
	fmt.Fprintln(c.App.Writer, estimateLine(e, classes))
	return nil
}
