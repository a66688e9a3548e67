package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"sync"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint/serve"
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "answer a camera's frames, and teach while a button is held",
		Description: `The workspace and its device are opened once. Each frame of the source is answered
with the newest model; programs ask over HTTP or the Unix socket in the workspace,
and people with the page that is served there. A reload costs no frame.

SIGHUP reloads, as each change of the workspace by another imprint does. SIGTERM ends.
On another address than this machine's own, clients need a token, which is printed.

Examples:
   imprint serve --source camera:/dev/video0
   imprint serve --source camera:/dev/video0 --button BTN_SOUTH=teach:cone --button BTN_EAST=undo
   imprint serve --source folder:./photos --rate 10 --loop --keys --button KEY_C=teach:cone
   imprint serve --listen 0.0.0.0:8230 --source mjpeg:http://car:8887/video
   curl --unix-socket .imprint/serve.sock --data-binary @new.jpg http://imprint/v1/classify`,
		Flags: withDevices(append(buttonFlags(),
			&cli.StringFlag{Name: "source", Usage: "take frames from `SOURCE`: camera:/dev/video0, mjpeg:URL, folder:DIR, tub:DIR, or none: clients post them", DefaultText: "none"},
			&cli.Float64Flag{Name: "rate", Usage: "show a folder or tub at `FPS` frames a second", DefaultText: "20, or as it was recorded"},
			&cli.BoolFlag{Name: "loop", Usage: "show a folder or tub again and again", DefaultText: "once"},
			&cli.StringFlag{Name: "listen", Usage: "let clients in at `ADDR`, host:port; none lets nobody in but over the socket", Value: "127.0.0.1:8230"},
			&cli.StringFlag{Name: "token", Usage: "clients over HTTP must know `TOKEN`, of at least 16 characters", DefaultText: "made where one is needed"},
			&cli.StringSliceFlag{Name: "host", Usage: "clients may call this machine `NAME`, besides its own name", DefaultText: "none"},
			&cli.StringFlag{Name: "socket", Usage: "make the Unix socket `FILE`", DefaultText: "serve.sock in the workspace"},
			&cli.StringFlag{Name: "socket-mode", Usage: "give the socket the permissions `MODE`, in octal", Value: "600"},
			&cli.IntFlag{Name: "vote", Usage: "let the last `N` frames vote on the label", Value: 1},
			&cli.StringFlag{Name: "notify", Usage: "run `CMD` for what happens, with the action, the label, true or false, and a sentence as arguments", DefaultText: "none"},
			resizeFlag(), layoutFlag(), headFlag(), compiledFlag())...),
		Action: runServe,
	}
}

func runServe(c *cli.Context) error {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	o, err := serveOptions(c)
	if err != nil {
		return err
	}
	mode, err := strconv.ParseUint(c.String("socket-mode"), 8, 9)
	if err != nil {
		return usagef("--socket-mode %s: it must be like 600 or 660", c.String("socket-mode"))
	}
	devices, keys, err := buttons(c, o.Log)
	if err != nil {
		return err
	}
	dir, kit, err := workspaceOptions(c)
	if err != nil {
		return err
	}
	server, err := serve.Open(c.Context, dir, kit, o)
	if err != nil {
		return err
	}
	for _, w := range server.Warnings() {
		warn(c, "%s", w)
	}
	socket := c.String("socket")
	if socket == "" {
		// The socket is in the workspace, which need not be there yet.
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return errors.Join(err, server.Close())
		}
		socket = serve.SocketPath(dir)
	}
	listeners, err := listen(c, socket, fs.FileMode(mode))
	if err != nil {
		return errors.Join(err, server.Close())
	}
	for _, l := range listeners {
		fmt.Fprintf(c.App.Writer, "serving %s\n", l.URL())
	}
	ctx, stop := context.WithCancel(c.Context)
	var others sync.WaitGroup
	others.Go(func() { reloadOnHangup(ctx, server) })
	if devices != nil {
		devices.Actor = server
		others.Go(func() { devices.Run(ctx) })
	}
	if keys != nil {
		keys.Actor = server
		others.Go(func() {
			if err := keys.Run(ctx); err != nil {
				warn(c, "--keys: %v", err)
			}
		})
	}
	err = server.Run(ctx, listeners...)
	stop()
	others.Wait()
	return err
}

// serveOptions are what the flags say of the server.
func serveOptions(c *cli.Context) (serve.Options, error) {
	o := serve.Options{
		Vote:  c.Int("vote"),
		Hosts: c.StringSlice("host"),
		Log:   slog.New(slog.NewTextHandler(c.App.ErrWriter, nil)),
		Told: func(n serve.Notice) {
			if n.OK {
				fmt.Fprintln(c.App.Writer, n.Sentence)
			} else {
				warn(c, "%s", n.Sentence)
			}
		},
	}
	if o.Vote < 1 || o.Vote > 1000 {
		return o, usagef("--vote %d: it must be 1 to 1000", o.Vote)
	}
	spec := c.String("source")
	if spec == "" {
		spec = "none"
	}
	var err error
	if o.Source, err = serve.ParseSource(spec, serve.SourceOptions{Rate: c.Float64("rate"), Loop: c.Bool("loop")}); err != nil {
		return o, usageError{err}
	}
	if cmd := c.String("notify"); cmd != "" {
		if o.Notify, err = exec.LookPath(cmd); err != nil {
			return o, fmt.Errorf("--notify: %w", err)
		}
	}
	return o, nil
}

// listen opens the ways in.
func listen(c *cli.Context, socket string, mode fs.FileMode) (listeners []serve.Listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
		}
	}()
	l, err := serve.ListenUnix(socket, mode)
	if err != nil {
		return nil, err
	}
	listeners = append(listeners, l)
	if addr := c.String("listen"); addr != "none" {
		l, err := serve.ListenTCP(addr, c.String("token"))
		if errors.Is(err, serve.ErrToken) {
			return listeners, usageError{err}
		}
		if err != nil {
			return listeners, hinted{err, "name another address with --listen ADDR, or none"}
		}
		listeners = append(listeners, l)
	}
	return listeners, nil
}

// reloadOnHangup reloads at each SIGHUP until ctx ends.
func reloadOnHangup(ctx context.Context, server *serve.Server) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-hangup:
			server.Reload(ctx) // tells of what came of it
		case <-ctx.Done():
			return
		}
	}
}
