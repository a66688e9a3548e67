// Package coral edits model files for programs that train like Google's pycoral. Start with Read, which takes a model for
// weight imprinting apart. It holds no state.
package coral

import (
	"fmt"
	"strconv"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
)

func parse(file []byte) (*classifier.Imprinting, error) {
	m, err := tflite.Parse(file)
	if err != nil {
		return nil, err
	}
	return classifier.ReadImprinting(m)
}

// Read returns the classes of a model for weight imprinting, and the file of the model that computes its embeddings. An error
// wraps classifier.ErrNoHead or an error of package tflite.
func Read(file []byte) (head *classifier.Imprinting, extractor []byte, err error) {
	if head, err = parse(file); err != nil {
		return nil, nil, err
	}
	m, err := head.Extractor()
	if err != nil {
		return nil, nil, err
	}
	extractor, err = m.Encode()
	return head, extractor, err
}

// Write returns the file of a model for weight imprinting with other classes, of which the first kept are classes of the file.
func Write(file []byte, rows []float32, norms []float64, kept int) ([]byte, error) {
	head, err := parse(file)
	if err != nil {
		return nil, err
	}
	head.Rows, head.Norms = rows, norms
	head.Labels = head.Labels[:min(max(kept, 0), len(head.Labels))]
	m, err := head.Write()
	if err != nil {
		return nil, err
	}
	return m.Encode()
}

// Append returns the file of an embedding extractor with a last layer behind it that applies to raw embeddings. The weights are
// one row for each bias. Logits lie between low and high.
func Append(file []byte, weights, biases []float32, low, high float64) ([]byte, error) {
	m, err := tflite.Parse(file)
	if err != nil {
		return nil, err
	}
	if len(m.Subgraphs) == 0 || len(m.Subgraphs[0].Outputs) != 1 {
		return nil, fmt.Errorf("an embedding extractor has one output: %w", classifier.ErrShape)
	}
	head := &classifier.Head{Dim: len(weights) / max(len(biases), 1), Weights: weights, Bias: biases}
	for c := range biases {
		head.Labels = append(head.Labels, strconv.Itoa(c))
	}
	if err := head.AppendQuantized(m, m.Subgraphs[0].Outputs[0], low, high); err != nil {
		return nil, err
	}
	return m.Encode()
}
