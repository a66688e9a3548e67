package tpu

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
)

// Severity says what a finding means for the use of a device.
type Severity uint8

const (
	Fine    Severity = iota
	Hint             // it works, but not as well as it could
	Problem          // it does not work
)

func (s Severity) String() string { return [...]string{"ok", "hint", "problem"}[s] }

// Finding is a state that [Diagnose] found, and what to do about it.
type Finding struct {
	Port     Port // zero when it is not about one device
	Severity Severity
	// State is one of absent, no-usb, ready, boot-mode, no-firmware, no-permission, in-use, slow-port, slow-cable,
	// too-slow, under-voltage, no-udev-rule, unusable.
	State string
	Text  string
	Fix   string // empty when there is nothing to do
}

// Machine is what [Diagnose] looks at besides the bus.
type Machine struct {
	Root fs.FS // its root folder, for /proc, /sys and /etc
	User int   // who asks; 0 may open everything
	// Firmware says where the firmware would be taken from.
	Firmware func() (path string, err error)
}

// ThisMachine is the one the program runs on.
func ThisMachine() Machine {
	return Machine{Root: os.DirFS("/"), User: os.Geteuid(), Firmware: func() (string, error) {
		_, path, err := FindFirmware(FirmwarePaths()...)
		return path, err
	}}
}

// Diagnose says in what state each accelerator is, or why there is none, and how to put right what keeps it from being
// used. No device is changed: none is reset, booted or taken away from who uses it. bus is nil, and err why, when there
// is none.
func Diagnose(ctx context.Context, bus Bus, err error, m Machine) []Finding {
	list := []USBInfo(nil)
	if err == nil {
		list, err = List(ctx, bus)
	}
	var found []Finding
	switch {
	case errors.Is(err, ErrNoUSB):
		found = append(found, Finding{Severity: Problem, State: "no-usb", Text: err.Error(),
			Fix: "build it with a C compiler and libusb-1.0 at hand: CGO_ENABLED=1 go build"})
	case err != nil:
		found = append(found, Finding{Severity: Problem, State: "unusable", Text: err.Error()})
	case len(list) == 0:
		found = append(found, Finding{Severity: Problem, State: "absent", Text: "no Edge TPU is plugged in", Fix: "" +
			"plug it into a USB 3 port, with the cable it came with; if its light stays off try another port, or a hub with a power " +
			"supply. A virtual machine or container must be given the port, or both 1a6e:089a and 18d1:9302: the device changes its " +
			"identity when it boots"})
	}
	for _, info := range list {
		found = append(found, m.access(ctx, bus, info), m.speed(info))
	}
	found = append(found, m.voltage(), m.rules(len(list) > 0))
	n := 0
	for _, f := range found {
		if f.State != "" {
			found[n] = f
			n++
		}
	}
	return found[:n]
}

// access finds out whether the device can be opened.
func (m Machine) access(ctx context.Context, bus Bus, info USBInfo) Finding {
	f := Finding{Port: info.Port, Severity: Problem}
	conn, err := bus.Open(ctx, info.Port)
	if err == nil {
		if info.Application() {
			err = conn.Claim(ctx, 0)
		}
		err = errors.Join(err, conn.Close())
	}
	switch {
	case errors.Is(err, ErrPermission):
		f.State, f.Text = "no-permission", "you may not open the Edge TPU"
		f.Fix = "install the udev rules, then unplug it and plug it in again"
	case errors.Is(err, ErrBusy):
		f.State, f.Text = "in-use", "the Edge TPU is in use by "+m.user(info)
		f.Fix = "end that program, or use it through that program: a device has one owner"
	case err != nil:
		f.State, f.Text = "unusable", err.Error()
		f.Fix = "unplug it and plug it in again"
	case !info.Boot():
		f.Severity, f.State, f.Text = Fine, "ready", "the Edge TPU is ready, its firmware runs"
	default:
		where, err := m.Firmware()
		if err != nil {
			f.State, f.Text = "no-firmware", "the Edge TPU waits for its firmware: "+err.Error()
			f.Fix = "imprint models pull firmware"
			break
		}
		f.Severity, f.State = Fine, "boot-mode"
		f.Text = "the Edge TPU is in its boot ROM, and will be given its firmware when it is first used, from " + where
	}
	return f
}

// user names the processes that have the device open, as far as this one may see them.
func (m Machine) user(info USBInfo) string {
	device := fmt.Sprintf("/dev/bus/usb/%03d/%03d", info.Port.Bus, info.Address)
	links, _ := fs.Glob(m.Root, "proc/[0-9]*/fd/*") // the pattern is sound
	var users []string
	for _, link := range links {
		if to, err := fs.ReadLink(m.Root, link); err != nil || to != device {
			continue
		}
		process := path.Dir(path.Dir(link))
		name := m.text(process + "/comm")
		if user := fmt.Sprintf("%s (process %s)", name, path.Base(process)); len(users) == 0 || users[len(users)-1] != user {
			users = append(users, user)
		}
	}
	if users == nil {
		return "another program"
	}
	return strings.Join(users, " and ")
}

