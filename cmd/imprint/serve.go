package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint/serve"
	"github.com/imprintkit/imprint/imprint/serve/source"
)

// maxVote is the largest value of --vote.
const maxVote = 1000

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "classify a camera's frames, train while a button is held",
		Description: `Classify a camera's frames, and train a class while a button is held.

Open the printed address in a browser. Programs use the same address, or the Unix socket
in the workspace; docs/serve.md describes both. Changes by other imprint commands take
effect at once. SIGHUP reloads the workspace. Clients on the network need a token, which
is part of the printed address; a terminal shows that as a QR code for phones.

Buttons are on gamepads, keyboards or GPIO pins; evtest shows their codes. Actions
are teach:LABEL (while held), remove:LABEL, undo and reload. A terminal can't report a
release: with --keys, the first press starts training, the next ends it, Escape cancels it.

Examples:
   imprint serve --source camera:/dev/video0
   imprint serve --source camera:/dev/video0 --button BTN_SOUTH=teach:cone --button BTN_EAST=undo
   imprint serve --source folder:./photos --rate 10 --loop --keys --button KEY_C=teach:cone
   imprint serve --source mjpeg:http://car.local:8887/video --listen 0.0.0.0:8230
   curl --unix-socket .imprint/serve.sock --data-binary @new.jpg http://imprint/v1/classify`,
		Flags: withDevices(append(slices.Concat(serveFlags(), tlsFlags(), mqttFlags()),
			resizeFlag(), layoutFlag(), headFlag(), compiledFlag())...),
		Action: runServe,
	}
}

func serveFlags() []cli.Flag {
	const advanced = "Advanced"
	return []cli.Flag{
		&cli.StringFlag{Name: "source", Usage: "read frames from `SOURCE`: camera:/dev/video0, mjpeg:URL, the URL of a snapshot, folder:DIR, tub:DIR or none", DefaultText: "clients post frames"},
		&cli.Float64Flag{Name: "rate", Usage: "replay a folder or tub, or read snapshots, at `FPS` frames per second", DefaultText: "20, as recorded, or 1"},
		&cli.BoolFlag{Name: "loop", Usage: "repeat a folder or tub", DefaultText: "no"},
		&cli.StringSliceFlag{Name: "button", Usage: "assign an action to a button: `CODE=ACTION`, such as BTN_SOUTH=teach:cone", DefaultText: "none"},
		&cli.BoolFlag{Name: "keys", Usage: "read KEY_ buttons from the terminal; R reloads, U undoes", DefaultText: "no"},
		&cli.StringFlag{Name: "listen", Usage: "accept clients at `ADDR`, host:port, or none to use only the socket", Value: "127.0.0.1:8230", EnvVars: []string{"IMPRINT_LISTEN"}},
		&cli.StringFlag{Name: "token", Usage: "require `TOKEN`, 16 or more characters, from clients over TCP", DefaultText: "created if clients on the network are accepted"},
		&cli.StringSliceFlag{Name: "region", Usage: "watch part of the picture: `NAME=LEFT,TOP,RIGHT,BOTTOM`, from 0 to 1, such as door=0.1,0.2,0.4,0.9", DefaultText: "the workspace's"},
		&cli.StringSliceFlag{Name: "on", Usage: "run a command when a region shows a label: `LABEL=COMMAND`, without a shell", DefaultText: "none"},
		&cli.StringSliceFlag{Name: "webhook", Usage: "post each new state of a region to `URL`, as JSON", DefaultText: "none"},
		&cli.StringFlag{Name: "keep-doubtful", Usage: "keep pictures with an uncertain answer, to label them on the page, in `DIR`, or on for the workspace's folder doubtful", DefaultText: "none"},
		&cli.StringFlag{Name: "notify", Usage: "run `CMD` ACTION LABEL OK SENTENCE after each action", DefaultText: "none"},
		jsonFlag("addresses and actions, one object per line,"),
		&cli.IntFlag{Name: "vote", Usage: "report the most frequent label of the last `N` frames", Value: 1},
		&cli.StringSliceFlag{Name: "input", Category: advanced, Usage: "read buttons from `FILE`, such as /dev/input/event3", DefaultText: "all devices that have the buttons given with --button"},
		&cli.StringSliceFlag{Name: "host", Category: advanced, Usage: "also accept requests for the host `NAME`", DefaultText: "this machine's name and addresses"},
		&cli.Float64Flag{Name: "region-rate", Category: advanced, Usage: "look at regions at most `N` times per second", Value: 5},
		&cli.StringFlag{Name: "socket", Category: advanced, Usage: "create the Unix socket `FILE`", DefaultText: "serve.sock in the workspace"},
		&cli.StringFlag{Name: "socket-mode", Category: advanced, Usage: "set the socket's permissions to `MODE`, in octal", Value: "600"},
	}
}

