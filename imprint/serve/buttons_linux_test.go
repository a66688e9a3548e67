package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// An actorLog writes down what it is told to do.
type actorLog struct {
	mu     sync.Mutex
	did    []string
	refuse string // a label

}

func (l *actorLog) add(format string, a ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.did = append(l.did, fmt.Sprintf(format, a...))
}

func (l *actorLog) Press(_ context.Context, a Action) (string, error) {
	l.add("press %v", a)
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.Label == l.refuse && l.refuse != "" {
		return "", ErrHolding
	}
	return "", nil
}

func (l *actorLog) Release(_ context.Context, a Action) (string, error) {
	l.add("release %v", a)
	return "", nil
}

func (l *actorLog) Do(_ context.Context, a Action) (string, error) {
	l.add("do %v", a)
	return "", nil
}

func (l *actorLog) CancelTeaching(label string) (Teaching, error) {
	l.add("cancel %v", label)
	return Teaching{}, nil
}

func (l *actorLog) refuseLabel(label string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = label
}

// wait waits until these were done, in any order where they may come in any.
func (l *actorLog) wait(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		l.mu.Lock()
		got = slices.Clone(l.did)
		l.mu.Unlock()
		slices.Sort(got)
		if len(got) >= len(want) {
			break
		}
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("did %q, want %q", got, want)
	}
	l.mu.Lock()
	l.did = nil
	l.mu.Unlock()
}

// fakeInputs are devices by path.
type fakeInputs struct {
	mu      sync.Mutex
	devices map[string]*fakeInput
	opened  []string
}

func (f *fakeInputs) list([]string) (map[string]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := make(map[string]string)
	for path, d := range f.devices {
		found[path] = fmt.Sprintf("%p", d)
	}
	return found, nil
}

func (f *fakeInputs) open(path string) (inputDevice, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.devices[path]
	f.opened = append(f.opened, path)
	if d.changes == nil {
		return nil, fs.ErrPermission
	}
	return d, nil
}

func (f *fakeInputs) plug(path string, codes ...uint16) *fakeInput {
	d := &fakeInput{codes: codes, changes: make(chan buttonChange), gone: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.devices[path] = d
	return d
}

type fakeInput struct {
	codes   []uint16
	changes chan buttonChange
	gone    chan struct{}
	once    sync.Once

	mu   sync.Mutex
	down map[uint16]bool
}

func (d *fakeInput) name() string         { return "fake" }
func (d *fakeInput) has(code uint16) bool { return slices.Contains(d.codes, code) }
func (d *fakeInput) close()               { d.once.Do(func() { close(d.gone) }) }

func (d *fakeInput) next() (buttonChange, error) {
	select {
	case c := <-d.changes:
		return c, nil
	case <-d.gone:
		return buttonChange{}, unix.ENODEV
	}
}

func (d *fakeInput) pressed() (map[uint16]bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.down, nil
}

// lose loses changes, after which these are pressed.
func (d *fakeInput) lose(pressed ...uint16) {
	d.mu.Lock()
	d.down = make(map[uint16]bool)
	for _, code := range pressed {
		d.down[code] = true
	}
	d.mu.Unlock()
	d.changes <- buttonChange{lost: true}
}

func (d *fakeInput) press(code uint16)   { d.changes <- buttonChange{code: code, down: true} }
func (d *fakeInput) release(code uint16) { d.changes <- buttonChange{code: code} }

const south, tr, u = 0x130, 0x137, 22 // input-event-codes.h

func testButtons(t *testing.T) []Button {
	t.Helper()
	var buttons []Button
	for _, s := range []string{"BTN_SOUTH=teach:cone", "BTN_TR=reload", "KEY_U=undo", "BTN_WEST=teach:ball"} {
		b, err := ParseButton(s)
		if err != nil {
			t.Fatal(err)
		}
		buttons = append(buttons, b)
	}
	return buttons
}

func TestButtons(t *testing.T) {
	actor, inputs := new(actorLog), &fakeInputs{devices: make(map[string]*fakeInput)}
	b := &Buttons{Buttons: testButtons(t), Actor: actor, Log: slog.New(slog.DiscardHandler), inputs: inputs, every: time.Millisecond}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })

	inputs.plug("/dev/input/event0", 1, 2, 3) // has none of the buttons
	pad := inputs.plug("/dev/input/event1", south, tr)
	pad.press(south)
	actor.wait(t, "press teach:cone")
	pad.press(south) // nothing new
	pad.press(999)
	pad.press(tr)
	pad.release(tr)
	actor.wait(t, "press reload")
	pad.release(south)
	actor.wait(t, "release teach:cone")
	pad.release(south)

	// Unplugged while it is held: nothing is taught. The next with its path counts.
	pad.press(south)
	actor.wait(t, "press teach:cone")
	pad.close()
	actor.wait(t, "cancel cone")
	pad = inputs.plug("/dev/input/event1", south, u)
	pad.press(u)
	actor.wait(t, "press undo")

	// A change was lost: what is not pressed any more counts as let go, and is not taught.
	pad.press(south)
	pad.lose(south)
	actor.wait(t, "press teach:cone")
	pad.lose()
	actor.wait(t, "cancel cone")

	// What could not be begun is not ended.
	actor.refuseLabel("cone")
	pad.press(south)
	pad.release(south)
	actor.wait(t, "press teach:cone")
	actor.refuseLabel("")
	pad.press(south)
	actor.wait(t, "press teach:cone")
	cancel()
	running.Wait()
	actor.wait(t, "cancel cone")
	inputs.mu.Lock()
	defer inputs.mu.Unlock()
	if n := strings.Count(fmt.Sprint(inputs.opened), "event0"); n != 1 {
		t.Errorf("a device without buttons was opened %d times, want once", n)
	}
}

