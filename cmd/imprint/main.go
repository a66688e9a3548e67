// Command imprint trains a camera on new classes from a few photos. Start with
// imprint --help.
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

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/tpu"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	os.Exit(run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr, tpu.USB))
}

// run executes the command line args and returns the exit status. The function usb opens the bus
// with the Edge TPUs.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, usb func() (tpu.Bus, error)) int {
	out := &output{w: stdout}
	app := newApp(stdin, out, stderr)
	app.Metadata = map[string]any{usbKey: usb}
	if len(args) > 1 && args[1] == completeCommand {
		printCandidates(out, complete(app, args[2:]))
		return 0
	}
	if len(args) == 2 {
		switch args[1] {
		case manCommand:
			printMan(out, app, thisBuild())
			return 0
		case udevCommand:
			fmt.Fprint(out, tpu.UdevRules("plugdev"))
			return 0
		}
	}
	arranged, err := arrange(app, args)
	if err == nil {
		err = app.RunContext(ctx, arranged)
		if e := closeDevices(app); err == nil {
			err = e
		}
	}
	switch {
	case out.err != nil:
		err = out.err
	case err != nil && ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx)) || errors.Is(err, imprint.ErrLocked)):
		err = fmt.Errorf("%w; nothing was changed", errInterrupted)
	}
	reportError(stderr, err, commandPath(app, args), wantsJSON(args))
	return exitStatus(err)
}

// These are the groups of commands in imprint --help, in order.
const (
	groupTrain   = "Train"
	groupRun     = "Run"
	groupEdgeTPU = "Edge TPU"
	groupTools   = "Tools"
)

func commands() []*cli.Command {
	var all []*cli.Command
	group := func(name string, commands ...*cli.Command) {
		for _, c := range commands {
			c.Category = name
		}
		all = append(all, commands...)
	}
	group(groupTrain, addCommand(), removeCommand(), moveCommand(), renameCommand(), undoCommand(), retrainCommand(), mergeCommand(), listCommand(), detectorCommand())
	group(groupRun, classifyCommand(), detectCommand(), serveCommand(), evalCommand(), exportCommand(), runCommand())
	group(groupEdgeTPU, devicesCommand(), doctorCommand(), compileCommand())
	group(groupTools, inspectCommand(), modelsCommand(), completionCommand(), versionCommand(), helpCommand())
	return all
}

func newApp(stdin io.Reader, stdout, stderr io.Writer) *cli.App {
	flags := workspaceFlags()
	// Only the app's flags read the environment. If a command's flags did too, a variable would
	// override a flag given before the command.
	flags[0].(*cli.StringFlag).EnvVars = []string{"IMPRINT_WORKSPACE"}
	flags[1].(*cli.StringFlag).EnvVars = []string{"IMPRINT_BACKBONE"}
	app := &cli.App{
		Name:  "imprint",
		Usage: "train a camera on new classes from a few photos",
		Description: `Train a camera on new classes from a few photos, on the device.

Examples:
   imprint add ./photos                  learn the classes in ./photos/<class>/
   imprint classify new.jpg              say what a photo shows
   imprint undo                          undo the last change

The folder .imprint holds the result: model.tflite runs in any TensorFlow Lite
runtime, labels.txt lists its classes.`,
		Flags:                     append(append(append(outputFlags(), jsonFlag("results and errors")), flags...), versionFlag(), cli.HelpFlag),
		Commands:                  commands(),
		HideVersion:               true,
		DisableSliceFlagSeparator: true, // file names may contain commas
		Reader:                    stdin,
		Writer:                    stdout,
		ErrWriter:                 stderr,
		ExitErrHandler:            func(*cli.Context, error) {}, // run reports errors
		OnUsageError:              onUsageError,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return unknownCommand(c.App.Commands, c.Args().First())
			}
			if c.Bool("version") {
				return printVersion(c)
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, cmd := range app.Commands {
		prepare(cmd)
	}
	return app
}

// prepare adds --verbose and --quiet to cmd and its subcommands, lets run report usage errors, and
// makes "help" an ordinary argument.
func prepare(cmd *cli.Command) {
	cmd.OnUsageError = onUsageError
	cmd.Before = checkOutputFlags
	cmd.HideHelpCommand = true
	if cmd.Name != "help" && cmd.Name != "completion" {
		cmd.Flags = append(cmd.Flags, outputFlags()...)
	}
	for _, sub := range cmd.Subcommands {
		prepare(sub)
	}
}

func onUsageError(_ *cli.Context, err error, _ bool) error { return usageError{err} }
