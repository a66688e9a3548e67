package main

import (
	"encoding/json"
	"runtime"
	"strings"
	"testing"
)

func TestVersionLine(t *testing.T) {
	for _, test := range []struct {
		build build
		want  string
	}{
		{build{"0.2.0", "275c99b4d1f0aabb", "2026-11-29T19:00:00+01:00", "go1.26.0", "linux", "arm64"},
			"imprint 0.2.0 (275c99b4d1f0, 2026-11-29), go1.26.0, linux/arm64"},
		{build{"0.2.0", "275c99b4d1f0aabb-dirty", "", "go1.26.0", "linux", "arm64"}, "imprint 0.2.0 (275c99b4d1f0-dirty), go1.26.0, linux/arm64"},
		{build{"development", "", "", "go1.26.0", "linux", "arm64"}, "imprint development, go1.26.0, linux/arm64"},
	} {
		if got := test.build.line(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

func TestVersion(t *testing.T) {
	line := printed(t, "version")
	if flag := printed(t, "--version"); flag != line || !strings.HasPrefix(line, "imprint ") || strings.Count(line, "\n") != 1 {
		t.Errorf("version printed %q, --version printed %q", line, flag)
	}
	var b build
	if err := json.Unmarshal([]byte(printed(t, "version", "--json")), &b); err != nil || b.Version == "" || b.OS != runtime.GOOS {
		t.Errorf("got %+v and error %v", b, err)
	}
}
