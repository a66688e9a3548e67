package evaluate

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// setScale is the quantization scale of stored embeddings, which come from Coral's embedding
// extractor.
const setScale = 0.0235284772

// ReadSet reads stored embeddings from a folder. labels.json lists the classes and the class of
// each photo, and episodes.json lists the support ("shots") and query ("test") rows of each
// episode. emb.u8, or emb.crop.u8 if mode is dataset.Crop, contains a row of uint8 values with zero
// point 0 for each photo. ReadSet fails with ErrProtocol if the files contradict each other.
func ReadSet(dir string, mode dataset.Resize) (*Set, error) {
	name := "emb.u8"
	if mode == dataset.Crop {
		name = "emb.crop.u8"
	}
	s := &Set{Name: filepath.Base(filepath.Clean(dir))}
	var labels struct {
		Classes []string
		Labels  []int
	}
	var episodes struct {
		Shots [][][]int
		Test  [][]int
	}
	if err := readJSON(filepath.Join(dir, "labels.json"), &labels); err != nil {
		return nil, err
	}
	if err := readJSON(filepath.Join(dir, "episodes.json"), &episodes); err != nil {
		return nil, err
	}
	s.Classes, s.Labels, s.Support, s.Query = labels.Classes, labels.Labels, episodes.Shots, episodes.Test
	path := filepath.Join(dir, name)
	b, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read embeddings: %w", err)
	}
	if len(s.Labels) == 0 || len(b) == 0 || len(b)%len(s.Labels) != 0 {
		return nil, fmt.Errorf("read embeddings: %s: %w: %d bytes for %d photos", path, ErrProtocol, len(b), len(s.Labels))
	}
	dim := len(b) / len(s.Labels)
	for i := range s.Labels {
		x := make([]float64, dim)
		for j, q := range b[i*dim : (i+1)*dim] {
			x[j] = float64(q)
		}
		s.Norms = append(s.Norms, setScale*classifier.Normalize(x))
		s.Units = append(s.Units, x)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("read embeddings in %s: %w", dir, err)
	}
	return s, nil
}

func readJSON(path string, v any) error {
	b, err := readFile(path)
	if err != nil {
		return fmt.Errorf("read embeddings: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read embeddings: %s: %w: %w", path, ErrProtocol, err)
	}
	return nil
}

// maxFile is the largest size of a file of stored embeddings, in bytes.
const maxFile = 1 << 30

func readFile(path string) ([]byte, error) { return store.ReadFile(path, maxFile) }
