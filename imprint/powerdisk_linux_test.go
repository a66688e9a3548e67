package imprint

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A powerDisk is a disk in memory under the device mapper target flakey, which drops all writes
// while the power is cut.
type powerDisk struct {
	*testing.T
	loop, device, at string
	kernel, options  string
	fsck             []string
}

// powerSectors is the size of a disk in sectors of 512 bytes. btrfs needs more than 109 MiB.
const powerSectors = 128 << 11

func newPowerDisk(t *testing.T, kernel, options string, fsck []string) *powerDisk {
	t.Helper()
	d := &powerDisk{T: t, loop: "/dev/loop3", at: filepath.Join(t.TempDir(), "disk"), kernel: kernel, options: options, fsck: fsck}
	image := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(powerSectors*512), f.Close(), os.Mkdir(d.at, 0o755))
	}
	if err != nil {
		t.Fatal(err)
	}
	d.do("losetup", d.loop, image)
	t.Cleanup(func() { d.do("losetup", "-d", d.loop) })
	created := d.dm(dmCreate, 0, nil)
	d.device = fmt.Sprint("/dev/dm-", unix.Minor(created.dev))
	d.power(true)
	t.Cleanup(func() {
		unix.Unmount(d.at, 0)
		d.dm(dmRemove, 0, nil)
	})
	return d
}

// do runs a command.
func (d *powerDisk) do(command ...string) {
	d.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		d.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
}

// power turns the power on or off. Without power, the disk drops all writes and reports success.
func (d *powerDisk) power(on bool) {
	d.Helper()
	table := dmTarget{length: powerSectors}
	target, parameters := "linear", d.loop+" 0"
	if !on {
		target, parameters = "flakey", d.loop+" 0 0 86400 1 drop_writes"
	}
	copy(table.kind[:], target)
	copy(table.parameters[:], parameters)
	d.dm(dmSuspend, dmSuspendFlag|dmSkipLockFS|dmNoFlush, nil)
	d.dm(dmLoad, 0, &table)
	d.dm(dmSuspend, 0, nil) // resumes with the new table
}

// The commands and flags of the device mapper (linux/dm-ioctl.h).
const (
	dmCreate  = 3
	dmRemove  = 4
	dmSuspend = 6
	dmLoad    = 9

	dmSuspendFlag = 1 << 1
	dmSkipLockFS  = 1 << 10
	dmNoFlush     = 1 << 11
)

// dmRequest is struct dm_ioctl, followed by a table of one target.
type dmRequest struct {
	version              [3]uint32
	size, start, targets uint32
	open                 int32
	flags, event, _      uint32
	dev                  uint64
	name                 [128]byte
	uuid                 [129]byte
	_                    [7]byte
	table                dmTarget
}

// dmTarget is struct dm_target_spec, followed by the target's parameters.
type dmTarget struct {
	start, length uint64
	status        int32
	next          uint32
	kind          [16]byte
	parameters    [64]byte
}

// dm sends a command for the disk to the device mapper.
func (d *powerDisk) dm(command, flags uintptr, table *dmTarget) dmRequest {
	d.Helper()
	const header = unsafe.Sizeof(dmRequest{}) - unsafe.Sizeof(dmTarget{})
	r := dmRequest{version: [3]uint32{4}, size: uint32(unsafe.Sizeof(dmRequest{})), start: uint32(header), flags: uint32(flags)}
	copy(r.name[:], "power")
	if table != nil {
		r.targets, r.table = 1, *table
	}
	control, err := os.OpenFile("/dev/mapper/control", os.O_RDWR, 0)
	if err != nil {
		d.Fatal(err)
	}
	defer control.Close()
	request := 3<<30 | header<<16 | 0xfd<<8 | command
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, control.Fd(), request, uintptr(unsafe.Pointer(&r))); errno != 0 {
		d.Fatalf("device mapper, command %d: %v", command, errno)
	}
	return r
}

func (d *powerDisk) mount() {
	d.Helper()
	if err := unix.Mount(d.device, d.at, d.kernel, 0, d.options); err != nil {
		log, _ := exec.Command("dmesg").Output()
		d.Fatalf("mount %s: %v\n%s", d.kernel, err, log[max(0, len(log)-1000):])
	}
}

func (d *powerDisk) unmount() {
	d.Helper()
	err := unix.Unmount(d.at, 0)
	for i := 0; err == unix.EBUSY && i < 100; i++ { // until the killed process has closed its files
		time.Sleep(20 * time.Millisecond)
		err = unix.Unmount(d.at, 0)
	}
	if err != nil {
		d.Fatalf("unmount: %v", err)
	}
}

// forget makes the kernel forget what it knows about the disk, then repairs the file system.
func (d *powerDisk) forget() {
	d.Helper()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0); err != nil {
		d.Fatal(err)
	}
	f, err := os.OpenFile(d.device, os.O_RDONLY, 0)
	if err == nil {
		err = errors.Join(unix.IoctlSetInt(int(f.Fd()), unix.BLKFLSBUF, 0), f.Close())
	}
	if err != nil {
		d.Fatal(err)
	}
	if len(d.fsck) > 0 {
		exec.Command(d.fsck[0], append(d.fsck[1:], d.device)...).Run() // fails if it repairs something
	}
}
