package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/serve"
	"github.com/imprintkit/imprint/tpu"
)

func addCommand() *cli.Command {
	return &cli.Command{
		Name:      "add",
		Usage:     "teach photos of a class",
		ArgsUsage: "PHOTO|DIR|- …",
		Description: `Each photo is embedded, and the model is written anew with what was learned.
Photos that are damaged or known already are skipped and named.

Examples:
   imprint add --label cone ./photos/cone         all photos in a folder
   imprint add --label cone 1.jpg 2.jpg           single photos
   imprint add ./photos                           ./photos/cone/*, ./photos/duck/*, …
   imprint add --list photos.txt                  lines of path, tab, label
   ls *.jpg | imprint add --label cone -          paths (or one photo) from a pipe
   imprint add --unknown 0.05 --negative ./photos/street     what else the camera sees
   imprint add --label cone --tub ~/mycar/data --records 100:200     from a Donkey Car's recording`,
		Flags: withDevices(append(tubFlags(),
			labelFlag("what the photos show is called `NAME`", "the name of the folder they are in"),
			listFlag(), negativeFlag(), chosenFitFlag(), layoutFlag(), headFlag(), unknownRateFlag(), keepFlag(), templateFlag(), jsonFlag("what was learned"))...),
		Action: add,
	}
}

func add(c *cli.Context) error {
	if c.IsSet("label") && c.String("label") == "" {
		return usagef("--label is empty")
	}
	others, left, err := negatives(c)
	if err != nil {
		return err
	}
	var photos []dataset.Item
	if len(others) == 0 || c.NArg() > 0 || c.IsSet("list") || c.IsSet("tub") {
		var more []imprint.Skipped
		if photos, more, err = items(c, c.String("label")); err != nil {
			return err
		}
		left = append(left, more...)
	}
	k, err := open(c, false)
	if err != nil {
		return err
	}
	defer k.Close()
	fresh := k.Generation() == 0
	show, clear := progress(c, "photo")
	learned, err := k.AddBeside(c.Context, photos, others, show)
	clear()
	if learned != nil {
		learned.Skipped = append(left, learned.Skipped...)
		if err != nil || !c.Bool("json") {
			tellSkipped(c.App.ErrWriter, learned.Skipped)
		}
	}
	if learned != nil && errors.Is(err, imprint.ErrNoPhotos) {
		return dataError{err} // there are some, and all are bad
	}
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return printJSON(c.App.Writer, struct {
			*imprint.Added
			Head       head             `json:"head"`
			Estimate   estimate         `json:"estimate"`
			MS         float64          `json:"ms"`
			Generation uint64           `json:"generation"`
			Model      string           `json:"model"`
			Written    *imprint.Written `json:"written,omitempty"`
		}{learned, head{k.Recipe(), k.Candidates()}, estimate(learned.Estimate), ms(learned.Elapsed), k.Generation(), k.ModelPath(), k.Written()})
	}
	if fresh {
		fmt.Fprintln(c.App.Writer, backboneLine(k.Backbone(), k.Settings().Resize))
	}
	if learned.ResizeChoice != nil {
		fmt.Fprintln(c.App.Writer, fitLine(learned.ResizeChoice))
	}
	fmt.Fprintf(c.App.Writer, "learned %s, %d skipped, in %d ms%s\n", countLine(learned.Classes, learned.Negatives), len(learned.Skipped), learned.Elapsed.Milliseconds(), onDevices(learned.Devices))
	tellModel(c.App.Writer, k, learned.Estimate)
	return nil
}

func plural(n int, noun string) string {
	if n == 1 {
		return noun
	}
	return noun + "s"
}

func tellSkipped(w io.Writer, skipped []imprint.Skipped) {
	for _, s := range skipped {
		// The reason of a photo that can't be read names it.
		if strings.Contains(s.Reason, s.Path) {
			fmt.Fprintf(w, "imprint: skipped: %s\n", s.Reason)
		} else {
			fmt.Fprintf(w, "imprint: skipped: %s: %s\n", s.Path, s.Reason)
		}
	}
}

// tellModel says what the model is now.
func tellModel(w io.Writer, k *imprint.Workspace, e classifier.Estimate) {
	classes, photos := k.Classes(), 0
	for _, c := range classes {
		photos += len(c.Photos)
	}
	if len(classes) == 0 {
		fmt.Fprintln(w, "nothing is taught now; the model has been withdrawn")
		return
	}
	fmt.Fprintf(w, "model %s: %d %s from %d %s, generation %d\n", k.ModelPath(), len(classes), map[bool]string{true: "class", false: "classes"}[len(classes) == 1],
		photos, plural(photos, "photo"), k.Generation())
	fmt.Fprintln(w, headLine(k.Recipe(), k.Candidates(), k.Settings().Head))
	fmt.Fprintln(w, estimateLine(e, len(classes)))
	tellWritten(w, k.Written())
	tellAdvice(w, k)
	tellUnknown(w, k)
}

