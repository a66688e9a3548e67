package tflite

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of the zip archive behind a model.
const (
	maxArchiveFiles = 16
	maxArchiveFile  = 1 << 20 // bytes of one file, unpacked
	maxArchiveRatio = 100     // unpacked to packed
)

// Records of the zip format: APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and
// 4.3.16.
const (
	localHeader       = "PK\x03\x04"
	localHeaderSize   = 30
	centralHeader     = "PK\x01\x02"
	centralHeaderSize = 46
	centralOffset     = 42 // of the local header's offset in a central header
	endRecord         = "PK\x05\x06"
	endRecordSize     = 22
	endRecordOffset   = 16 // of the central directory's offset in the end record
)

// findEndRecord gives the position of the record that ends a zip archive, -1
// when tail does not end in one.
func findEndRecord(tail []byte) int {
	for i := len(tail) - endRecordSize; i >= 0 && i >= len(tail)-endRecordSize-1<<16; i-- {
		if string(tail[i:i+4]) == endRecord && int(binary.LittleEndian.Uint16(tail[i+20:])) == len(tail)-i-endRecordSize {
			return i
		}
	}
	return -1
}

// rebaseArchive checks the zip archive in tail and gives tail with the
// archive's offsets counting from start bytes before tail. The tools that make
// such models count from the start of the file (so do all of Coral's), others
// from the start of the archive; readers accept both, and so does this. A tail
// that holds no archive is given back as it is.
func rebaseArchive(tail []byte, start int) ([]byte, error) {
	end := findEndRecord(tail)
	if end < 0 {
		if bytes.HasPrefix(tail, []byte(localHeader)) {
			return nil, corrupt("zip archive without an end")
		}
		return tail, nil
	}
	record := tail[end:]
	files := int(binary.LittleEndian.Uint16(record[10:]))
	if binary.LittleEndian.Uint32(record[4:]) != 0 || int(binary.LittleEndian.Uint16(record[8:])) != files {
		return nil, corrupt("zip archive in several parts")
	}
	if files > maxArchiveFiles {
		return nil, fmt.Errorf("zip archive of %d files, more than %d: %w", files, maxArchiveFiles, ErrTooLarge)
	}
	directory := int64(end) - int64(binary.LittleEndian.Uint32(record[12:]))
	if directory < 0 {
		return nil, corrupt("zip directory of %d bytes", binary.LittleEndian.Uint32(record[12:]))
	}
	shift := directory - int64(binary.LittleEndian.Uint32(record[endRecordOffset:]))

	out := bytes.Clone(tail)
	binary.LittleEndian.PutUint32(out[end+endRecordOffset:], uint32(directory+int64(start)))
	names := map[string]bool{}
	var spans [][2]int64
	pos := directory
	for i := range files {
		if int64(end)-pos < centralHeaderSize || string(tail[pos:pos+4]) != centralHeader {
			return nil, corrupt("zip directory entry %d", i)
		}
		entry := tail[pos:end]
		size := centralHeaderSize + int(binary.LittleEndian.Uint16(entry[28:])) +
			int(binary.LittleEndian.Uint16(entry[30:])) + int(binary.LittleEndian.Uint16(entry[32:]))
		if size > len(entry) {
			return nil, corrupt("zip directory entry %d of %d bytes", i, size)
		}
		name, err := checkArchiveEntry(entry)
		if err != nil {
			return nil, err
		}
		if names[name] {
			return nil, corrupt("two files %q in the zip archive", name)
		}
		names[name] = true
		local := int64(binary.LittleEndian.Uint32(entry[centralOffset:])) + shift
		length, err := localLength(tail[:directory], local, name, entry)
		if err != nil {
			return nil, err
		}
		spans = append(spans, [2]int64{local, local + length})
		binary.LittleEndian.PutUint32(out[pos+centralOffset:], uint32(local+int64(start)))
		pos += int64(size)
	}
	if pos != int64(end) {
		return nil, corrupt("%d bytes behind the zip directory", int64(end)-pos)
	}
	slices.SortFunc(spans, func(a, b [2]int64) int { return int(a[0] - b[0]) })
	for i := 1; i < len(spans); i++ {
		if spans[i][0] < spans[i-1][1] {
			return nil, corrupt("files overlap in the zip archive")
		}
	}
	return out, nil
}

// checkArchiveEntry checks a central header against the limits and gives the
// file's name.
func checkArchiveEntry(entry []byte) (string, error) {
	name := string(entry[centralHeaderSize : centralHeaderSize+int(binary.LittleEndian.Uint16(entry[28:]))])
	if err := checkFileName(name); err != nil {
		return "", err
	}
	if flags := binary.LittleEndian.Uint16(entry[8:]); flags&1 != 0 {
		return "", fmt.Errorf("zip file %q is encrypted: %w", name, ErrUnsupported)
	}
	if method := binary.LittleEndian.Uint16(entry[10:]); method != 0 && method != 8 {
		return "", fmt.Errorf("zip file %q is packed by method %d: %w", name, method, ErrUnsupported)
	}
	packed, unpacked := binary.LittleEndian.Uint32(entry[20:]), binary.LittleEndian.Uint32(entry[24:])
	if unpacked > maxArchiveFile || int64(unpacked) > maxArchiveRatio*int64(packed) {
		return "", fmt.Errorf("zip file %q unpacks from %d to %d bytes: %w", name, packed, unpacked, ErrTooLarge)
	}
	return name, nil
}

// checkFileName refuses names that could leave a folder.
func checkFileName(name string) error {
	if name == "" || len(name) > 255 || !utf8.ValidString(name) || strings.ContainsAny(name, "/\\\x00") || strings.Contains(name, "..") {
		return corrupt("file name %q", name)
	}
	return nil
}

// localLength checks the local header at pos of the archive's files and gives
// its length with the packed file.
func localLength(files []byte, pos int64, name string, entry []byte) (int64, error) {
	if pos < 0 || pos > int64(len(files)-localHeaderSize) || string(files[pos:pos+4]) != localHeader {
		return 0, corrupt("zip file %q at byte %d", name, pos)
	}
	header := files[pos:]
	nameSize := int(binary.LittleEndian.Uint16(header[26:]))
	length := int64(localHeaderSize+nameSize+int(binary.LittleEndian.Uint16(header[28:]))) +
		int64(binary.LittleEndian.Uint32(entry[20:]))
	if length > int64(len(header)) {
		return 0, corrupt("zip file %q of %d bytes leaves the archive", name, length)
	}
	if string(header[localHeaderSize:localHeaderSize+nameSize]) != name {
		return 0, corrupt("zip file %q has two names", name)
	}
	return length, nil
}
