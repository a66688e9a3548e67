package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"imprint": main, "imprint-emulated": emulated})
}

// TestScripts runs testdata/*.txtar, a script for each topic.
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
			"json":      checkJSON,
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "root":
				return os.Geteuid() == 0, nil
			case "linux":
				return runtime.GOOS == "linux", nil
			case "shared":
				_, err := os.Stat(sharedFolder())
				return err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Setup: func(e *testscript.Env) error {
			// Hide the models and settings of whoever runs the tests.
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, "cache"))
			e.Setenv("SHARED", sharedFolder())
			e.Values[keptKey{}] = make(map[string][sha256.Size]byte)
			return nil
		},
	})
}

// sharedFolder is where Coral's models and photos lie beside the checkout.
func sharedFolder() string {
	if dir := os.Getenv("IMPRINT_SHARED"); dir != "" {
		return dir
	}
	dir, err := filepath.Abs("../../../shared")
	if err != nil {
		return ""
	}
	return dir
}

func number(ts *testscript.TestScript, s string) int {
	n, err := strconv.Atoi(s)
	ts.Check(err)
	return n
}
