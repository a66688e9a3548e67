package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/pool"
)

func TestStatusAndHint(t *testing.T) {
	for _, test := range []struct {
		err     error
		command string
		status  int
		hint    string // the beginning of the hint
	}{
		{nil, "", 0, ""},
		{errors.New("something"), "add", exitUser, ""},
		{usagef("add needs photos"), "add", exitUsage, "see imprint help add"},
		{usagef("pull needs NAME"), "models pull", exitUsage, "see imprint help models pull"},
		{usagef("bad"), "", exitUsage, "see imprint help"},
		{hinted{usagef("bad"), "do this"}, "add", exitUsage, "do this"},
		{fmt.Errorf("%w; nothing was changed", errInterrupted), "add", exitInterrupted, ""},
		{dataError{imprint.ErrNoPhotos}, "add", exitData, "photos are JPEG"},
		{missingFile{"nowhere/x.jpg"}, "add", exitUser, ""},
		{fmt.Errorf("open: %w", fs.ErrPermission), "add", exitUser, "you can't read or write there"},
		{tpu.ErrNoDevice, "run", exitDevice, "imprint doctor finds the problem"},
		{tpu.ErrPermission, "run", exitDevice, "imprint doctor finds the problem"},
		{tpu.ErrFirmware, "run", exitDevice, "fetch it with imprint models pull firmware"},
		{fmt.Errorf("%w: %w", backbone.ErrCompiled, tpu.ErrNoDevice), "run", exitDevice, "imprint doctor finds the problem; --uncompiled FILE"},
		{pool.ErrNotCompiled, "run", exitData, "use the compiled model"},
		{imprint.ErrNeedsCompiled, "add", exitUsage, "name both models with --compiled"},
		{imprint.ErrNoClasses, "list", exitUser, "add photos first"},
		{imprint.ErrUnknownLabel, "remove", exitUser, "imprint list shows"},
		{fmt.Errorf("load: %w", &models.NameError{Name: "mobilenet_v2_1.0_224_quant", Err: models.ErrNotPulled}), "add", exitUser, "download it: imprint models pull mobilenet_v2_1.0_224_quant"},
		{imprint.ErrNoBackbone, "add", exitUser, "use a file with --backbone"},
		{tflite.ErrCorrupt, "run", exitData, "the file is truncated"},
		{fmt.Errorf("%w: its checksum is wrong", imprint.ErrCorrupt), "list", exitData, ""},
		{fmt.Errorf("read .imprint/state.1: %w: its checksum is wrong", imprint.ErrCorrupt), "list", exitData, "imprint doctor shows the damage"},
		{fmt.Errorf("read regions from .imprint/regions.json: %w: EOF", imprint.ErrCorrupt), "serve", exitData, "remove the file to start without regions"},
		{fmt.Errorf("%w: .imprint/backbone.tflite is missing", imprint.ErrCorrupt), "list", exitData, "name the model again with --backbone"},
		{fmt.Errorf("%w: .imprint/template-0123.tflite is another", imprint.ErrCorrupt), "list", exitData, "name both models again"},
		{fmt.Errorf("read .imprint/twin-0123.tflite: %w", imprint.ErrNoBackbone), "list", exitUser, "name both models again"},
	} {
		if got := exitStatus(test.err); got != test.status {
			t.Errorf("%v: got status %d, want %d", test.err, got, test.status)
		}
		if got := hint(test.err, test.command); !strings.HasPrefix(got, test.hint) || test.hint == "" && got != "" {
			t.Errorf("%v: got hint %q, want %q", test.err, got, test.hint)
		}
	}
}
