package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/fleet"
	"github.com/imprintkit/imprint/imprint/fleet/mirror"
)

func mergeCommand() *cli.Command {
	return &cli.Command{
		Name:      "merge",
		Usage:     "combine workspaces, for instance from several cars",
		ArgsUsage: "WORKSPACE …",
		Description: `Combine workspaces into one, as if all photos had been added to it.

Examples:
   imprint merge ../car2/.imprint ../car3/.imprint      into this workspace
   imprint merge car1 car2 car3 -o fleet                into a new one
   imprint merge /mnt/cars -o fleet                     all workspaces in it
   imprint merge --from http://car17:8230               a running imprint serve

All workspaces need the same backbone. They are only read, and no photo is; the
order does not matter. A photo in several workspaces counts once. If its labels
differ, merge fails and changes nothing, unless --conflicts chooses a label; -v
and --json list such photos. To take back one: imprint remove --from car2`,
		Flags: withDevices(
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "make a new workspace in `DIR`", DefaultText: "add to the workspace"},
			&cli.StringFlag{Name: "conflicts", Usage: "`RULE` for a photo with several labels: oldest, newest, majority or refuse", DefaultText: "the workspace's, or refuse"},
			&cli.StringSliceFlag{Name: "from", Usage: "also merge the workspace of the imprint serve at `URL`; repeatable", DefaultText: "none"},
			&cli.StringFlag{Name: "token", Usage: "show servers `TOKEN`, unless their URL ends in ?token=TOKEN", DefaultText: "none", EnvVars: []string{"IMPRINT_TOKEN"}},
			unknownRateFlag(), noneFlag(), jsonFlag("what was added"), layoutFlag(), headFlag(), keepFlag()),
		Action: merge,
	}
}

func merge(c *cli.Context) error {
	if len(c.StringSlice("from")) == 0 {
		if err := needArgs(c, 1, -1); err != nil {
			return err
		}
	}
	sources, err := sourcesOf(c.Args().Slice())
	if err != nil {
		return err
	}
	dir, o, err := workspaceOptions(c)
	if err != nil {
		return err
	}
	if c.IsSet("conflicts") {
		rule, err := fleet.ParseRule(c.String("conflicts"))
		if err != nil {
			return usageError{fmt.Errorf("--conflicts: %w", err)}
		}
		o.Conflicts = &rule
	}
	if output := c.String("output"); output != "" {
		if text(c, "workspace") != "" {
			return usagef("merge takes -o for a new workspace or --workspace for an existing one, not both")
		}
		if _, err := imprint.Open(output, imprint.Options{Existing: true}); !errors.Is(err, imprint.ErrNoClasses) {
			return hinted{fmt.Errorf("merge into %s: there is already a workspace", output), "--workspace " + output + " instead of -o adds to it"}
		}
		dir = output
	}
	copied, err := copyServers(c, len(sources) == 0 && workspaceAt(dir) != dir)
	if err != nil {
		return err
	}
	sources = append(sources, copied...)
	ws, merged, err := imprint.Merge(c.Context, dir, sources, o)
	if errors.Is(err, imprint.ErrOtherDetector) {
		err = hinted{err, "give them the same one first: imprint --workspace DIR retrain --detector MODEL, with the same --detect and --detect-min"}
	}
	if err != nil {
		return showConflicts(c, err)
	}
	defer ws.Close()
	for _, w := range append(ws.Warnings(), merged.Warnings...) {
		warn(c, "%s", w)
	}
	if asJSON(c) {
		return printJSON(c.App.Writer, struct {
			*fleet.Merged
			Estimate   classifier.Estimate `json:"estimate"`
			Generation uint64              `json:"generation"`
			Model      string              `json:"model"`
		}{merged, merged.Estimate, ws.Generation(), ws.ModelPath()})
	}
	s := summarize(ws)
	say(c, mergedLines(merged, len(sources), s)...)
	detail(c, mergedDetails(merged, s)...)
	return nil
}

// showConflicts prints the conflicts because of which a merge failed, if the output has room for
// them, and returns err.
func showConflicts(c *cli.Context, err error) error {
	var failed *fleet.ConflictError
	if !errors.As(err, &failed) {
		return err
	}
	if asJSON(c) {
		printJSON(c.App.Writer, struct {
			Conflicts []fleet.Conflict `json:"conflicts"`
		}{failed.Conflicts})
	}
	detail(c, conflictLines(failed.Conflicts)...)
	return err
}

// copyServers copies the workspaces of the servers that --from names into the cache, where the next
// merge finds them again. With models, it also copies the models of the first.
func copyServers(c *cli.Context, models bool) ([]fleet.Source, error) {
	var sources []fleet.Source
	for _, address := range c.StringSlice("from") {
		server, err := mirror.New(address, c.String("token"), nil)
		if err != nil {
			return nil, usageError{fmt.Errorf("--from: %w", err)}
		}
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find the folder for copies of workspaces: %w", err)
		}
		sum := sha256.Sum256([]byte(server.Name()))
		source, warning, err := server.Copy(c.Context, filepath.Join(cache, "imprint", "fleet", hex.EncodeToString(sum[:8])), models && len(sources) == 0)
		if err != nil {
			return nil, fmt.Errorf("merge: %w", err)
		}
		if warning != "" {
			warn(c, "%s", warning)
		}
		sources = append(sources, source)
	}
	return sources, nil
}

// sourcesOf returns the workspaces that paths name. A path is a workspace, a folder with a workspace
// in .imprint, a folder of such folders, or a pattern of paths.
func sourcesOf(paths []string) ([]fleet.Source, error) {
	var sources []fleet.Source
	for _, path := range paths {
		matches := []string{path}
		if _, err := os.Stat(path); err != nil {
			if found, err := filepath.Glob(path); err == nil && len(found) > 0 {
				matches = found
			} else if err := mustExist(path); err != nil {
				return nil, err
			}
		}
		for _, dir := range matches {
			found := workspacesIn(dir)
			if len(found) == 0 && len(matches) == 1 {
				found = []string{dir} // opening it says what is wrong
			}
			for _, dir := range found {
				sources = append(sources, fleet.Source{Dir: dir})
			}
		}
	}
	return sources, nil
}

// workspacesIn returns the workspace in dir or in dir/.imprint, or those in the folders in dir.
func workspacesIn(dir string) []string {
	if ws := workspaceAt(dir); ws != "" {
		return []string{ws}
	}
	entries, _ := os.ReadDir(dir)
	var found []string
	for _, e := range entries {
		if ws := workspaceAt(filepath.Join(dir, e.Name())); ws != "" {
			found = append(found, ws)
		}
	}
	return found
}

// workspaceAt returns dir or dir/.imprint, whichever is a workspace, or "".
func workspaceAt(dir string) string {
	for _, at := range []string{dir, filepath.Join(dir, defaultWorkspace)} {
		for _, file := range []string{"state.0", "state.1"} {
			if _, err := os.Stat(filepath.Join(at, file)); err == nil {
				return at
			}
		}
	}
	return ""
}
