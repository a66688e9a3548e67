package imprint

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

var cuts = flag.Int("cuts", 20, "number of power cuts on each file system in TestVMPower")

// TestVMPower cuts the power of a disk while a process adds photos, on every file system of the
// kernel. All acknowledged photos must be there afterwards. It runs only in the virtual machine of
// make test-power.
func TestVMPower(t *testing.T) {
	if os.Getenv("IMPRINT_VM") == "" {
		t.Skip("runs only in the virtual machine of make test-power")
	}
	backbone := phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())
	for _, fs := range []struct {
		name, kernel, options string
		make                  []string
		check                 []string // repairs a disk before it is mounted
	}{
		{"vfat", "vfat", "", []string{"mkfs.fat"}, []string{"fsck.fat", "-a", "-w"}},
		{"exfat", "exfat", "", []string{"mkfs.exfat"}, nil},
		{"ext4", "ext4", "", []string{"mke2fs", "-q", "-F", "-t", "ext4"}, nil},
		{"ext4-writeback", "ext4", "data=writeback,noauto_da_alloc", []string{"mke2fs", "-q", "-F", "-t", "ext4"}, nil},
		{"btrfs", "btrfs", "", []string{"mkfs.btrfs", "-q", "-f"}, nil},
	} {
		t.Run(fs.name, func(t *testing.T) {
			known, err := os.ReadFile("/proc/filesystems")
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(string(known), "\t"+fs.kernel+"\n") {
				t.Skipf("NOT RUN: the kernel has no %s", fs.kernel)
			}
			if _, err := exec.LookPath(fs.make[0]); err != nil {
				t.Skipf("NOT RUN: %s is missing", fs.make[0])
			}
			d := newPowerDisk(t, fs.kernel, fs.options, fs.check)
			d.do(append(fs.make, d.device)...)
			p := &powerTest{T: t, disk: d, dir: filepath.Join(d.at, "ws"), backbone: backbone}
			for range *cuts {
				p.cut()
			}
			t.Logf("%s %s: %d cuts: %d photos acknowledged, %d bad; %d models repaired, %d warnings, %d without a workspace",
				fs.name, fs.options, *cuts, p.acknowledged, p.bad, p.repaired, p.warned, p.none)
		})
	}
}

// A powerTest is a workspace on a disk whose power is cut.
type powerTest struct {
	*testing.T
	disk                                      *powerDisk
	dir, backbone                             string
	photos                                    uint64 // in the workspace
	rounds                                    int
	acknowledged, bad, repaired, warned, none int
}

// cut starts a process that adds photos, cuts the power at a random moment, and checks what is on
// the disk.
func (p *powerTest) cut() {
	p.Helper()
	p.disk.mount()
	if p.rounds++; p.rounds%5 == 0 { // the first changes of a workspace need other writes than later ones
		p.startAfresh()
		unix.Sync()
	}
	cmd, out, stderr := startChild(p.T, "add", p.dir, p.backbone, p.photos, p.photos+10000)
	lines := make(chan string, 10000)
	go func() {
		defer close(lines)
		for out.Scan() {
			lines <- out.Text()
		}
	}()
	wait := rand.N(5)
	for range wait {
		if _, ok := <-lines; !ok {
			p.Fatalf("the process ended: %v %s", cmd.Wait(), stderr)
		}
	}
	time.Sleep(rand.N(150 * time.Millisecond))
	acknowledged := p.photos + uint64(wait) + uint64(len(lines))
	p.disk.power(false)
	cmd.Process.Kill()
	for range lines {
	}
	if cmd.Wait(); stderr.Len() > 0 {
		p.Logf("the process: %s", stderr)
	}
	p.disk.unmount()
	p.disk.power(true)
	p.disk.forget()
	p.disk.mount()
	p.acknowledged += int(acknowledged - p.photos)
	if err := p.check(acknowledged); err != nil {
		p.bad++
		p.Errorf("cut %d, %d photos acknowledged: %v", p.rounds, acknowledged, err)
		p.startAfresh()
	}
	p.disk.unmount()
}

// startAfresh makes the next change the first of a new workspace. It may fail to remove the old folder,
// because exfat is not repaired after power cuts, so the new one has another name.
func (p *powerTest) startAfresh() {
	if err := os.RemoveAll(p.dir); err != nil {
		p.Logf("leaving the old workspace: %v", err)
	}
	p.dir = filepath.Join(filepath.Dir(p.dir), fmt.Sprint("ws", p.rounds))
	p.photos = 0
}

// check checks the workspace after a power cut, and adds a photo.
func (p *powerTest) check(acknowledged uint64) error {
	w, err := Open(p.dir, Options{Backbone: p.backbone, Threads: 1})
	if err != nil {
		return err
	}
	defer w.Close()
	if len(w.Warnings()) > 0 {
		p.warned++
	}
	labels := make(map[string]string) // by SHA-256
	for _, c := range w.Classes() {
		for _, photo := range c.Photos {
			labels[photo.SHA256] = c.Label
		}
	}
	n := uint64(len(labels))
	if n < acknowledged {
		return fmt.Errorf("got %d photos", n)
	}
	for i := range n {
		if got := labels[store.Sum(picture(i%3, i)).String()]; got != numbered(i) {
			return fmt.Errorf("photo %d: got label %q, want %q", i, got, numbered(i))
		}
	}
	if w.Generation() == 0 {
		p.none++
	} else {
		published := w.isPublished()
		if _, err := w.PublishedSnapshot(); err != nil && (published || !errors.Is(err, ErrUnpublished)) {
			return err
		}
		if !published {
			p.repaired++
		}
		if repaired, err := w.Repair(context.Background()); err != nil || repaired == published || !w.isPublished() {
			return fmt.Errorf("repair: got %v, %w, then published: %v", repaired, err, w.isPublished())
		}
	}
	if _, err := w.Add(context.Background(), photos(numbered(n), n%3, n, 1), AddOptions{}); err != nil || !w.isPublished() {
		return fmt.Errorf("next change: %w, published: %v", err, w.isPublished())
	}
	p.photos = n + 1
	return nil
}
