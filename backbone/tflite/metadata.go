package tflite

import (
	"fmt"

	"github.com/imprintkit/imprint/backbone/tflite/flatbuf"
)

// MetadataName is the name of the metadata entry that describes a model to people and
// tools.
const MetadataName = "TFLITE_METADATA"

// A Description holds the description of a model in its metadata. Fields that the
// metadata lacks are empty.
type Description struct {
	Name, Description, Version, Author, License string

	Inputs, Outputs []TensorDescription // of the main graph
	Files           []string            // associated with the model and its main graph
}

// A TensorDescription holds the description of an input or output in a model's metadata.
type TensorDescription struct {
	Name, Description string
	// Mean and Std normalize an input with values x in 0…255 to (x − mean)/std. They
	// have one entry for each channel, or one for all.
	Mean, Std []float32
	Files     []string // names of associated files
}

// readMetadata returns the root table of the model's metadata, or nil if there is none.
// If editable is set, it returns an error if the table could not be written.
func (m *Model) readMetadata(editable bool) (*node, error) {
	b, ok := m.MetadataEntry(MetadataName)
	if !ok {
		return nil, nil
	}
	_, unknown, err := verifyFlatbuffer(b, metadataIdentifier, modelMetadataTable)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", MetadataName, err)
	}
	if editable && unknown != "" {
		return nil, fmt.Errorf("edit %s with unknown field %s: %w", MetadataName, unknown, ErrUnsupported)
	}
	return readNode(flatbuf.Root(b, modelMetadataTable)), nil
}

// Describe returns the description in the model's metadata, or the zero Description if
// there is none.
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

// fileNames returns the names in a list of associated files.
func fileNames(list []*node) []string {
	var names []string
	for _, f := range list {
		names = append(names, f.text(afName))
	}
	return names
}
