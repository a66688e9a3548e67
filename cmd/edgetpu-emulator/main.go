// Command edgetpu-emulator emulates a Coral USB Accelerator, which any Linux machine can attach over USB/IP. Start with
// edgetpu-emulator --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/emulator/engine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the process at once
	os.Exit(run(ctx, os.Args, os.Stdout, os.Stderr))
}

// The exit statuses are the same as imprint's.
const (
	exitUser        = 1 // the command is valid but failed
	exitUsage       = 2 // the command line is wrong
	exitData        = 4 // a file is damaged or of the wrong kind
	exitInterrupted = 130
)

// usageError is an error in the command line.
type usageError struct{ error }

// run executes the command line args and returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := newApp(stdout, stderr).RunContext(ctx, args)
	var usage usageError
	switch {
	case ctx.Err() != nil:
		return exitInterrupted
	case err == nil:
		return 0
	}
	fmt.Fprintf(stderr, "error: %v\n", err)
	switch {
	case errors.As(err, &usage):
		fmt.Fprintln(stderr, "See edgetpu-emulator --help.")
		return exitUsage
	case errors.Is(err, emulator.ErrModel):
		return exitData
	}
	return exitUser
}

func newApp(stdout, stderr io.Writer) *cli.App {
	usage := func(_ *cli.Context, err error, _ bool) error { return usageError{err} }
	return &cli.App{
		Name:            "edgetpu-emulator",
		Usage:           "emulate a Coral USB Accelerator for any Linux machine, over USB/IP",
		UsageText:       "edgetpu-emulator [options]",
		HideHelpCommand: true,
		Description: `The emulator behaves like the real device on the bus and runs the models given with
--model, which is repeatable. Its outputs match the real device's if you also
give the models that they were compiled from, in the same order, with
--uncompiled. Otherwise byte i of each output is 7*i mod 256.

Example (run the last two lines as root on the machine that gets the device):
   edgetpu-emulator --model m_edgetpu.tflite --uncompiled m.tflite
   modprobe vhci-hcd
   usbip attach --remote 127.0.0.1 --busid 1-1

Exit status: 0 success, 1 failure, 2 usage error, 4 damaged file,
130 interrupted.`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Value: "127.0.0.1:3240", Usage: "serve USB/IP on `ADDRESS`"},
			&cli.StringFlag{Name: "speed", Value: "super", Usage: "use the link `SPEED`: super or high"},
			&cli.StringFlag{Name: "boot", Value: "dfu", Usage: "start in `STATE`: dfu (waits for firmware) or app"},
			&cli.StringSliceFlag{Name: "model", Usage: "run the compiled model `FILE`; repeatable"},
			&cli.StringSliceFlag{Name: "uncompiled", Usage: "read the uncompiled form of --model from `FILE`; repeat it in the order of the --model flags"},
			&cli.StringSliceFlag{Name: "twin", Hidden: true}, // the former name of --uncompiled,
			&cli.StringFlag{Name: "transcript", Usage: "write every USB transfer to `FILE`"},
			&cli.BoolFlag{Name: "vhci", Usage: "attach the device to this machine instead of listening; needs root", DisableDefaultText: true},
			&cli.BoolFlag{Name: "quiet", Usage: "do not print the device's log", DisableDefaultText: true},
		},
		Writer:         stdout,
		ErrWriter:      stderr,
		OnUsageError:   usage,
		ExitErrHandler: func(*cli.Context, error) {},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usageError{fmt.Errorf("unexpected argument %q", c.Args().First())}
			}
			var transcript io.Writer
			if name := c.String("transcript"); name != "" {
				f, err := os.Create(name)
				if err != nil {
					return err
				}
				defer f.Close()
				transcript = f
			}
			d, err := newDevice(c, stderr, transcript)
			if err != nil {
				return err
			}
			if c.Bool("vhci") {
				port, err := emulator.FreeVHCIPort(d)
				if err != nil {
					return err
				}
				fmt.Fprintf(stdout, "plugged into virtual port %d of this machine at %v\n", port, d.Info().Speed)
				return plug(c.Context, d, port)
			}
			l, err := net.Listen("tcp", c.String("listen"))
			if err != nil {
				return err
			}
			fmt.Fprintf(stdout, "listening on %v: device %v at %v\n", l.Addr(), d.Info().Port, d.Info().Speed)
			return emulator.ServeUSBIP(c.Context, l, d)
		},
	}
}

// newDevice returns the device that the flags describe.
func newDevice(c *cli.Context, log, transcript io.Writer) (*emulator.Device, error) {
	config := emulator.Config{Transcript: transcript, Operator: engine.Operator}
	switch c.String("speed") {
	case "super":
		config.Speed = tpu.SuperSpeed
	case "high":
		config.Speed = tpu.HighSpeed
	default:
		return nil, usageError{fmt.Errorf("--speed %q: want super or high", c.String("speed"))}
	}
	switch c.String("boot") {
	case "dfu":
	case "app":
		config.Application = true
	default:
		return nil, usageError{fmt.Errorf("--boot %q: want dfu or app", c.String("boot"))}
	}
	if !c.Bool("quiet") {
		config.Log = func(format string, args ...any) { fmt.Fprintf(log, format+"\n", args...) }
	}
	models, uncompiled := c.StringSlice("model"), append(c.StringSlice("uncompiled"), c.StringSlice("twin")...)
	if len(uncompiled) > len(models) {
		return nil, usageError{errors.New("--uncompiled without --model")}
	}
	d := emulator.New(config)
	for i, name := range models {
		compiled, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var source []byte
		if i < len(uncompiled) && uncompiled[i] != "" {
			if source, err = os.ReadFile(uncompiled[i]); err != nil {
				return nil, err
			}
		}
		if err := d.Register(compiled, source); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return d, nil
}

// plug keeps d attached to this machine until ctx is done. If somebody detaches d, plug attaches it again in boot mode,
// like a real device that was unplugged and plugged in again.
func plug(ctx context.Context, d *emulator.Device, port int) error {
	for {
		if err := emulator.AttachVHCI(ctx, d, port); err != nil || ctx.Err() != nil {
			return err
		}
		d.Unplug()
		d.Plug()
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil
		}
	}
}