// tellWritten says what became of the head in a compiled model, if it is in one.
func tellWritten(w io.Writer, in *imprint.Written) {
	if in != nil {
		fmt.Fprintf(w, "in the compiled model %d of %d taught photos have another winner than with the float head; logits are multiplied by %.2g\n", in.Disagreements, in.Examples, in.LogitScale)
	}
}

// estimate is a classifier.Estimate as JSON.
type estimate struct {
	Correct  int `json:"right"`
	Total    int `json:"total"`
	Excluded int `json:"alone"`
	Bursts   int `json:"bursts"`
}

// estimateLine is the leave-one-out accuracy in words.
func estimateLine(e classifier.Estimate, classes int) string {
	if classes < 2 {
		return "accuracy: not to be told from one class"
	}
	if e.Total == 0 && e.Excluded > classes {
		return "accuracy: not to be told, as the photos of each class are all alike; others, from other sides and in other light, give an estimate"
	}
	if e.Total == 0 {
		return "accuracy: not to be told from one photo a class; two or more give an estimate"
	}
	low, high := e.Interval()
	line := fmt.Sprintf("accuracy, leaving one photo out at a time: %d of %d, %.1f %% (%.0f to %.0f %% with 95 %% confidence)", e.Correct, e.Total, 100*e.Accuracy(), 100*low, 100*high)
	if e.Bursts < e.Total {
		line += fmt.Sprintf("; photos alike, or taken together, were left out together: %d groups", e.Bursts)
	}
	if e.Excluded > 0 {
		line += fmt.Sprintf("; %d %s without another of their class not counted", e.Excluded, plural(e.Excluded, "photo"))
	}
	return line
}

// head is how the head was made and what it was chosen by, as JSON.
type head struct {
	classifier.Recipe
	Tried []classifier.Candidate `json:"tried,omitempty"`
}

// headLine says how the head was made, and why so.
func headLine(r classifier.Recipe, tried []classifier.Candidate, asked classifier.Method) string {
	line := fmt.Sprintf("head %v", r)
	if asked == classifier.Auto && r.Method == classifier.Ridge {
		return line + ": too few photos that differ can be left out to compare others"
	}
	at := slices.IndexFunc(tried, func(t classifier.Candidate) bool { return t.Recipe == r })
	if at < 0 {
		return line
	}
	next, choices, mean := -1, 0, ""
	for i, t := range tried {
		if t.Method == classifier.Mean { // for comparison
			mean = fmt.Sprintf("; mean, not among them, %.3f", t.LogLoss)
			continue
		}
		if choices++; i != at && (next < 0 || t.LogLoss < tried[next].LogLoss) {
			next = i
		}
	}
	line += fmt.Sprintf(": leaving one photo out at a time it is the likeliest of %d (loss %.3f", choices, tried[at].LogLoss)
	if next >= 0 {
		line += fmt.Sprintf("; next %v %.3f", tried[next].Recipe, tried[next].LogLoss)
	}
	return line + mean + ")"
}