func TestParseButton(t *testing.T) {
	for s, want := range map[string]Button{
		"BTN_SOUTH=teach:cone":   {"BTN_SOUTH", south, Action{"teach", "cone"}},
		"BTN_A=teach:a=b":        {"BTN_A", south, Action{"teach", "a=b"}},
		"KEY_U=undo":             {"KEY_U", u, Action{"undo", ""}},
		"BTN_TR=remove:50 limit": {"BTN_TR", tr, Action{"remove", "50 limit"}},
	} {
		if got, err := ParseButton(s); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", s, got, err, want)
		}
	}
	for s, want := range map[string]error{
		"": ErrButton, "BTN_SOUTH": ErrButton, "=undo": ErrButton, "SOUTH=undo": ErrButton, "304=undo": ErrButton,
		"KEY_U=": ErrAction, "KEY_U=teach": ErrAction, "KEY_U=teach:": ErrAction, "KEY_U=explode": ErrAction,
	} {
		if got, err := ParseButton(s); !errors.Is(err, want) {
			t.Errorf("%q: got %v, %v, want %v", s, got, err, want)
		}
	}
}

// terminal opens a pair of a terminal and the hand that types on it.
func terminal(t *testing.T) (hand, term *os.File) {
	t.Helper()
	hand, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("skipped: no terminal can be made:", err)
	}
	t.Cleanup(func() { hand.Close() })
	if err := unix.IoctlSetPointerInt(int(hand.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Skip("skipped: no terminal can be made:", err)
	}
	n, err := unix.IoctlGetInt(int(hand.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if term, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Skip("skipped: no terminal can be made:", err)
	}
	t.Cleanup(func() { term.Close() })
	return hand, term
}

func TestKeys(t *testing.T) {
	hand, term := terminal(t)
	before, err := unix.IoctlGetTermios(int(term.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	var buttons []Button
	for _, s := range []string{"KEY_C=teach:cone", "KEY_SPACE=teach:ball", "KEY_R=remove:cone", "BTN_SOUTH=undo"} {
		b, err := ParseButton(s)
		if err != nil {
			t.Fatal(err)
		}
		buttons = append(buttons, b)
	}
	actor := new(actorLog)
	k := &Keys{Buttons: buttons, Actor: actor, Terminal: term}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := k.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	for typed, want := range map[string]string{"c": "do teach:cone", "C": "do teach:cone", " ": "do teach:ball", "r": "do remove:cone", "u": "do undo", "\x1b": "cancel "} {
		if _, err := hand.WriteString(typed); err != nil {
			t.Fatal(err)
		}
		actor.wait(t, want)
	}
	cancel()
	running.Wait()
	after, err := unix.IoctlGetTermios(int(term.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("the terminal was left changed: %v, %v", after.Lflag, err)
	}
	file, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := (&Keys{Actor: actor, Terminal: file}).Run(context.Background()); !errors.Is(err, ErrTerminal) {
		t.Errorf("got %v, want ErrTerminal", err)
	}
}