func runServe(c *cli.Context) error {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	if err := cmp.Or(checkAddress(c.String("listen")), checkTLS(c)); err != nil {
		return err
	}
	showsQR := isTerminal(c) && !quiet(c) && !asJSON(c)
	// From here on, a reader of the output that is slow or exits can't block or end the server.
	defer detachOutput(c)()
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP) // before the server reports that it is ready
	defer signal.Stop(hangups)
	o, err := serveOptions(c)
	if err != nil {
		return err
	}
	mode, err := strconv.ParseUint(c.String("socket-mode"), 8, 9)
	if err != nil {
		return usagef("--socket-mode %s: want octal digits, such as 600 or 660", c.String("socket-mode"))
	}
	actors, err := regionActors(c, &o)
	if err != nil {
		return err
	}
	devices, keys, err := buttons(c, o.Log)
	if err != nil {
		return err
	}
	dir, workspace, err := workspaceOptions(c)
	if err != nil {
		return err
	}
	if o.KeepDoubtful = c.String("keep-doubtful"); o.KeepDoubtful == "on" {
		o.KeepDoubtful = serve.DoubtfulPath(dir)
	}
	server, err := serve.Open(c.Context, dir, workspace, o)
	if err != nil {
		return err
	}
	for _, w := range server.Warnings() {
		warn(c, "%s", w)
	}
	broker, err := mqttClient(c, server, o.Log)
	if err != nil {
		return errors.Join(err, server.Close())
	}
	warnWithoutRegion(c, server, len(actors) > 0 || broker != nil)
	listeners, err := listen(c, dir, fs.FileMode(mode))
	if err != nil {
		return errors.Join(err, server.Close())
	}
	announceAll(c, listeners, showsQR)
	ctx, stop := context.WithCancel(c.Context)
	var others sync.WaitGroup
	others.Go(func() { reloadOnHangup(ctx, hangups, server) })
	for _, a := range actors {
		others.Go(func() { a.Run(ctx) })
	}
	if broker != nil {
		others.Go(func() { broker.Run(ctx) })
	}
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

// checkAddress refuses an address for --listen that is not host:port.
func checkAddress(addr string) error {
	if addr == "none" {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return usagef("--listen %q: want host:port, such as 127.0.0.1:8230, or none", addr)
	}
	return nil
}

// announceAll prints the addresses of the listeners and, if showsQR is set, a QR code of the first that
// other machines can open.
func announceAll(c *cli.Context, listeners []serve.Listener, showsQR bool) {
	var urls []string
	for _, l := range listeners {
		announce(c, l)
		urls = append(urls, l.URLs()...)
	}
	if url := firstReachable(urls); showsQR && url != "" {
		for _, line := range qrCode(url) {
			fmt.Fprintln(c.App.Writer, line)
		}
	}
}

// announce prints the addresses of a listener, and the fingerprint of its certificate.
func announce(c *cli.Context, l serve.Listener) {
	for _, url := range l.URLs() {
		if asJSON(c) {
			printJSON(c.App.Writer, struct {
				Serving     string `json:"serving"`
				Fingerprint string `json:"fingerprint,omitempty"`
			}{url, l.Fingerprint()})
		} else {
			fmt.Fprintf(c.App.Writer, "serving %s\n", url)
		}
	}
	if f := l.Fingerprint(); f != "" && !asJSON(c) {
		fmt.Fprintf(c.App.Writer, "certificate SHA-256 %s\n", f)
	}
}

// A reportedSource wraps a source and prints when frames stop and when they resume.
type reportedSource struct {
	source.Source
	c    *cli.Context
	lost bool
}

// Next implements source.Source.
func (s *reportedSource) Next(ctx context.Context) (source.Frame, error) {
	f, err := s.Source.Next(ctx)
	switch failed := err != nil && err != io.EOF && ctx.Err() == nil; {
	case failed && !s.lost:
		s.lost = true
		warn(s.c, "no frames from %s: %v; trying again", s.Source, err)
	case err == nil && s.lost:
		s.lost = false
		note(s.c, fmt.Sprintf("frames from %s resumed", s.Source))
	}
	return f, err
}

