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

// modules are the kernel modules that the machine loads: for USB devices, a camera with a test picture, and buttons.
// Their dependencies are loaded first.
var modules = []string{"usbcore", "vhci_hcd", "usbmon", "vivid", "uinput", "evdev", "usbserial"}

// moduleFolders matches the folders with these modules and their dependencies.
var moduleFolders = regexp.MustCompile(`/kernel/drivers/(usb|media|input|video|dma-buf)/`)

func wanted() string { return strings.Join(modules, " ") }

// fetchKernel downloads a Debian kernel into folder, unless it is there. The folder then contains vmlinuz, the modules,
// and a file named load, which lists the modules in loading order.
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
	loaded := make(map[string]bool)
	var load []string
	var add func(name string) error
	add = func(name string) error {
		if loaded[name] {
			return nil
		}
		loaded[name] = true
		for file, b := range all {
			stem, suffix, _ := strings.Cut(file, ".ko")
			if strings.ReplaceAll(stem, "-", "_") != name {
				continue
			}
			if suffix == ".xz" {
				unxz := exec.CommandContext(ctx, "xz", "-dc")
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
				if err := add(strings.ReplaceAll(d, "-", "_")); err != nil {
					return err
				}
			}
			load = append(load, name+".ko")
			return os.WriteFile(filepath.Join(folder, name+".ko"), b, 0o644)
		}
		return nil // built into the kernel
	}
	for _, name := range modules {
		if err := add(name); err != nil {
			return err
		}
	}
	if len(load) == 0 {
		return errors.New("no modules in the package")
	}
	if err := os.WriteFile(filepath.Join(folder, "load"), []byte(strings.Join(load, "\n")+"\n"), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "wanted"), []byte(wanted()), 0o644)
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
