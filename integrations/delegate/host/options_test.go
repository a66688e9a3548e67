package host_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/integrations/delegate/host"
	"github.com/imprintkit/imprint/tpu"
)

func TestParseOptions(t *testing.T) {
	port := tpu.Port{Bus: 2, Path: "1.4"}
	for _, test := range []struct {
		name     string
		given    []host.Option
		emulate  string
		want     host.Options
		warnings int
		err      string
	}{
		{name: "none", want: host.Options{Index: -1}},
		{name: "any", given: []host.Option{{"device", ""}}, want: host.Options{Index: -1}},
		{name: "any on USB", given: []host.Option{{"device", "usb"}}, want: host.Options{Index: -1}},
		{name: "first", given: []host.Option{{"device", ":0"}}, want: host.Options{Index: 0}},
		{name: "second on USB", given: []host.Option{{"device", "usb:1"}}, want: host.Options{Index: 1}},
		{name: "port", given: []host.Option{{"device", "usb:2-1.4"}}, want: host.Options{Index: -1, Port: port}},
		{name: "path", given: []host.Option{{"device", host.Path(port)}}, want: host.Options{Index: -1, Port: port}},
		{name: "last value counts", given: []host.Option{{"device", ":3"}, {"device", "usb:2"}}, want: host.Options{Index: 2}},
		{name: "PCI Express", given: []host.Option{{"device", "pci"}}, err: "on USB only"},
		{name: "second on PCI Express", given: []host.Option{{"device", "pci:1"}}, err: "on USB only"},
		{name: "path on PCI Express", given: []host.Option{{"device", "/dev/apex_0"}}, err: "on USB only"},
		{name: "no index", given: []host.Option{{"device", "usb:x"}}, err: "must be 0 to 255"},
		{name: "index too large", given: []host.Option{{"device", ":256"}}, err: "must be 0 to 255"},
		{name: "no port", given: []host.Option{{"device", "usb:0-1"}}, err: "USB port"},
		{name: "no kind", given: []host.Option{{"device", "gpu"}}, err: "want"},
		{name: "clock", given: []host.Option{{"Performance", "Max"}}, want: host.Options{Index: -1, Clock: tpu.ClockMax}},
		{name: "no clock", given: []host.Option{{"Performance", "Fast"}}, err: "want Low, Medium, High or Max"},
		{name: "without effect", given: []host.Option{{"Usb.AlwaysDfu", "True"}, {"Usb.MaxBulkInQueueLength", "8"}}, want: host.Options{Index: -1}},
		{name: "unknown", given: []host.Option{{"threads", "4"}, {"verbose", "1"}}, want: host.Options{Index: -1}, warnings: 2},
		{name: "emulator", given: []host.Option{{"emulator", "a:b"}}, want: host.Options{Index: -1, Emulator: []string{"a", "b"}}},
		{name: "emulator by default", emulate: "a", want: host.Options{Index: -1, Emulator: []string{"a"}}},
		{name: "no emulator", given: []host.Option{{"emulator", ""}}, emulate: "a", want: host.Options{Index: -1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, warnings, err := host.ParseOptions(test.given, test.emulate)
			if test.err != "" {
				if !errors.Is(err, host.ErrOption) || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got error %v, want one with %q", err, test.err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, test.want) || len(warnings) != test.warnings {
				t.Errorf("got %+v, warnings %q and error %v, want %+v and %d warnings", got, warnings, err, test.want, test.warnings)
			}
		})
	}
}
