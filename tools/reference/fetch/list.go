package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// list is the content of list.txt. Each line is a comment, or has one of these forms:
//
//	from NAME URL                                  a folder on a server
//	file PATH SIZE SHA256 NAME/PATH                a file, and its path below such a folder
//	golden MODEL CASE SOURCE SHA256 SHA256 SHA256  input, output and Edge TPU output of a model; see golden
//
// Paths are slash-separated and relative to the folder of the reference files.
type list struct {
	lines   []string // lines as read; for files and goldens, format prints the entries instead
	entries map[int]fmt.Stringer
	files   []*file
	goldens []*golden
}

// A file is an entry for a file to download.
type file struct {
	path   string
	size   int64
	sha256 string
	origin string // NAME/PATH, where a from line defines NAME
	url    string
}

func (f *file) String() string {
	return fmt.Sprintf("file %s %d %s %s", f.path, f.size, f.sha256, f.origin)
}

// A golden is an input of a model with the recorded outputs. Its files are golden/MODEL/NAME.in, .out and .tpu: the
// input, the real TensorFlow Lite library's output, and the output in the Edge TPU's arithmetic
// (docs/edgetpu-arithmetic.md). If a checksum is "-", that file does not exist.
//
// The source says how to compute the input. It is the path of a photo, which is squashed to the size of the model's
// input; const:N for the value N in all bytes; noise:N for pseudo-random bytes with the seed N; or output:MODEL for the
// output of MODEL in the golden with the same name.
type golden struct {
	model, name, source string
	sums                [3]string // checksums of .in, .out and .tpu
}

// suffixes are the extensions of a golden's files, in the order of its checksums.
var suffixes = [3]string{".in", ".out", ".tpu"}

func (g *golden) String() string {
	return fmt.Sprintf("golden %s %s %s %s", g.model, g.name, g.source, strings.Join(g.sums[:], " "))
}

// path returns the path of the golden's file with the given suffix.
func (g *golden) path(suffix string) string { return "golden/" + g.model + "/" + g.name + suffix }

var errSyntax = errors.New("not a valid line")

func parseList(b []byte) (*list, error) {
	l := &list{entries: make(map[int]fmt.Stringer)}
	servers := make(map[string]string)
	for i, line := range strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") {
		l.lines = append(l.lines, line)
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		err := errSyntax
		switch {
		case words[0] == "from" && len(words) == 3:
			servers[words[1]] = strings.TrimSuffix(words[2], "/")
			err = nil
		case words[0] == "file" && len(words) == 5:
			f := &file{path: words[1], sha256: words[3], origin: words[4]}
			if _, err = fmt.Sscan(words[2], &f.size); err == nil {
				f.url, err = locate(servers, f.origin)
			}
			if err == nil && !filepath.IsLocal(filepath.FromSlash(f.path)) {
				err = fmt.Errorf("%s is outside the folder", f.path)
			}
			l.files = append(l.files, f)
			l.entries[i] = f
		case words[0] == "golden" && len(words) == 7:
			g := &golden{model: words[1], name: words[2], source: words[3], sums: [3]string(words[4:])}
			l.goldens = append(l.goldens, g)
			l.entries[i] = g
			err = nil
		}
		if err != nil {
			return nil, fmt.Errorf("list.txt:%d: %w", i+1, err)
		}
	}
	return l, nil
}

// locate returns the URL of an origin, NAME/PATH.
func locate(servers map[string]string, origin string) (string, error) {
	name, path, _ := strings.Cut(origin, "/")
	server, ok := servers[name]
	if !ok {
		return "", fmt.Errorf("no line \"from %s\"", name)
	}
	return server + "/" + path, nil
}

func (l *list) size() (n int64) {
	for _, f := range l.files {
		n += f.size
	}
	return n
}

// pin takes all sizes and checksums from the files in folder. A golden's files may be missing.
func (l *list) pin(folder string) error {
	for _, f := range l.files {
		b, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(f.path)))
		if err != nil {
			return err
		}
		f.size, f.sha256 = int64(len(b)), sum(b)
	}
	for _, g := range l.goldens {
		for i, suffix := range suffixes {
			b, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(g.path(suffix))))
			switch {
			case errors.Is(err, fs.ErrNotExist):
				g.sums[i] = "-"
			case err != nil:
				return err
			default:
				g.sums[i] = sum(b)
			}
		}
	}
	return nil
}

func (l *list) format() []byte {
	var b bytes.Buffer
	for i, line := range l.lines {
		if e, ok := l.entries[i]; ok {
			line = e.String()
		}
		fmt.Fprintln(&b, line)
	}
	return b.Bytes()
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}