// serveOptions reads the server's options from the flags.
func serveOptions(c *cli.Context) (serve.Options, error) {
	o := serve.Options{
		Vote:  c.Int("vote"),
		Hosts: c.StringSlice("host"),
		Log:   slog.New(slog.NewTextHandler(c.App.ErrWriter, nil)),
		OnNotice: func(n serve.Notice) {
			if asJSON(c) {
				printJSON(c.App.Writer, n)
			} else if n.OK {
				fmt.Fprintln(c.App.Writer, n.Sentence)
			} else {
				warn(c, "%s", n.Sentence)
			}
		},
	}
	if o.Vote < 1 || o.Vote > maxVote {
		return o, usagef("--vote %d: want 1 to %d", o.Vote, maxVote)
	}
	spec := c.String("source")
	if spec == "" {
		spec = "none"
	}
	var err error
	if c.IsSet("rate") && c.Float64("rate") == 0 { // to source.Parse, 0 means the source's own rate
		return o, usagef("--rate 0: want more than 0")
	}
	if o.Source, err = source.Parse(spec, source.Options{Rate: c.Float64("rate"), Loop: c.Bool("loop")}); err != nil {
		err = usageError{err}
		if h := sourceHint(spec); h != "" {
			err = hinted{err, h}
		}
		return o, err
	}
	if o.Source != nil {
		o.Source = &reportedSource{Source: o.Source, c: c}
	}
	if asJSON(c) {
		o.Log = slog.New(slog.NewJSONHandler(c.App.ErrWriter, nil))
	}
	if cmd := c.String("notify"); cmd != "" {
		if o.Notify, err = exec.LookPath(cmd); err != nil {
			return o, fmt.Errorf("--notify: %w", err)
		}
	}
	return o, nil
}

// listen opens the Unix socket and the TCP port that the flags name. If it fails, it closes both
// and removes what it created.
func listen(c *cli.Context, workspace string, mode fs.FileMode) (listeners []serve.Listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range listeners {
				l.Close()
			}
		}
	}()
	// Open the port first, because it needs no folder.
	if addr := c.String("listen"); addr != "none" {
		l, err := serve.ListenTCP(addr, c.String("token"))
		if errors.Is(err, serve.ErrToken) {
			return nil, usageError{err}
		}
		if err != nil {
			return nil, hinted{err, "choose another address with --listen ADDR, such as 127.0.0.1:8231, or none"}
		}
		listeners = append(listeners, l)
	}
	socket := c.String("socket")
	if socket == "" || c.String("tls") != "" {
		made := mustExist(workspace) != nil
		if err := os.MkdirAll(workspace, 0o755); err != nil { // a new workspace has no folder yet
			return listeners, err
		}
		defer func() {
			if err != nil && made {
				os.Remove(workspace)
			}
		}()
	}
	if socket == "" {
		socket = serve.SocketPath(workspace)
	}
	if err := useTLS(c, workspace, listeners); err != nil {
		return listeners, err
	}
	l, err := serve.ListenUnix(socket, mode)
	if hint := socketHint(err); hint != "" {
		err = hinted{err, hint}
	}
	if err != nil {
		return listeners, err
	}
	return append([]serve.Listener{l}, listeners...), nil
}

// socketHint returns what to do if ListenUnix fails with err, or "".
func socketHint(err error) string {
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case is(serve.ErrSocketPath):
		return "choose a shorter path with --socket FILE"
	case is(syscall.EROFS):
		return "the disk is read-only: put the socket elsewhere, for example --socket /tmp/imprint.sock"
	case is(syscall.EPERM), is(syscall.ENOTSUP), is(syscall.ENOSYS), is(syscall.EINVAL): // as on vfat and exfat
		return "the disk may not support sockets, like many USB sticks: put the socket elsewhere, for example --socket /tmp/imprint.sock"
	}
	return ""
}

// detachOutput puts a lineQueue in front of each output of c and ignores SIGPIPE until restore is
// called.
func detachOutput(c *cli.Context) (restore func()) {
	// The notify command would inherit an ignored signal, but does not inherit one sent to a
	// channel.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	stdout, stderr := c.App.Writer, c.App.ErrWriter
	target := stdout
	if o, ok := stdout.(*output); ok {
		target = o.w // losing a notice must not change the exit status
	}
	out, errs := newLineQueue(target, asJSON(c)), newLineQueue(stderr, asJSON(c))
	c.App.Writer, c.App.ErrWriter = out, errs
	return func() {
		out.Close()
		errs.Close()
		c.App.Writer, c.App.ErrWriter = stdout, stderr
		signal.Stop(pipes)
	}
}

// reloadOnHangup reloads the workspace at each SIGHUP until ctx is done.
func reloadOnHangup(ctx context.Context, hangups <-chan os.Signal, server *serve.Server) {
	for {
		select {
		case <-hangups:
			server.Reload(ctx) // prints the outcome as a notice
		case <-ctx.Done():
			return
		}
	}
}
