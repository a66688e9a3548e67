package tflite

import (
	"fmt"

	"github.com/imprintkit/imprint/backbone/tflite/flatbuf"
)

// MetadataName is the name of the metadata entry that describes a model to people and
// tools.
const MetadataName = "TFLITE_METADATA"

// A Description is the description of a model in its metadata. Fields that the metadata
// lacks are empty.
type Description struct {
	Name, Description, Version, Author, License string

	Inputs, Outputs []TensorDescription // of the main graph
	Files           []string            // associated with the model and its main graph
}

// A TensorDescription is the description of an input or output in a model's metadata.
type TensorDescription struct {
	Name, Description string
	// Mean and Std normalize an input with values x in 0…255 to (x − mean)/std. They
	// have one entry for each channel, or one for all.
	Mean, Std []float32
	Files     []string // names of associated files
}

// readMetadata returns the root table of the model's metadata, or nil if there is none.
// editable is false if the metadata has fields that the schema lacks, which cannot be
// written. Unions may have members that the schema lacks, or a type without a value, as
// some writers produce them.
func (m *Model) readMetadata() (root *node, editable bool, err error) {
	b, ok := m.MetadataEntry(MetadataName)
	if !ok {
		return nil, true, nil
	}
	unknown := ""
	if _, err := newVerifier(b, &unknown).Lenient().Verify(b, metadataIdentifier, modelMetadataTable); err != nil {
		return nil, false, fmt.Errorf("read %s: %w", MetadataName, err)
	}
	return readNode(flatbuf.Root(b, modelMetadataTable)), unknown == "", nil
}

// Describe returns the description in the model's metadata, or the zero Description if
// there is none. A model whose metadata cannot be read is valid nevertheless. Other
// methods treat it like a model without metadata.
func (m *Model) Describe() (Description, error) {
	root, _, err := m.readMetadata()
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
			options, ok := unit.v[unitOptions].(*node)
			if ok && unit.get(unitOptionsType, 0) == unitNormalization {
				t.Mean, t.Std = flatbuf.Float32s(options.vector(0)), flatbuf.Float32s(options.vector(1))
			}
		}
		out = append(out, t)
	}
	return out
}

// fileNames returns the names in a list of associated files.
func fileNames(list []*node) []string {
	var names []string
	for _, f := range list {
		names = append(names, f.text(afName))
	}
	return names
}

// SetNormalization sets the normalization of input 0, which has values x in 0…255, to
// (x − mean)/std. Both have one entry for each channel, or one for all. It replaces the
// other processing units of that input and keeps the rest of the metadata.
func (m *Model) SetNormalization(mean, std []float32) error {
	root, editable, err := m.readMetadata()
	if err != nil {
		return fmt.Errorf("set the normalization: %w", err)
	}
	if !editable || len(m.Subgraphs) == 0 || len(m.Subgraphs[0].Inputs) == 0 {
		return fmt.Errorf("set the normalization: the model has no input, or its metadata cannot be rewritten: %w", ErrUnsupported)
	}
	if root == nil {
		root = newNode(modelMetadataTable)
	}
	subs := root.tables(mmSubgraphs)
	if len(subs) == 0 {
		subs = []*node{newNode(subgraphMetadataTable)}
	}
	root.v[mmSubgraphs] = subs
	padTensors(subs[0], smInputs, len(m.Subgraphs[0].Inputs))
	options := newNode(processUnitTable.Fields[unitOptions].Union[unitNormalization])
	options.setFloat32s(0, mean)
	options.setFloat32s(1, std)
	unit := newNode(processUnitTable)
	unit.v[unitOptionsType], unit.v[unitOptions] = uint64(unitNormalization), options
	subs[0].tables(smInputs)[0].v[tmUnits] = []*node{unit}
	m.SetMetadataEntry(MetadataName, writeFlatbuffer(root, metadataIdentifier, 1<<12))
	return nil
}
