// Command fetch downloads the tests' reference files into testdata/reference. It also computes golden inputs, and
// golden outputs with the real TensorFlow Lite library, because they have no public origin. Every file must have the
// SHA-256 in list.txt, so that tests use the same bytes everywhere.
//
//	go run ./tools/reference/fetch
//
// Existing files are checked and kept. With -pin FOLDER, fetch downloads nothing. Instead, it prints list.txt with the
// sizes and checksums of the files in FOLDER.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/imprintkit/imprint/tools/reference"
)

//go:embed list.txt
var listed []byte

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "fetch:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("fetch", flag.ExitOnError)
	out := flags.String("out", filepath.FromSlash(reference.Download), "put the files into `FOLDER`")
	server := flags.String("server", "", "download from a mirror: replace the scheme and host of each URL in the list with `URL`")
	pin := flags.String("pin", "", "print the list with the sizes and checksums of the files in `FOLDER`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	l, err := parseList(listed)
	if err != nil {
		return err
	}
	if *pin != "" {
		if err := l.pin(*pin); err != nil {
			return err
		}
		_, err := os.Stdout.Write(l.format())
		return err
	}
	fmt.Printf("%d files, %.0f MB, in %s\n", len(l.files), float64(l.size())/1e6, *out)
	d := downloader{folder: *out, server: *server, client: http.DefaultClient, log: func(s string) { fmt.Println(s) }}
	downloaded := d.all(ctx, l.files)
	if downloaded != nil {
		downloaded = fmt.Errorf("some files are missing:\n%w", downloaded)
	}
	// Some golden files may need only files that have been downloaded.
	made, err := makeGoldens(ctx, *out, l.goldens)
	fmt.Printf("golden: %d of %d are complete\n", made, len(l.goldens))
	return errors.Join(downloaded, err)
}
