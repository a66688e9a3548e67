package tflite

import (
	"archive/zip"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/imprintkit/imprint/backbone/tflite/flatbuf"
)

// MetadataName is the metadata entry that describes a model to people and
// tools.
const MetadataName = "TFLITE_METADATA"

// ErrNoLabels is returned for a model that carries no labels.
var ErrNoLabels = errors.New("the model carries no labels")

// labelsFile is the name SetLabels stores labels under.
const labelsFile = "labels.txt"

// A Description is what a model's metadata says about it. Texts are empty and
// lists nil where it says nothing.
type Description struct {
	Name, Description, Version, Author, License string

	Inputs, Outputs []TensorDescription // of the first subgraph
	Files           []string            // of the whole model and the first subgraph
}

// A TensorDescription is what the metadata says about an input or output.
type TensorDescription struct {
	Name, Description string
	// Mean and Std normalise an input, (x − mean)/std on values 0…255, by
	// channel or once for all.
	Mean, Std []float32
	Files     []string // names of associated files
}

// readMetadata gives the model's metadata as a table, nil when there is none.
// editable asks for an error if it could not be written again.
func (m *Model) readMetadata(editable bool) (*node, error) {
	b, ok := m.MetadataEntry(MetadataName)
	if !ok {
		return nil, nil
	}
	_, beyond, err := verifyFlatbuffer(b, metadataIdentifier, modelMetadataTable)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", MetadataName, err)
	}
	if editable && beyond != "" {
		return nil, fmt.Errorf("editing %s with the unknown field %s: %w", MetadataName, beyond, ErrUnsupported)
	}
	return readNode(flatbuf.Root(b, modelMetadataTable)), nil
}

// Describe reads the model's metadata. A model without gives a zero
// Description.
func (m *Model) Describe() (Description, error) {
	root, err := m.readMetadata(false)
	if root == nil {
		return Description{}, err
	}
	d := Description{
		Name:        root.text(mmName),
		Description: root.text(mmDescription),
		Version:     root.text(mmVersion),
		Author:      root.text(mmAuthor),
		License:     root.text(mmLicense),
		Files:       fileNames(root.tables(mmFiles)),
	}
	if subs := root.tables(mmSubgraphs); len(subs) > 0 {
		d.Inputs = describeTensors(subs[0].tables(smInputs))
		d.Outputs = describeTensors(subs[0].tables(smOutputs))
		d.Files = append(d.Files, fileNames(subs[0].tables(smFiles))...)
	}
	return d, nil
}

func describeTensors(list []*node) []TensorDescription {
	var out []TensorDescription
	for _, n := range list {
		t := TensorDescription{
			Name:        n.text(tmName),
			Description: n.text(tmDescription),
			Files:       fileNames(n.tables(tmFiles)),
		}
		for _, unit := range n.tables(tmUnits) {
			if unit.get(unitOptionsType, 0) == unitNormalization {
				options := unit.v[unitOptions].(*node)
				t.Mean, t.Std = flatbuf.Float32s(options.vector(0)), flatbuf.Float32s(options.vector(1))
			}
		}
		out = append(out, t)
	}
	return out
}

func fileNames(list []*node) []string {
	var names []string
	for _, f := range list {
		names = append(names, f.text(afName))
	}
	return names
}

func isLabels(file *node) bool {
	kind := file.get(afType, 0)
	return kind == fileAxisLabels || kind == fileValueLabels
}

// Labels gives the names of the classes in index order: the file that the
// metadata associates with the first output that has labels, or else the one
// text file behind the model that looks like labels. Without either it returns
// ErrNoLabels.
func (m *Model) Labels() ([]string, error) {
	archive, _, err := m.openArchive()
	if err != nil {
		return nil, fmt.Errorf("reading labels: %w", err)
	}
	root, err := m.readMetadata(false)
	if err != nil {
		return nil, fmt.Errorf("reading labels: %w", err)
	}
	name := namedLabels(root)
	if name == "" {
		name = likelyLabels(archive.File)
	}
	if name == "" {
		return nil, ErrNoLabels
	}
	i := slices.IndexFunc(archive.File, func(f *zip.File) bool { return f.Name == name })
	if i < 0 {
		return nil, corrupt("reading labels: no file %q behind the model", name)
	}
	content, err := unpack(archive.File[i])
	if err != nil {
		return nil, fmt.Errorf("reading labels from %q: %w", name, err)
	}
	labels, err := splitLabels(content)
	if err != nil {
		return nil, fmt.Errorf("reading labels from %q: %w", name, err)
	}
	return labels, nil
}

