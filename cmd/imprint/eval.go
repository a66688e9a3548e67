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
		Description: `Measure the accuracy of the workspace's model, or of models trained on a folder.

Examples:
   imprint eval                        the workspace, each photo left out once
   imprint eval --report out.html      a page with curves and photos
   imprint eval ./hats --support 1,5   train on 1 and 5 photos of each class in
                                       ./hats/<class>/, classify the others
   imprint eval ./hats --support 5 --backbone all
                                       compare all backbones on this computer
   imprint eval ./hats --others ./street   and reject the photos in ./street
   imprint eval --embeddings ./embeddings/clothing --head mean,auto -v

docs/accuracy.md explains the numbers.`,
		Flags: withDevices(
			&cli.StringFlag{Name: "report", Usage: "write a page with all results to `FILE`", DefaultText: "none"},
			&cli.StringFlag{Name: "support", Usage: "train on `N` photos of each class; separate several numbers with commas", Value: "1,5,10,20"},
			&cli.IntFlag{Name: "episodes", Usage: "repeat `N` times, with other photos each time", Value: 10},
			&cli.StringFlag{Name: "unknown", Usage: "also measure rejection: train half of the classes, classify all, and let a proportion `RATE`, such as 0.05, of the other half slip through", DefaultText: "off"},
			othersFlag(),
			jsonFlag("everything"),
			&cli.StringFlag{Name: "head", Category: advanced, Usage: "compare the training methods `NAMES`, separated by commas, and show details for the first", DefaultText: "the workspace's; for a folder or embeddings auto,mean,coral-sgd"},
			&cli.StringFlag{Name: "embeddings", Category: advanced, Usage: "use the embeddings in `DIR`: emb.u8, labels.json, episodes.json", DefaultText: "none"},
			autoResizeFlag()),
		Action: eval,
	}
}

// evaluated is an evaluation and the other data that its output needs.
type evaluated struct {
	*evaluate.Evaluation
	resize  dataset.Resize
	classes []imprint.Class    // classes of the evaluated workspace, or nil
	advice  *classifier.Advice // advice for the workspace, or nil
	details []string           // for a folder of photos, lines for --verbose
}

func eval(c *cli.Context) error {
	if err := needArgs(c, 0, 1); err != nil {
		return err
	}
	support, err := numbers("support", c.String("support"))
	if err != nil {
		return err
	}
	if !c.IsSet("support") && c.NArg() == 1 {
		support = possibleSupport(c, support)
	}
	if c.Int("episodes") < 1 || c.Int("episodes") > 1000 {
		return usagef("--episodes %d: must be 1 to 1000", c.Int("episodes"))
	}
	heads, err := heads(c)
	if err != nil {
		return err
	}
	if names := severalBackbones(c); names != nil {
		return evalBackbones(c, names, heads, support)
	}
	file, err := target(c.String("report"))
	if err != nil {
		return err
	}
	stored := c.String("embeddings")
	var ev evaluated
	switch {
	case stored != "" && c.NArg() > 0:
		return usagef("eval takes a folder of photos or --embeddings, not both")
	case stored == "" && c.NArg() == 0:
		ev, err = evalWorkspace(c, heads, support, file != "")
	default:
		ev, err = evalSet(c, heads, support)
	}
	if err != nil {
		return err
	}
	if file != "" {
		if err := report.Write(c.Context, file, ev.Evaluation, ev.resize); err != nil {
			return err
		}
		if !asJSON(c) { // there it would be a warning
			note(c, "wrote "+c.String("report"))
		}
	}
	if asJSON(c) {
		return printJSON(c.App.Writer, ev.Evaluation)
	}
	if verbose(c) {
		say(c, evaluationReport(ev)...)
	} else {
		say(c, evaluationLines(ev, c.IsSet("head"))...)
	}
	return nil
}

