package mqtt

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/imprint/serve"
	"github.com/imprintkit/imprint/imprint/serve/region"
)

// Keys that Home Assistant's schemas need and allow, from sensor.py, button.py, select.py, number.py and schemas.py in
// homeassistant/components/mqtt of home-assistant/core. Unknown keys are an error there, too.
var (
	commonKeys = []string{"name", "unique_id", "availability_topic", "device", "origin", "icon", "entity_category"}
	schemas    = map[string]struct{ need, allow []string }{
		"sensor": {[]string{"state_topic"}, []string{"value_template", "json_attributes_topic"}},
		"number": {[]string{"command_topic"}, []string{"state_topic", "min", "max", "step"}},
		"select": {[]string{"command_topic", "options"}, []string{"state_topic"}},
		"button": {[]string{"command_topic"}, []string{"payload_press"}},
	}
	// discoveryTopic is TOPIC_MATCHER of discovery.py, after the prefix.
	discoveryTopic = regexp.MustCompile(`^homeassistant/(\w+)/([a-zA-Z0-9_-]+)/([a-zA-Z0-9_-]+)/config$`)
)

// TestDiscovery checks all messages about regions with hostile names.
func TestDiscovery(t *testing.T) {
	c, err := New(Options{URL: "mqtt://host", Topic: `imprint/<"é"`, Discovery: "homeassistant", Version: "1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{hostile, "a_2f", "a/", "{{ states }}", "door", strings.Repeat("#", 60)}
	var list serve.RegionList
	for _, name := range names {
		list.Regions = append(list.Regions, serve.RegionStatus{Region: region.New(name, region.Box{0, 0, 1, 1}), State: region.State{Region: name, Label: hostile, Changes: 1}})
	}
	labels := []string{hostile, "open"}
	ids := make(map[string]bool)
	for topic, payload := range c.messages(list, labels) {
		if strings.ContainsAny(topic, "+#") || strings.ToValidUTF8(topic, "") != topic {
			t.Errorf("unusable topic %q", topic)
		}
		m := discoveryTopic.FindStringSubmatch(topic)
		if m == nil {
			continue
		}
		var v map[string]any
		if err := json.Unmarshal([]byte(payload), &v); err != nil {
			t.Fatal(err)
		}
		schema := schemas[m[1]]
		for _, key := range append(schema.need, "unique_id", "device", "availability_topic") {
			if v[key] == nil {
				t.Errorf("%s: %s is missing in %s", topic, key, payload)
			}
		}
		for key := range v {
			if !slices.Contains(slices.Concat(commonKeys, schema.need, schema.allow), key) {
				t.Errorf("%s: %s is not allowed in %s", topic, key, payload)
			}
		}
		id := v["unique_id"].(string)
		if ids[id] {
			t.Errorf("two entities have the unique_id %s", id)
		}
		ids[id] = true
		if template, found := v["value_template"]; found && template != "{{ value_json.label }}" {
			t.Errorf("got template %q", template)
		}
	}
	if want := 4 * len(names); len(ids) != want {
		t.Errorf("got %d entities, want %d", len(ids), want)
	}
	for _, name := range names {
		if part := escaped(name); !discoveryTopic.MatchString("homeassistant/sensor/node/" + part + "/config") {
			t.Errorf("%q became %q", name, part)
		}
	}
}

// TestNoClasses checks that nothing can be selected or trained without classes.
func TestNoClasses(t *testing.T) {
	c, err := New(options("mqtt://host"), nil)
	if err != nil {
		t.Fatal(err)
	}
	list := serve.RegionList{Regions: []serve.RegionStatus{{Region: region.New("door", region.Box{0, 0, 1, 1})}}}
	m := c.messages(list, nil)
	got := make([]string, 0, len(m))
	for topic := range m {
		got = append(got, topic)
	}
	slices.Sort(got)
	want := []string{"homeassistant/number/imprint_2ftest/door/config", "homeassistant/sensor/imprint_2ftest/door/config", "imprint/test/door/threshold", "imprint/test/status"}
	if !slices.Equal(got, want) {
		t.Errorf("got topics %q, want %q", got, want)
	}
}
