package store

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
)

// SumsFile holds what training computed from the photos of a state, so that the next process does not
// have to compute it again. The file consists of: sumsMagic; the checksum of the state file; the
// content; the SHA-256 of everything before it. Without the file, training only takes longer.
const (
	sumsMagic = "IMPRSUM1"
	maxSums   = 1 << 26
)

// ReadSums returns the content that WriteSums has written for the state file with that checksum, or
// nil if the file is missing, damaged, or belongs to another state.
func (s Store) ReadSums(state Digest) []byte {
	b, err := ReadFile(s.Path(SumsFile), maxSums)
	end := len(b) - sha256.Size
	head := append([]byte(sumsMagic), state[:]...)
	if err != nil || end < len(head) || !bytes.HasPrefix(b, head) || sha256.Sum256(b[:end]) != [sha256.Size]byte(b[end:]) {
		return nil
	}
	return b[len(head):end]
}

// WriteSums writes SumsFile. It does not sync it, because ReadSums notices damage.
func (s Store) WriteSums(state Digest, content []byte) error {
	h := sha256.New()
	f, err := os.CreateTemp(s.Dir, temporaryPrefix(SumsFile)+"*"+TemporarySuffix)
	if err != nil {
		return err
	}
	for _, part := range [][]byte{[]byte(sumsMagic), state[:], content} {
		h.Write(part)
		if err == nil {
			_, err = f.Write(part)
		}
	}
	if err == nil {
		_, err = f.Write(h.Sum(nil))
	}
	if e := f.Chmod(0o644); err == nil && !unsupported(e) {
		err = e
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(s.Dir, SumsFile))
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
