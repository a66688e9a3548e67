package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/user"
	"runtime"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/tpu"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "diagnose problems and say what to do next",
		Description: `Check this machine, and say how to fix problems and what to do next.

Examples:
   imprint doctor
   sudo imprint doctor --fix-udev
   imprint doctor --report > report.txt           to share with others

doctor looks at Edge TPUs, cameras, backbones, a running server and the
workspace. Only --report changes a device: it boots the device and runs a
model on it.`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "fix-udev", Usage: "write " + tpu.UdevRulesPath + ", so that users of this computer can open Edge TPUs", DefaultText: "no"},
			&cli.BoolFlag{Name: "report", Usage: "run " + reportModel + " on the device and print the results", DefaultText: "no"},
			&cli.StringFlag{Name: "transcript", Usage: "with --report, write every USB transfer to `FILE`", DefaultText: "none"},
			jsonFlag("the findings"),
		},
		Action: doctor,
	}
}

func doctor(c *cli.Context) error {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	if c.IsSet("transcript") && !c.Bool("report") {
		return usagef("--transcript needs --report")
	}
	if c.Bool("report") && asJSON(c) {
		return usagef("--report prints text for people; leave out --json")
	}
	if c.Bool("fix-udev") {
		group, err := fixUdev()
		if err == nil && asJSON(c) {
			return printJSON(c.App.Writer, struct {
				Wrote string `json:"wrote"`
				Group string `json:"group"` // the group whose members may open devices, or ""
			}{tpu.UdevRulesPath, group})
		}
		if err == nil {
			say(c, udevLines(group)...)
		}
		return err
	}
	bus, err := usb(c)()
	if err == nil {
		defer bus.Close()
	}
	found := append([]tpu.Finding{{State: "version", Text: thisBuild().line()}}, tpu.Diagnose(c.Context, bus, err, tpu.ThisMachine())...)
	found = append(found, machineFindings(c)...)
	for i, f := range found {
		if fix, ok := fixes[f.State]; ok {
			found[i].Fix = fix
		}
		if f.State == "absent" && !c.Bool("report") && !needsTPU(workspace(c)) {
			found[i].Severity = tpu.Fine
			found[i].Text += ": imprint runs on the CPU"
			found[i].Fix = "nothing; or, to use one, " + f.Fix
		}
	}
	problem := func(f tpu.Finding) bool { return f.Severity == tpu.Problem }
	switch {
	case asJSON(c):
		if err := printFindings(c.App.Writer, found); err != nil {
			return err
		}
	case quiet(c):
		printLines(c.App.Writer, findingLines(slices.DeleteFunc(slices.Clone(found), func(f tpu.Finding) bool { return !problem(f) })))
	default:
		say(c, findingLines(found)...)
	}
	if slices.ContainsFunc(found, problem) {
		return deviceError{errReported}
	}
	if c.Bool("report") {
		return reportRun(c, bus)
	}
	return nil
}

// fixes maps states that tpu.Diagnose finds to the commands that fix them.
var fixes = map[string]string{
	"no-permission": "sudo imprint doctor --fix-udev, then unplug it and plug it in again",
	"no-udev-rule":  "sudo imprint doctor --fix-udev",
}

func printFindings(w io.Writer, found []tpu.Finding) error {
	type row struct {
		Device   string `json:"device,omitempty"`
		Severity string `json:"severity"`
		State    string `json:"state"`
		Text     string `json:"text"`
		Fix      string `json:"fix,omitempty"`
	}
	rows := []row{}
	for _, f := range found {
		r := row{"", f.Severity.String(), f.State, f.Text, f.Fix}
		if f.Port != (tpu.Port{}) {
			r.Device = "usb:" + f.Port.String()
		}
		rows = append(rows, r)
	}
	return printJSON(w, rows)
}

// fixUdev installs the udev rules. It returns the group whose members may open devices,
// or "" if this computer has no such group.
func fixUdev() (group string, err error) {
	if runtime.GOOS != "linux" {
		return "", usagef("--fix-udev works only on Linux")
	}
	group = "plugdev" // on Debian and its derivatives, the group for users of plugged-in devices
	if _, err := user.LookupGroup(group); err != nil {
		group = ""
	}
	rules := []byte(tpu.UdevRules(group))
	if old, err := os.ReadFile(tpu.UdevRulesPath); err == nil && bytes.Equal(old, rules) {
		return group, nil
	}
	err = os.WriteFile(tpu.UdevRulesPath, rules, 0o644)
	switch {
	case errors.Is(err, fs.ErrPermission):
		err = hinted{err, "sudo imprint doctor --fix-udev"}
	case errors.Is(err, fs.ErrNotExist):
		err = hinted{err, "udev does not run here; for a container, install the rule on its host"}
	}
	return group, err
}
