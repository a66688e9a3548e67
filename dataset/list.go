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

// ReadList reads a list of photos. Each line has a path, optionally followed by a tab or
// comma and a label:
//
//	# comment
//	photos/0001.jpg
//	photos/0002.jpg	cone
//	photos/0003.jpg,cone
//
// Relative paths start at the folder base. Paths may contain commas: a comma starts the
// label only if the text before it ends with the extension of a photo. Empty lines and
// lines that start with # are skipped.
//
// ReadList returns an error for a line of more than 8 KiB or a list of more than 1,048,576
// photos.
func ReadList(r io.Reader, base string) ([]Item, error) {
	var items []Item
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 1024), maxListLine)
	n := 1
	for ; lines.Scan(); n++ {
		line := lines.Text()
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff") // Windows editors write it
		}
		if t := strings.TrimSpace(line); t == "" || t[0] == '#' {
			continue
		}
		path, label := splitLine(line)
		switch {
		case path == "":
			return nil, fmt.Errorf("photo list: line %d: no path before label %q", n, label)
		case strings.ContainsRune(line, 0):
			return nil, fmt.Errorf("photo list: line %d: contains a NUL byte", n)
		case len(items) == maxListItems:
			return nil, fmt.Errorf("photo list: line %d: more than %d photos", n, maxListItems)
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(base, path)
		}
		items = append(items, Item{Path: path, Label: label})
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("photo list: line %d: longer than %d bytes", n, maxListLine)
	} else if err != nil {
		return nil, fmt.Errorf("photo list: %w", err)
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

// ReadStdin reads either a photo or a list of photos from r. It detects a photo by its
// first bytes and returns it as an item with its content and the path "-". It reads
// anything else as ReadList does.
func ReadStdin(r io.Reader, base string, l Limits) ([]Item, error) {
	br := bufio.NewReader(r)
	head, err := br.Peek(sniffLen)
	if err != nil && err != io.EOF {
		return nil, inFile("standard input", err)
	}
	if _, err := sniff(head); errors.Is(err, ErrFormat) && !bytes.ContainsRune(head, 0) {
		return ReadList(br, base)
	}
	b, err := readAtMost(br, l.MaxBytes)
	if err == nil {
		_, err = readHeader(b, l)
	}
	if err != nil {
		return nil, inFile("standard input", err)
	}
	return []Item{{Path: "-", Content: b}}, nil
}
