package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
)

// TestDemoElsewhere checks that tools/demo.sh takes a relative path when it runs outside
// the repository.
func TestDemoElsewhere(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if testing.Short() || err != nil {
		t.Skip("builds the command and needs bash")
	}
	script, err := filepath.Abs(filepath.Join("..", "..", "tools", "demo.sh"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for kind, label := range []string{"cone", "duck"} {
		for seed := range 2 {
			path := filepath.Join(dir, "my photos", label, string(rune('0'+seed))+".png")
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, backbonetest.Photo(uint64(kind+1), uint64(seed)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	cmd := exec.Command(bash, script, "my photos")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CDPATH=.:/", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "added 4 photos to cone and duck") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestLibusbScript checks that tools/libusb.sh announces which packages it installs,
// leaves out recommended ones, and installs nothing if IMPRINT_USB makes libusb
// unnecessary.
func TestLibusbScript(t *testing.T) {
	script, err := filepath.Abs(filepath.Join("..", "..", "tools", "libusb.sh"))
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	installed := filepath.Join(bin, "installed")
	for name, body := range map[string]string{ // stubs that simulate root on Debian without the packages
		"id": "echo 0", "pkg-config": "exit 1", "dpkg-query": "exit 1", "apt-get": `echo "$@" >> ` + installed,
	} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ usb, says, installs string }{
		{"none", "", ""},
		{"usbfs", "", ""},
		{"", "to reach Edge TPUs through libusb, installing gcc libc6-dev pkg-config libusb-1.0-0-dev (IMPRINT_USB=usbfs builds without them)\n", "install -y -q --no-install-recommends gcc libc6-dev pkg-config libusb-1.0-0-dev\n"},
	} {
		os.Remove(installed)
		cmd := exec.Command("sh", script)
		cmd.Env = []string{"PATH=" + bin + ":/usr/bin:/bin", "IMPRINT_USB=" + test.usb}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil || string(out) != "0\n" || !strings.HasPrefix(stderr.String(), test.says) || test.says == "" && stderr.Len() > 0 {
			t.Errorf("IMPRINT_USB=%s: got error %v, output %q and standard error %q", test.usb, err, out, stderr.String())
		}
		if got, _ := os.ReadFile(installed); string(got) != test.installs {
			t.Errorf("IMPRINT_USB=%s: got apt-get arguments %q, want %q", test.usb, got, test.installs)
		}
	}
}
