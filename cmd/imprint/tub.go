package main

import (
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
)

// tubFlags select photos of Donkey Car tubs.
func tubFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "tub", Usage: "take photos of the Donkey Car tub `DIR`; with --label", DefaultText: "none"},
		&cli.StringSliceFlag{Name: "session", Usage: "of a tub, take session `ID`, such as 26-11-28_0, or by its number", DefaultText: "all"},
		&cli.StringSliceFlag{Name: "records", Usage: "of a tub, take records `FROM:TO`, without TO", DefaultText: "all"},
		&cli.StringSliceFlag{Name: "where", Usage: "of a tub, take records with `FIELD=VALUE`, such as user/mode=user; all that are given must hold", DefaultText: "all"},
	}
}

// tubItems finds the photos that --tub and the flags beside it select, and what it had
// to leave out.
func tubItems(c *cli.Context, label string) ([]dataset.Item, []imprint.Skipped, error) {
	dirs := c.StringSlice("tub")
	var f dataset.TubFilter
	for _, name := range []string{"session", "records", "where"} {
		if len(dirs) == 0 && c.IsSet(name) {
			return nil, nil, usagef("--%s selects from a tub: name it with --tub DIR", name)
		}
	}
	if len(dirs) > 0 && label == "" {
		return nil, nil, usagef("--tub needs --label NAME: a tub does not say what its photos show")
	}
	f.Sessions = c.StringSlice("session")
	for _, s := range c.StringSlice("records") {
		r, err := dataset.ParseIndexRange(s)
		if err != nil {
			return nil, nil, usageError{err}
		}
		f.Ranges = append(f.Ranges, r)
	}
	for _, s := range c.StringSlice("where") {
		field, value, ok := strings.Cut(s, "=")
		if !ok || field == "" {
			return nil, nil, usagef("--where %q: it is not FIELD=VALUE", s)
		}
		if f.Fields == nil {
			f.Fields = make(map[string]string)
		}
		f.Fields[field] = value
	}
	var found []dataset.Item
	var left []dataset.Skipped
	for _, dir := range dirs {
		tub, err := dataset.OpenTub(dir)
		if err != nil {
			return nil, nil, err
		}
		items, missing, err := tub.Select(f, label)
		if err != nil {
			return nil, nil, err
		}
		found = append(found, items...)
		left = append(append(left, tub.Skipped...), missing...)
	}
	return found, leftOut(left), nil
}
