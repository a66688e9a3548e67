package main

import (
	"net/netip"
	"net/url"
	"os"
	"strings"

	qr "github.com/piglig/go-qr"
	"github.com/urfave/cli/v2"
)

// terminalWidth is the number of columns that every terminal has.
const terminalWidth = 80

// quietZone is the empty margin that scanners need around a QR code, in modules (ISO/IEC
// 18004, 6.3.8).
const quietZone = 4

// qrCode returns lines that show a text as a QR code on a terminal, two modules high each.
// They set both colors, because many scanners read no inverted codes and terminals are
// dark as well as light. For a text that is too long for a terminal it returns none.
func qrCode(text string) []string {
	code, err := qr.EncodeText(text, qr.Low)
	if err != nil || code.Size()+2*quietZone > terminalWidth {
		return nil
	}
	const blackOnWhite, reset = "\x1b[30;107m", "\x1b[0m"
	blocks := map[[2]bool]rune{{false, false}: ' ', {true, false}: '▀', {false, true}: '▄', {true, true}: '█'}
	var lines []string
	for y := -quietZone; y < code.Size()+quietZone; y += 2 {
		var line strings.Builder
		line.WriteString(blackOnWhite)
		for x := -quietZone; x < code.Size()+quietZone; x++ {
			line.WriteRune(blocks[[2]bool{code.Module(x, y), code.Module(x, y+1)}]) // outside, Module is false
		}
		lines = append(lines, line.String()+reset)
	}
	return lines
}

// firstReachable returns the first URL that other machines can open, or "".
func firstReachable(urls []string) string {
	for _, s := range urls {
		u, err := url.Parse(s)
		if err != nil || u.Scheme == "" {
			continue // a Unix socket's path
		}
		if ip, err := netip.ParseAddr(u.Hostname()); err != nil || !ip.IsLoopback() {
			return s
		}
	}
	return ""
}

// isTerminal reports whether the standard output of c can show a QR code.
func isTerminal(c *cli.Context) bool {
	w := c.App.Writer
	if o, ok := w.(*output); ok {
		w = o.w
	}
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
