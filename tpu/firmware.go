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
	"slices"
)

// The firmware for one bulk-out endpoint, driver/usb/apex_latest_single_ep.bin of libedgetpu. It belongs to Google and
// is not part of this program. Every prebuilt libedgetpu contains it unchanged.
const (
	FirmwareSize   = 10783 // bytes
	FirmwareSHA256 = "3b07311b174b81fd14fd2c887f40d646c0ebf2f140cc5ee5cf8befa0f3e3dc7f"
	FirmwareName   = "apex_latest_single_ep.bin" // name of the file in libedgetpu and of the download
)

// firmwareStart is the beginning of the firmware. extractFirmware searches libraries for these bytes.
var firmwareStart = []byte{0x02, 0x1e, 0x57, 0x02, 0x14, 0xfa, 0xc2, 0x2f, 0xc2, 0x31, 0xc2, 0x23, 0x22, 0x12, 0x24, 0x68}

// maxLibrary limits how many bytes of a file are searched. libedgetpu is about 1 MB.
const maxLibrary = 64 << 20

// FirmwarePaths returns the files in which to look for the firmware: first the file that package backbone/models
// downloads, then installed libedgetpu libraries.
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
		// libedgetpu.so.1 and .so.1.0 of Google's packages, libedgetpu.so of a build from source, libedgetpu1-max.so of Arch.
		found, _ := filepath.Glob(pattern + "libedgetpu*.so*") // the pattern is valid
		slices.Sort(found)
		list = append(list, found...)
	}
	return list
}

// FindFirmware returns the firmware from the first of the given files that has it, and the path of this file. It skips
// files that do not exist. If no file has the firmware, the error wraps ErrFirmware.
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
	return nil, "", fmt.Errorf("%w: it was not downloaded, and no libedgetpu is installed", ErrFirmware)
}

// ReadFirmware returns the firmware from its own file, or from a file that contains it, such as libedgetpu. It compares
// the SHA-256 with FirmwareSHA256, so that no other bytes are ever sent to a device. Errors wrap ErrFirmware.
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
		return nil, fmt.Errorf("%w: %s does not contain %s", ErrFirmware, path, FirmwareName)
	}
	return firmware, nil
}

// extractFirmware returns the firmware in data, or nil if data does not contain it.
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
