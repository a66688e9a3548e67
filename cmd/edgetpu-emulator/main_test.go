package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestUsage(t *testing.T) {
	damaged := filepath.Join(t.TempDir(), "m_edgetpu.tflite")
	if err := os.WriteFile(damaged, []byte("TFL3"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args   string
		status int
		want   string // what the output contains
	}{
		{"--help", 0, "--listen ADDRESS"},
		{"--speed full", exitUsage, `--speed "full": want super or high`},
		{"--boot cold", exitUsage, `--boot "cold": want dfu or app`},
		{"--model", exitUsage, "flag needs an argument"},
		{"--uncompiled x", exitUsage, "--uncompiled without --model"},
		{"--twin x", exitUsage, "--uncompiled without --model"},
		{"m.tflite", exitUsage, `unexpected argument "m.tflite"`},
		{"--model /nowhere/m.tflite", exitUser, "no such file"},
		{"--model " + damaged, exitData, damaged + ": model not supported"},
		{"--listen nowhere", exitUser, "nowhere"},
		{"--transcript /nowhere/t", exitUser, "/nowhere/t: no such file"},
	} {
		var out bytes.Buffer
		status := run(t.Context(), append([]string{"edgetpu-emulator"}, strings.Fields(test.args)...), &out, &out)
		if status != test.status || !strings.Contains(out.String(), test.want) {
			t.Errorf("%s: got status %d and\n%s\nwant status %d and %q", test.args, status, out.String(), test.status, test.want)
		}
	}
}

// listening is a writer that cancels the command on the first write. The command writes its first line once the server
// listens.
type listening struct {
	bytes.Buffer
	cancel context.CancelFunc
}

func (l *listening) Write(p []byte) (int, error) {
	l.cancel()
	return l.Buffer.Write(p)
}

func TestListen(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out := &listening{cancel: cancel}
	transcript := filepath.Join(t.TempDir(), "transcript")
	status := run(ctx, []string{"edgetpu-emulator", "--listen", "127.0.0.1:0", "--speed", "high", "--boot", "app", "--transcript", transcript}, out, out)
	if _, err := os.Stat(transcript); err != nil {
		t.Error(err)
	}
	if want := "device 1-1 at 480 Mbit/s"; status != exitInterrupted || !strings.Contains(out.String(), want) {
		t.Errorf("got status %d and %q, want %d and %q", status, out.String(), exitInterrupted, want)
	}
}
