package tflite

import (
	"archive/zip"
	"bytes"
	"fmt"
	"hash/crc32"
	"slices"
)

// An AssociatedFile is a file in the zip archive that follows a model, such as its
// labels.
type AssociatedFile struct {
	Name    string
	Content []byte
}

// AssociatedFiles unpacks the associated files, in the order of the archive. There are at
// most 16, of at most 1 MiB each.
func (m *Model) AssociatedFiles() ([]AssociatedFile, error) {
	archive, _, err := m.openArchive()
	if err != nil {
		return nil, err
	}
	var files []AssociatedFile
	for _, f := range archive.File {
		content, err := unpack(f)
		if err != nil {
			return nil, fmt.Errorf("read associated file %q: %w", f.Name, err)
		}
		files = append(files, AssociatedFile{f.Name, content})
	}
	return files, nil
}

// openArchive returns a reader of the archive in the tail, and the bytes before the
// archive. The reader has no files if there is no archive.
func (m *Model) openArchive() (*zip.Reader, []byte, error) {
	layout, err := scanArchive(m.Tail)
	if err != nil {
		return nil, nil, fmt.Errorf("read associated files: %w", err)
	}
	if layout == nil {
		return &zip.Reader{}, m.Tail, nil
	}
	archive, err := zip.NewReader(bytes.NewReader(m.Tail), int64(len(m.Tail)))
	if err != nil {
		return nil, nil, fmt.Errorf("read associated files: %v: %w", err, ErrCorrupt)
	}
	return archive, m.Tail[:layout.start], nil
}

// unpack returns the content of f.
func unpack(f *zip.File) ([]byte, error) { return unzip(f, maxArchiveFile) }

// SetAssociatedFile stores an associated file. It replaces a file of the same name, or
// else becomes the last file. The other files keep their packed bytes. The error wraps
// ErrCorrupt if name is not a plain file name, and ErrTooLarge if content exceeds 1 MiB
// or there are already 16 files.
func (m *Model) SetAssociatedFile(name string, content []byte) error {
	if err := checkFileName(name); err != nil {
		return fmt.Errorf("store associated file: %w", err)
	}
	if len(content) > maxArchiveFile {
		return fmt.Errorf("store associated file %q: %d bytes, more than %d: %w", name, len(content), maxArchiveFile, ErrTooLarge)
	}
	return m.rewriteArchive(&AssociatedFile{name, content}, nil)
}

// RemoveAssociatedFile removes an associated file, if there is one of that name.
func (m *Model) RemoveAssociatedFile(name string) error {
	return m.rewriteArchive(nil, []string{name})
}

// rewriteArchive writes the archive again. It stores file, unless it is nil, and removes
// the files named in without.
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
			return fmt.Errorf("write associated files: %w", err)
		}
		files++
	}
	if file != nil {
		if err := storeFile(w, file); err != nil {
			return fmt.Errorf("write associated files: %w", err)
		}
		files++
	}
	if files > maxArchiveFiles {
		return fmt.Errorf("write associated files: %d files, more than %d: %w", files, maxArchiveFiles, ErrTooLarge)
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
		return fmt.Errorf("write associated files: %w", err)
	}
	tail := out.Bytes()
	if _, err := rebaseArchive(tail, 0); err != nil {
		return fmt.Errorf("write associated files: %w", err)
	}
	m.Tail = tail
	return nil
}

// storeFile appends a file without compression. The date is 1980-01-01, so that the same
// content gives the same archive. The size precedes the content, as streaming readers
// require.
func storeFile(w *zip.Writer, file *AssociatedFile) error {
	const firstDay = 1<<5 | 1
	body, err := w.CreateRaw(&zip.FileHeader{
		Name:   file.Name,
		Method: zip.Store,
		//lint:ignore SA1019 CreateRaw takes the date from this field only
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