// speed judges the link.
func (m Machine) speed(info USBInfo) Finding {
	f := Finding{Port: info.Port, Severity: Hint}
	switch info.Speed {
	case LowSpeed, FullSpeed:
		f.Severity, f.State = Problem, "too-slow"
		f.Text = fmt.Sprintf("the link has only %v", info.Speed)
		f.Fix = "the cable or a hub is damaged, or older than USB 2: use the cable it came with, in a port of the computer"
	case HighSpeed:
		f.State, f.Text = "slow-port", "the link has 480 Mbit/s, and this computer offers no more: inferences take longer than over USB 3"
		hubs, _ := fs.Glob(m.Root, "sys/bus/usb/devices/usb*/speed") // the pattern is sound
		for _, hub := range hubs {
			if v, err := strconv.Atoi(m.text(hub)); err == nil && v >= 5000 {
				f.State = "slow-cable"
				f.Text = "the link has 480 Mbit/s, though this computer has USB 3: inferences take longer"
				f.Fix = "plug it into a USB 3 port (blue, or marked SS), with a USB 3 cable such as the one it came with, " +
					"all the way in; no USB 2 hub between"
			}
		}
	default:
		return Finding{}
	}
	return f
}

// voltage asks a Raspberry Pi whether its power supply is good enough.
func (m Machine) voltage() Finding {
	model := m.text("proc/device-tree/model")
	if !strings.Contains(model, "Raspberry Pi") {
		return Finding{}
	}
	f := Finding{Severity: Problem, State: "under-voltage", Text: model + ": the voltage of the power supply is too low",
		Fix: "use the power supply made for this board, or a hub with one of its own for the Edge TPU"}
	if strings.Contains(model, "Raspberry Pi 5") {
		f.Fix += "; with a good supply of less than 5 A, usb_max_current_enable=1 in /boot/firmware/config.txt allows " +
			"more than 600 mA for all of USB"
	}
	// The driver raspberrypi-hwmon, and for what happened since the start the firmware's own word (bits 0 and 16 of
	// vcgencmd get_throttled).
	names, _ := fs.Glob(m.Root, "sys/class/hwmon/hwmon*/name") // the pattern is sound
	for _, name := range names {
		if m.text(name) == "rpi_volt" && m.text(path.Dir(name)+"/in0_lcrit_alarm") == "1" {
			return f
		}
	}
	word, err := strconv.ParseUint(strings.TrimPrefix(m.text("sys/devices/platform/soc/soc:firmware/get_throttled"), "0x"), 16, 32)
	switch {
	case err != nil:
		return Finding{}
	case word&1 != 0:
		return f
	case word>>16&1 != 0:
		f.Severity = Hint
		f.Text = model + ": the voltage of the power supply was too low at some time since the start"
		return f
	}
	return Finding{}
}

// rules looks for the udev rules of both identities, without which only root may open the device.
func (m Machine) rules(plugged bool) Finding {
	if _, err := fs.Stat(m.Root, "etc/udev"); err != nil || m.User == 0 || !plugged {
		return Finding{}
	}
	var all strings.Builder
	for _, folder := range []string{"etc", "run", "usr/lib", "lib"} {
		files, _ := fs.Glob(m.Root, folder+"/udev/rules.d/*.rules") // the pattern is sound
		for _, file := range files {
			all.WriteString(m.text(file))
		}
	}
	var missing []string
	for _, id := range []string{"1a6e", "18d1"} {
		if !strings.Contains(all.String(), id) {
			missing = append(missing, id)
		}
	}
	if missing == nil {
		return Finding{}
	}
	return Finding{Severity: Hint, State: "no-udev-rule",
		Text: "there is no udev rule for " + strings.Join(missing, " and ") + ": after a boot of the device you may not be allowed to open it",
		Fix:  "install the udev rules"}
}

// text is what a small file says; nothing when it cannot be read.
func (m Machine) text(name string) string {
	b, err := fs.ReadFile(m.Root, name)
	if err != nil {
		return ""
	}
	return strings.Trim(string(b), " \n\x00")
}

// UdevRulesPath is where [UdevRules] belong. Rules that let the user at the screen in are read before number 73.
const UdevRulesPath = "/etc/udev/rules.d/60-imprint-edgetpu.rules"

// UdevRules lets the user at the screen, and the group named, open an accelerator in either identity; without a group,
// everybody.
func UdevRules(group string) string {
	access := `MODE="0666"`
	if group != "" {
		access = fmt.Sprintf(`MODE="0660", GROUP="%s"`, group)
	}
	var b strings.Builder
	b.WriteString("# Coral USB Accelerator: its boot ROM, and the Edge TPU that its firmware makes of it.\n")
	for _, id := range [...][2]int{{BootVendor, BootProduct}, {Vendor, Product}} {
		fmt.Fprintf(&b, `SUBSYSTEM=="usb", ATTR{idVendor}=="%04x", ATTR{idProduct}=="%04x", %s, TAG+="uaccess"`+"\n", id[0], id[1], access)
	}
	return b.String()
}
