package main

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/evaluate"
	"github.com/imprintkit/imprint/imprint/evaluate/report"
)

func evalCommand() *cli.Command {
	return &cli.Command{
		Name:      "eval",
		Usage:     "measure accuracy",
		ArgsUsage: "[DIR]",
		Description: `With a folder of labelled photos (DIR/<label>/*): teaches some photos of each class
and classifies all others, several times with other photos. With --embeddings: the
same on stored embeddings (emb.u8, labels.json, episodes.json). With neither: leaves
out one photo of the workspace at a time. Also tells what stands in the way of a better
answer; docs/accuracy.md says what each number means.

Examples:
   imprint eval
   imprint eval --report out.html             a page with curves and pictures
   imprint eval ./clothing --shots 1,5,10,20 --draws 10 --backbone mobilenet.tflite
   imprint eval --embeddings ./embeddings/clothing --head mean,auto`,
		Flags: withDevices(
			&cli.StringFlag{Name: "shots", Usage: "teach so many photos of each class, a list of `N`", Value: "1,5,10,20"},
			&cli.IntFlag{Name: "draws", Usage: "choose the photos to teach `N` times", Value: 10},
			&cli.StringFlag{Name: "head", Usage: "measure these heads, a list of `NAME`; details are of the first", DefaultText: "the workspace's; for photos and embeddings auto, and Coral's two for comparison: auto,mean,coral-sgd"},
			&cli.StringFlag{Name: "embeddings", Usage: "use stored embeddings in `DIR`", DefaultText: "none"},
			&cli.Float64Flag{Name: "unknown", Usage: "besides, teach half of the classes, ask about all, and let `RATE` of what was not taught pass, such as 0.05", DefaultText: "do not"},
			&cli.StringFlag{Name: "report", Usage: "write a page for people to `FILE`, which holds all it shows", DefaultText: "none"},
			chosenFitFlag(), jsonFlag("everything, as one object")),
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
	heads, err := heads(c)
	if err != nil {
		return err
	}
	file, err := target(c.String("report"))
	if err != nil {
		return err
	}
	stored := c.String("embeddings")
	var ev *evaluate.Evaluation
	var way dataset.Resize
	switch {
	case stored != "" && c.NArg() > 0:
		return usagef("eval takes a folder of photos or --embeddings, not both")
	case stored == "" && c.NArg() == 0:
		ev, way, err = evalWorkspace(c, heads, shots, file != "")
	default:
		ev, way, err = evalSet(c, heads, shots)
	}
	if err != nil {
		return err
	}
	if file != "" {
		if err := report.Write(c.Context, file, ev, way); err != nil {
			return err
		}
		fmt.Fprintf(c.App.ErrWriter, "wrote %s\n", c.String("report"))
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, ev)
	}
	return printEvaluation(c.App.Writer, ev)
}

// heads are the methods of --head; none if it is not given.
func heads(c *cli.Context) ([]classifier.Method, error) {
	if !c.IsSet("head") {
		return nil, nil
	}
	var heads []classifier.Method
	for _, h := range strings.Split(c.String("head"), ",") {
		m := classifier.Method(strings.TrimSpace(h))
		if !slices.Contains(classifier.Methods(), m) {
			return nil, usagef("--head %q: the heads there are are %v", h, classifier.Methods())
		}
		if !slices.Contains(heads, m) {
			heads = append(heads, m)
		}
	}
	return heads, nil
}

// evalSet draws from a folder of photos or from stored embeddings.
func evalSet(c *cli.Context, heads []classifier.Method, shots []int) (*evaluate.Evaluation, dataset.Resize, error) {
	var o imprint.Options
	if err := unknownRate(c, &o); err != nil {
		return nil, "", err
	}
	way, err := fit(c)
	if err != nil {
		return nil, "", err
	}
	if heads == nil {
		heads = []classifier.Method{classifier.Auto, classifier.Mean, classifier.CoralSGD} // the last two are Coral's
	}
	var set *evaluate.Set
	if stored := c.String("embeddings"); stored != "" {
		if way == imprint.AutoResize {
			return nil, "", usagef("--fit auto needs a folder of photos")
		}
		if set, err = evaluate.ReadSet(stored, way); errors.Is(err, fs.ErrNotExist) {
			return nil, "", hinted{err, "a folder of stored embeddings holds emb.u8, or emb.crop.u8 for --fit crop, labels.json and episodes.json"}
		} else if err != nil {
			return nil, "", dataError{err}
		}
	} else {
		var skipped []dataset.Skipped
		set, skipped, way, err = embedSet(c, c.Args().First(), way, slices.Max(shots))
		tellSkipped(c.App.ErrWriter, leftOut(skipped))
		if err != nil {
			return nil, "", err
		}
	}
	ev, err := set.Evaluate(c.Context, heads, shots)
	if err == nil && o.Unknown != nil {
		ev.OpenSet, err = set.EvaluateOpenSet(c.Context, heads, shots, *o.Unknown)
	}
	return ev, way, tooFew(err)
}

