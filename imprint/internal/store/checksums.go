package store

import (
	"crypto/sha256"
	"hash/crc32"
	"io"
)

// checksums describe an undamaged state file.
type checksums struct {
	sum Digest // the SHA-256 that the file ends with
	crc uint32 // the CRC-32C of the whole file, which takes much less time to compute
}

// castagnoli returns the table of CRC-32C, for which most processors have instructions.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// checked reports whether the SHA-256 of a state file is right. It does not load the file into memory.
func checked(path string) bool {
	h := sha256.New()
	c, ok := readSums(path, h)
	return ok && Digest(h.Sum(nil)) == c.sum
}

// crcOf returns the CRC-32C of a state file, or 0 if it can't be read.
func crcOf(path string) uint32 {
	c, _ := readSums(path, io.Discard)
	return c.crc
}

// match reports whether a state file still is the undamaged file that c was taken from.
func (c checksums) match(path string) bool {
	got, ok := readSums(path, io.Discard)
	return ok && got == c
}

// readSums returns the checksums that a state file has and ends with. It writes everything before the
// SHA-256 to w.
func readSums(path string, w io.Writer) (c checksums, ok bool) {
	f, err := openRegular(path)
	if err != nil {
		return c, false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() > MaxState || info.Size() < sha256.Size {
		return c, false
	}
	crc := crc32.New(castagnoli())
	if _, err := io.CopyN(io.MultiWriter(w, crc), f, info.Size()-sha256.Size); err != nil {
		return c, false
	}
	var sum Digest
	if _, err = io.ReadFull(io.TeeReader(f, crc), sum[:]); err != nil {
		return c, false
	}
	return checksums{sum, crc.Sum32()}, true
}
