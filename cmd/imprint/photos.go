package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
)

// findPhotos returns the photos that the arguments, --list and --tub name, and the files that it
// skipped. "-" is standard input. Photos without a label of their own get the given label. A
// missing file is appended to missing, or is an error if missing is nil.
func findPhotos(c *cli.Context, label string, missing *[]missingFile) ([]dataset.Item, []imprint.Skipped, error) {
	return findPhotosIn(c, c.Args().Slice(), label, missing)
}

// findPhotosIn is like findPhotos, with some of the arguments.
func findPhotosIn(c *cli.Context, args []string, label string, missing *[]missingFile) ([]dataset.Item, []imprint.Skipped, error) {
	list := c.String("list")
	found, skipped, err := tubPhotos(c, label)
	if err != nil {
		return nil, nil, err
	}
	if list == "" && len(args) == 0 && len(c.StringSlice("tub")) == 0 {
		return nil, nil, usagef("%s needs photos: %s", c.Command.Name, c.Command.ArgsUsage)
	}
	var paths []string
	for _, arg := range args {
		if arg != "-" {
			paths = append(paths, arg)
		}
	}
	if len(args)-len(paths) > 1 || len(args) > len(paths) && list == "-" {
		return nil, nil, usagef("standard input, -, can be read only once")
	}
	listed, err := listedPhotos(c, list, len(args) > len(paths))
	if err != nil {
		return nil, nil, err
	}
	found = append(found, listed...)
	for i := range found {
		if found[i].Label == "" {
			found[i].Label = label
		}
		if found[i].Label == "" {
			return nil, nil, fmt.Errorf("photo %s: %w", found[i].Path, dataset.ErrNoLabel)
		}
	}
	if paths, err = existing(paths, missing); err != nil {
		return nil, nil, err
	}
	walked, left, err := dataset.WalkContext(c.Context, paths, label)
	if err != nil {
		return nil, nil, err
	}
	found = append(found, walked...)
	if missing != nil && len(found) == 0 && len(*missing) > 0 {
		return nil, nil, (*missing)[0]
	}
	if len(found) == 0 {
		note(c, skippedLines(skipped, verbose(c))...)
		return nil, nil, fmt.Errorf("%s %s: %w found", c.Command.Name, strings.Join(append(args, c.StringSlice("tub")...), " "), imprint.ErrNoPhotos)
	}
	return found, append(skipped, leftOut(left)...), nil
}

// existing returns the paths that exist. It appends the others to missing or, if missing is nil,
// returns an error for them.
func existing(paths []string, missing *[]missingFile) ([]string, error) {
	var there []string
	for _, path := range paths {
		err := mustExist(path)
		var gone missingFile
		switch {
		case err == nil:
			there = append(there, path)
		case missing != nil && errors.As(err, &gone):
			*missing = append(*missing, gone)
		default:
			return nil, err
		}
	}
	return there, nil
}

// listedPhotos reads photos from the file list, unless list is "" or "-". If list is "-" or stdin
// is true, it then reads photos from standard input.
func listedPhotos(c *cli.Context, list string, stdin bool) ([]dataset.Item, error) {
	var found []dataset.Item
	if list != "" && list != "-" {
		items, err := interruptible(c.Context, func() ([]dataset.Item, error) { return readList(list) })
		if err != nil {
			return nil, err
		}
		found = items
	}
	if stdin || list == "-" {
		items, err := interruptible(c.Context, func() ([]dataset.Item, error) {
			return dataset.ReadStdin(c.App.Reader, "", dataset.DefaultLimits())
		})
		if err != nil {
			return nil, err
		}
		found = append(found, items...)
	}
	return found, nil
}

func readList(path string) ([]dataset.Item, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missingFile{path}
	}
	if err != nil {
		return nil, fmt.Errorf("read the list of photos: %w", err)
	}
	defer f.Close()
	items, err := dataset.ReadList(f, "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return items, nil
}

// negatives returns the photos that --negative names, and the files that it skipped.
func negatives(c *cli.Context) ([]dataset.Item, []imprint.Skipped, error) {
	paths := c.StringSlice("negative")
	if len(paths) == 0 {
		return nil, nil, nil
	}
	if err := mustExist(paths...); err != nil {
		return nil, nil, err
	}
	found, left, err := dataset.WalkContext(c.Context, paths, "negative")
	if err != nil {
		return nil, nil, err
	}
	if len(found) == 0 {
		return nil, nil, fmt.Errorf("add negatives: %w found in %q", imprint.ErrNoPhotos, paths)
	}
	return found, leftOut(left), nil
}

func leftOut(left []dataset.Skipped) []imprint.Skipped {
	var skipped []imprint.Skipped
	for _, s := range left {
		skipped = append(skipped, imprint.Skipped{Path: s.Path, Reason: s.Err.Error()})
	}
	return skipped
}

// interruptible returns the result of read, or the error of ctx if ctx is done first. A blocked
// read from a terminal or a pipe can't be canceled, so it is left running until the process exits.
func interruptible[T any](ctx context.Context, read func() (T, error)) (T, error) {
	var v T
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		v, err = read()
	}()
	select {
	case <-done:
		return v, err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}
