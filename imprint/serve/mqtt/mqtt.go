// Package mqtt publishes what the regions of a server show to an MQTT 5 broker, and announces them
// to Home Assistant. Call [New], then [Client.Run] while the server runs.
//
// A Client reads the newest state when the broker is ready for it. So a broker that stalls or is
// lost never holds up frames, and gets the current states when it is back.
package mqtt

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"

	"github.com/imprintkit/imprint/imprint/serve"
)

const (
	// patience is the longest wait for a connection, and for the broker's reply to a packet.
	patience = 10 * time.Second
	// keepAlive is the interval in seconds after which an idle connection is checked.
	keepAlive = 30
	// firstWait and longestWait limit the time between two connections.
	firstWait   = time.Second
	longestWait = time.Minute
)

var (
	// ErrURL means that a URL can't be that of a broker.
	ErrURL = errors.New("unusable URL of an MQTT broker")
	// ErrPassword means that a URL contains a password, which all users of the machine could see.
	ErrPassword = errors.New("the URL of an MQTT broker contains a password")
)

// Options configure a [Client].
type Options struct {
	URL      string // mqtt://USER@HOST:PORT, or mqtts:// for TLS
	Password string
	// TLS has the certificates of brokers to trust; nil means those of the system.
	TLS *tls.Config
	// Topic is the topic under which everything is published. It must be unique for the broker.
	Topic string
	// Discovery is Home Assistant's discovery prefix, or "" for none.
	Discovery string
	Version   string // of the program
	Log       *slog.Logger
}

// A Client keeps a broker informed about a server.
type Client struct {
	options Options
	broker  *url.URL
	server  *serve.Server
	log     *slog.Logger
	wait    time.Duration // after the first failure

	commands chan command
	chosen   chan struct{} // receives a value after a label was selected

	mu       sync.Mutex
	selected map[string]string // the label to train, by region

	// Used only by the goroutine of Run.
	sent map[string]string // retained messages of this and earlier connections; "" if not current
}

// New returns a client for a server. It opens nothing. It fails with ErrURL, ErrPassword or
// ErrTopic.
func New(o Options, server *serve.Server) (*Client, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "mqtt" && u.Scheme != "mqtts" || u.Hostname() == "" || u.Path != "" && u.Path != "/" {
		return nil, fmt.Errorf("%w: want mqtt://USER@HOST or mqtts://USER@HOST", ErrURL) // the text may contain a password
	}
	if _, hasPassword := u.User.Password(); hasPassword {
		return nil, ErrPassword
	}
	for _, topic := range []string{o.Topic, o.Discovery} {
		if err := checkTopic(topic); err != nil {
			return nil, err
		}
	}
	return &Client{
		options: o, broker: u, server: server, log: o.Log, wait: firstWait,
		commands: make(chan command, 16), chosen: make(chan struct{}, 1),
		selected: make(map[string]string), sent: make(map[string]string),
	}, nil
}

// Run connects to the broker until ctx ends. After a failure it tries again, after 1 s, 2 s, … 60 s.
func (c *Client) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	work.Go(func() { c.obey(ctx) })
	wait := time.Duration(0)
	for reported := ""; ctx.Err() == nil; {
		connected, err := c.connection(ctx)
		if ctx.Err() != nil {
			return
		}
		if connected {
			wait, reported = 0, ""
		}
		if text := err.Error(); text != reported {
			c.log.Warn("no connection to the MQTT broker; trying again", "broker", c.broker.Redacted(), "error", text)
			reported = text
		}
		wait = min(max(2*wait, c.wait), longestWait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}

// connection connects and publishes until ctx ends or the broker fails.
func (c *Client) connection(ctx context.Context) (connected bool, err error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	conn, err := c.dial(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	client := paho.NewClient(paho.ClientConfig{
		Conn: packets.NewThreadSafeConn(&impatient{conn}), PacketTimeout: patience,
		OnPublishReceived:  []func(paho.PublishReceived) (bool, error){c.received},
		OnClientError:      func(err error) { stop(err) },
		OnServerDisconnect: func(d *paho.Disconnect) { stop(fmt.Errorf("the broker disconnected with code %d", d.ReasonCode)) },
	})
	user := c.broker.User.Username()
	hello := &paho.Connect{
		ClientID: nodeOf(c.options.Topic), KeepAlive: keepAlive, CleanStart: true,
		Username: user, UsernameFlag: user != "", Password: []byte(c.options.Password), PasswordFlag: c.options.Password != "",
		WillMessage: &paho.WillMessage{Retain: true, QoS: 1, Topic: c.statusTopic(), Payload: []byte(offline)},
	}
	if answer, err := client.Connect(ctx, hello); err != nil {
		if answer != nil && answer.Properties != nil && answer.Properties.ReasonString != "" {
			err = fmt.Errorf("%w: %s", err, answer.Properties.ReasonString)
		}
		return false, err
	}
	err = c.keepInformed(ctx, client)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if errors.Is(context.Cause(ctx), context.Canceled) { // the program ends
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		client.Publish(last, &paho.Publish{QoS: 1, Retain: true, Topic: c.statusTopic(), Payload: []byte(offline)})
		client.Disconnect(&paho.Disconnect{})
	}
	conn.Close()
	<-client.Done()
	return true, err
}

// dial opens a connection to the broker.
func (c *Client) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	port := c.broker.Port()
	if c.broker.Scheme == "mqtts" {
		if port == "" {
			port = "8883"
		}
		d := tls.Dialer{Config: c.options.TLS}
		return d.DialContext(ctx, "tcp", net.JoinHostPort(c.broker.Hostname(), port))
	}
	if port == "" {
		port = "1883"
	}
	return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(c.broker.Hostname(), port))
}

// An impatient connection fails if the other side reads nothing for too long.
type impatient struct{ net.Conn }

func (c *impatient) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// keepInformed subscribes to commands, and publishes what has changed, until ctx ends.
func (c *Client) keepInformed(ctx context.Context, client *paho.Client) error {
	commands := &paho.Subscribe{Subscriptions: []paho.SubscribeOptions{{Topic: c.options.Topic + "/+/+/set", QoS: 1}}}
	if _, err := client.Subscribe(ctx, commands); err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	for topic := range c.sent {
		c.sent[topic] = "" // the broker may have forgotten it
	}
	c.log.Info("connected to the MQTT broker", "broker", c.broker.Redacted())
	for {
		list, changed := c.server.Regions()
		for topic, payload := range c.messages(list, c.server.Labels()) {
			if c.sent[topic] == payload {
				continue
			}
			message := &paho.Publish{QoS: 1, Retain: true, Topic: topic, Payload: []byte(payload)}
			if _, err := client.Publish(ctx, message); err != nil {
				return fmt.Errorf("publish: %w", err)
			}
			if c.sent[topic] = payload; payload == "" {
				delete(c.sent, topic)
			}
		}
		select {
		case <-changed:
		case <-c.chosen:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
