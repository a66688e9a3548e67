// Package models downloads the quantized classifiers and detectors that Coral publishes.
// Call [Store.Pull] to download one by its name, and [Store.Path] to find it again without
// a network. [List] and [Detectors] describe all of them.
//
// The package contains the SHA-256 or the git object id of every file, and checks it before
// it returns a path. A [Store] is safe for concurrent use, even by several processes.
//
// The publisher licenses the models under Apache-2.0: see LICENSE in the repository
// google-coral/test_data.
package models

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// License is the SPDX identifier of the license of every model in the list.
const License = "Apache-2.0"

// compiledSuffix is the suffix of the names of models compiled for the Edge TPU.
const compiledSuffix = "_edgetpu"

// A Published describes one model file.
type Published struct {
	Name   string // without ".tflite"
	Size   int64  // bytes; 0 if the list does not know it
	SHA256 string // lower-case hexadecimal; "" if the list does not know it
	// GitBlob is git's id of the file, in lower-case hexadecimal, for models without SHA256: the
	// SHA-1 of "blob ", the size in decimal, a zero byte and the content.
	GitBlob string
	About   string // one sentence: architecture, input, output

	Input     int // width and height of the RGB input, in pixels
	Embedding int // number of values in the embedding; 0 if it cannot be read from this file

	// Counterpart is the name of this model compiled for the Edge TPU or, for a compiled
	// model, the name of the uncompiled model. It is empty if the list has no
	// counterpart.
	Counterpart string

	file, base string // file name and folder URL; empty for the defaults
	remote     string // file name at the publisher; empty if it is File
	labels     string // key of labelFiles; empty for models without a file of labels
}

// File returns the name of the model's file.
func (p Published) File() string { return cmp.Or(p.file, p.Name+".tflite") }

// Compiled reports whether the model is compiled for the Edge TPU. No CPU can run it.
func (p Published) Compiled() bool { return strings.HasSuffix(p.Name, compiledSuffix) }

// Detector reports whether the model is one of [Detectors].
func (p Published) Detector() bool {
	return slices.ContainsFunc(detectors, func(d Published) bool { return d.Name == p.Name })
}

// labelFile returns the file with the model's labels, which the Store keeps as NAME.txt next
// to the model and the compiled model, and whether there is one.
func (p Published) labelFile() (Published, bool) {
	l, ok := labelFiles[p.labels]
	l.Name, l.remote = p.labels, p.labels
	l.file = strings.TrimSuffix(p.Name, compiledSuffix) + ".txt"
	return l, ok
}

var (
	// ErrUnknown means that no model has the given name.
	ErrUnknown = errors.New("unknown model")

	// ErrNotPulled means that the model is known but not on this machine.
	ErrNotPulled = errors.New("model has not been pulled")

	// ErrContent means that a file, on this machine or on a server, is not the published
	// file.
	ErrContent = errors.New("not the published model")
)

// A NameError reports a name for which there is no file.
type NameError struct {
	Name string   // as the caller gave it
	Err  error    // ErrUnknown or ErrNotPulled
	Near []string // up to three similar names of models, the most similar first

	located bool // reported by Store.Locate, so no file has this name either
}

// Error describes the problem with the name and suggests the similar names.
func (e *NameError) Error() string {
	if e.Err == ErrNotPulled {
		return e.Name + " has not been pulled"
	}
	text := fmt.Sprintf("%q is not a known model", e.Name)
	if e.located {
		text = fmt.Sprintf("%q is neither a file nor a known model", e.Name)
	}
	if len(e.Near) > 0 {
		text += "; did you mean " + strings.Join(e.Near, " or ") + "?"
	}
	return text
}

// Unwrap returns e.Err.
func (e *NameError) Unwrap() error { return e.Err }

// Find returns the model with the given name, with or without ".tflite", or the
// firmware for [Firmware]. For any other name it returns a [NameError] that wraps
// ErrUnknown.
func Find(name string) (Published, error) { return find(name, false) }

func find(name string, located bool) (Published, error) {
	if name == Firmware {
		return firmware, nil
	}
	want := strings.TrimSuffix(name, ".tflite")
	for _, p := range slices.Concat(list, detectors) {
		if p.Name == want {
			return p, nil
		}
	}
	return Published{}, &NameError{Name: name, Err: ErrUnknown, Near: nearest(want), located: located}
}

// nearest returns the names of up to three models that resemble want, the most similar
// first.
func nearest(want string) []string {
	type candidate struct {
		name  string
		edits int
	}
	want = strings.ToLower(want)
	var near []candidate
	for _, p := range slices.Concat(list, detectors) {
		n := editDistance(want, p.Name)
		// Accept at least two letters that are part of a name, and names with few typing
		// errors.
		if len(want) >= 2 && strings.Contains(p.Name, want) || n <= len(p.Name)/4 {
			near = append(near, candidate{p.Name, n})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.edits - b.edits })
	var names []string
	for _, c := range near[:min(3, len(near))] {
		names = append(names, c.name)
	}
	return names
}

// editDistance returns the Levenshtein distance of a and b in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
