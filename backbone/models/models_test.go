package models

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestListIsConsistent(t *testing.T) {
	sum, id := regexp.MustCompile(`^[0-9a-f]{64}$`), regexp.MustCompile(`^[0-9a-f]{40}$`)
	list := List()
	if len(list) == 0 {
		t.Fatal("the list is empty")
	}
	for i, p := range list {
		sized := p.Size > 0 && sum.MatchString(p.SHA256) && p.GitBlob == ""
		unsized := p.Size == 0 && p.SHA256 == "" && id.MatchString(p.GitBlob)
		if !sized && !unsized || p.Input <= 0 || !strings.HasSuffix(p.About, ".") {
			t.Errorf("%s is incomplete: %+v", p.Name, p)
		}
		if !p.Compiled() && p.Embedding == 0 {
			t.Errorf("%s has no embedding size", p.Name)
		}
		if p.Compiled() && (i == 0 || list[i-1].Name != p.Counterpart) {
			t.Errorf("%s does not follow its uncompiled model", p.Name)
		}
		for _, q := range list[:i] {
			if p.Name == q.Name || p.SHA256+p.GitBlob == q.SHA256+q.GitBlob {
				t.Errorf("%s and %s share a name or a checksum", p.Name, q.Name)
			}
		}
		if p.Counterpart == "" {
			continue
		}
		other, err := Find(p.Counterpart)
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		if other.Counterpart != p.Name || other.Compiled() == p.Compiled() || other.Input != p.Input {
			t.Errorf("%s has the counterpart %+v", p.Name, other)
		}
	}
}

// TestMeasured checks that the published accuracy is that of listed backbones, except imprint's own,
// and that every backbone has a prior.
func TestMeasured(t *testing.T) {
	for name, a := range measured {
		p, err := Find(name)
		if own := strings.HasPrefix(name, "imprint-"); !own && (err != nil || p.Compiled()) || own && err == nil {
			t.Errorf("%s: got %+v, %v, want an uncompiled model", name, p, err)
		}
		if file, ok := Measured(name + ".tflite"); !ok || file != a || Prior(name) != a.Mean {
			t.Errorf("%s.tflite: got %+v, %v and prior %v, want %+v", name, file, ok, Prior(name), a)
		}
	}
	for name, like := range map[string]string{
		"efficientnet-edgetpu-S_quant":          "mobilenet_v2_1.0_224_quant",
		"mobilenet_v2_1.0_224_inat_plant_quant": "mobilenet_v2_1.0_224_inat_insect_quant",
	} {
		if got := Prior(name); got != measured[like].Mean || got == 0 {
			t.Errorf("%s: got prior %v, want that of %s", name, got, like)
		}
	}
}

// TestFirmware checks that Find returns the firmware, which is in a different folder from
// the models, and that List omits the firmware.
func TestFirmware(t *testing.T) {
	p, err := Find(Firmware)
	if err != nil || p.File() != "apex_latest_single_ep.bin" || !strings.Contains(p.base, "/libedgetpu/") || p.Size != 10783 {
		t.Errorf("got %+v, %v", p, err)
	}
	for _, m := range List() {
		if m.Name == Firmware || m.base != "" || m.file != "" {
			t.Errorf("List contains %s, which is the firmware or not in the models' folder", m.Name)
		}
	}
}

func TestFind(t *testing.T) {
	for _, name := range []string{"mobilenet_v1_0.25_128_quant", "mobilenet_v1_0.25_128_quant.tflite"} {
		p, err := Find(name)
		if err != nil || p.Name != "mobilenet_v1_0.25_128_quant" || p.File() != "mobilenet_v1_0.25_128_quant.tflite" {
			t.Errorf("Find(%q) = %+v, %v", name, p, err)
		}
	}
	tests := []struct{ name, want string }{
		{"mobilenet_v1_0.25_128_qaunt", "did you mean mobilenet_v1_0.25_128_quant or"},
		{"MOBILENET_v1_0.5_160_quant", "did you mean mobilenet_v1_0.5_160_quant or"},
		{"extractor", "did you mean mobilenet_v1_1.0_224_quant_embedding_extractor or"},
		{"inat_bird", "did you mean mobilenet_v2_1.0_224_inat_bird_quant or mobilenet_v2_1.0_224_inat_bird_quant_edgetpu?"},
		{"", `"" is not a known model`},
		{"resnet50", `"resnet50" is not a known model`},
	}
	for _, tt := range tests {
		_, err := Find(tt.name)
		if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Find(%q): got error %v, want ErrUnknown that contains %q", tt.name, err, tt.want)
		}
	}
	if _, err := Find("resnet50"); strings.Contains(err.Error(), "mean") {
		t.Errorf("Find(\"resnet50\") suggests a model: %v", err)
	}
}

func TestEditDistance(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"same", "same", 0}, {"ab", "ba", 2}}
	for _, tt := range tests {
		if got := editDistance(tt.a, tt.b); got != tt.want {
			t.Errorf("editDistance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
