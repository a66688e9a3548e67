package hostile

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

const (
	partCases = 100              // cases in one process
	partTime  = 30 * time.Minute // a process that takes longer hangs, even on a busy machine
)

// A Record is the state of a target's campaigns, in the file TARGET.json. It adds up over campaigns.
type Record struct {
	Target     string             `json:"target"`
	Executions int                `json:"executions"`
	CPUSeconds float64            `json:"cpu_seconds"`
	Findings   map[string]finding `json:"findings"` // by a text that is the same for failures of one kind
	Worst      worst              `json:"worst"`    // most expensive steps that did not fail
}

// A finding is a failure.
type finding struct {
	Count int    `json:"count"`
	Case  string `json:"case"` // shortest that was found
	File  string `json:"file"` // output of the case
}

// A campaign runs one target.
type campaign struct {
	Record
	dir string
}

// runCampaign runs the campaign of a test for the given time. It fails the test if it found a failure.
func runCampaign(t *testing.T, text string) {
	length, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("%s: %v", timeEnv, err)
	}
	c := &campaign{Record: Record{Target: t.Name(), Findings: map[string]finding{}}, dir: os.Getenv(dirEnv)}
	if c.dir == "" {
		c.dir = filepath.Join(os.TempDir(), "imprint-hostile")
	}
	if err := errors.Join(os.MkdirAll(c.dir, 0o755), c.load()); err != nil {
		t.Fatal(err)
	}
	seed, next, found := uint64(time.Now().UnixNano()), 0, 0
	for end := time.Now().Add(length); time.Now().Before(end); {
		last, out, err := c.run(fmt.Sprintf("%s=%d %d %d", partEnv, seed, next, partCases), next)
		c.Executions += last + 1 - next
		if err != nil {
			found++
			c.note(t, fmt.Sprintf("%x", numbered(seed, last)), out)
		}
		next = last + 1
		if err := c.save(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d executions, %.2f CPU hours, %d findings in all; see %s", c.Executions, c.CPUSeconds/3600, len(c.Findings), c.path())
	if found > 0 {
		t.Errorf("%d cases failed in this run", found)
	}
}

func (c *campaign) path() string { return filepath.Join(c.dir, c.Target+".json") }

func (c *campaign) load() error {
	b, err := os.ReadFile(c.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return json.Unmarshal(b, &c.Record)
}

func (c *campaign) save() error {
	b, err := json.MarshalIndent(c.Record, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.path()+".new", append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(c.path()+".new", c.path())
}

// run runs this test in a new process with one more environment variable. It returns the number of the last case that the
// process began, its output, and an error if it failed. first is the number of the first case.
func (c *campaign) run(env string, first int) (last int, out []byte, err error) {
	temp, err := os.MkdirTemp("", "hostile")
	if err != nil {
		return first, nil, err
	}
	defer os.RemoveAll(temp)
	progress := filepath.Join(temp, "progress")
	ctx, cancel := context.WithTimeout(context.Background(), partTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run", "^"+c.Target+"$", "-test.timeout", "0")
	cmd.Env = append(os.Environ(), env, progressEnv+"="+progress, "TMPDIR="+temp)
	out, err = cmd.CombinedOutput()
	if ctx.Err() != nil {
		out = append(out, "\npanic: the process hangs\n"...)
	}
	if cmd.ProcessState != nil {
		c.CPUSeconds += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	}
	last = first
	if b, err := os.ReadFile(progress); err == nil && len(b) == 8 {
		last = int(binary.LittleEndian.Uint64(b))
	}
	for line := range bytes.Lines(out) {
		var w worst
		if text, ok := bytes.CutPrefix(line, []byte(worstPrefix)); ok && json.Unmarshal(text, &w) == nil {
			c.Worst.add(w)
		}
	}
	return last, out, err
}

// note records a failure. It makes the first case of each kind as short as possible.
func (c *campaign) note(t *testing.T, text string, out []byte) {
	kind := kindOf(out)
	f := c.Findings[kind]
	f.Count++
	if f.Case == "" {
		f.Case, out = c.shortest(kind, text, out)
		h := fnv.New32a()
		h.Write([]byte(kind))
		f.File = fmt.Sprintf("%s-%08x.txt", c.Target, h.Sum32())
		content := fmt.Appendf(nil, "%s=%s\n\n%s", caseEnv, f.Case, out[:min(len(out), 1<<16)])
		if err := os.WriteFile(filepath.Join(c.dir, f.File), content, 0o644); err != nil {
			t.Error(err)
		}
	}
	c.Findings[kind] = f
}

// shortest leaves out edits of a case as long as it fails in the same way. It returns the rest and its output.
func (c *campaign) shortest(kind, text string, out []byte) (string, []byte) {
	for at := 2; at < len(text); {
		shorter := text[:at] + text[min(at+2*editSize, len(text)):]
		_, got, err := c.run(caseEnv+"="+shorter, 0)
		if err != nil && kindOf(got) == kind {
			text, out = shorter, got
		} else {
			at += 2 * editSize
		}
	}
	return text, out
}

var (
	failure = regexp.MustCompile(`(?m)^(panic: .*|fatal error: .*|.*_test\.go:\d+: .*)$`)
	frame   = regexp.MustCompile(`(?m)^github\.com/imprintkit/imprint/(.*)\(`)
	digits  = regexp.MustCompile(`(0x)?[0-9a-f]*[0-9][0-9a-f]*`)
)

// kindOf returns the same text for the outputs of failures of one kind: the message without numbers, and the innermost
// function of a stack, if there is one.
func kindOf(out []byte) string {
	message := "unknown"
	at := failure.FindIndex(out)
	if at == nil {
		return message
	}
	message = digits.ReplaceAllString(strings.TrimSpace(string(out[at[0]:at[1]])), "N")
	for _, f := range frame.FindAllSubmatch(out[at[1]:], -1) {
		if name := string(f[1]); !strings.HasPrefix(name, "tools/hostile") {
			return message + " in " + name
		}
	}
	return message
}
