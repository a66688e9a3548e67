// Package embeddings keeps the embeddings of many photos in files. Start with [Create], which writes the
// list of photos in chunks; each chunk is then embedded and written with [Job.WriteShard], and
// [Job.Merge] makes a sorted [Set] of all shards. [Open] opens a finished set.
//
// Every file is written under a temporary name and then renamed, and its content depends only on the
// photos. So a chunk can be embedded again, by any process, without counting twice.
package embeddings

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/bulk"
)

// ChunkSize is the usual number of photos in a chunk.
const ChunkSize = 2000

// ErrOther means that a folder belongs to other photos or another backbone.
var ErrOther = errors.New("the folder has the embeddings of other photos or of another backbone")

// A Photo is one photo of the list. If Tar is set, Path is the name in the tar file, and the photo is
// the Size bytes from Offset on.
type Photo struct {
	Path   string `json:"path"`
	Class  int    `json:"class"` // index in Job.Classes
	Tar    string `json:"tar,omitempty"`
	Offset int64  `json:"offset,omitempty"`
	Size   int64  `json:"size,omitempty"`
}

// Name returns the path of the photo for people.
func (p *Photo) Name() string {
	if p.Tar != "" {
		return p.Tar + "/" + p.Path
	}
	return p.Path
}

// A Job says which photos are embedded, and how. Its JSON is in job.json.
type Job struct {
	Dir       string         `json:"-"`
	Backbone  string         `json:"backbone"`            // as in bulk.Options
	SHA256    string         `json:"sha256"`              // of the backbone's file, in hexadecimal
	Embedding string         `json:"embedding,omitempty"` // as in bulk.Options
	Resize    dataset.Resize `json:"resize"`
	Size      int            `json:"size"` // of a raw embedding, in bytes
	Classes   []string       `json:"classes"`
	Photos    int            `json:"photos"`
	Chunks    int            `json:"chunks"`
	ChunkSize int            `json:"chunk_size"` // number of photos in a chunk; the last has fewer
}

const (
	jobFile  = "job.json"
	partsDir = "parts"
)

// Create writes job.json and the list of photos, which are in the order of a list given to imprint add,
// into dir, in chunks of chunkSize photos. If dir already has the same job, perhaps with some of its shards, Create keeps them. An
// error wraps [ErrOther] or imprint.ErrLabel.
func Create(dir string, e *bulk.Engine, o bulk.Options, items []Photo, labels []string, chunkSize int) (*Job, error) {
	if len(items) == 0 {
		return nil, errors.New("there are no photos to embed")
	}
	spelling, err := bulk.ResolveLabels(labels)
	if err != nil {
		return nil, err
	}
	j := &Job{
		Dir: dir, Backbone: o.Backbone, SHA256: fmt.Sprintf("%x", e.Backbone().SHA256), Embedding: o.Embedding, Resize: e.Resize(),
		Size: e.Backbone().EmbeddingSize(), Photos: len(items), Chunks: (len(items) + chunkSize - 1) / chunkSize, ChunkSize: chunkSize,
	}
	for _, l := range spelling {
		if !slices.Contains(j.Classes, l) {
			j.Classes = append(j.Classes, l)
		}
	}
	slices.Sort(j.Classes)
	classOf := make(map[string]int)
	for _, l := range labels {
		if _, ok := classOf[l]; !ok {
			classOf[l], _ = slices.BinarySearch(j.Classes, spelling[l])
		}
	}
	for i := range items {
		items[i].Class = classOf[labels[i]]
	}
	content, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return nil, err
	}
	old, err := os.ReadFile(j.path(jobFile))
	switch {
	case err == nil && string(old) != string(content):
		return nil, fmt.Errorf("embed into %s: %w", dir, ErrOther)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if err := os.MkdirAll(j.path(partsDir), 0o777); err != nil {
		return nil, err
	}
	for c := range j.Chunks {
		chunk := items[c*chunkSize : min((c+1)*chunkSize, len(items))]
		list, err := json.Marshal(chunk)
		if err != nil {
			return nil, err
		}
		name := j.part(c, "list.json")
		if was, err := os.ReadFile(name); err == nil && string(was) != string(list) {
			return nil, fmt.Errorf("embed into %s: %w", dir, ErrOther)
		}
		if err := WriteFile(name, list); err != nil {
			return nil, err
		}
	}
	return j, WriteFile(j.path(jobFile), content)
}

// OpenJob reads the job in dir.
func OpenJob(dir string) (*Job, error) {
	b, err := os.ReadFile(filepath.Join(dir, jobFile))
	if err != nil {
		return nil, err
	}
	j := &Job{Dir: dir}
	if err := json.Unmarshal(b, j); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, jobFile), err)
	}
	return j, nil
}

// Options returns the options that open the job's backbone.
func (j *Job) Options(threads int) bulk.Options {
	return bulk.Options{Backbone: j.Backbone, Embedding: j.Embedding, Resize: j.Resize, Threads: threads}
}

// List returns the photos of a chunk.
func (j *Job) List(chunk int) ([]Photo, error) {
	b, err := os.ReadFile(j.part(chunk, "list.json"))
	if err != nil {
		return nil, err
	}
	var photos []Photo
	if err := json.Unmarshal(b, &photos); err != nil {
		return nil, fmt.Errorf("read the list of chunk %d: %w", chunk, err)
	}
	return photos, nil
}

// Done returns the number of chunks that have a shard.
func (j *Job) Done() (n int) {
	for c := range j.Chunks {
		if _, err := os.Stat(j.part(c, "parquet")); err == nil {
			n++
		}
	}
	return n
}

func (j *Job) path(name string) string { return filepath.Join(j.Dir, name) }

// part returns the path of a file of a chunk.
func (j *Job) part(chunk int, suffix string) string {
	return filepath.Join(j.Dir, partsDir, fmt.Sprintf("%06d.%s", chunk, suffix))
}

// WriteFile writes a file under a temporary name and renames it to path.
func WriteFile(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return finish(f, path, err)
}

// finish closes a temporary file and renames it to path, or removes it if err is not nil.
func finish(f *os.File, path string, err error) error {
	if err == nil {
		err = f.Chmod(0o666 &^ 0o022)
	}
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
