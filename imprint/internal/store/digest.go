package store

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// A Digest is a SHA-256, written in hexadecimal as text. The zero Digest means that there is no
// content.
type Digest [sha256.Size]byte

// Sum returns the digest of b, or the zero Digest if b is nil.
func Sum(b []byte) Digest {
	if b == nil {
		return Digest{}
	}
	return sha256.Sum256(b)
}

// SumFile returns the digest of a regular file without loading it into memory.
func SumFile(path string) (Digest, error) {
	f, err := openRegular(path)
	if err != nil {
		return Digest{}, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return Digest(h.Sum(nil)), err
}

// SumFile returns the digest and the size of a file of the workspace.
func (s Store) SumFile(name string) (Digest, int64, error) {
	f, sum, size, err := s.OpenSummed(name)
	if err == nil {
		f.Close()
	}
	return sum, size, err
}

// OpenSummed opens a file of the workspace, and returns the digest and the size of its content.
func (s Store) OpenSummed(name string) (f *os.File, sum Digest, size int64, err error) {
	if f, err = openRegular(s.Path(name)); err != nil {
		return nil, Digest{}, 0, err
	}
	h := sha256.New()
	size, err = io.Copy(h, f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, Digest{}, 0, err
	}
	return f, Digest(h.Sum(nil)), size, nil
}

// String returns the digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText implements encoding.TextMarshaler.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Digest) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(d) {
		return fmt.Errorf("a SHA-256 has %d hexadecimal digits, not %d", hex.EncodedLen(len(d)), len(b))
	}
	_, err := hex.Decode(d[:], b)
	return err
}
