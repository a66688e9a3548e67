package main

import (
	"strings"
	"testing"

	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
)

// TestReportPrediction checks that the emulated device produces the output that doctor --report
// predicts.
func TestReportPrediction(t *testing.T) {
	read := func(name string) []byte {
		return reference.Read(t, "models", name+".tflite")
	}
	file := read(reportModel)
	pkg, err := compiledPackage(file)
	if err != nil {
		t.Fatal(err)
	}
	device := emulator.New(emulator.Config{Application: true})
	if err := device.Register(file, read(strings.TrimSuffix(reportModel, "_edgetpu"))); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := measure(t.Context(), &out, emulator.NewBus(device), pkg, 3, tpu.Options{Settle: -1}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"device: usb:1-1 at 5 Gbit/s, clock high", "3 inferences: fastest", ", 3 times: as predicted\n", "failures 0, recoveries 0"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
}

func TestFindings(t *testing.T) {
	lines := findingLines([]tpu.Finding{
		{Port: tpu.Port{Bus: 1, Path: "2"}, State: "ready", Text: "it is ready"},
		{Severity: tpu.Problem, State: "under-voltage", Text: "too low", Fix: "another supply"},
	})
	want := "ok: usb:1-2: it is ready\nproblem: too low\n  do: another supply"
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	var out strings.Builder
	if err := printFindings(&out, []tpu.Finding{{Port: tpu.Port{Bus: 1, Path: "2"}, Severity: tpu.Hint, State: "slow-port", Text: "slow"}}); err != nil {
		t.Fatal(err)
	}
	if want := `[{"device":"usb:1-2","severity":"hint","state":"slow-port","text":"slow"}]` + "\n"; out.String() != want {
		t.Errorf("got  %swant %s", &out, want)
	}
}
