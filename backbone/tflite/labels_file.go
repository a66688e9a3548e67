package tflite

import (
	"fmt"
	"strconv"
	"strings"
)

// ReadLabels reads a file of labels, one per line. It accepts plain names, and names that
// follow an index in the format of Teachable Machine ("0 cat") or Coral ("0  cat", with
// gaps). A class in a gap has the label "class N".
func ReadLabels(path string) ([]string, error) {
	content, err := readLimited(path, maxArchiveFile)
	if err != nil {
		return nil, err
	}
	labels, err := parseLabels(content)
	if err != nil {
		return nil, fmt.Errorf("read labels from %s: %w", path, err)
	}
	return labels, nil
}

// maxLabels is the maximum number of labels in a file with indices.
const maxLabels = 1 << 16

// parseLabels returns the labels in a file. Numbers at the start of the lines are indices
// if they count the lines from 0, or if they begin with 0, ascend and are followed by two
// spaces, as in Coral's files. All other numbers are part of the names, as in "50 limit".
func parseLabels(content []byte) ([]string, error) {
	lines, err := splitLabels(content)
	if err != nil {
		return nil, err
	}
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	if len(lines) == 0 {
		return nil, corrupt("no labels")
	}
	var labels []string
	counted, coral := true, true
	for i, line := range lines {
		digits := len(line) - len(strings.TrimLeft(line, "0123456789"))
		index, err := strconv.Atoi(line[:digits])
		name := strings.TrimLeft(line[digits:], ": \t")
		if err != nil || name == "" || len(name) == len(line[digits:]) || index >= maxLabels {
			return lines, nil
		}
		counted = counted && index == i
		coral = coral && strings.HasPrefix(line[digits:], "  ") && index >= len(labels) && (i > 0 || index == 0)
		if !counted && !coral {
			return lines, nil
		}
		for len(labels) < index {
			labels = append(labels, fmt.Sprint("class ", len(labels)))
		}
		labels = append(labels, strings.TrimSpace(name))
	}
	return labels, nil
}
