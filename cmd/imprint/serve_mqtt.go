package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint/serve"
	"github.com/imprintkit/imprint/imprint/serve/mqtt"
)

// mqttPassword is the environment variable with the password for --mqtt.
const mqttPassword = "IMPRINT_MQTT_PASSWORD"

func mqttFlags() []cli.Flag {
	const category = "MQTT"
	return []cli.Flag{
		&cli.StringFlag{Name: "mqtt", Category: category, Usage: "publish the states of regions to the broker at `URL`, mqtts://USER@HOST or mqtt://USER@HOST", DefaultText: "none"},
		&cli.StringFlag{Name: "mqtt-password-file", Category: category, Usage: "read the broker's password from `FILE`", DefaultText: "the environment variable " + mqttPassword},
		&cli.StringFlag{Name: "mqtt-ca", Category: category, Usage: "trust brokers with a certificate from `FILE`, in PEM format", DefaultText: "the system's certificates"},
		&cli.StringFlag{Name: "mqtt-topic", Category: category, Usage: "publish under `TOPIC`", DefaultText: "imprint/ and the name of this machine"},
		&cli.StringFlag{Name: "mqtt-discovery", Category: category, Usage: "announce regions to Home Assistant under the topic `PREFIX`, or none", Value: "homeassistant"},
	}
}

// mqttClient returns the client that --mqtt asks for, or nil.
func mqttClient(c *cli.Context, server *serve.Server, log *slog.Logger) (*mqtt.Client, error) {
	o := mqtt.Options{
		URL: c.String("mqtt"), Password: os.Getenv(mqttPassword), Topic: c.String("mqtt-topic"), Discovery: c.String("mqtt-discovery"),
		Version: thisBuild().Version, Log: log,
	}
	os.Unsetenv(mqttPassword) // commands of --on and --notify don't need it
	if o.URL == "" {
		return nil, nil
	}
	if o.Discovery == "none" {
		o.Discovery = ""
	}
	if o.Topic == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, hinted{err, "name a topic with --mqtt-topic TOPIC"}
		}
		o.Topic = "imprint/" + strings.Map(func(r rune) rune {
			if strings.ContainsRune("/+#", r) {
				return '_'
			}
			return r
		}, host)
	}
	if file := c.String("mqtt-password-file"); file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--mqtt-password-file: %w", err)
		}
		o.Password = strings.TrimRight(string(b), "\r\n")
	}
	if file := c.String("mqtt-ca"); file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("--mqtt-ca: %w", err)
		}
		o.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
		if !o.TLS.RootCAs.AppendCertsFromPEM(b) {
			return nil, usagef("--mqtt-ca %s: no certificate in PEM format", file)
		}
	}
	client, err := mqtt.New(o, server)
	if errors.Is(err, mqtt.ErrPassword) {
		return nil, hinted{usageError{err}, "put the password into a file, and name it with --mqtt-password-file FILE"}
	}
	if err != nil {
		return nil, usageError{err}
	}
	return client, nil
}
