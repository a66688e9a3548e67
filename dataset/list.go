package dataset

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

const (
	maxListLine  = 8 << 10 // bytes; PATH_MAX is 4096 on Linux
	maxListItems = 1 << 20
	listBlock    = 1 << 10 // divides maxListItems
)

// ReadList reads a list of photos. Each line has a path, optionally followed by a tab,
// comma or semicolon and a label:
//
//	# comment
//	photos/0001.jpg
//	photos/0002.jpg	cone
//	photos/0003.jpg,cone
//	"photos/a, b.jpg","traffic cone"
//
// Relative paths are resolved against the folder base. Paths may contain commas and semicolons:
// a comma or semicolon starts the label only if the text before it ends with the extension of a
// photo or is quoted as in CSV. Empty lines and lines that start with # are skipped.
//
// If the first line is a CSV header, such as filename,width,class, the list is read as CSV.
// Paths and labels then come from the columns with these names.
//
// Labels are returned in Unicode's normal form C. ReadList returns an error for a line of
// more than 8 KiB or a list of more than 1,048,576 photos.
func ReadList(r io.Reader, base string) ([]Item, error) {
	// A list of short lines may have a million photos: blocks take less memory than a slice that grows.
	var full [][]Item
	var items []Item
	var lineReader csvLine
	var columns *columns
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 1024), maxListLine)
	n := 1
	for ; lines.Scan(); n++ {
		line := lines.Text()
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff") // Windows editors write this byte order mark
			if columns = lineReader.header(line); columns != nil {
				continue
			}
		}
		if t := strings.TrimSpace(line); t == "" || t[0] == '#' {
			continue
		}
		path, label := lineReader.split(line, columns)
		switch {
		case path == "":
			return nil, fmt.Errorf("photo list: line %d: no path before label %q", n, label)
		case strings.ContainsRune(line, 0):
			return nil, fmt.Errorf("photo list: line %d: contains a NUL byte", n)
		case len(full)*listBlock == maxListItems:
			return nil, fmt.Errorf("photo list: line %d: more than %d photos", n, maxListItems)
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(base, path)
		}
		if items = append(items, Item{Path: path, Label: norm.NFC.String(label)}); len(items) == listBlock {
			full, items = append(full, items), make([]Item, 0, listBlock)
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("photo list: line %d: longer than %d bytes", n, maxListLine)
	} else if err != nil {
		return nil, fmt.Errorf("photo list: %w", err)
	}
	return slices.Concat(append(full, items)...), nil
}

// A csvLine reads lines of CSV. It keeps the memory of package csv's readers.
type csvLine struct{ buffer *bufio.Reader }

// split returns the path and the label of a line. columns is nil if the list has no header.
func (c *csvLine) split(line string, columns *columns) (path, label string) {
	if columns != nil {
		return columns.of(c.fields(line, columns.comma))
	}
	if path, label, ok := strings.Cut(line, "\t"); ok {
		return strings.TrimSpace(path), strings.TrimSpace(label)
	}
	if strings.HasPrefix(strings.TrimSpace(line), `"`) {
		for _, comma := range ",;" {
			if f := c.fields(line, comma); len(f) == 2 || len(f) == 1 && f[0] != strings.TrimSpace(line) {
				return f[0], strings.Join(f[1:], "")
			}
		}
	}
	for i := range len(line) {
		if (line[i] == ',' || line[i] == ';') && hasPhotoName(strings.TrimSpace(line[:i])) {
			label := strings.TrimSpace(line[i+1:])
			if strings.HasPrefix(label, `"`) {
				if f := c.fields(label, rune(line[i])); len(f) == 1 {
					label = f[0]
				}
			}
			return strings.TrimSpace(line[:i]), label
		}
	}
	return strings.TrimSpace(line), ""
}

// fields returns the fields of a line of CSV, or nil if line is not valid CSV.
func (c *csvLine) fields(line string, comma rune) []string {
	text := strings.NewReader(strings.TrimSpace(line))
	if c.buffer == nil {
		c.buffer = bufio.NewReader(text)
	}
	c.buffer.Reset(text)
	r := csv.NewReader(c.buffer)
	r.Comma, r.TrimLeadingSpace = comma, true
	fields, err := r.Read()
	if err != nil {
		return nil
	}
	for i, f := range fields {
		fields[i] = strings.TrimSpace(f)
	}
	return fields
}

// columns holds the separator of a CSV file and the indexes of its path and label columns.
type columns struct {
	comma       rune
	path, label int // label is -1 if there is no label column
}

// pathColumns and labelColumns list common column names, the most specific first.
var (
	pathColumns  = []string{"path", "filepath", "imagepath", "filename", "imagename", "file", "image", "photo", "img"}
	labelColumns = []string{"label", "labels", "classname", "class", "category", "species", "name"}
)

// header returns the columns named in line, or nil if line is not a header.
func (c *csvLine) header(line string) *columns {
	plain := strings.NewReplacer("_", "", " ", "", "-", "")
	for _, comma := range "\t,;" {
		names := c.fields(line, comma)
		for i, name := range names {
			names[i] = plain.Replace(strings.ToLower(name))
		}
		column := func(wanted []string) int {
			for _, name := range wanted {
				if i := slices.Index(names, name); i >= 0 {
					return i
				}
			}
			return -1
		}
		if c := (columns{comma, column(pathColumns), column(labelColumns)}); len(names) > 1 && c.path >= 0 {
			return &c
		}
	}
	return nil
}

// of returns the path and the label among the fields of a line.
func (c *columns) of(fields []string) (path, label string) {
	if c.path < len(fields) {
		path = fields[c.path]
	}
	if c.label >= 0 && c.label < len(fields) {
		label = fields[c.label]
	}
	return path, label
}

// ReadStdin reads either a photo or a list of photos from r. It detects a photo by its first
// bytes and returns it as an item with its content and the path "-". It reads other text as a
// list, like ReadList.
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