// embedSet embeds a folder of labelled photos with the named backbone, or that of
// the workspace.
func embedSet(c *cli.Context, dir string, way dataset.Resize, shots int) (*evaluate.Set, []dataset.Skipped, dataset.Resize, error) {
	fail := func(err error) (*evaluate.Set, []dataset.Skipped, dataset.Resize, error) { return nil, nil, "", err }
	found, left, err := dataset.Walk([]string{dir}, "")
	if err != nil {
		return fail(err)
	}
	if len(found) == 0 {
		return fail(fmt.Errorf("evaluate %s: %w found", dir, imprint.ErrNoPhotos))
	}
	n, err := threads(c)
	if err != nil {
		return fail(err)
	}
	auto := way == imprint.AutoResize
	if auto {
		way = ""
	}
	o := imprint.Options{Backbone: text(c, "backbone"), Embedding: text(c, "embedding"), Resize: way}
	if o.Devices, err = devices(c); err != nil {
		return fail(err)
	}
	if o.Arithmetic, err = arithmetic(c); err != nil {
		return fail(err)
	}
	b, way, err := loadBackbone(workspace(c), o)
	if err != nil {
		return fail(err)
	}
	name := filepath.Base(filepath.Clean(dir))
	show, clear := progress(c, "photo")
	eo := evaluate.EmbedOptions{Resize: way, Auto: auto, Support: shots, Episodes: c.Int("draws"), Threads: n, Progress: show}
	if !auto {
		fmt.Fprintln(c.App.ErrWriter, backboneLine(b, way))
	}
	set, skipped, choice, err := evaluate.Embed(c.Context, name, b, found, eo)
	clear()
	if err != nil {
		return fail(tooFew(err))
	}
	if auto {
		way = choice.Resize
		fmt.Fprintln(c.App.ErrWriter, backboneLine(b, way))
		fmt.Fprintln(c.App.ErrWriter, fitLine(choice))
	}
	return set, append(left, skipped...), way, nil
}

// tooFew says what to do when a set has fewer photos than are to be taught.
func tooFew(err error) error {
	if errors.Is(err, evaluate.ErrProtocol) {
		return hinted{err, "each class needs more photos than the largest number in --shots; fewer are taught with, for example, --shots 1,2"}
	}
	return err
}

// backboneLine says what photos are turned into.
func backboneLine(b *backbone.Backbone, way dataset.Resize) string {
	return fmt.Sprintf("backbone %s: photos %d×%d fitted by %s, embedding %q of %d values", b.Name, b.Width, b.Height, way, b.Embedding.Name, b.Dim())
}

// evalWorkspace leaves out one photo of the workspace at a time, and with curve, or where
// --shots or --draws ask for it, also draws from it.
func evalWorkspace(c *cli.Context, heads []classifier.Method, shots []int, curve bool) (*evaluate.Evaluation, dataset.Resize, error) {
	for _, f := range []string{"fit", "unknown"} {
		if c.IsSet(f) {
			return nil, "", usagef("--%s needs a folder of photos, or --embeddings", f)
		}
	}
	if !curve && !c.IsSet("shots") && !c.IsSet("draws") && !c.Bool("json") {
		shots = nil
	}
	if err := c.Set("head", ""); err != nil { // it is not the head to make
		return nil, "", err
	}
	k, err := open(c, true)
	if err != nil {
		return nil, "", err
	}
	defer k.Close()
	set, err := k.Examples()
	if err != nil {
		return nil, "", err
	}
	if len(heads) == 0 {
		heads = []classifier.Method{k.Settings().Head}
	}
	ev, err := set.LeaveOneOut(c.Context, heads, shots, c.Int("draws"))
	return ev, k.Settings().Resize, err
}
