package emulator

// transferSize is the block size of the boot ROM in bytes.
const transferSize = 256

// codeMemory is the maximum size of the firmware in bytes: 32 KiB, inferred from the 129 blocks that hosts read back.
const codeMemory = 32 << 10

// The requests of USB Device Firmware Upgrade 1.1, section 3.
const (
	dfuDetach = iota
	dfuDownload
	dfuUpload
	dfuGetStatus
	dfuClearStatus
	dfuGetState
	dfuAbort
)

// The states and statuses of USB Device Firmware Upgrade 1.1, section 6.1.2, that the emulator uses.
const (
	dfuIdle         = 2
	dfuDownloadIdle = 5
	dfuUploadIdle   = 9
	dfuError        = 10

	dfuErrAddress    = 8
	dfuErrNotDone    = 9
	dfuErrStalledPkt = 15
)

// dfu is the boot ROM's firmware loader.
type dfu struct {
	image    []byte
	state    byte // 0 means dfuIdle
	status   byte
	complete bool // image is a complete download
}

// request serves a class request. in holds the data from the host, and out receives the data for the host.
func (f *dfu) request(s setup, in, out []byte) (n int, ok bool) {
	if f.state == 0 {
		f.state = dfuIdle
	}
	switch {
	case s.requestType == 0x21 && s.request == dfuDownload && f.state != dfuError:
		return 0, f.download(in)
	case s.requestType == 0xa1 && s.request == dfuUpload && f.state != dfuError:
		at := min(int64(s.value)*int64(s.length), int64(len(f.image)))
		n = copy(out, f.image[at:])
		f.state = dfuUploadIdle
		if n < len(out) {
			f.state = dfuIdle
		}
		return n, true
	case s.requestType == 0xa1 && s.request == dfuGetStatus:
		return copy(out, []byte{f.status, 0, 0, 0, f.state, 0}), true
	case s.requestType == 0xa1 && s.request == dfuGetState:
		return copy(out, []byte{f.state}), true
	case s.requestType == 0x21 && (s.request == dfuClearStatus || s.request == dfuAbort):
		f.state, f.status = dfuIdle, 0
		return 0, true
	}
	return 0, f.fail(dfuErrStalledPkt)
}

func (f *dfu) download(block []byte) bool {
	switch {
	case len(block) == 0 && f.state != dfuDownloadIdle:
		return f.fail(dfuErrNotDone)
	case len(block) == 0:
		f.complete = true
		f.state = dfuIdle
		return true
	case f.state != dfuDownloadIdle: // the first block
		f.image, f.complete = f.image[:0], false
	}
	if len(f.image)+len(block) > codeMemory {
		return f.fail(dfuErrAddress)
	}
	f.image = append(f.image, block...)
	f.state = dfuDownloadIdle
	return true
}

func (f *dfu) fail(status byte) bool {
	f.state, f.status = dfuError, status
	return false
}
