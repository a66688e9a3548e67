package tpu_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestBuildTag checks that only a build with the tag libusb needs libusb: a plain "go install" must not need its headers.
func TestBuildTag(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("there is no go command")
	}
	for _, test := range []struct {
		cgo, tags string
		want      bool
	}{{"1", "", false}, {"0", "libusb", false}, {"1", "libusb", true}} {
		cmd := exec.Command("go", "list", "-deps", "-tags", test.tags, ".")
		cmd.Env = append(os.Environ(), "GOFLAGS=", "CGO_ENABLED="+test.cgo)
		cmd.Stderr = os.Stderr
		deps, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(deps), "github.com/google/gousb"); got != test.want {
			t.Errorf("CGO_ENABLED=%s -tags %q: gousb is linked: %v, want %v", test.cgo, test.tags, got, test.want)
		}
	}
}
