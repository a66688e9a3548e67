package tpu_test

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
)

func TestDiagnose(t *testing.T) {
	rules := fstest.MapFS{"etc/udev/rules.d/60-imprint-edgetpu.rules": {Data: []byte(tpu.UdevRules(""))}}
	with := func(files fstest.MapFS) fstest.MapFS {
		all := fstest.MapFS{}
		for name, f := range rules {
			all[name] = f
		}
		for name, f := range files {
			all[name] = f
		}
		return all
	}
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	pi := func(model, throttled, alarm string) fstest.MapFS {
		return with(fstest.MapFS{
			"proc/device-tree/model":                              file(model + "\x00"),
			"sys/devices/platform/soc/soc:firmware/get_throttled": file(throttled + "\n"),
			"sys/class/hwmon/hwmon1/name":                         file("rpi_volt\n"),
			"sys/class/hwmon/hwmon1/in0_lcrit_alarm":              file(alarm + "\n"),
		})
	}
	application := emulator.Config{Application: true}
	slow := emulator.Config{Application: true, Speed: tpu.HighSpeed}
	for _, test := range []struct {
		name   string
		config emulator.Config
		setup  func(*emulator.Device)
		files  fstest.MapFS
		want   []string // states
		says   string   // part of the text or fix
	}{
		{name: "ready", config: application, want: []string{"ready"}},
		{name: "absent", setup: (*emulator.Device).Unplug, want: []string{"absent"}, says: "1a6e:089a"},
		{name: "boot mode", want: []string{"boot-mode"}, says: "from /firmware"},
		{name: "no permission", config: application, setup: func(d *emulator.Device) { d.Refuse(tpu.ErrPermission) },
			want: []string{"no-permission"}, says: "install the udev rules"},
		{name: "no device files", config: application, setup: func(d *emulator.Device) { d.Refuse(tpu.ErrDisconnected) },
			files: with(fstest.MapFS{"sys/bus/usb/devices/1-1/devnum": file("2\n")}), want: []string{"not-shared"}, says: "--device /dev/bus/usb"},
		{name: "device not allowed", config: application, setup: func(d *emulator.Device) { d.Refuse(fmt.Errorf("%w: %w", tpu.ErrPermission, syscall.EPERM)) },
			want: []string{"not-shared"}, says: "share the USB devices"},
		{name: "gone", config: application, setup: func(d *emulator.Device) { d.Refuse(tpu.ErrDisconnected) },
			files: with(fstest.MapFS{"sys/bus/usb/devices/1-1/devnum": file("2\n"), "dev/bus/usb/001/002": file("")}), want: []string{"unusable"}},
		{name: "in use", config: application, setup: func(d *emulator.Device) { d.Refuse(tpu.ErrBusy) },
			want: []string{"in-use"}, says: "another program"},
		{name: "in use by a known process", config: application, setup: func(d *emulator.Device) { d.Refuse(tpu.ErrBusy) },
			files: with(fstest.MapFS{
				"proc/12/comm": file("python3\n"), "proc/12/fd/3": {Mode: fs.ModeSymlink, Data: []byte("/dev/bus/usb/001/001")},
				"proc/13/comm": file("other\n"), "proc/13/fd/3": {Mode: fs.ModeSymlink, Data: []byte("/dev/bus/usb/001/002")},
			}),
			want: []string{"in-use"}, says: "python3 (process 12)"},
		{name: "slow port", config: slow, files: with(fstest.MapFS{"sys/bus/usb/devices/usb1/speed": file("480\n")}),
			want: []string{"ready", "slow-port"}, says: "the fastest that this computer supports"},
		{name: "old cable", config: slow,
			files: with(fstest.MapFS{"sys/bus/usb/devices/usb1/speed": file("480\n"), "sys/bus/usb/devices/usb2/speed": file("5000\n")}),
			want:  []string{"ready", "slow-cable"}, says: "USB 3 cable"},
		{name: "under-voltage", config: application, files: pi("Raspberry Pi 4 Model B", "0x50005", "0"),
			want: []string{"ready", "under-voltage"}, says: "too low"},
		{name: "under-voltage by hwmon", config: application, files: pi("Raspberry Pi 5 Model B", "", "1"),
			want: []string{"ready", "under-voltage"}, says: "usb_max_current_enable"},
		{name: "under-voltage before", config: application, files: pi("Raspberry Pi 4 Model B", "0x50000", "0"),
			want: []string{"ready", "under-voltage"}, says: "since boot"},
		{name: "good voltage", config: application, files: pi("Raspberry Pi 4 Model B", "0x0", "0"), want: []string{"ready"}},
		{name: "no rules", config: application, files: fstest.MapFS{"etc/udev/rules.d/9.rules": file(`ATTR{idVendor}=="18d1"`)},
			want: []string{"ready", "no-udev-rule"}, says: "no udev rule for 1a6e:"},
	} {
		t.Run(test.name, func(t *testing.T) {
			device := emulator.New(test.config)
			if test.setup != nil {
				test.setup(device)
			}
			m := tpu.Machine{Root: test.files, User: 1000, Firmware: func() (string, error) { return "/firmware", nil }}
			if test.files == nil {
				m.Root = rules
			}
			found := tpu.Diagnose(t.Context(), emulator.NewBus(device), nil, m)
			var states []string
			var said strings.Builder
			for _, f := range found {
				states = append(states, f.State)
				said.WriteString(f.Text + "\n" + f.Fix + "\n")
				if (f.Severity == tpu.Problem) && f.Fix == "" {
					t.Errorf("%s: no fix", f.State)
				}
			}
			if !slices.Equal(states, test.want) || !strings.Contains(said.String(), test.says) {
				t.Errorf("got %v, want %v; %q in\n%s", states, test.want, test.says, &said)
			}
		})
	}
	m := tpu.Machine{Root: rules, Firmware: func() (string, error) { return "", tpu.ErrFirmware }}
	found := tpu.Diagnose(t.Context(), emulator.NewBus(emulator.New(emulator.Config{})), nil, m)
	if len(found) != 1 || found[0].State != "no-firmware" || found[0].Fix != "imprint models pull firmware" {
		t.Errorf("no firmware: got %+v", found)
	}
	found = tpu.Diagnose(t.Context(), nil, tpu.ErrNoUSB, m)
	if len(found) != 1 || found[0].State != "no-usb" {
		t.Errorf("no USB: got %+v", found)
	}
	t.Setenv("IMPRINT_USB", "winusb")
	bus, err := tpu.USB()
	found = tpu.Diagnose(t.Context(), bus, err, m)
	if len(found) != 1 || found[0].State != "no-usb" || found[0].Fix != "unset IMPRINT_USB" {
		t.Errorf("unknown IMPRINT_USB: got %+v", found)
	}
}