// namedLabels gives the file that the metadata names as labels of an output,
// the first output's first; "" when there is none.
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

// likelyLabels gives the only text file called labels, or the only text file;
// "" when there is none or several.
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

// byteOrderMark begins text files that some editors on Windows save.
const byteOrderMark = "\ufeff"

// splitLabels reads one name a line. Lines may end in CR LF, the last one in
// nothing.
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

// SetLabels makes labels, in index order, the names of the classes of output
// tensor 0: a file labels.txt behind the model, and metadata that says so.
// Earlier labels of that output go; everything else in the metadata stays.
func (m *Model) SetLabels(labels []string) error {
	if len(labels) == 0 {
		return errors.New("setting labels: none given")
	}
	for i, l := range labels {
		if !utf8.ValidString(l) || strings.ContainsAny(l, "\r\n") || strings.HasPrefix(l, byteOrderMark) {
			return fmt.Errorf("setting labels: label %d, %q, is not one line of UTF-8", i, l)
		}
	}
	content := strings.Join(labels, "\n") + "\n"
	if len(content) > maxArchiveFile {
		return fmt.Errorf("setting labels of %d bytes, more than %d: %w", len(content), maxArchiveFile, ErrTooLarge)
	}
	if len(m.Subgraphs) == 0 || len(m.Subgraphs[0].Outputs) == 0 {
		return errors.New("setting labels: the model has no output")
	}
	root, err := m.readMetadata(true)
	if err != nil {
		return fmt.Errorf("setting labels: %w", err)
	}
	if root == nil {
		root = newNode(modelMetadataTable)
		root.v[mmMinParserVersion] = "1.0.0" // has every field used here
	}
	subs := root.tables(mmSubgraphs)
	if len(subs) == 0 {
		subs = []*node{newNode(subgraphMetadataTable)}
	}
	root.v[mmSubgraphs] = subs
	// Readers want exactly one entry for every input and output.
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
		return fmt.Errorf("setting labels: %w", err)
	}
	m.SetMetadataEntry(MetadataName, writeFlatbuffer(root, metadataIdentifier, 1<<12))
	return nil
}

// padTensors makes the list of tensor metadata in a slot have n entries.
func padTensors(sub *node, slot, n int) {
	list := slices.Clone(sub.tables(slot))
	for len(list) < n {
		list = append(list, newNode(tensorMetadataTable))
	}
	sub.v[slot] = list[:n]
}

// unreferenced gives the names of files that no metadata mentions.
func unreferenced(root *node, names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return mentions(root, name) })
}

// mentions tells whether n or a table below it is of an associated file of
// that name.
func mentions(n *node, name string) bool {
	if n.t == associatedFileTable {
		return n.text(afName) == name
	}
	for _, v := range n.v {
		switch v := v.(type) {
		case *node:
			if mentions(v, name) {
				return true
			}
		case []*node:
			if slices.ContainsFunc(v, func(n *node) bool { return mentions(n, name) }) {
				return true
			}
		}
	}
	return false
}

// pruneMetadata makes the metadata fit new outputs of the first subgraph, given
// by their old indices: an output that was one before keeps its metadata.
func (m *Model) pruneMetadata(outputs []int32) error {
	if slices.Equal(outputs, m.Subgraphs[0].Outputs) {
		return nil
	}
	root, err := m.readMetadata(true)
	if err != nil {
		return err
	}
	subs := root.tables(mmSubgraphs)
	if len(subs) == 0 {
		return nil
	}
	old := subs[0].tables(smOutputs)
	list := make([]*node, len(outputs))
	for i, t := range outputs {
		list[i] = newNode(tensorMetadataTable)
		if j := slices.Index(m.Subgraphs[0].Outputs, t); j >= 0 && j < len(old) {
			list[i] = old[j]
		}
	}
	subs[0].v[smOutputs] = list
	var stale []string
	for _, n := range old {
		stale = append(stale, fileNames(n.tables(tmFiles))...)
	}
	if stale = unreferenced(root, stale); len(stale) > 0 {
		if err := m.rewriteArchive(nil, stale); err != nil {
			return err
		}
	}
	m.SetMetadataEntry(MetadataName, writeFlatbuffer(root, metadataIdentifier, 1<<12))
	return nil
}
