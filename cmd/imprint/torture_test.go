package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTortureScript checks that the summary of tools/torture.sh names the parts that failed and the
// tests that this machine can't run, and that Ctrl-C ends the script instead of only one part.
func TestTortureScript(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("needs bash")
	}
	script, err := filepath.Abs(filepath.Join("..", "..", "tools", "torture.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name     string
		test     string // what go does
		power    string // what make does
		status   int
		crash    string // end of the summary's line
		cut      string // the same, empty if the part does not run
		finished int    // number of lines of the summary
	}{
		{"passed", "exit 0", "exit 0", 0, "passed", "passed", 7},
		{"failed", "exit 1", "exit 0", 1, "FAILED (status 1), see LOGS/crash-states.log", "passed", 7},
		{"not run", "exit 0", `echo "a.go:1: NOT RUN: no btrfs"; echo "a.go:2: NOT RUN: no exfat"`, 0, "passed", "passed, NOT RUN: no btrfs;no exfat", 7},
		// Like go test, the stub exits normally when it is interrupted.
		{"interrupted", "kill -INT $PPID; exit 1", "exit 0", 130, "interrupted, see LOGS/crash-states.log", "", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			bin, logs := t.TempDir(), t.TempDir()
			for name, body := range map[string]string{"go": test.test, "make": test.power} {
				if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command(bash, script)
			cmd.Env = append(os.Environ(), "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"), "HOURS=0.01", "TORTURE_LOG="+logs)
			out, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != test.status {
				t.Errorf("got status %d, want %d", got, test.status)
			}
			if strings.Contains(string(out), "IMPRINT_STORM=0s") {
				t.Error("the storm does nothing")
			}
			_, summary, _ := strings.Cut(string(out), "##### summary")
			lines := strings.Split(strings.TrimSpace(strings.ReplaceAll(summary, logs, "LOGS")), "\n")[1:]
			if len(lines) != test.finished {
				t.Errorf("the summary has %d parts, want %d:\n%s", len(lines), test.finished, out)
			}
			for part, want := range map[string]string{"crash states": test.crash, "power cuts": test.cut} {
				i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, part) })
				if (i >= 0) != (want != "") || i >= 0 && !strings.HasSuffix(lines[i], " s  "+want) {
					t.Errorf("%s: want %q in\n%s", part, want, summary)
				}
			}
		})
	}
}
