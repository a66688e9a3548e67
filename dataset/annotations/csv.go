package annotations

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// csvColumns has the accepted names of each column, in lower case.
var csvColumns = [][]string{
	{"filename", "file", "path", "image"}, {"class", "label", "name"},
	{"width"}, {"height"}, {"xmin"}, {"ymin"}, {"xmax"}, {"ymax"},
}

// readCSV reads a table with one box a line, as TensorFlow's examples of object detection use it.
func readCSV(c *collector, f file) error {
	r := csv.NewReader(bytes.NewReader(f.text))
	r.ReuseRecord = true
	fail := func(err error) error {
		line, _ := r.FieldPos(0)
		return f.at(line, err)
	}
	header, err := r.Read()
	if err != nil {
		return f.at(1, fmt.Errorf("no header: %w", err))
	}
	index := make([]int, len(csvColumns))
	for i, names := range csvColumns {
		index[i] = slices.IndexFunc(header, func(h string) bool {
			return slices.Contains(names, strings.ToLower(strings.TrimSpace(h)))
		})
		if index[i] < 0 {
			return fail(fmt.Errorf("no column %s: name the columns filename,width,height,class,xmin,ymin,xmax,ymax", strings.Join(names, " or ")))
		}
	}
	// Neighboring lines usually belong to the same photo.
	var last Photo
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var bad *csv.ParseError
		if errors.As(err, &bad) {
			return f.at(bad.Line, bad.Err)
		} else if err != nil {
			return fail(err)
		}
		p, err := csvPhoto(row, index)
		if err != nil {
			return fail(err)
		}
		if p.Path == last.Path {
			last.Boxes = append(last.Boxes, p.Boxes...)
			continue
		}
		if last.Path != "" {
			if err := c.add(last); err != nil {
				return fail(err)
			}
		}
		last = p
	}
	if last.Path == "" {
		return nil
	}
	if err := c.add(last); err != nil {
		return f.at(f.line(int64(len(f.text))), err)
	}
	return nil
}

// csvPhoto returns the photo and box of a row.
func csvPhoto(row []string, index []int) (Photo, error) {
	path, err := cleanPath(strings.Clone(row[index[0]]))
	if err != nil {
		return Photo{}, err
	}
	var v [6]float64
	for i := range v {
		if v[i], err = number(csvColumns[i+2][0], row[index[i+2]]); err != nil {
			return Photo{}, err
		}
	}
	b, err := size{v[0], v[1]}.pixels(strings.Clone(row[index[1]]), v[2], v[3], v[4], v[5])
	return Photo{path, int(v[0]), int(v[1]), []Box{b}}, err
}
