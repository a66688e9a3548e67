package tpu

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// The firmware for one bulk-out endpoint, driver/usb/apex_latest_single_ep.bin of libedgetpu. It is Google's and not
// part of this program; every prebuilt libedgetpu holds it as it is.
const (
	FirmwareSize   = 10783
	FirmwareSHA256 = "3b07311b174b81fd14fd2c887f40d646c0ebf2f140cc5ee5cf8befa0f3e3dc7f"
	// FirmwareName is the name of the file, in libedgetpu and where it was downloaded to.
	FirmwareName = "apex_latest_single_ep.bin"
)

// firmwareStart is how the firmware begins, to search a library for it.
var firmwareStart = []byte{0x02, 0x1e, 0x57, 0x02, 0x14, 0xfa, 0xc2, 0x2f, 0xc2, 0x31, 0xc2, 0x23, 0x22, 0x12, 0x24, 0x68}

// maxLibrary bounds the file that is searched; libedgetpu has one megabyte.
const maxLibrary = 64 << 20

// FirmwarePaths are the places of this system where the firmware is looked for: where package models of backbone puts
// what it downloads, and where a libedgetpu is installed.
func FirmwarePaths() []string {
	var list []string
	if cache, err := os.UserCacheDir(); err == nil {
		list = append(list, filepath.Join(cache, "imprint", "models", FirmwareName))
	}
	switch runtime.GOOS {
	case "windows":
		return append(list, filepath.Join(os.Getenv("SystemRoot"), "System32", "edgetpu.dll"))
	case "darwin":
		return append(list, "/usr/local/lib/libedgetpu.1.0.dylib", "/opt/homebrew/lib/libedgetpu.1.0.dylib")
	}
	for _, pattern := range []string{"/usr/lib/*-linux-*/", "/usr/lib/", "/usr/lib64/", "/usr/local/lib/", "/usr/local/lib64/"} {
		found, _ := filepath.Glob(pattern + "libedgetpu.so.1") // the pattern is sound, and nothing found is no error
		list = append(list, found...)
	}
	return list
}

// FindFirmware returns the firmware from the first of the given files that holds it, itself or in a library, and says
// which one it was. Files that do not exist are passed over. ErrFirmware when none has it.
func FindFirmware(paths ...string) (firmware []byte, path string, err error) {
	var tried []error
	for _, path := range paths {
		firmware, err := ReadFirmware(path)
		if err == nil {
			return firmware, path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			tried = append(tried, err)
		}
	}
	if len(tried) > 0 {
		return nil, "", errors.Join(tried...)
	}
	return nil, "", fmt.Errorf("%w: no libedgetpu is installed, and none was downloaded", ErrFirmware)
}

// ReadFirmware returns the firmware that a file is or, as a libedgetpu, holds. It is known by its SHA-256, so that
// nothing else is ever sent to a device.
func ReadFirmware(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFirmware, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxLibrary))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFirmware, err)
	}
	firmware := extractFirmware(data)
	if firmware == nil {
		return nil, fmt.Errorf("%w: %s neither is nor holds %s", ErrFirmware, path, FirmwareName)
	}
	return firmware, nil
}

// extractFirmware finds the firmware in data; nil when it is not there.
func extractFirmware(data []byte) []byte {
	for {
		at := bytes.Index(data, firmwareStart)
		if at < 0 || len(data)-at < FirmwareSize {
			return nil
		}
		candidate := data[at : at+FirmwareSize]
		if sum := sha256.Sum256(candidate); hex.EncodeToString(sum[:]) == FirmwareSHA256 {
			return bytes.Clone(candidate)
		}
		data = data[at+1:]
	}
}
