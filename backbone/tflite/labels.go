package tflite

import (
	"archive/zip"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// ErrNoLabels means that a model has no labels, or that they cannot be read.
var ErrNoLabels = errors.New("the model has no labels")

// labelsFile is the name of the associated file that SetLabels writes.
const labelsFile = "labels.txt"

// isLabels reports whether an associated file holds labels.
func isLabels(file *node) bool {
	kind := file.get(afType, 0)
	return kind == fileAxisLabels || kind == fileValueLabels
}

// Labels returns the names of the classes in index order. They come from the label file
// of the first output that has one in the metadata. If no output has one, they come from
// the only associated text file with "label" in its name, or from the only associated
// text file. The error wraps ErrNoLabels if there is no label file. If the label file
// cannot be read, the error also wraps the reason. The model is valid in both cases.
func (m *Model) Labels() ([]string, error) {
	archive, _, err := m.openArchive()
	if err != nil {
		return nil, noLabels(err)
	}
	root, _, metadataErr := m.readMetadata()
	name := namedLabels(root)
	i := slices.IndexFunc(archive.File, func(f *zip.File) bool { return f.Name == name })
	if i < 0 {
		likely := likelyLabels(archive.File)
		i = slices.IndexFunc(archive.File, func(f *zip.File) bool { return f.Name == likely })
	}
	switch {
	case i >= 0:
	case name != "":
		return nil, noLabels(corrupt("no associated file %q", name))
	case metadataErr != nil:
		return nil, noLabels(metadataErr)
	default:
		return nil, ErrNoLabels
	}
	content, err := unpack(archive.File[i])
	if err == nil {
		var labels []string
		if labels, err = splitLabels(content); err == nil {
			return labels, nil
		}
	}
	return nil, noLabels(fmt.Errorf("from %q: %w", archive.File[i].Name, err))
}

// noLabels returns an error that wraps ErrNoLabels and the reason.
func noLabels(reason error) error { return fmt.Errorf("%w: read labels: %w", ErrNoLabels, reason) }

// namedLabels returns the name of the first label file that the metadata gives for an
// output, or "".
func namedLabels(root *node) string {
	if subs := root.tables(mmSubgraphs); len(subs) > 0 {
		for _, output := range subs[0].tables(smOutputs) {
			for _, f := range output.tables(tmFiles) {
				if isLabels(f) {
					return f.text(afName)
				}
			}
		}
	}
	return ""
}

// likelyLabels returns the name of the only text file with "label" in its name. If no
// name contains "label", it returns the name of the only text file. If there are several
// candidates or none, it returns "".
func likelyLabels(files []*zip.File) string {
	var texts, labels []string
	for _, f := range files {
		if name := strings.ToLower(f.Name); strings.HasSuffix(name, ".txt") {
			texts = append(texts, f.Name)
			if strings.Contains(name, "label") {
				labels = append(labels, f.Name)
			}
		}
	}
	switch {
	case len(labels) == 1:
		return labels[0]
	case len(labels) == 0 && len(texts) == 1:
		return texts[0]
	}
	return ""
}

// byteOrderMark starts text files written by some editors on Windows.
const byteOrderMark = "\ufeff"

// splitLabels returns the lines of a file. Lines end in LF or CR LF, except that the last
// line may end without either.
func splitLabels(content []byte) ([]string, error) {
	if !utf8.Valid(content) {
		return nil, corrupt("not UTF-8")
	}
	text := strings.TrimSuffix(strings.TrimPrefix(string(content), byteOrderMark), "\n")
	labels := strings.Split(text, "\n")
	for i := range labels {
		labels[i] = strings.TrimSuffix(labels[i], "\r")
	}
	return labels, nil
}

// SetLabels sets the names of the classes of output 0, in index order. It stores them in
// the associated file labels.txt, refers to it in the metadata, and removes earlier
// labels of that output. The rest of the metadata remains. If the metadata cannot be
// rewritten without loss, it stays unchanged. In that case, SetLabels stores the labels
// in the file that the metadata names, or in labels.txt. Each label must be one line of
// UTF-8.
func (m *Model) SetLabels(labels []string) error {
	if len(labels) == 0 {
		return errors.New("set labels: the list is empty")
	}
	for i, l := range labels {
		if !utf8.ValidString(l) || strings.ContainsAny(l, "\r\n") || strings.HasPrefix(l, byteOrderMark) {
			return fmt.Errorf("set labels: label %d, %q, is not one line of UTF-8", i, l)
		}
	}
	content := strings.Join(labels, "\n") + "\n"
	if len(content) > maxArchiveFile {
		return fmt.Errorf("set labels: %d bytes, more than %d: %w", len(content), maxArchiveFile, ErrTooLarge)
	}
	if len(m.Subgraphs) == 0 || len(m.Subgraphs[0].Outputs) == 0 {
		return errors.New("set labels: the model has no output")
	}
	root, editable, err := m.readMetadata()
	if err != nil || !editable {
		return m.replaceLabels(root, content)
	}
	if root == nil {
		root = newNode(modelMetadataTable)
		root.v[mmMinParserVersion] = "1.0.0" // the first version with all fields used here
	}
	subs := root.tables(mmSubgraphs)
	if len(subs) == 0 {
		subs = []*node{newNode(subgraphMetadataTable)}
	}
	root.v[mmSubgraphs] = subs
	// Readers expect one entry for each input and output.
	padTensors(subs[0], smInputs, len(m.Subgraphs[0].Inputs))
	padTensors(subs[0], smOutputs, len(m.Subgraphs[0].Outputs))

	output := subs[0].tables(smOutputs)[0]
	stale := fileNames(output.tables(tmFiles))
	kept := slices.DeleteFunc(slices.Clone(output.tables(tmFiles)), func(f *node) bool {
		return isLabels(f) || f.text(afName) == labelsFile
	})
	file := newNode(associatedFileTable)
	file.v[afName] = labelsFile
	file.v[afDescription] = "Names of the classes, one a line in index order."
	file.v[afType] = uint64(fileAxisLabels)
	output.v[tmFiles] = append([]*node{file}, kept...)

	if err := m.rewriteArchive(&AssociatedFile{labelsFile, []byte(content)}, unreferenced(root, stale)); err != nil {
		return fmt.Errorf("set labels: %w", err)
	}
	m.SetMetadataEntry(MetadataName, writeFlatbuffer(root, metadataIdentifier, 1<<12))
	return nil
}

// replaceLabels stores labels in the archive and leaves the metadata unchanged. It uses a
// file name that Labels finds. root is the metadata as far as it can be read.
func (m *Model) replaceLabels(root *node, content string) error {
	archive, _, err := m.openArchive()
	if err != nil {
		return fmt.Errorf("set labels: %w", err)
	}
	name := namedLabels(root)
	if name == "" || checkFileName(name) != nil {
		name = labelsFile
	}
	var stale []string // old files that Labels could read instead
	for _, f := range archive.File {
		if lower := strings.ToLower(f.Name); f.Name != name && strings.HasSuffix(lower, ".txt") && strings.Contains(lower, "label") {
			stale = append(stale, f.Name)
		}
	}
	if err := m.rewriteArchive(&AssociatedFile{name, []byte(content)}, stale); err != nil {
		return fmt.Errorf("set labels: %w", err)
	}
	return nil
}

// padTensors extends or cuts the list of tensor metadata in a slot to n entries.
func padTensors(sub *node, slot, n int) {
	list := slices.Clone(sub.tables(slot))
	for len(list) < n {
		list = append(list, newNode(tensorMetadataTable))
	}
	sub.v[slot] = list[:n]
}

// unreferenced returns the names that do not belong to an associated file in the
// metadata.
func unreferenced(root *node, names []string) []string {
	known := make(map[string]bool)
	noteFiles(root, known)
	return slices.DeleteFunc(names, func(name string) bool { return known[name] })
}

// noteFiles adds the names of the associated files in n and the tables below it.
func noteFiles(n *node, names map[string]bool) {
	if n.t == associatedFileTable {
		names[n.text(afName)] = true
		return
	}
	for _, v := range n.v {
		switch v := v.(type) {
		case *node:
			noteFiles(v, names)
		case []*node:
			for _, sub := range v {
				noteFiles(sub, names)
			}
		}
	}
}
