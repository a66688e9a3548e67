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
	"syscall"
)

// Severity says how serious a finding is.
type Severity uint8

const (
	Fine    Severity = iota // the device works
	Hint                    // the device works, but could work better
	Problem                 // the device does not work
)

func (s Severity) String() string { return [...]string{"ok", "hint", "problem"}[s] }

// Finding is a problem, a hint or a confirmation that [Diagnose] returns.
type Finding struct {
	Port     Port // zero if the finding is not about one device
	Severity Severity
	// State is one of absent, no-usb, ready, boot-mode, no-firmware, no-permission, not-shared, in-use, slow-port,
	// slow-cable, too-slow, under-voltage, no-udev-rule, unusable.
	State string
	Text  string // the finding in one sentence
	Fix   string // the command or action that helps; empty if none is needed
}

// Machine is the part of the host that [Diagnose] examines in addition to the bus.
type Machine struct {
	Root fs.FS // the root folder, for /proc, /sys and /etc
	User int   // the user ID; root, 0, may open every device
	// Firmware returns the path of the file to load the firmware from.
	Firmware func() (path string, err error)
}

// ThisMachine returns the machine that the program runs on.
func ThisMachine() Machine {
	return Machine{Root: os.DirFS("/"), User: os.Geteuid(), Firmware: func() (string, error) {
		_, path, err := FindFirmware(FirmwarePaths()...)
		return path, err
	}}
}

// Diagnose returns the state of each accelerator, the problems that prevent its use, and how to fix them. It opens idle
// devices for a moment, but never resets or boots one. bus and err are the results of [USB].
func Diagnose(ctx context.Context, bus Bus, err error, m Machine) []Finding {
	list := []USBInfo(nil)
	if err == nil {
		list, err = List(ctx, bus)
	}
	var found []Finding
	var backend noBackendError
	switch {
	case errors.As(err, &backend):
		found = append(found, Finding{Severity: Problem, State: "no-usb", Text: err.Error(), Fix: "unset " + usbVariable})
	case errors.Is(err, ErrNoUSB):
		found = append(found, Finding{Severity: Problem, State: "no-usb", Text: err.Error(),
			Fix: "install a C compiler, pkg-config and libusb-1.0, then build again with make build, or CGO_ENABLED=1 go build -tags libusb"})
	case err != nil:
		found = append(found, Finding{Severity: Problem, State: "unusable", Text: err.Error(),
			Fix: "check the installation of libusb-1.0, or on Linux use the kernel directly with " + usbVariable + "=usbfs"})
	case len(list) == 0:
		found = append(found, Finding{Severity: Problem, State: "absent", Text: "no Edge TPU is plugged in", Fix: "" +
			"plug it into a USB 3 port with its own cable; if its light stays off, try another port or a powered hub. " +
			"For a virtual machine or container, pass the USB port through, or both 1a6e:089a and 18d1:9302: the device changes " +
			"from the first to the second when it boots"})
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

// access tests whether the device can be opened.
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
	case m.sandboxed(err):
		f.State, f.Text = "not-shared", "the Edge TPU is plugged in, but this container may not open it"
		f.Fix = "share the USB devices with the container: for Docker, --device /dev/bus/usb"
	case errors.Is(err, ErrPermission):
		f.State, f.Text = "no-permission", "you have no permission to open the Edge TPU"
		f.Fix = "install the udev rules, then unplug the device and plug it in again"
	case errors.Is(err, ErrBusy):
		f.State, f.Text = "in-use", "the Edge TPU is in use by "+m.user(info)
		f.Fix = "stop that program: only one program at a time can use the device"
	case err != nil:
		f.State, f.Text = "unusable", err.Error()
		f.Fix = "unplug the device and plug it in again"
	case !info.Boot():
		f.Severity, f.State, f.Text = Fine, "ready", "the Edge TPU is ready and runs its firmware"
	default:
		where, err := m.Firmware()
		if err != nil {
			f.State, f.Text = "no-firmware", "the Edge TPU needs its firmware: "+err.Error()
			f.Fix = "imprint models pull firmware"
			break
		}
		f.Severity, f.State = Fine, "boot-mode"
		f.Text = "the Edge TPU is ready; its first use loads the firmware from " + where
	}
	return f
}

// sandboxed reports whether err means that a container keeps the program from opening the device. Either the container
// has no device files, or its list of allowed devices lacks them and opening fails with EPERM. A user without
// permission gets EACCES instead.
func (m Machine) sandboxed(err error) bool {
	if errors.Is(err, ErrPermission) {
		return errors.Is(err, syscall.EPERM)
	}
	if !errors.Is(err, ErrDisconnected) {
		return false
	}
	if _, err := fs.Stat(m.Root, "sys/bus/usb"); err != nil {
		return false // not Linux
	}
	_, err = fs.Stat(m.Root, "dev/bus/usb")
	return errors.Is(err, fs.ErrNotExist)
}

