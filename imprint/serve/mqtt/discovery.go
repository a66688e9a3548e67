package mqtt

// An entity is the configuration of an entity of Home Assistant. The keys and their meanings are
// those of homeassistant/components/mqtt (const.py, schemas.py, sensor.py, button.py, select.py,
// number.py) in home-assistant/core.
type entity struct {
	Name         string   `json:"name"`
	UniqueID     string   `json:"unique_id"`
	Availability string   `json:"availability_topic"`
	Device       device   `json:"device"`
	Origin       origin   `json:"origin"`
	Icon         string   `json:"icon,omitempty"`
	StateTopic   string   `json:"state_topic,omitempty"`
	Value        string   `json:"value_template,omitempty"`
	Attributes   string   `json:"json_attributes_topic,omitempty"`
	CommandTopic string   `json:"command_topic,omitempty"`
	Payload      string   `json:"payload_press,omitempty"`
	Options      []string `json:"options,omitempty"`
	Min          *float64 `json:"min,omitempty"`
	Max          *float64 `json:"max,omitempty"`
	Step         float64  `json:"step,omitempty"`
	Category     string   `json:"entity_category,omitempty"`
}

type device struct {
	Identifiers  []string `json:"identifiers"`
	Name         string   `json:"name"`
	Manufacturer string   `json:"manufacturer"`
	Version      string   `json:"sw_version,omitempty"`
}

type origin struct {
	Name    string `json:"name"`
	Version string `json:"sw_version,omitempty"`
}

// announcements returns the entities of a region by platform: the state, the threshold and, if
// there are classes, a label to select and a button that trains it.
func (c *Client) announcements(name string, labels []string) map[string]entity {
	node := nodeOf(c.options.Topic)
	base := func(kind, suffix, icon, category string) entity {
		return entity{
			Name: name + suffix, UniqueID: node + "_" + escaped(name) + "_" + kind,
			Availability: c.statusTopic(), Icon: icon, Category: category,
			Device: device{Identifiers: []string{node}, Name: c.options.Topic, Manufacturer: "imprint", Version: c.options.Version},
			Origin: origin{"imprint", c.options.Version},
		}
	}
	state := base("state", "", "mdi:shape-outline", "")
	state.StateTopic = c.regionTopic(name, "state")
	state.Attributes = state.StateTopic
	state.Value = "{{ value_json.label }}" // null becomes None, which Home Assistant shows as unknown

	threshold := base("threshold", " threshold", "mdi:tune", "config")
	threshold.StateTopic = c.regionTopic(name, "threshold")
	threshold.CommandTopic = threshold.StateTopic + "/set"
	low, high := 0., 1.
	threshold.Min, threshold.Max, threshold.Step = &low, &high, 0.01

	all := map[string]entity{"sensor": state, "number": threshold}
	if len(labels) > 0 {
		label := base("label", " label", "mdi:tag", "config")
		label.StateTopic = c.regionTopic(name, "label")
		label.CommandTopic = label.StateTopic + "/set"
		label.Options = labels
		button := base("teach", " teach", "mdi:school", "config")
		button.CommandTopic = c.regionTopic(name, "teach") + "/set"
		button.Payload = pressed
		all["select"], all["button"] = label, button
	}
	return all
}
