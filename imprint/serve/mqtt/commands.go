package mqtt

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/eclipse/paho.golang/paho"

	"github.com/imprintkit/imprint/imprint/serve/region"
)

// pressed is the payload of the button teach.
const pressed = "teach"

// maxPayload limits the payload of a command, in bytes.
const maxPayload = 1 << 10

// A command is a message to a region.
type command struct{ region, kind, payload string }

// received queues a command. A retained message is none: it would be obeyed at every connection.
func (c *Client) received(p paho.PublishReceived) (bool, error) {
	m := p.Packet
	parts := strings.Split(strings.TrimPrefix(m.Topic, c.options.Topic+"/"), "/")
	if m.Retain || len(m.Payload) > maxPayload || len(parts) != 3 {
		return false, nil
	}
	select {
	case c.commands <- command{parts[0], parts[1], string(m.Payload)}:
	default:
		c.log.Warn("too many MQTT commands: dropped one", "topic", m.Topic)
	}
	return true, nil
}

// obey carries out one command after another until ctx ends.
func (c *Client) obey(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case v := <-c.commands:
			if err := c.carryOut(ctx, v); err != nil && ctx.Err() == nil {
				c.log.Warn("MQTT command failed", "region", v.region, "command", v.kind, "error", err)
			}
		}
	}
}

func (c *Client) carryOut(ctx context.Context, v command) error {
	name, found := c.regionNamed(v.region)
	if !found {
		return fmt.Errorf("there is no such region")
	}
	labels := c.server.Labels()
	switch v.kind {
	case "teach":
		label := c.labelToTrain(name, labels)
		if v.payload != pressed || label == "" {
			return fmt.Errorf("payload %.40q: want %s, and a class to train", v.payload, pressed)
		}
		_, err := c.server.TeachRegion(ctx, label, name)
		return err
	case "label":
		if !slices.Contains(labels, v.payload) {
			return fmt.Errorf("there is no class %.40q", v.payload)
		}
		c.mu.Lock()
		c.selected[name] = v.payload
		c.mu.Unlock()
		select {
		case c.chosen <- struct{}{}:
		default:
		}
		return nil
	case "threshold":
		score, err := strconv.ParseFloat(v.payload, 64)
		if err != nil {
			return fmt.Errorf("payload %.40q is not a number", v.payload)
		}
		// Only an existing region can be changed; it may have been removed meanwhile.
		return c.server.ChangeRegion(name, func(r *region.Region) { r.MinScore = score })
	}
	return fmt.Errorf("there is no such command")
}

// regionNamed returns the region whose escaped name is part of a topic.
func (c *Client) regionNamed(part string) (name string, found bool) {
	list, _ := c.server.Regions()
	for _, r := range list.Regions {
		if escaped(r.Name) == part {
			return r.Name, true
		}
	}
	return "", false
}
