package serve

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/blackjack/webcam"
	"github.com/holoplot/go-evdev"
)

// TestVMCar tests imprint serve as it runs on a car, on real kernel interfaces: a camera of the
// kernel module vivid, a gamepad created with uinput, and a Coral Accelerator plugged in by
// edgetpu-emulator. It trains two classes while buttons are held, and checks that both are
// recognized. It runs only in the virtual machine of make test-vm.
func TestVMCar(t *testing.T) {
	if os.Getenv("IMPRINT_VM") == "" {
		t.Skip("runs only in the virtual machine of make test-vm")
	}
	dir := t.TempDir()
	screen := vivid(t)
	screen.show("100% Red")
	device := startCoral(t)
	pad := gamepad(t)
	socket := filepath.Join(dir, "serve.sock")
	args := []string{"serve", "--workspace", filepath.Join(dir, "ws"), "--listen", "none", "--socket", socket, "--source", "camera:" + screen.path,
		"--rate", "2", // the machine shares its processor
		"--button", "BTN_SOUTH=teach:red", "--button", "BTN_EAST=teach:blue", "--button", "BTN_TR=undo"}
	startCommand(t, "imprint", append(args, device...)...)
	server := &vmServer{t, &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}}
	server.wait("the first frame", func(r Result) bool { return r.Frame > 0 })
	pad.awaitReader()

	// hold presses a button, waits for three frames and releases it.
	hold := func(button evdev.EvCode) {
		pad.set(button, 1)
		for range 3 { // the first frame may be from before the press
			frame := server.result().Frame
			server.wait("a frame while the button is held", func(r Result) bool { return r.Frame > frame })
		}
		pad.set(button, 0)
	}
	hold(evdev.BTN_SOUTH)
	server.wait("red is recognized", func(r Result) bool { return r.Label == "red" })
	screen.show("100% Blue")
	hold(evdev.BTN_EAST)
	r := server.wait("blue is recognized", func(r Result) bool { return r.Label == "blue" })
	if len(device) > 0 && !strings.HasPrefix(r.Device, "usb:") {
		t.Errorf("got device %q, want an Edge TPU", r.Device)
	}
	screen.show("100% Red")
	server.wait("red is recognized again", func(r Result) bool { return r.Label == "red" })

	// Unplug the gamepad and plug it in again as another device.
	pad.device.Close()
	pad = gamepad(t)
	pad.awaitReader()
	screen.show("100% Blue")
	server.wait("blue is still recognized", func(r Result) bool { return r.Label == "blue" })
	generation := server.result().Generation
	pad.set(evdev.BTN_TR, 1)
	pad.set(evdev.BTN_TR, 0)
	server.wait("blue is unknown after undo", func(r Result) bool { return r.Generation > generation && r.Label == "red" })
	t.Logf("device %s, %d frames classified", r.Device, server.result().Frame)
}

// A screen controls the picture that the test camera delivers.
type screen struct {
	t       *testing.T
	path    string
	camera  *webcam.Webcam
	control webcam.ControlID
}

func vivid(t *testing.T) *screen {
	names, _ := filepath.Glob("/sys/class/video4linux/*/name")
	for _, file := range names {
		name, err := os.ReadFile(file)
		if err != nil || !strings.HasSuffix(strings.TrimSpace(string(name)), "-vid-cap") {
			continue
		}
		path := "/dev/" + filepath.Base(filepath.Dir(file))
		camera, err := webcam.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { camera.Close() })
		s := &screen{t: t, path: path, camera: camera}
		for id, c := range camera.GetControls() {
			if c.Name == "Test Pattern" {
				s.control = id
			}
		}
		return s
	}
	t.Fatal("found no vivid camera")
	return nil
}

// patterns maps colors to values of vivid's "Test Pattern" control (v4l2-tpg.h).
var patterns = map[string]int32{"100% Red": 7, "100% Blue": 9}

func (s *screen) show(pattern string) {
	s.t.Helper()
	if err := s.camera.SetControl(s.control, patterns[pattern]); err != nil {
		s.t.Fatal(err)
	}
}

// startCoral plugs in an emulated Coral Accelerator and returns the flags to use it.
func startCoral(t *testing.T) []string {
	const model = "models/mobilenet_v1_0.25_128_quant"
	if _, err := os.Stat(model + ".tflite"); err != nil {
		t.Log("found no model for the Edge TPU; testing on the CPU")
		return nil
	}
	startCommand(t, "edgetpu-emulator", "--vhci", "--boot", "app", "--quiet", "--model", model+"_edgetpu.tflite", "--twin", model+".tflite")
	return []string{"--device", "tpu", "--backbone", model + "_edgetpu.tflite"}
}

// startCommand starts a command that is stopped at the end of the test.
func startCommand(t *testing.T, name string, args ...string) {
	t.Helper()
	c := exec.Command(name, args...)
	c.Stdout, c.Stderr = os.Stdout, os.Stdout
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Signal(syscall.SIGTERM)
		if err := c.Wait(); err != nil {
			t.Logf("%s: %v", name, err)
		}
	})
}

type pad struct {
	t      *testing.T
	device *evdev.InputDevice
}

const padName = "imprint test pad"

func gamepad(t *testing.T) *pad {
	d, err := evdev.CreateDevice(padName, evdev.InputID{BusType: 3, Vendor: 0x1d6b, Product: 1, Version: 1},
		map[evdev.EvType][]evdev.EvCode{evdev.EV_KEY: {evdev.BTN_SOUTH, evdev.BTN_EAST, evdev.BTN_TR}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return &pad{t, d}
}

// awaitReader waits until imprint has opened the gamepad. No other process does.
func (p *pad) awaitReader() {
	p.t.Helper()
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		devices, _ := evdev.ListDevicePaths()
		for _, d := range devices {
			files, _ := filepath.Glob("/proc/[0-9]*/fd/*")
			for _, file := range files {
				if path, err := os.Readlink(file); err == nil && path == d.Path && d.Name == padName {
					return
				}
			}
		}
	}
	p.t.Fatal("imprint does not read the gamepad")
}

func (p *pad) set(code evdev.EvCode, value int32) {
	p.t.Helper()
	for _, e := range []evdev.InputEvent{{Type: evdev.EV_KEY, Code: code, Value: value}, {Type: evdev.EV_SYN, Code: evdev.SYN_REPORT}} {
		if err := p.device.WriteOne(&e); err != nil {
			p.t.Fatal(err)
		}
	}
}

type vmServer struct {
	t      *testing.T
	client *http.Client
}

// result returns the newest result, or a zero Result if there is none yet.
func (s *vmServer) result() Result {
	s.t.Helper()
	response, err := s.client.Get("http://imprint/v1/result")
	if err != nil {
		return Result{}
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return Result{}
	}
	var r Result
	if err := json.Unmarshal(b, &r); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// wait waits for a result that satisfies wanted. The timeout is long because the machine shares
// its processor.
func (s *vmServer) wait(what string, wanted func(Result) bool) Result {
	s.t.Helper()
	start := time.Now()
	var r Result
	for time.Since(start) < 3*time.Minute {
		if r = s.result(); wanted(r) {
			s.t.Logf("%s after %.1f s", what, time.Since(start).Seconds())
			return r
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.t.Fatalf("%s: timed out; the last result was %+v", what, r)
	return r
}
