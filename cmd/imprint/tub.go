package main

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
)

// tubFlags returns the flags that select photos from Donkey Car tubs.
func tubFlags() []cli.Flag {
	const category = "Donkey Car recordings"
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "tub", Category: category, Usage: "add photos from the tub `DIR`; needs --label", DefaultText: "none"},
		&cli.StringSliceFlag{Name: "session", Category: category, Usage: "add only photos of the session `ID`, such as 26-11-28_0, or its number", DefaultText: "all"},
		&cli.StringSliceFlag{Name: "records", Category: category, Usage: "add only the records `FROM:TO`, excluding TO", DefaultText: "all"},
		&cli.StringSliceFlag{Name: "where", Category: category, Usage: "add only records with `FIELD=VALUE`, such as user/mode=user; if repeated, all conditions must match", DefaultText: "all"},
	}
}

// tubPhotos returns the photos that --tub, --session, --records and --where select, and the records
// that it skipped.
func tubPhotos(c *cli.Context, label string) ([]dataset.Item, []imprint.Skipped, error) {
	dirs := c.StringSlice("tub")
	for _, name := range []string{"session", "records", "where"} {
		if len(dirs) == 0 && c.IsSet(name) {
			return nil, nil, usagef("--%s selects from a tub: name one with --tub DIR", name)
		}
	}
	if len(dirs) == 0 {
		return nil, nil, nil
	}
	if label == "" {
		return nil, nil, usagef("--tub needs --label NAME: a tub does not say what its photos show")
	}
	filter, err := tubFilter(c)
	if err != nil {
		return nil, nil, err
	}
	if err := mustExist(dirs...); err != nil {
		return nil, nil, err
	}
	var found []dataset.Item
	var left []dataset.Skipped
	for _, dir := range dirs {
		tub, err := dataset.OpenTub(dir)
		if err != nil {
			return nil, nil, err
		}
		items, missing, err := tub.Select(filter, label)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, items...)
		left = append(append(left, tub.Skipped...), missing...)
	}
	return found, leftOut(left), nil
}

func tubFilter(c *cli.Context) (f dataset.TubFilter, err error) {
	f.Sessions = c.StringSlice("session")
	for _, s := range c.StringSlice("records") {
		r, err := dataset.ParseIndexRange(s)
		if err != nil {
			return f, usageError{err}
		}
		f.Ranges = append(f.Ranges, r)
	}
	for _, s := range c.StringSlice("where") {
		field, value, ok := strings.Cut(s, "=")
		if !ok || field == "" {
			return f, usagef("--where %q is not FIELD=VALUE", s)
		}
		if f.Fields == nil {
			f.Fields = make(map[string]string)
		}
		f.Fields[field] = value
	}
	return f, nil
}
