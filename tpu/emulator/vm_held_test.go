//go:build linux

package emulator_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/tracetest"
)

// holding is what TestVMHold prints once it holds the device.
const holding = "holding the device"

// TestVMHold is the program that held starts: it holds the device at the port IMPRINT_VM_HOLD and runs inferences until
// it is killed.
func TestVMHold(t *testing.T) {
	name := os.Getenv("IMPRINT_VM_HOLD")
	if name == "" {
		t.Skip("TestVM runs this as another program")
	}
	port, err := tpu.ParsePort(name)
	if err != nil {
		t.Fatal(err)
	}
	bus, err := tpu.USB()
	if err != nil {
		t.Fatal(err)
	}
	d := openDevice(t.Context(), t, bus, port, time.Minute)
	m, err := d.Load(t.Context(), tracetest.TinyPackage(tinySize, 0x80, 1))
	x := [][]byte{make([]byte, tinySize)}
	for n := 0; err == nil; n++ {
		if err = m.Run(t.Context(), x, x); n == 0 {
			fmt.Println(holding)
		}
	}
	t.Fatal(err)
}

// held checks that the device cannot be opened while another program holds it, and that it can be opened and works after
// that program was killed in the middle of an inference.
func held(ctx context.Context, t *testing.T, bus tpu.Bus, port tpu.Port) *tpu.Device {
	other := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestVMHold$")
	other.Env = append(os.Environ(), "IMPRINT_VM_HOLD="+port.String())
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != holding {
		t.Log(lines.Text())
	}
	if _, err := tpu.Open(ctx, bus, port, tpu.Options{}); !errors.Is(err, tpu.ErrBusy) || !strings.Contains(err.Error(), "another program") {
		t.Errorf("open a device that another program holds: got %v, want ErrBusy", err)
	}
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	other.Wait() // reports that the program was killed
	return openDevice(ctx, t, bus, port, 6*time.Second)
}

// away takes the device away from the driver as the machine's owner may do, gives it back, and checks that the driver
// then uses it again without being told.
func away(t *testing.T, d *tpu.Device, port tpu.Port, run func() error, check func(string)) {
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0); err != nil {
			t.Fatal(err)
		}
	}
	device := "/sys/bus/usb/devices/" + port.String()
	// An open device does not sleep, even if the machine saves power.
	write(device+"/power/autosuspend_delay_ms", "0")
	write(device+"/power/control", "auto")
	time.Sleep(200 * time.Millisecond)
	if state, err := os.ReadFile(device + "/power/runtime_status"); err != nil || !bytes.Equal(state, []byte("active\n")) {
		t.Errorf("power/control is auto: state %q, error %v", state, err)
	}
	check("saving power")
	write(device+"/power/control", "on")
	for _, test := range []struct{ name, takeFile, take, giveFile, give string }{
		{"deauthorizing the device", device + "/authorized", "0", device + "/authorized", "1"},
		{"unbinding the device", "/sys/bus/usb/drivers/usb/unbind", port.String(), "/sys/bus/usb/drivers/usb/bind", port.String()},
	} {
		recoveries := d.Status().Recoveries
		write(test.takeFile, test.take)
		if err := run(); err != nil && !tpu.IsDeviceError(err) { // the driver may have configured an unbound device already
			t.Errorf("%s: got %v, want an error of the device", test.name, err)
		}
		write(test.giveFile, test.give)
		for start := time.Now(); run() != nil && time.Since(start) < 30*time.Second; {
			time.Sleep(100 * time.Millisecond)
		}
		check(test.name)
		if d.Status().Recoveries == recoveries {
			t.Errorf("%s: the driver did not notice", test.name)
		}
	}
}
