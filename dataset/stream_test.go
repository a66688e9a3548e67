package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

const donkeyType = "multipart/x-mixed-replace;boundary=--boundarydonotcross"

// donkeyVideo returns photos as the /video page of donkeycar 5.3 streams them.
func donkeyVideo(photos ...string) string {
	var b strings.Builder
	for _, p := range photos {
		fmt.Fprintf(&b, "--boundarydonotcross\nContent-type: image/jpeg\r\nContent-length: %d\r\n\r\n%s", len(p), p)
	}
	return b.String()
}

func TestStream(t *testing.T) {
	mjpg := "\r\n--myboundary\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\none\r\n--myboundary\r\nContent-Type: image/jpeg\r\nContent-Length: 5\r\n\r\ntwo\r\n\r\n--myboundary--\r\n"
	noLength := "--b\r\nContent-Type: image/jpeg\r\n\r\none\r\n--b\r\n\r\n--bone\n\r\n--b\r\nX-Timestamp: 1\r\n\r\nthr--ee--b--\r\n"
	long := strings.Repeat("0123456789", 20000)
	for _, tt := range []struct {
		name, kind, body string
		want             []string
		end              error
	}{
		{"donkey car", donkeyType, donkeyVideo("one", "--boundarydonotcross\n", ""), []string{"one", "--boundarydonotcross\n", ""}, io.EOF},
		{"mjpg-streamer", "multipart/x-mixed-replace; boundary=myboundary", mjpg, []string{"one", "two\r\n"}, io.EOF},
		{"quoted boundary", `multipart/x-mixed-replace; boundary="my boundary"`, strings.ReplaceAll(mjpg, "myb", "my b"), []string{"one", "two\r\n"}, io.EOF},
		{"no lengths", "multipart/x-mixed-replace; boundary=b", noLength, []string{"one", "--bone\n", "thr--ee"}, io.EOF},
		{"long, no lengths", "multipart/x-mixed-replace; boundary=b", "--b\n\n" + long + "\n--b--\n", []string{long}, io.EOF},
		{"boundary with a space", "multipart/x-mixed-replace;boundary=--video boundary--", "--video boundary--\r\nContent-length: 3\r\n\r\none\r\n--video boundary--\r\nContent-length: 3\r\n\r\ntwo\r\n", []string{"one", "two"}, io.EOF},
		{"no first delimiter", "multipart/x-mixed-replace; boundary=b", "\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\none\r\n--b\r\nContent-Length: 3\r\n\r\ntwo\r\n--b\r\n", []string{"one", "two"}, io.ErrUnexpectedEOF},
		{"no newline after the delimiter", "multipart/x-mixed-replace; boundary=b", "--bContent-type: image/jpeg\r\nContent-length: 3\r\n\r\none--bContent-type: image/jpeg\r\nContent-length: 3\r\n\r\ntwo", []string{"one", "two"}, io.EOF},
		{"neither newline nor length", "multipart/x-mixed-replace; boundary=b", "--bContent-type: image/jpeg\r\n\r\none\r\n--bContent-type: image/jpeg\r\n\r\ntwo\r\n--b--\r\n", []string{"one", "two"}, io.EOF},
		{"closing delimiters", "multipart/x-mixed-replace; boundary=b", "--b--\r\nContent-Length: 3\r\n\r\none\r\n--b--\r\nContent-Length: 3\r\n\r\ntwo\r\n--b--\r\n", []string{"one", "two"}, io.EOF},
		{"closing delimiters, no lengths", "multipart/x-mixed-replace; boundary=b", "--b--\r\nContent-Type: image/jpeg\r\n\r\none\r\n--b--\r\nContent-Type: image/jpeg\r\n\r\ntwo\r\n--b--\r\n", []string{"one", "two"}, io.EOF},
		{"epilogue", "multipart/x-mixed-replace; boundary=b", "--b\r\nContent-Length: 3\r\n\r\none\r\n--b--\r\n" + strings.Repeat("x\n", 1<<16), []string{"one"}, io.EOF},
		{"header in the text between parts", "multipart/x-mixed-replace; boundary=b", "--b\r\nContent-Length: 3\r\n\r\none\r\nContent-Length: 9\r\n--b\r\nContent-Length: 3\r\n\r\ntwo\r\n", []string{"one", "two"}, io.EOF},
		{"cut in a photo", donkeyType, donkeyVideo("one", "two")[:141], []string{"one"}, io.ErrUnexpectedEOF},
		{"cut in a header", donkeyType, "--boundarydonotcross\nContent-t", nil, io.ErrUnexpectedEOF},
		{"cut without a length", "multipart/x-mixed-replace; boundary=b", "--b\n\none", nil, io.ErrUnexpectedEOF},
		{"nothing", donkeyType, "", nil, io.EOF},
		{"no boundary", donkeyType, strings.Repeat("x\n", 1<<16), nil, ErrStream},
		{"endless line", donkeyType, strings.Repeat("x", 1<<20), nil, ErrStream},
		{"endless header", donkeyType, "--boundarydonotcross\nA: " + strings.Repeat("x", 1<<20), nil, ErrStream},
		{"endless headers", donkeyType, "--boundarydonotcross\n" + strings.Repeat("A: b\r\n", 1000), nil, ErrStream},
		{"invalid header", donkeyType, "--boundarydonotcross\nhello\r\n\r\n", nil, ErrStream},
		{"negative length", donkeyType, "--boundarydonotcross\nContent-Length: -1\r\n\r\n", nil, ErrStream},
		{"too large", donkeyType, "--boundarydonotcross\nContent-Length: 1000001\r\n\r\n", nil, ErrTooLarge},
		{"too large, no length", donkeyType, "--boundarydonotcross\n\n" + strings.Repeat("x\n", 600000), nil, ErrTooLarge},
		{"shorter than its length", donkeyType, "--boundarydonotcross\nContent-Length: 999999\r\n\r\nx", nil, io.ErrUnexpectedEOF},
	} {
		for reader, r := range map[string]io.Reader{"": strings.NewReader(tt.body), ", in halves": iotest.HalfReader(strings.NewReader(tt.body))} {
			s, err := NewStream(r, tt.kind, Limits{MaxBytes: 1e6})
			if err != nil {
				t.Errorf("%s%s: %v", tt.name, reader, err)
				continue
			}
			for i, want := range tt.want {
				if got, err := s.Next(); err != nil || string(got) != want {
					t.Errorf("%s%s: photo %d: got %.40q, %v, want %.40q", tt.name, reader, i, got, err, want)
				}
			}
			if got, err := s.Next(); !errors.Is(err, tt.end) {
				t.Errorf("%s%s: end: got %.40q, %v, want %v", tt.name, reader, got, err, tt.end)
			}
		}
	}
	for _, kind := range []string{"", "image/jpeg", "multipart/x-mixed-replace;video boundary", "text/html;boundary=a b", "text/html; charset=utf-8", "multipart/x-mixed-replace", "multipart/x-mixed-replace; boundary=--", "multipart/x-mixed-replace; boundary=" + strings.Repeat("b", 300)} {
		if _, err := NewStream(nil, kind, DefaultLimits()); !errors.Is(err, ErrStream) {
			t.Errorf("%.60q: got %v, want ErrStream", kind, err)
		}
	}
}

func FuzzStream(f *testing.F) {
	f.Add([]byte(donkeyVideo("one", "two")), donkeyType)
	f.Add([]byte("--b\r\n\r\none\r\n--b--\r\n"), "multipart/mixed; boundary=b")
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		s, err := NewStream(bytes.NewReader(body), kind, Limits{MaxBytes: 1000})
		if err != nil {
			return
		}
		for all := 0; ; {
			p, err := s.Next()
			if err != nil {
				break
			}
			if all += len(p); len(p) > 1000 || all > len(body) {
				t.Fatalf("got a photo of %d bytes, and %d bytes in total from a body of %d bytes", len(p), all, len(body))
			}
		}
	})
}
