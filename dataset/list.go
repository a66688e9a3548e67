package dataset

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
)

const (
	maxListLine  = 8 << 10 // bytes; PATH_MAX is 4096 on Linux
	maxListItems = 1 << 20
)

// ReadList reads a list of photos, one path a line, optionally followed by a tab
// or comma and a label:
//
//	# comment
//	photos/0001.jpg
//	photos/0002.jpg	cone
//	photos/0003.jpg,cone
//
// A comma separates only when the text before it ends like a photo's name, so
// paths may contain commas. Paths that are not absolute are taken from the folder
// base. Empty lines and lines starting with # are passed over. A line of more
// than 8 KiB or a list of more than 1,048,576 photos is an error.
func ReadList(r io.Reader, base string) ([]Item, error) {
	var items []Item
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 1024), maxListLine)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff") // written by Windows editors
		}
		if t := strings.TrimSpace(line); t == "" || t[0] == '#' {
			continue
		}
		path, label := splitLine(line)
		switch {
		case path == "":
			return nil, fmt.Errorf("read photo list: line %d: no path before the label %q", n, label)
		case strings.ContainsRune(line, 0):
			return nil, fmt.Errorf("read photo list: line %d: it holds a zero byte", n)
		case len(items) == maxListItems:
			return nil, fmt.Errorf("read photo list: line %d: more than %d photos", n, maxListItems)
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(base, path)
		}
		items = append(items, Item{Path: path, Label: label})
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("read photo list: a line is longer than %d bytes", maxListLine)
	} else if err != nil {
		return nil, fmt.Errorf("read photo list: %w", err)
	}
	return items, nil
}

func splitLine(line string) (path, label string) {
	if path, label, ok := strings.Cut(line, "\t"); ok {
		return strings.TrimSpace(path), strings.TrimSpace(label)
	}
	for i := range len(line) {
		if line[i] == ',' && hasPhotoName(strings.TrimSpace(line[:i])) {
			return strings.TrimSpace(line[:i]), strings.TrimSpace(line[i+1:])
		}
	}
	return strings.TrimSpace(line), ""
}

// ReadStdin reads what was piped in: one photo, told by its first bytes, as an item
// with the path "-" and its content, or else a list as for ReadList.
func ReadStdin(r io.Reader, base string, l Limits) ([]Item, error) {
	br := bufio.NewReader(r)
	head, err := br.Peek(sniffLen)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if _, err := sniff(head); errors.Is(err, ErrFormat) && !bytes.ContainsRune(head, 0) {
		return ReadList(br, base)
	}
	b, err := readAtMost(br, l.MaxBytes)
	if err == nil {
		_, err = readHeader(b, l)
	}
	if err != nil {
		return nil, fmt.Errorf("read photo from standard input: %w", err)
	}
	return []Item{{Path: "-", Content: b}}, nil
}
