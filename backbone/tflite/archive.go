package tflite

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of the zip archive that follows a model.
const (
	maxArchiveFiles = 16
	maxArchiveFile  = 1 << 20 // bytes of one unpacked file
	maxArchiveRatio = 100     // maximum ratio of unpacked to packed size
)

// Records of the zip format. Source: APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and
// 4.3.16.
const (
	localHeader       = "PK\x03\x04"
	localHeaderSize   = 30
	centralHeader     = "PK\x01\x02"
	centralHeaderSize = 46
	centralOffset     = 42 // position in a central header of the local header's offset
	endRecord         = "PK\x05\x06"
	endRecordSize     = 22
	endRecordOffset   = 16 // position in the end record of the central directory's offset
)

// findEndRecord returns the position in tail of the record that ends a zip archive, or −1
// if tail does not end in an archive.
func findEndRecord(tail []byte) int {
	for i := len(tail) - endRecordSize; i >= 0 && i >= len(tail)-endRecordSize-1<<16; i-- {
		if string(tail[i:i+4]) == endRecord && int(binary.LittleEndian.Uint16(tail[i+20:])) == len(tail)-i-endRecordSize {
			return i
		}
	}
	return -1
}

// An archive is the layout of a zip archive in a tail.
type archive struct {
	start     int64 // position of the first file, or of the directory if there are no files
	directory int64
	end       int64 // position of the directory's end, where the end record starts
	files     []archiveFile
}

type archiveFile struct {
	entry int64 // position of its entry in the directory
	local int64 // position of its local header
	size  int64 // bytes in its local header and packed content
}

// scanArchive checks the zip archive in tail and returns its layout, or nil if there is
// none. Offsets may count from the start of the model file, as in all of Coral's models,
// or from the start of the archive. The end record tells which.
func scanArchive(tail []byte) (*archive, error) {
	end := findEndRecord(tail)
	if end < 0 {
		if bytes.HasPrefix(tail, []byte(localHeader)) {
			return nil, corrupt("zip archive has no end record")
		}
		return nil, nil
	}
	record := tail[end:]
	count := int(binary.LittleEndian.Uint16(record[10:]))
	if binary.LittleEndian.Uint32(record[4:]) != 0 || int(binary.LittleEndian.Uint16(record[8:])) != count {
		return nil, corrupt("zip archive is split into parts")
	}
	if count > maxArchiveFiles {
		return nil, fmt.Errorf("zip archive has %d files, more than %d: %w", count, maxArchiveFiles, ErrTooLarge)
	}
	a := &archive{end: int64(end)}
	a.directory = a.end - int64(binary.LittleEndian.Uint32(record[12:]))
	if a.directory < 0 {
		return nil, corrupt("zip directory of %d bytes is larger than the archive", a.end-a.directory)
	}
	shift := a.directory - int64(binary.LittleEndian.Uint32(record[endRecordOffset:]))

	names := map[string]bool{}
	pos := a.directory
	for i := range count {
		if a.end-pos < centralHeaderSize || string(tail[pos:pos+4]) != centralHeader {
			return nil, corrupt("zip directory entry %d has no header", i)
		}
		entry := tail[pos:a.end]
		size := centralHeaderSize + int(binary.LittleEndian.Uint16(entry[28:])) +
			int(binary.LittleEndian.Uint16(entry[30:])) + int(binary.LittleEndian.Uint16(entry[32:]))
		if size > len(entry) {
			return nil, corrupt("zip directory entry %d has %d bytes, more than are left", i, size)
		}
		name, err := checkArchiveEntry(entry)
		if err != nil {
			return nil, err
		}
		if names[name] {
			return nil, corrupt("zip archive has two files named %q", name)
		}
		names[name] = true
		f := archiveFile{entry: pos, local: int64(binary.LittleEndian.Uint32(entry[centralOffset:])) + shift}
		if f.size, err = localSize(tail[:a.directory], f.local, name, entry); err != nil {
			return nil, err
		}
		a.files = append(a.files, f)
		pos += int64(size)
	}
	if pos != a.end {
		return nil, corrupt("%d bytes follow the zip directory", a.end-pos)
	}
	a.start = a.directory
	byPlace := slices.SortedFunc(slices.Values(a.files), func(f, g archiveFile) int { return cmp.Compare(f.local, g.local) })
	for i, f := range byPlace {
		a.start = min(a.start, f.local)
		if i > 0 && f.local < byPlace[i-1].local+byPlace[i-1].size {
			return nil, corrupt("files in the zip archive overlap")
		}
	}
	if a.start > 0 && bytes.HasPrefix(tail, []byte(localHeader)) {
		return nil, corrupt("zip directory does not list the first file")
	}
	return a, nil
}

