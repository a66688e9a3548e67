package tflite

import (
	"archive/zip"
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// An AssociatedFile is one file of the zip archive behind a model, for
// instance its labels.
type AssociatedFile struct {
	Name    string
	Content []byte
}

// AssociatedFiles unpacks the files behind the model, in the archive's order.
// There are at most 16, of at most 1 MiB each.
func (m *Model) AssociatedFiles() ([]AssociatedFile, error) {
	archive, _, err := m.openArchive()
	if err != nil {
		return nil, err
	}
	var files []AssociatedFile
	for _, f := range archive.File {
		content, err := unpack(f)
		if err != nil {
			return nil, fmt.Errorf("reading the associated file %q: %w", f.Name, err)
		}
		files = append(files, AssociatedFile{f.Name, content})
	}
	return files, nil
}

// openArchive gives the archive in the tail, an empty one when there is none,
// and what stands before it.
func (m *Model) openArchive() (*zip.Reader, []byte, error) {
	layout, err := scanArchive(m.Tail)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the associated files: %w", err)
	}
	if layout == nil {
		return &zip.Reader{}, m.Tail, nil
	}
	archive, err := zip.NewReader(bytes.NewReader(m.Tail), int64(len(m.Tail)))
	if err != nil {
		return nil, nil, fmt.Errorf("reading the associated files: %v: %w", err, ErrCorrupt)
	}
	return archive, m.Tail[:layout.start], nil
}

func unpack(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%v: %w", err, ErrCorrupt)
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, maxArchiveFile+1))
	if err != nil {
		return nil, fmt.Errorf("%v: %w", err, ErrCorrupt)
	}
	if len(content) > maxArchiveFile {
		return nil, fmt.Errorf("more than %d bytes: %w", maxArchiveFile, ErrTooLarge)
	}
	return content, nil
}

// SetAssociatedFile stores a file in the archive behind the model, in place of
// one of the same name or at the end. The other files keep their bytes.
func (m *Model) SetAssociatedFile(name string, content []byte) error {
	if err := checkFileName(name); err != nil {
		return fmt.Errorf("storing an associated file: %w", err)
	}
	if len(content) > maxArchiveFile {
		return fmt.Errorf("storing the associated file %q of %d bytes, more than %d: %w", name, len(content), maxArchiveFile, ErrTooLarge)
	}
	return m.rewriteArchive(&AssociatedFile{name, content}, nil)
}

// RemoveAssociatedFile drops a file from the archive behind the model, if it
// is there.
func (m *Model) RemoveAssociatedFile(name string) error {
	return m.rewriteArchive(nil, []string{name})
}

// rewriteArchive writes the archive again with one file stored, unless it is
// nil, and others left out.
func (m *Model) rewriteArchive(file *AssociatedFile, without []string) error {
	archive, prefix, err := m.openArchive()
	if err != nil {
		return err
	}
	out := bytes.NewBuffer(bytes.Clone(prefix))
	w := zip.NewWriter(out)
	w.SetOffset(int64(len(prefix)))
	files := 0
	for _, f := range archive.File {
		switch {
		case slices.Contains(without, f.Name):
			continue
		case file != nil && file.Name == f.Name:
			err = storeFile(w, file)
			file = nil
		default:
			err = w.Copy(f)
		}
		if err != nil {
			return fmt.Errorf("rewriting the associated files: %w", err)
		}
		files++
	}
	if file != nil {
		if err := storeFile(w, file); err != nil {
			return fmt.Errorf("rewriting the associated files: %w", err)
		}
		files++
	}
	if files > maxArchiveFiles {
		return fmt.Errorf("storing associated file number %d, more than %d: %w", files, maxArchiveFiles, ErrTooLarge)
	}
	if files == 0 {
		m.Tail = nil
		if len(prefix) > 0 {
			m.Tail = bytes.Clone(prefix)
		}
		return nil
	}
	if err = w.SetComment(archive.Comment); err == nil {
		err = w.Close()
	}
	if err != nil {
		return fmt.Errorf("rewriting the associated files: %w", err)
	}
	tail := out.Bytes()
	if _, err := rebaseArchive(tail, 0); err != nil {
		return fmt.Errorf("rewriting the associated files: %w", err)
	}
	m.Tail = tail
	return nil
}

// storeFile appends a file as it is, dated 1980-01-01 so that the same content
// gives the same archive, and with its size in front of it, which readers of
// streams need.
func storeFile(w *zip.Writer, file *AssociatedFile) error {
	const firstDay = 1<<5 | 1
	body, err := w.CreateRaw(&zip.FileHeader{
		Name:   file.Name,
		Method: zip.Store,
		//lint:ignore SA1019 CreateRaw takes the date from this field alone
		ModifiedDate:       firstDay,
		CRC32:              crc32.ChecksumIEEE(file.Content),
		CompressedSize64:   uint64(len(file.Content)),
		UncompressedSize64: uint64(len(file.Content)),
	})
	if err != nil {
		return err
	}
	_, err = body.Write(file.Content)
	return err
}
