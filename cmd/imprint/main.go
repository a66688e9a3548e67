// Command imprint teaches a camera device new classes from a few photos. Start
// with imprint --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
)

// The exit statuses.
const (
	exitUser  = 1 // what was asked for can't be done
	exitUsage = 2 // it was not asked for properly
	exitData  = 4 // a file is damaged or of the wrong kind
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole command; it returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	app := newApp(stdin, stdout, stderr)
	err := app.RunContext(ctx, flagsFirst(app, args))
	if err == nil {
		return 0
	}
	if errors.Is(err, errReported) {
		return exitStatus(err)
	}
	fmt.Fprintf(stderr, "imprint: error: %v\n", err)
	if h := hint(err); h != "" {
		fmt.Fprintf(stderr, "imprint: hint: %s\n", h)
	}
	return exitStatus(err)
}

// usageError is a command line that can't be understood.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

// errReported marks a failure that has been told already.
var errReported = errors.New("failed")

// dataErrors are the errors that mean a file is damaged or of the wrong kind.
var dataErrors = []error{
	imprint.ErrCorrupt, imprint.ErrInput, imprint.ErrProtocol,
	tflite.ErrCorrupt, tflite.ErrTooLarge, tflite.ErrUnsupported,
	backbone.ErrNoEmbedding, backbone.ErrInput, backbone.ErrUnsupportedOperator,
	classifier.ErrShape, classifier.ErrNoHead, models.ErrContent,
	dataset.ErrDamaged, dataset.ErrEmpty, dataset.ErrFormat, dataset.ErrHEIC, dataset.ErrTooLarge,
}

func exitStatus(err error) int {
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	for _, e := range dataErrors {
		if errors.Is(err, e) {
			return exitData
		}
	}
	return exitUser
}

// hint says what to do about err, or nothing.
func hint(err error) string {
	var usage usageError
	switch {
	case errors.As(err, &usage):
		return "imprint COMMAND --help shows how, with examples"
	case errors.Is(err, models.ErrNotPulled), errors.Is(err, imprint.ErrNoBackbone):
		return "name a model with --backbone FILE, or pull one: imprint models pull mobilenet_v1_1.0_224_quant_embedding_extractor"
	case errors.Is(err, imprint.ErrOtherBackbone), errors.Is(err, imprint.ErrOtherFit):
		return "leave the option out, or teach anew in another folder with --workspace DIR"
	case errors.Is(err, imprint.ErrNothingTaught):
		return "teach first: imprint add --label NAME PHOTOS"
	case errors.Is(err, imprint.ErrUnknownLabel):
		return "imprint list shows the labels"
	case errors.Is(err, imprint.ErrLocked):
		return "wait for that process, or end it; the lock goes with it"
	case errors.Is(err, imprint.ErrNoPhotos):
		return "photos are JPEG, PNG, WebP, GIF or BMP files, or folders of them"
	case errors.Is(err, dataset.ErrNoLabel):
		return "--label NAME gives all photos one label; without it a folder holds one folder of photos for each label"
	case errors.Is(err, backbone.ErrNoEmbedding):
		return "imprint inspect FILE lists the tensors; name one with --embedding TENSOR"
	}
	return ""
}

// newApp describes all commands.
func newApp(stdin io.Reader, stdout, stderr io.Writer) *cli.App {
	app := &cli.App{
		Name:  "imprint",
		Usage: "teach a camera device a new class from a few photos, on the device",
		Description: `imprint turns a few photos into a new last layer of a frozen MobileNet.

Example:
   imprint models pull mobilenet_v1_1.0_224_quant_embedding_extractor
   imprint add --label cone ./photos/cone
   imprint add --label duck ./photos/duck
   imprint classify new.jpg

What was learned is kept in the folder .imprint: model.tflite and labels.txt there
are ready for any TensorFlow Lite runtime.

Exit status: 0 done, 1 it can't be done, 2 wrong usage, 3 device trouble,
4 a damaged file or one of the wrong kind.`,
		Flags:                  workspaceFlags(),
		Commands:               []*cli.Command{addCommand(), removeCommand(), undoCommand(), renameCommand(), listCommand(), classifyCommand(), retrainCommand(), evalCommand(), exportCommand(), inspectCommand(), runCommand(), modelsCommand(), completionCommand()},
		EnableBashCompletion:   true,
		HideVersion:            true,
		UseShortOptionHandling: false,
		Reader:                 stdin,
		Writer:                 stdout,
		ErrWriter:              stderr,
		ExitErrHandler:         func(*cli.Context, error) {}, // run does
		OnUsageError:           onUsageError,
		CommandNotFound:        nil,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("%q is not a command", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, cmd := range app.Commands {
		setUsage(cmd)
	}
	return app
}

func onUsageError(_ *cli.Context, err error, _ bool) error { return usageError{err} }

// setUsage makes all commands report wrong usage alike.
func setUsage(cmd *cli.Command) {
	cmd.OnUsageError = onUsageError
	for _, sub := range cmd.Subcommands {
		setUsage(sub)
	}
}

// needArgs checks the number of arguments; most < 0 is no limit.
func needArgs(c *cli.Context, least, most int) error {
	n := c.NArg()
	if n >= least && (most < 0 || n <= most) {
		return nil
	}
	if n < least {
		return usagef("%s needs %s", c.Command.Name, c.Command.ArgsUsage)
	}
	return usagef("%s takes %d arguments, and %d were given: %q", c.Command.Name, most, n, c.Args().Slice())
}
