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

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/tpu"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	os.Exit(run(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr, tpu.USB))
}

// run is the whole command, with devices on the bus that usb gives; it returns the
// exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, usb func() (tpu.Bus, error)) int {
	out := &output{w: stdout}
	app := newApp(stdin, out, stderr)
	app.Metadata = map[string]any{usbKey: usb}
	if len(args) > 1 && args[1] == completeCommand {
		printCandidates(out, complete(app, args[2:]))
		return 0
	}
	args, err := arrange(app, args)
	if err == nil {
		err = app.RunContext(ctx, args)
		if e := closeDevices(app); err == nil {
			err = e
		}
	}
	switch {
	case out.err != nil:
		err = out.err
	case err != nil && ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx)) || errors.Is(err, imprint.ErrLocked)):
		err = fmt.Errorf("%w, and nothing was changed", errInterrupted)
	}
	tell(stderr, err)
	return exitStatus(err)
}

// output is the standard output. It keeps the first failure, so that a result that
// was lost on the way is never a success.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	o.err = err
	return n, err
}

// newApp describes all commands.
func newApp(stdin io.Reader, stdout, stderr io.Writer) *cli.App {
	flags := workspaceFlags()
	// Read for the whole program only: a variable must not win over a flag given
	// before the command's name.
	flags[0].(*cli.StringFlag).EnvVars = []string{"IMPRINT_WORKSPACE"}
	flags[1].(*cli.StringFlag).EnvVars = []string{"IMPRINT_BACKBONE"}
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

Flags may stand anywhere on the line; -- ends them, for a name that begins with a
dash. A photo named - is the standard input.

Exit status: 0 done, 1 it can't be done, 2 wrong usage, 3 device trouble,
4 a damaged file or one of the wrong kind, 130 interrupted.`,
		Flags: append(flags, cli.HelpFlag),
		Commands: []*cli.Command{addCommand(), removeCommand(), undoCommand(), renameCommand(), listCommand(), classifyCommand(), retrainCommand(), mergeCommand(),
			evalCommand(), exportCommand(), compileCommand(), inspectCommand(), runCommand(), serveCommand(), modelsCommand(), devicesCommand(), doctorCommand(), completionCommand(), helpCommand()},
		HideVersion:               true,
		DisableSliceFlagSeparator: true, // names of files may have commas
		Reader:                    stdin,
		Writer:                    stdout,
		ErrWriter:                 stderr,
		ExitErrHandler:            func(*cli.Context, error) {}, // run does
		OnUsageError:              onUsageError,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return unknownCommand(c.App.Commands, c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, cmd := range app.Commands {
		prepare(cmd)
	}
	return app
}

// prepare makes all commands alike: wrong usage is reported by run, and "help" is
// an argument like any other.
func prepare(cmd *cli.Command) {
	cmd.OnUsageError = onUsageError
	cmd.HideHelpCommand = true
	for _, sub := range cmd.Subcommands {
		prepare(sub)
	}
}

func onUsageError(_ *cli.Context, err error, _ bool) error { return usageError{err} }

func helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "show how a command is used",
		ArgsUsage: "[COMMAND …]",
		Description: `Examples:
   imprint help
   imprint help add
   imprint help models pull`,
		Action: func(c *cli.Context) error {
			commands := c.App.Commands
			for _, name := range c.Args().Slice() {
				cmd := named(commands, name)
				if cmd == nil {
					return unknownCommand(commands, name)
				}
				commands = cmd.Subcommands
			}
			args := append([]string{c.App.Name}, c.Args().Slice()...)
			return c.App.RunContext(c.Context, append(args, "--help"))
		},
	}
}

// needArgs checks the number of arguments; most < 0 is no limit.
func needArgs(c *cli.Context, least, most int) error {
	n := c.NArg()
	switch {
	case n < least:
		return usagef("%s needs %s", c.Command.Name, c.Command.ArgsUsage)
	case most == 0 && n > 0:
		return usagef("%s takes no arguments, and %q was given", c.Command.Name, c.Args().First())
	case most > 0 && n > most:
		return usagef("%s takes %s, and %q was given too", c.Command.Name, c.Command.ArgsUsage, c.Args().Get(most))
	}
	return nil
}

// tell says what went wrong, and what to do about it.
func tell(w io.Writer, err error) {
	if err == nil || errors.Is(err, errReported) {
		return
	}
	fmt.Fprintf(w, "imprint: error: %v\n", err)
	if h := hint(err); h != "" {
		fmt.Fprintf(w, "imprint: hint: %s\n", h)
	}
}