// fitLine says how photos are fitted, and why.
func fitLine(choice *imprint.ResizeChoice) string {
	var parts []string
	for _, t := range choice.Candidates {
		if t.LogLoss == nil {
			return fmt.Sprintf("fit %s: too few photos that differ can be left out to compare it with squash", choice.Resize)
		}
		parts = append(parts, fmt.Sprintf("%s loss %.3f, %d of %d right", t.Resize, *t.LogLoss, t.Estimate.Correct, t.Estimate.Total))
	}
	return fmt.Sprintf("fit %s: leaving photos out one at a time, %s; squash must be better by %.3f", choice.Resize, strings.Join(parts, "; "), choice.StdErr)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func removeCommand() *cli.Command {
	return &cli.Command{
		Name:      "remove",
		Aliases:   []string{"rm"},
		Usage:     "forget a class, or single photos",
		ArgsUsage: "[PHOTO …]",
		Description: `The model becomes byte for byte what it would be had they never been taught.

Examples:
   imprint remove --label cone               the whole class
   imprint remove ./photos/cone/7.jpg        one photo
   imprint remove --negatives                all photos of nothing taught`,
		Flags: withWorkspace(labelFlag("forget photos called `NAME` only", "any"),
			&cli.BoolFlag{Name: "negatives", Usage: "forget all photos given with imprint add --negative", DefaultText: "no"}),
		Action: remove,
	}
}

func remove(c *cli.Context) error {
	label := c.String("label")
	if c.IsSet("label") && label == "" {
		return usagef("--label is empty")
	}
	all := c.Bool("negatives")
	if label == "" && c.NArg() == 0 && !all {
		return usagef("remove needs --label NAME, photos or --negatives")
	}
	if all && (label != "" || c.NArg() > 0) {
		return usagef("remove --negatives takes neither --label nor photos")
	}
	return change(c, func(k *imprint.Workspace) (string, error) {
		if all {
			n, err := k.RemoveNegatives(c.Context)
			return fmt.Sprintf("removed %d %s of nothing taught", n, plural(n, "photo")), err
		}
		n, err := k.Remove(c.Context, label, c.Args().Slice())
		if errors.Is(err, imprint.ErrNoPhotos) {
			err = hinted{err, "imprint list --photos shows the photos taught"}
		}
		return fmt.Sprintf("removed %d %s", n, plural(n, "photo")), err
	})
}

// change runs a verb that needs a workspace and says what the model is afterwards.
func change(c *cli.Context, verb func(*imprint.Workspace) (string, error)) error {
	k, err := open(c, true)
	if err != nil {
		return err
	}
	defer k.Close()
	done, err := verb(k)
	if err != nil {
		return err
	}
	fmt.Fprintln(c.App.Writer, done)
	tellModel(c.App.Writer, k, k.Estimate())
	return nil
}

func undoCommand() *cli.Command {
	return &cli.Command{
		Name:  "undo",
		Usage: "take the last change back",
		Description: `The last 32 changes can be taken back one after the other.

Example:
   imprint undo`,
		Flags: withWorkspace(),
		Action: func(c *cli.Context) error {
			if err := needArgs(c, 0, 0); err != nil {
				return err
			}
			return change(c, func(k *imprint.Workspace) (string, error) {
				verb, err := k.Undo(c.Context)
				return "took back: " + verb, err
			})
		},
	}
}

func renameCommand() *cli.Command {
	return &cli.Command{
		Name:      "rename",
		Usage:     "give a class another name",
		ArgsUsage: "OLD NEW",
		Description: `No photo is embedded again.

Example:
   imprint rename cone "traffic cone"`,
		Flags: withWorkspace(),
		Action: func(c *cli.Context) error {
			if err := needArgs(c, 2, 2); err != nil {
				return err
			}
			from, to := c.Args().Get(0), c.Args().Get(1)
			return change(c, func(k *imprint.Workspace) (string, error) {
				return fmt.Sprintf("renamed %s to %s", from, to), k.Rename(c.Context, from, to)
			})
		},
	}
}

func retrainCommand() *cli.Command {
	return &cli.Command{
		Name:  "retrain",
		Usage: "write the model anew from the stored embeddings",
		Description: `Needed only to change how the model is written: photos are not read again.
A running imprint serve notices each change by itself; --reload waits until it serves it.

Examples:
   imprint retrain --head lda
   imprint retrain --layout coral
   imprint retrain --keep-classes
   imprint retrain --layout tpu --template mobilenet_edgetpu.tflite --twin mobilenet.tflite --reload`,
		Flags: withWorkspace(layoutFlag(), headFlag(), unknownRateFlag(), keepFlag(), templateFlag(), twinFlag(),
			&cli.BoolFlag{Name: "reload", Usage: "wait until the running server, if there is one, serves the new model", DefaultText: "do not wait"},
			&cli.StringFlag{Name: "socket", Usage: "with --reload, the server's Unix socket `FILE`", DefaultText: "serve.sock in the workspace"}),
		Action: retrain,
	}
}

func retrain(c *cli.Context) error {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	if c.IsSet("socket") && !c.Bool("reload") {
		return usagef("--socket is for --reload")
	}
	start := time.Now()
	err := change(c, func(k *imprint.Workspace) (string, error) {
		err := k.Retrain(c.Context)
		return fmt.Sprintf("retrained in %d ms", time.Since(start).Milliseconds()), err
	})
	if err != nil || !c.Bool("reload") {
		return err
	}
	socket := c.String("socket")
	if socket == "" {
		socket = serve.SocketPath(workspace(c))
	}
	reloaded, err := serve.AskReload(c.Context, socket)
	if errors.Is(err, serve.ErrNoServer) {
		fmt.Fprintln(c.App.Writer, "no server is running on this workspace")
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "the server serves generation %d\n", reloaded.Generation)
	return nil
}

func listCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "show what has been taught",
		Description: `Examples:
   imprint list
   imprint list --photos`,
		Flags: withWorkspace(
			&cli.BoolFlag{Name: "photos", Usage: "name every photo", DefaultText: "count them"},
			jsonFlag("classes and photos")),
		Action: list,
	}
}

