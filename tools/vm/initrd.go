package main

import (
	"bufio"
	"bytes"
	"debug/elf"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

//go:embed init.sh
var initScript []byte

// writeInitrd writes the initial RAM disk, the machine's only file system.
func writeInitrd(name string, m machine) (err error) {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	defer func() {
		err = errors.Join(err, w.Flush(), f.Close())
	}()
	a := &archive{w: w, written: make(map[string]bool)}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	if err := a.copy("bin/busybox", busybox); err != nil {
		return err
	}
	for _, folder := range []string{"dev", "proc", "sys", "tmp", "run"} {
		a.folder(folder)
	}
	a.file("init", 0o755, initScript)
	a.file("command", 0o755, []byte("cd /work\nexec "+quote(m.command)+"\n"))
	load, err := os.ReadFile(loadList(m.kernel, m.modules))
	if err != nil {
		return err
	}
	a.file("modules/load", 0o644, load)
	for name := range strings.FieldsSeq(string(load)) {
		if err := a.copy("modules/"+name, filepath.Join(m.kernel, name)); err != nil {
			return err
		}
	}
	err = filepath.WalkDir(m.folder, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(m.folder, file)
		if err != nil {
			return err
		}
		if info, err := os.Stat(file); err != nil || info.IsDir() {
			return err
		}
		return a.copy("work/"+filepath.ToSlash(rel), file)
	})
	if err != nil {
		return err
	}
	for _, file := range m.libraries {
		if err := a.copy("lib/"+filepath.Base(file), file); err != nil {
			return err
		}
	}
	a.entry("TRAILER!!!", 0, nil)
	return a.err
}

// quote returns a command with every word in single quotes, for init.sh to run in the shell.
func quote(command []string) string {
	var words []string
	for _, w := range command {
		words = append(words, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
	}
	return strings.Join(words, " ")
}

// archive is a cpio archive in the "new ASCII" format (Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	w       io.Writer
	written map[string]bool
	err     error // the first error
}

const (
	modeFolder = 0o040755
	modeFile   = 0o100000
)

func (a *archive) entry(name string, mode uint32, content []byte) {
	pad := func(n int) []byte { return make([]byte, -n&3) }
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", len(a.written)+1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
	for _, b := range [][]byte{[]byte(header), []byte(name), {0}, pad(len(header) + len(name) + 1), content, pad(len(content))} {
		if a.err == nil {
			_, a.err = a.w.Write(b)
		}
	}
}

// folder adds a folder and its parents, unless they have already been added.
func (a *archive) folder(name string) {
	if name == "." || a.written[name] {
		return
	}
	a.folder(path.Dir(name))
	a.written[name] = true
	a.entry(name, modeFolder, nil)
}

func (a *archive) file(name string, permissions uint32, content []byte) {
	a.folder(path.Dir(name))
	a.written[name] = true
	a.entry(name, modeFile|permissions, content)
}

// copy adds a file from the host, with the shared libraries that the file needs.
func (a *archive) copy(name, from string) error {
	if a.written[name] {
		return nil
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	a.file(name, 0o755, content)
	program, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return nil // not a program
	}
	for _, p := range program.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		b, err := io.ReadAll(p.Open())
		if err != nil {
			return err
		}
		loader := strings.TrimRight(string(b), "\x00")
		if err := a.copy(strings.TrimPrefix(loader, "/"), loader); err != nil {
			return err
		}
	}
	needed, err := program.ImportedLibraries()
	if err != nil {
		return nil // a kernel module needs no libraries
	}
	for _, lib := range needed {
		file, err := findLibrary(lib, filepath.Dir(from))
		if err != nil {
			return fmt.Errorf("find libraries of %s: %w", from, err)
		}
		if err := a.copy("lib/"+lib, file); err != nil {
			return err
		}
	}
	return nil
}

// findLibrary finds a shared library in a folder or in the library folders of Linux distributions.
func findLibrary(name, folder string) (string, error) {
	for _, folder := range []string{folder, "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"} {
		file := filepath.Join(folder, name)
		if _, err := os.Stat(file); err == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("library %s: %w", name, fs.ErrNotExist)
}