// user returns the names of the processes that have the device open, as far as this user can see them.
func (m Machine) user(info USBInfo) string {
	device := fmt.Sprintf("/dev/bus/usb/%03d/%03d", info.Port.Bus, info.Address)
	links, _ := fs.Glob(m.Root, "proc/[0-9]*/fd/*") // the pattern is valid
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

// speed reports a link slower than USB 3.
func (m Machine) speed(info USBInfo) Finding {
	f := Finding{Port: info.Port, Severity: Hint}
	switch info.Speed {
	case LowSpeed, FullSpeed:
		f.Severity, f.State = Problem, "too-slow"
		f.Text = fmt.Sprintf("the USB link runs at only %v", info.Speed)
		f.Fix = "use the cable that came with the device, and plug it directly into the computer: " +
			"a cable or hub is damaged or older than USB 2"
	case HighSpeed:
		f.State, f.Text = "slow-port", "the USB link runs at 480 Mbit/s, the fastest that this computer supports: inferences take longer than over USB 3"
		hubs, _ := fs.Glob(m.Root, "sys/bus/usb/devices/usb*/speed") // the pattern is valid
		for _, hub := range hubs {
			if v, err := strconv.Atoi(m.text(hub)); err == nil && v >= 5000 {
				f.State = "slow-cable"
				f.Text = "the USB link runs at 480 Mbit/s, although this computer has USB 3: inferences take longer"
				f.Fix = "plug it all the way into a USB 3 port (blue, or marked SS) with a USB 3 cable, such as the one it came " +
					"with, and without a USB 2 hub in between"
			}
		}
	default:
		return Finding{}
	}
	return f
}

// voltage reports a Raspberry Pi whose power supply is too weak.
func (m Machine) voltage() Finding {
	model := m.text("proc/device-tree/model")
	if !strings.Contains(model, "Raspberry Pi") {
		return Finding{}
	}
	f := Finding{Severity: Problem, State: "under-voltage", Text: model + ": the supply voltage is too low",
		Fix: "use the official power supply of this board, or put the Edge TPU on a powered hub"}
	if strings.Contains(model, "Raspberry Pi 5") {
		f.Fix += "; with a good supply below 5 A, add usb_max_current_enable=1 to /boot/firmware/config.txt, which raises " +
			"the limit of 600 mA for all USB ports"
	}
	// The driver raspberrypi-hwmon reports the present state. The firmware's get_throttled also records the past: bit 0
	// is set while the voltage is too low, bit 16 if it has been too low since boot.
	names, _ := fs.Glob(m.Root, "sys/class/hwmon/hwmon*/name") // the pattern is valid
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
		f.Text = model + ": the supply voltage has been too low at some point since boot"
		return f
	}
	return Finding{}
}

// rules reports missing udev rules. Without rules for both USB identities, only root may open the device.
func (m Machine) rules(plugged bool) Finding {
	if _, err := fs.Stat(m.Root, "etc/udev"); err != nil || m.User == 0 || !plugged {
		return Finding{}
	}
	var all strings.Builder
	for _, folder := range []string{"etc", "run", "usr/lib", "lib"} {
		files, _ := fs.Glob(m.Root, folder+"/udev/rules.d/*.rules") // the pattern is valid
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
		Text: "no udev rule for " + strings.Join(missing, " and ") + ": you may not be able to open the Edge TPU after it boots",
		Fix:  "install the udev rules"}
}

// text returns the content of a small file, or "" if it cannot be read.
func (m Machine) text(name string) string {
	b, err := fs.ReadFile(m.Root, name)
	if err != nil {
		return ""
	}
	return strings.Trim(string(b), " \n\x00")
}

// UdevRulesPath is the file in which to install [UdevRules]. Rules with the tag uaccess must have a number below 73.
const UdevRulesPath = "/etc/udev/rules.d/60-imprint-edgetpu.rules"

// UdevRules returns udev rules that let the logged-in user and the group open an accelerator, booted or not. If group
// is empty, they let everybody open it.
func UdevRules(group string) string {
	access := `MODE="0666"`
	if group != "" {
		access = fmt.Sprintf(`MODE="0660", GROUP="%s"`, group)
	}
	var b strings.Builder
	b.WriteString("# Coral USB Accelerator: its boot ROM, and the Edge TPU after its firmware has started.\n")
	for _, id := range [...][2]int{{BootVendor, BootProduct}, {Vendor, Product}} {
		fmt.Fprintf(&b, `SUBSYSTEM=="usb", ATTR{idVendor}=="%04x", ATTR{idProduct}=="%04x", %s, TAG+="uaccess"`+"\n", id[0], id[1], access)
	}
	return b.String()
}