// rebaseArchive checks tail and returns a copy in which the offsets of its zip archive
// count from base bytes before tail. A tail without an archive is returned unchanged.
func rebaseArchive(tail []byte, base int) ([]byte, error) {
	a, err := scanArchive(tail)
	if a == nil {
		return tail, err
	}
	out := bytes.Clone(tail)
	binary.LittleEndian.PutUint32(out[a.end+endRecordOffset:], uint32(a.directory+int64(base)))
	for _, f := range a.files {
		binary.LittleEndian.PutUint32(out[f.entry+centralOffset:], uint32(f.local+int64(base)))
	}
	return out, nil
}

// checkArchiveEntry checks a central header and returns the file's name.
func checkArchiveEntry(entry []byte) (string, error) {
	name := string(entry[centralHeaderSize : centralHeaderSize+int(binary.LittleEndian.Uint16(entry[28:]))])
	if err := checkFileName(name); err != nil {
		return "", err
	}
	if flags := binary.LittleEndian.Uint16(entry[8:]); flags&1 != 0 {
		return "", fmt.Errorf("zip file %q is encrypted: %w", name, ErrUnsupported)
	}
	if method := binary.LittleEndian.Uint16(entry[10:]); method != 0 && method != 8 {
		return "", fmt.Errorf("zip file %q is packed with method %d: %w", name, method, ErrUnsupported)
	}
	packed, unpacked := binary.LittleEndian.Uint32(entry[20:]), binary.LittleEndian.Uint32(entry[24:])
	if unpacked > maxArchiveFile || int64(unpacked) > maxArchiveRatio*int64(packed) {
		return "", fmt.Errorf("zip file %q unpacks from %d to %d bytes: %w", name, packed, unpacked, ErrTooLarge)
	}
	return name, nil
}

// checkFileName returns an error for names that could lead out of a folder.
func checkFileName(name string) error {
	if name == "" || len(name) > 255 || !utf8.ValidString(name) || strings.ContainsAny(name, "/\\\x00") || strings.Contains(name, "..") {
		return corrupt("invalid file name %q", name)
	}
	return nil
}

// localSize checks the local header at pos and returns the size of the header and the
// packed file.
func localSize(files []byte, pos int64, name string, entry []byte) (int64, error) {
	if pos < 0 || pos > int64(len(files)-localHeaderSize) || string(files[pos:pos+4]) != localHeader {
		return 0, corrupt("zip file %q has no header at byte %d", name, pos)
	}
	header := files[pos:]
	nameSize := int(binary.LittleEndian.Uint16(header[26:]))
	length := int64(localHeaderSize+nameSize+int(binary.LittleEndian.Uint16(header[28:]))) +
		int64(binary.LittleEndian.Uint32(entry[20:]))
	if length > int64(len(header)) {
		return 0, corrupt("zip file %q of %d bytes extends beyond the archive", name, length)
	}
	if string(header[localHeaderSize:localHeaderSize+nameSize]) != name {
		return 0, corrupt("zip file %q has another name in its header", name)
	}
	return length, nil
}