// possibleSupport returns the numbers in support for which every class in the folder of photos has a
// photo left to classify, or support if there are none.
func possibleSupport(c *cli.Context, support []int) []int {
	found, _, err := dataset.WalkContext(c.Context, c.Args().Slice(), "")
	if err != nil || len(found) == 0 {
		return support // evalSet returns the error
	}
	photos := make(map[string]int)
	for _, it := range found {
		photos[it.Label]++
	}
	smallest := ""
	for label, n := range photos {
		if smallest == "" || n < photos[smallest] || n == photos[smallest] && label < smallest {
			smallest = label
		}
	}
	possible := slices.DeleteFunc(slices.Clone(support), func(n int) bool { return n >= photos[smallest] })
	if len(possible) == 0 {
		return support
	}
	if len(possible) < len(support) {
		note(c, fmt.Sprintf("trained on at most %d per class: %s has only %d photos", slices.Max(possible), smallest, photos[smallest]))
	}
	return possible
}

// heads returns the methods that --head names, or nil without --head.
func heads(c *cli.Context) ([]classifier.Method, error) {
	if !c.IsSet("head") {
		return nil, nil
	}
	var heads []classifier.Method
	for _, h := range strings.Split(c.String("head"), ",") {
		m := classifier.Method(strings.TrimSpace(h))
		if !slices.Contains(classifier.Methods(), m) {
			return nil, usagef("--head %q is not one of %v", h, classifier.Methods())
		}
		if !slices.Contains(heads, m) {
			heads = append(heads, m)
		}
	}
	return heads, nil
}

// evalSet evaluates a folder of photos or stored embeddings.
func evalSet(c *cli.Context, heads []classifier.Method, support []int) (ev evaluated, err error) {
	var o imprint.Options
	if err := unknownRate(c, &o); err != nil {
		return ev, err
	}
	if ev.resize, err = resizeMode(c); err != nil {
		return ev, err
	}
	if heads == nil {
		heads = []classifier.Method{classifier.Auto, classifier.Mean, classifier.CoralSGD} // compare auto with Coral's two methods
	}
	var set *evaluate.Set
	var b *backbone.Backbone // nil for stored embeddings
	if stored := c.String("embeddings"); stored != "" {
		if ev.resize == imprint.AutoResize {
			return ev, usagef("--resize auto needs a folder of photos")
		}
		if set, err = evaluate.ReadSet(stored, ev.resize); errors.Is(err, fs.ErrNotExist) {
			return ev, hinted{err, "a folder of embeddings holds emb.u8 (emb.crop.u8 for --resize crop), labels.json and episodes.json"}
		} else if err != nil {
			return ev, dataError{err}
		}
	} else if set, b, err = embedSet(c, c.Args().First(), text(c, "backbone"), &ev, slices.Max(support)); err != nil {
		return ev, err
	}
	if ev.Evaluation, err = set.Evaluate(c.Context, heads, support); err != nil {
		return ev, tooFew(err)
	}
	if o.Unknown != nil && *o.Unknown > 0 {
		ev.OpenSet, err = set.EvaluateOpenSet(c.Context, heads, support, *o.Unknown)
		switch given := len(c.StringSlice("others")) > 0; {
		case errors.Is(err, evaluate.ErrProtocol) && !given: // otherwise, the rate is for the others
			return ev, hinted{err, "--others DIR measures rejection with photos of other things in DIR, for any number of classes"}
		case err != nil && !errors.Is(err, evaluate.ErrProtocol):
			return ev, err
		}
	}
	return ev, evalOthers(c, set, b, &ev, heads, support)
}

