package main

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/tools/pseudoterminal"
)

// TestServeQRCode shows a QR code of the first URL that a phone can open, on a terminal only.
func TestServeQRCode(t *testing.T) {
	t.Setenv("TERM", "xterm")
	for _, c := range []struct {
		name  string
		flags []string
		shown bool
	}{
		{"on the network", []string{"--listen", "0.0.0.0:0"}, true},
		{"this machine only", []string{"--listen", "127.0.0.1:0"}, false},
		{"quiet", []string{"--listen", "0.0.0.0:0", "--quiet"}, false},
		{"as JSON", []string{"--listen", "0.0.0.0:0", "--json"}, false},
	} {
		screen, terminal := pseudoterminal.Open(t)
		text := make(chan string)
		go func() {
			b, _ := io.ReadAll(screen) // fails when the terminal is closed
			text <- string(b)
		}()
		s := startServe(t, terminal, nil, c.flags...)
		s.stop(t)
		terminal.Close()
		lines := strings.Split(strings.ReplaceAll(<-text, "\r\n", "\n"), "\n")
		isCode := func(line string) bool { return strings.HasPrefix(line, "\x1b[30;107m") }
		code := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return !isCode(line) })
		i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "serving http://") })
		if i < 0 || strings.HasPrefix(lines[i], "serving http://127.") || !c.shown {
			if len(code) > 0 || c.shown && i < 0 {
				t.Errorf("%s: got %q", c.name, lines)
			}
			continue
		}
		if got, want := "serving "+readQR(t, code), lines[i]; got != want {
			t.Errorf("%s: the code says %q, want %q", c.name, got, want)
		}
	}
}
