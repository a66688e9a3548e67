package main

import (
	"archive/tar"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// modules are the kernel modules that the machine loads, by the name of a set. Their dependencies are loaded first.
// The set "usb" is for USB devices, a camera with a test picture, and buttons; the set "disk" is for file systems on a
// disk whose power is cut.
var modules = map[string][]string{
	"usb": {"usbcore", "vhci_hcd", "usbmon", "vivid", "uinput", "evdev", "usbserial"},
	"disk": {"crc32c_generic", "xxhash_generic", "sha256_generic", "blake2b_generic", "loop", "dm_mod", "dm_flakey",
		"nls_cp437", "nls_ascii", "nls_iso8859_1", "nls_utf8", "vfat", "exfat", "ext4", "btrfs"},
}

// moduleFolders matches the folders with these modules and their dependencies.
var moduleFolders = regexp.MustCompile(`/kernel/(drivers/(usb|media|input|video|dma-buf|block|md|dax)|fs|lib|crypto)/`)

// wanted describes the modules in a complete folder.
func wanted() string { return fmt.Sprint(modules) }

// fetchKernel downloads a Debian kernel into folder, unless it is there. The folder then contains vmlinuz, the modules,
// and for each set a file that lists its modules in loading order.
func fetchKernel(ctx context.Context, folder string) error {
	// An older version of this program may have downloaded other modules.
	if b, err := os.ReadFile(filepath.Join(folder, "wanted")); err == nil && string(b) == wanted() {
		return nil
	}
	scratch, err := os.MkdirTemp("", "imprint-kernel-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	output := func(name string, args ...string) ([]byte, error) {
		c := exec.CommandContext(ctx, name, args...)
		c.Dir, c.Stderr = scratch, os.Stderr
		return c.Output()
	}
	depends, err := output("apt-cache", "depends", "--important", "linux-image-amd64")
	if err != nil {
		return err
	}
	match := regexp.MustCompile(`Depends: (linux-image-\d\S*)`).FindSubmatch(depends)
	if match == nil {
		return errors.New("apt does not know linux-image-amd64: run apt-get update")
	}
	// apt's sandbox user cannot write to the folder.
	if _, err := output("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", string(match[1])); err != nil {
		return err
	}
	packages, err := filepath.Glob(filepath.Join(scratch, "*.deb"))
	if err != nil || len(packages) != 1 {
		return fmt.Errorf("%d packages downloaded, want 1", len(packages))
	}
	archive, err := output("dpkg-deb", "--fsys-tarfile", packages[0])
	if err != nil {
		return err
	}
	kernel, all, err := unpack(archive)
	if err != nil {
		return err
	}
	return keep(ctx, folder, kernel, all)
}

// unpack returns the kernel in a package and, by file name, the modules in moduleFolders.
func unpack(archive []byte) (kernel []byte, modules map[string][]byte, err error) {
	modules = make(map[string][]byte)
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		isKernel := strings.Contains(h.Name, "/boot/vmlinuz-")
		if !isKernel && !moduleFolders.MatchString(h.Name) || h.Typeflag != tar.TypeReg {
			continue
		}
		b, err := io.ReadAll(r)
		if err != nil {
			return nil, nil, err
		}
		if isKernel {
			kernel = b
		} else {
			modules[path.Base(h.Name)] = b
		}
	}
	if kernel == nil {
		return nil, nil, errors.New("no kernel in the package")
	}
	return kernel, modules, nil
}

// keep writes the kernel and the modules to folder. It writes the file wanted last, which marks the folder as complete.
func keep(ctx context.Context, folder string, kernel []byte, all map[string][]byte) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(folder, "vmlinuz"), kernel, 0o644); err != nil {
		return err
	}
	for set, names := range modules {
		l := loader{ctx: ctx, folder: folder, all: all, seen: make(map[string]bool)}
		for _, name := range names {
			if err := l.add(name); err != nil {
				return err
			}
		}
		if len(l.order) == 0 {
			return errors.New("no modules in the package")
		}
		if err := os.WriteFile(loadList(folder, set), []byte(strings.Join(l.order, "\n")+"\n"), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(folder, "wanted"), []byte(wanted()), 0o644)
}

// loadList returns the path of the list of a set's modules in loading order.
func loadList(folder, set string) string { return filepath.Join(folder, "load-"+set) }

// A loader writes modules to a folder and puts them into loading order.
type loader struct {
	ctx    context.Context
	folder string
	all    map[string][]byte // modules by file name
	seen   map[string]bool
	order  []string
}

// add adds a module after its dependencies. It does nothing for a module that is built into the kernel.
func (l *loader) add(name string) error {
	if l.seen[name] {
		return nil
	}
	l.seen[name] = true
	for file, b := range l.all {
		stem, suffix, _ := strings.Cut(file, ".ko")
		if strings.ReplaceAll(stem, "-", "_") != name {
			continue
		}
		if suffix == ".xz" {
			unxz := exec.CommandContext(l.ctx, "xz", "-dc")
			unxz.Stdin = bytes.NewReader(b)
			raw, err := unxz.Output()
			if err != nil {
				return fmt.Errorf("unpack %s: %w", file, err)
			}
			b = raw
		}
		depends, err := dependencies(b)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, d := range depends {
			if err := l.add(strings.ReplaceAll(d, "-", "_")); err != nil {
				return err
			}
		}
		l.order = append(l.order, name+".ko")
		return os.WriteFile(filepath.Join(l.folder, name+".ko"), b, 0o644)
	}
	return nil
}

// dependencies returns the names of the modules that a module needs.
func dependencies(module []byte) ([]string, error) {
	f, err := elf.NewFile(bytes.NewReader(module))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("not a kernel module")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for _, line := range strings.Split(string(info), "\x00") {
		if list, ok := strings.CutPrefix(line, "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}