// embedSet embeds a folder of labeled photos with the named backbone or, if the name is "", with
// the workspace's. It sets ev.resize to the resize mode that it used.
func embedSet(c *cli.Context, dir, name string, ev *evaluated, support int) (*evaluate.Set, *backbone.Backbone, error) {
	fail := func(err error) (*evaluate.Set, *backbone.Backbone, error) { return nil, nil, err }
	if err := mustExist(dir); err != nil {
		return fail(err)
	}
	found, left, err := dataset.WalkContext(c.Context, []string{dir}, "")
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
	o := imprint.Options{Backbone: name, Embedding: text(c, "embedding"), Resize: ev.resize}
	auto := o.Resize == imprint.AutoResize
	if auto {
		o.Resize = ""
	}
	if err := mustBeModel(o.Backbone); err != nil {
		return fail(err)
	}
	if o.Devices, err = devices(c); err != nil {
		return fail(err)
	}
	if o.Arithmetic, err = arithmetic(c); err != nil {
		return fail(err)
	}
	b, mode, err := loadBackbone(workspace(c), o)
	if err != nil {
		return fail(err)
	}
	show, clear := progress(c, "photo")
	set, skipped, choice, err := evaluate.Embed(c.Context, filepath.Base(filepath.Clean(dir)), b, found, evaluate.EmbedOptions{
		Resize: mode, Auto: auto, Support: support, Episodes: c.Int("episodes"), Threads: n, Progress: show,
	})
	clear()
	if choice != nil {
		mode = choice.Resize
		ev.details = append(ev.details, resizeLine(choice))
	}
	ev.resize, ev.details = mode, append([]string{backboneLine(b, mode)}, ev.details...)
	note(c, skippedLines(leftOut(append(left, skipped...)), verbose(c))...)
	if only := found[0].Label; !slices.ContainsFunc(found, func(p dataset.Item) bool { return p.Label != only }) && err != nil {
		return set, b, hinted{err, "put the photos of each class into a folder of its own: " + filepath.Join(filepath.Clean(dir), "CLASS")}
	}
	return set, b, tooFew(err)
}

// tooFew adds a hint to the error that a set has too few photos.
func tooFew(err error) error {
	if errors.Is(err, evaluate.ErrProtocol) {
		return hinted{err, "each class needs more photos than the largest number in --support (default: 20); try fewer, such as --support 1,2"}
	}
	return err
}

// evalWorkspace evaluates the workspace by leaving out one photo at a time. With curve, or if
// --support, --episodes or --json is given, it also measures accuracy by the number of photos per
// class.
func evalWorkspace(c *cli.Context, heads []classifier.Method, support []int, curve bool) (ev evaluated, err error) {
	for _, f := range []string{"resize", "unknown", "others"} {
		if c.IsSet(f) {
			return ev, usagef("--%s needs a folder of photos, or --embeddings", f)
		}
	}
	if !curve && !c.IsSet("support") && !c.IsSet("episodes") && !asJSON(c) {
		support = nil
	}
	if err := c.Set("head", ""); err != nil { // with --head set, open would change the workspace's head
		return ev, err
	}
	ws, err := open(c, true)
	if err != nil {
		return ev, err
	}
	defer ws.Close()
	set, err := ws.Examples()
	if err != nil {
		return ev, err
	}
	if len(heads) == 0 {
		heads = []classifier.Method{ws.Settings().Head}
	}
	ev.Evaluation, err = set.LeaveOneOut(c.Context, heads, support, c.Int("episodes"))
	if err == nil && c.IsSet("support") {
		tellLeftOut(c, ev.Evaluation, support)
	}
	ev.resize, ev.classes, ev.advice = ws.Settings().Resize, ws.Classes(), ws.Head().Advice
	return ev, err
}

// tellLeftOut names the numbers in --support for which the workspace has too few photos.
func tellLeftOut(c *cli.Context, ev *evaluate.Evaluation, support []int) {
	var left []string
	for _, n := range support {
		if !slices.ContainsFunc(ev.Results, func(r evaluate.Accuracy) bool { return r.Support == n }) {
			left = append(left, fmt.Sprint(n))
		}
	}
	if len(left) > 0 {
		note(c, fmt.Sprintf("no episodes with %s photos per class: no class has more", enumerate(left)))
	}
}
