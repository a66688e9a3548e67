package mqtt

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/imprintkit/imprint/imprint/serve"
)

// Payloads of the status topic.
const (
	online  = "online"
	offline = "offline"
)

// maxTopic is the largest length of a topic prefix, in bytes.
const maxTopic = 200

// ErrTopic means that a text can't be a topic.
var ErrTopic = errors.New("unusable MQTT topic")

func checkTopic(topic string) error {
	if len(topic) > maxTopic || strings.ContainsAny(topic, "+#\x00") || strings.HasPrefix(topic, "/") || strings.HasSuffix(topic, "/") || strings.HasPrefix(topic, "$") || strings.ToValidUTF8(topic, "") != topic {
		return fmt.Errorf("%w %.40q: want at most %d bytes without +, #, a slash at an end, or $ at the start", ErrTopic, topic, maxTopic)
	}
	return nil
}

// escaped returns a text as a part of topics and identifiers: letters, digits and hyphens stay, and
// every other byte becomes _ and two hexadecimal digits. So different texts stay different.
func escaped(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02x", c)
		}
	}
	return b.String()
}

// nodeOf returns the identifier of the server at a topic.
func nodeOf(topic string) string { return escaped(topic) }

func (c *Client) statusTopic() string { return c.options.Topic + "/status" }

// regionTopic returns a topic of a region.
func (c *Client) regionTopic(name, kind string) string {
	return c.options.Topic + "/" + escaped(name) + "/" + kind
}

// A message is the payload of a region's state.
type message struct {
	Label *string   `json:"label"` // null is unknown
	Known string    `json:"known"`
	Score float64   `json:"score"`
	Since time.Time `json:"since"`
}

// messages returns what the broker should retain, by topic. Topics of earlier messages that are no
// longer needed get the payload "", which removes them.
func (c *Client) messages(list serve.RegionList, labels []string) map[string]string {
	m := make(map[string]string)
	for topic := range c.sent {
		m[topic] = ""
	}
	m[c.statusTopic()] = online
	for _, r := range list.Regions {
		if s := r.State; s.Changes > 0 {
			v := message{Label: &s.Label, Known: s.Known, Score: s.Score, Since: s.Since}
			if s.Label == "" {
				v.Label = nil
			}
			m[c.regionTopic(r.Name, "state")] = encode(v)
		}
		m[c.regionTopic(r.Name, "threshold")] = strconv.FormatFloat(r.MinScore, 'f', -1, 64)
		if label := c.labelToTrain(r.Name, labels); label != "" {
			m[c.regionTopic(r.Name, "label")] = label
		}
		if c.options.Discovery != "" {
			for kind, v := range c.announcements(r.Name, labels) {
				topic := fmt.Sprintf("%s/%s/%s/%s/config", c.options.Discovery, kind, nodeOf(c.options.Topic), escaped(r.Name))
				m[topic] = encode(v)
			}
		}
	}
	return m
}

// labelToTrain returns the label that is selected for a region: by default, the first one.
func (c *Client) labelToTrain(name string, labels []string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if chosen := c.selected[name]; slices.Contains(labels, chosen) {
		return chosen
	}
	if len(labels) == 0 {
		return ""
	}
	return labels[0]
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "" // impossible: all of these types can be encoded
	}
	return string(b)
}
