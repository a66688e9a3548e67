package main

import (
	"image"
	"image/color"
	"strings"
	"testing"

	qr "github.com/piglig/go-qr"
)

// readQR decodes a QR code from lines of a terminal, black on white.
func readQR(t *testing.T, lines []string) string {
	t.Helper()
	const scale = 4 // pixels per module
	var rows [][]bool
	for _, line := range lines {
		line, ok := strings.CutPrefix(strings.TrimSuffix(line, "\x1b[0m"), "\x1b[30;107m")
		if !ok {
			t.Fatalf("line %q does not set its colors", line)
		}
		var upper, lower []bool
		for _, block := range line {
			upper, lower = append(upper, block == '▀' || block == '█'), append(lower, block == '▄' || block == '█')
		}
		rows = append(rows, upper, lower)
	}
	img := image.NewGray(image.Rect(0, 0, scale*len(rows[0]), scale*len(rows)))
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			row := rows[y/scale]
			if x/scale >= len(row) || !row[x/scale] {
				img.SetGray(x, y, color.Gray{Y: 255})
			} else if margin := min(x, y, img.Rect.Dx()-1-x, img.Rect.Dy()-1-y) / scale; margin < quietZone {
				t.Fatalf("black %d modules from the edge", margin)
			}
		}
	}
	text, err := qr.Decode(img)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestQRCode(t *testing.T) {
	for _, c := range []struct {
		name, url string
		width     int // in columns
	}{
		{"without token", "http://10.0.0.2:8230/", 33},
		{"with token", "http://192.168.178.123:8230/?token=ABCDEFGHIJKLMNOPQRSTUVWXYZ", 41},
		{"IPv6", "http://[2001:db8:1234:5678:9abc:def0:1234:5678]:8230/?token=ABCDEFGHIJKLMNOPQRSTUVWXYZ", 45},
		{"long token", "http://10.0.0.2:8230/?token=" + strings.Repeat("a", 300), 73},
		{"token too long for a terminal", "http://10.0.0.2:8230/?token=" + strings.Repeat("a", 500), 0},
		{"token too long for any code", "http://10.0.0.2:8230/?token=" + strings.Repeat("a", 5000), 0},
	} {
		lines := qrCode(c.url)
		if c.width == 0 {
			if lines != nil {
				t.Errorf("%s: got %d lines, want none", c.name, len(lines))
			}
			continue
		}
		if len(lines) == 0 {
			t.Errorf("%s: no lines", c.name)
			continue
		}
		if got := len([]rune(lines[0])) - len("\x1b[30;107m\x1b[0m"); got != c.width || len(lines) != (c.width+1)/2 {
			t.Errorf("%s: %d columns, %d lines, want %d columns", c.name, got, len(lines), c.width)
		}
		if got := readQR(t, lines); got != c.url {
			t.Errorf("%s: the code says %q, want %q", c.name, got, c.url)
		}
	}
}

func TestFirstReachable(t *testing.T) {
	for _, c := range []struct {
		urls []string
		want string
	}{
		{nil, ""},
		{[]string{"ws/serve.sock"}, ""},
		{[]string{"ws/serve.sock", "http://127.0.0.1:8230/"}, ""},
		{[]string{"http://[::1]:8230/"}, ""},
		{[]string{"ws/serve.sock", "http://127.0.0.1:1/", "http://192.168.1.7:8230/?token=x", "http://10.0.0.2:8230/?token=x"}, "http://192.168.1.7:8230/?token=x"},
	} {
		if got := firstReachable(c.urls); got != c.want {
			t.Errorf("%q: got %q, want %q", c.urls, got, c.want)
		}
	}
}