func list(c *cli.Context) error {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	k, err := open(c, true)
	if err != nil {
		return err
	}
	defer k.Close()
	s := k.Settings()
	if c.Bool("json") {
		return printJSON(c.App.Writer, struct {
			Backbone    string            `json:"backbone"`
			Fit         dataset.Resize    `json:"fit"`
			Layout      classifier.Layout `json:"layout"`
			KeepClasses bool              `json:"keep_classes"`
			Head        head              `json:"head"`
			Generation  uint64            `json:"generation"`
			Classes     []imprint.Class   `json:"classes"`
			Estimate    estimate          `json:"estimate"`
			Model       string            `json:"model"`
			Written     *imprint.Written  `json:"written,omitempty"`
		}{k.Backbone().Name, s.Resize, s.Layout, s.KeepClasses, head{k.Recipe(), k.Candidates()}, k.Generation(), append([]imprint.Class{}, k.Classes()...), estimate(k.Estimate()), k.ModelPath(), k.Written()})
	}
	for _, class := range k.Classes() {
		fmt.Fprintf(c.App.Writer, "%s  %d %s\n", class.Label, len(class.Photos), plural(len(class.Photos), "photo"))
		if c.Bool("photos") {
			for _, p := range class.Photos {
				fmt.Fprintf(c.App.Writer, "    %s  %s\n", p.SHA256[:12], p.Path)
			}
		}
	}
	fmt.Fprintf(c.App.Writer, "backbone %s, photos fitted by %s, layout %s", k.Backbone().Name, s.Resize, s.Layout)
	if s.KeepClasses {
		fmt.Fprint(c.App.Writer, ", its own classes kept")
	}
	fmt.Fprintln(c.App.Writer)
	tellModel(c.App.Writer, k, k.Estimate())
	return nil
}

func classifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "classify",
		Usage:     "name what is on photos",
		ArgsUsage: "PHOTO|DIR|- …",
		Description: `Examples:
   imprint classify new.jpg
   imprint classify --top 3 --json ./photos
   imprint classify --model model.tflite new.jpg      with a written model alone`,
		Flags: withDevices(
			&cli.IntFlag{Name: "top", Usage: "show the `N` best classes", Value: 1},
			listFlag(),
			&cli.StringFlag{Name: "model", Usage: "use model `FILE` alone, without a workspace", DefaultText: "none"},
			fitFlag(), jsonFlag("one object a line")),
		Action: classify,
	}
}

func classify(c *cli.Context) error {
	if c.Int("top") < 1 {
		return usagef("--top %d: it must be 1 or more", c.Int("top"))
	}
	photos, left, err := items(c, "?") // what they show is to be found out
	if err != nil {
		return err
	}
	tellSkipped(c.App.ErrWriter, left)
	var bad error
	deliver := func(r imprint.Result) error {
		if r.Err != nil {
			bad = errors.Join(errReported, r.Err)
			tell(c.App.ErrWriter, r.Err)
			if !c.Bool("json") {
				return nil
			}
		}
		if c.Bool("json") {
			return printJSON(c.App.Writer, r)
		}
		fmt.Fprintf(c.App.Writer, "%s: %s%s\n", r.Path, scoreLine(r.Top), onDevices(map[string]int{r.Device: 1}))
		return nil
	}
	if model := c.String("model"); model != "" {
		f, err := fit(c)
		if err != nil {
			return err
		}
		o := imprint.ModelOptions{Resize: f, Top: c.Int("top")}
		if o.Threads, err = threads(c); err != nil {
			return err
		}
		if o.Devices, err = devices(c); err != nil {
			return err
		}
		if o.Arithmetic, err = arithmetic(c); err != nil {
			return err
		}
		if err := imprint.ClassifyWith(c.Context, model, o, photos, deliver); err != nil {
			return err
		}
		return bad
	}
	k, err := open(c, true)
	if err != nil {
		return err
	}
	defer k.Close()
	err = k.Classify(c.Context, photos, c.Int("top"), deliver)
	if err != nil && k.Settings().Layout == classifier.TPU && tpu.IsDeviceError(err) {
		return hinted{err, "imprint doctor says what to do; --device cpu computes on the CPU what the device would"}
	}
	return cmp.Or(err, bad)
}

func scoreLine(top []imprint.Score) string {
	var parts []string
	for _, s := range top {
		parts = append(parts, fmt.Sprintf("%s %.3f", plain(s.Label), s.Score))
	}
	return strings.Join(parts, ", ")
}

// countLine says how many photos of each class, and of nothing taught, are new.
func countLine(classes map[string]int, negatives int) string {
	var parts []string
	for label, n := range classes {
		parts = append(parts, fmt.Sprintf("%s: %d %s", label, n, plural(n, "photo")))
	}
	slices.Sort(parts)
	if negatives > 0 {
		parts = append(parts, fmt.Sprintf("%d %s of nothing taught", negatives, plural(negatives, "photo")))
	}
	if len(parts) == 0 {
		return "nothing new"
	}
	return strings.Join(parts, ", ")
}
