package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// In releases, the linker sets these: -ldflags "-X main.version=… -X main.commit=… -X main.date=…". See
// tools/release.sh.
var version, commit, date string

// build has the fields that imprint version prints. Unknown fields are empty.
type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Date    string `json:"date,omitempty"` // the commit's time in UTC, as RFC 3339
	Go      string `json:"go"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
}

// thisBuild returns the values set by the linker, or else the values that Go recorded in the program.
func thisBuild() build {
	b := build{version, commit, date, runtime.Version(), runtime.GOOS, runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok && b.Version == "" {
		b.Version = strings.TrimPrefix(info.Main.Version, "v")
	}
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = "development"
	}
	if !ok || b.Commit != "" {
		return b
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Commit = s.Value + b.Commit
		case s.Key == "vcs.modified" && s.Value == "true":
			b.Commit += "-dirty"
		case s.Key == "vcs.time":
			b.Date = s.Value
		}
	}
	return b
}

// line formats b: "imprint 0.2.0 (275c99b4d1f0, 2026-11-29), go1.26.0, linux/arm64".
func (b build) line() string {
	var details []string
	if b.Commit != "" {
		hash, dirty, _ := strings.Cut(b.Commit, "-")
		details = append(details, strings.TrimSuffix(hash[:min(len(hash), 12)]+"-"+dirty, "-"))
	}
	if t, err := time.Parse(time.RFC3339, b.Date); err == nil {
		details = append(details, t.UTC().Format(time.DateOnly))
	}
	s := "imprint " + b.Version
	if details != nil {
		s += " (" + strings.Join(details, ", ") + ")"
	}
	return fmt.Sprintf("%s, %s, %s/%s", s, b.Go, b.OS, b.Arch)
}

func versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "print the version",
		Description: `Print the version, commit and date of this program.

Examples:
   imprint version
   imprint version --json`,
		Flags:  []cli.Flag{jsonFlag("the version")},
		Action: printVersion,
	}
}

// versionFlag returns the flag --version, which works without a command.
func versionFlag() cli.Flag {
	return &cli.BoolFlag{Name: "version", Usage: "print the version", DefaultText: "no"}
}

func printVersion(c *cli.Context) error {
	if err := needArgs(c, 0, 0); err != nil {
		return err
	}
	if asJSON(c) {
		return printJSON(c.App.Writer, thisBuild())
	}
	say(c, thisBuild().line())
	return nil
}
