package main

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/imprintkit/imprint/tools/race"
	"github.com/imprintkit/imprint/tools/reference"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"imprint": main, "imprint-emulated": emulated})
}

// TestScripts runs the scripts in testdata/*.txtar.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":    status,
			"photo":     photo,
			"scene":     scene,
			"rimmed":    rimmed,
			"model":     model,
			"raw":       raw,
			"patch":     patch,
			"cut":       cut,
			"same":      same,
			"only":      only,
			"keep":      keep,
			"kept":      kept,
			"lock":      lock,
			"interrupt": interrupt,
			"serve":     serveFiles,

			"serve-workspace": serveWorkspace,
			"json":            checkJSON,
		},
		Condition: func(cond string) (bool, error) {
			name, path, _ := strings.Cut(cond, ":")
			switch name {
			case "root":
				return os.Geteuid() == 0, nil
			case "linux":
				return runtime.GOOS == "linux", nil
			case "race":
				return race.Enabled, nil
			case "shared":
				// [shared] holds if there are reference files, [shared:embeddings] if they include
				// the folder embeddings.
				folder, found := reference.Folder()
				_, err := os.Stat(filepath.Join(folder, cmp.Or(path, "models")))
				return found && err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Setup: func(e *testscript.Env) error {
			// By default, every program with the race detector sleeps for a second before it exits.
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			// Hide the user's downloaded models.
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, "cache"))
			folder, _ := reference.Folder()
			e.Setenv("SHARED", folder)
			e.Values[keptKey{}] = make(map[string][sha256.Size]byte)
			return nil
		},
	})
}

func number(ts *testscript.TestScript, s string) int {
	n, err := strconv.Atoi(s)
	ts.Check(err)
	return n
}
