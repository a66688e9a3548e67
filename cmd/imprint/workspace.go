package main

import (
	"fmt"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/modelfile"
	"github.com/imprintkit/imprint/imprint/outcome"
)

func workspace(c *cli.Context) string {
	if dir := text(c, "workspace"); dir != "" {
		return dir
	}
	return defaultWorkspace
}

// workspaceOptions returns the folder of the workspace that the flags name, and the options to open
// it with.
func workspaceOptions(c *cli.Context) (dir string, o imprint.Options, err error) {
	fail := func(err error) (string, imprint.Options, error) { return "", o, err }
	if o.Threads, err = threads(c); err != nil {
		return fail(err)
	}
	dir = workspace(c)
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return fail(hinted{fmt.Errorf("open workspace %s: it is not a folder", dir), "name a folder with --workspace DIR; it is created if needed"})
	}
	if o.Detector, err = detectorChoice(c); err != nil {
		return fail(err)
	}
	o.Backbone, o.Embedding = text(c, "backbone"), text(c, "embedding")
	o.Compiled, o.Uncompiled = c.String("compiled"), c.String("uncompiled")
	if o.Compiled != "" && o.Uncompiled == "" {
		if o.Uncompiled, err = modelfile.Uncompiled(o.Compiled); err != nil {
			return fail(usagef("--compiled needs --uncompiled, the model that it was compiled from: %v", err))
		}
	}
	for _, name := range []string{o.Backbone, o.Compiled, o.Uncompiled} {
		if err := mustBeModel(name); err != nil {
			return fail(err)
		}
	}
	if o.Resize, err = resizeMode(c); err != nil {
		return fail(err)
	}
	if o.Devices, err = devices(c); err != nil {
		return fail(err)
	}
	if o.Arithmetic, err = arithmetic(c); err != nil {
		return fail(err)
	}
	if err := settings(c, &o); err != nil {
		return fail(err)
	}
	return dir, o, nil
}

// settings sets the options in o that change how the model is trained and written.
func settings(c *cli.Context, o *imprint.Options) (err error) {
	if l := c.String("layout"); l != "" {
		if o.Layout, err = classifier.ParseLayout(l); err != nil {
			return usageError{err}
		}
	}
	if h := c.String("head"); h != "" {
		if o.Head, err = classifier.ParseMethod(h); err != nil {
			return usageError{err}
		}
	}
	if c.IsSet("keep-classes") {
		keep := c.Bool("keep-classes")
		o.KeepClasses = &keep
	}
	if c.IsSet("none") {
		o.None = c.String("none")
		if err := imprint.CheckLabel(o.None); err != nil {
			return usageError{fmt.Errorf("--none: %w", err)}
		}
	}
	return unknownRate(c, o)
}

// open opens the workspace that the flags name. If a process was killed before it wrote the model
// of the last change, open writes the model. With existing, the workspace must exist.
func open(c *cli.Context, existing bool) (*imprint.Workspace, error) {
	dir, o, err := workspaceOptions(c)
	if err != nil {
		return nil, err
	}
	o.Existing = existing
	ws, err := imprint.Open(dir, o)
	if err != nil {
		return nil, err
	}
	for _, w := range ws.Warnings() {
		warn(c, "%s", w)
	}
	// If that fails, for instance on a read-only disk, commands that only read still work.
	if repaired, err := ws.Repair(c.Context); err != nil {
		warn(c, "%s or labels.txt does not match the last change and could not be rewritten: %v", ws.ModelPath(), err)
	} else if repaired {
		warn(c, "%s or labels.txt did not match the last change and has been rewritten", ws.ModelPath())
	}
	return ws, nil
}

// changed describes a change to the workspace. lines returns the output for people, given the
// summary after the change. object returns the JSON for programs, given the workspace after the change.
type changed struct {
	lines  func(summary) []string
	object func(outcome.Workspace) any
}

// change opens the workspace, calls verb to change it and prints the result.
func change(c *cli.Context, verb func(*imprint.Workspace) (changed, error)) error {
	ws, err := open(c, true)
	if err != nil {
		return err
	}
	defer ws.Close()
	did, err := verb(ws)
	if err != nil {
		return err
	}
	warnOfQuantization(c, ws)
	s := summarize(ws)
	if asJSON(c) {
		return printJSON(c.App.Writer, did.object(outcome.After(ws)))
	}
	say(c, did.lines(s)...)
	detail(c, s.details()...)
	return nil
}

// warnOfQuantization warns of a compiled model that hardly gives the trained model's answers.
func warnOfQuantization(c *cli.Context, ws *imprint.Workspace) {
	if w := ws.Written(); lossy(w) {
		warn(c, "%s", writtenLine(w))
	}
}

// noteWithoutBackground says what is unknown with a backbone that is new to the workspace, if it has no
// background.
func noteWithoutBackground(c *cli.Context, name string, s summary) {
	if len(s.classes) > 0 && s.withoutBackground() {
		note(c, plain(name)+" comes without pictures of other things: unknown is what is unlike your own photos, from about ten photos on; until then, every photo gets a class")
	}
}

// answersLine returns the line about the answer "unknown" if the flags of a command say something about it.
func answersLine(c *cli.Context, s summary) string {
	line := unknownLine(s)
	switch {
	case !c.IsSet("unknown") && !c.IsSet("none") && !c.IsSet("negative"):
		return ""
	case line == "" && len(s.classes) > 0:
		return unknownIsOff
	}
	return line
}

// noteIgnoredHead says that kept classes have a head of their own, if the user asked for another.
func noteIgnoredHead(c *cli.Context, s summary) {
	if asked := c.String("head"); s.settings.KeepClasses && asked != "" && asked != string(classifier.Mean) {
		note(c, "--head has no effect while the backbone's own classes are kept: the head is mean")
	}
}

// summarize returns the summary of a workspace.
func summarize(ws *imprint.Workspace) summary {
	return summary{
		classes: ws.Classes(), negatives: len(ws.Negatives()), estimate: ws.Head().Estimate, settings: ws.Settings(),
		model: ws.ModelPath(), generation: ws.Generation(), recipe: ws.Head().Recipe, candidates: ws.Head().Candidates,
		written: ws.Written(), advice: ws.Head().Advice, rejection: ws.Head().Rejection, unknownOff: ws.Settings().UnknownOff,
	}
}
