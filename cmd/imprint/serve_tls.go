package main

import (
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/imprint/serve"
)

func tlsFlags() []cli.Flag {
	const category = "TLS"
	return []cli.Flag{
		&cli.StringFlag{Name: "tls", Category: category, Usage: "encrypt with a certificate created in the workspace: `KIND` is self-signed", DefaultText: "no TLS"},
		&cli.StringFlag{Name: "tls-cert", Category: category, Usage: "encrypt with the certificate chain in `FILE`, in PEM format", DefaultText: "no TLS"},
		&cli.StringFlag{Name: "tls-key", Category: category, Usage: "read the private key of --tls-cert from `FILE`", DefaultText: "none"},
	}
}

// checkTLS refuses flags for TLS that don't go together.
func checkTLS(c *cli.Context) error {
	kind, cert, key := c.String("tls"), c.String("tls-cert"), c.String("tls-key")
	switch {
	case kind == "" && cert == "" && key == "":
		return nil
	case kind != "" && kind != "self-signed":
		return usagef("--tls %q: want self-signed; for a certificate of your own, use --tls-cert and --tls-key", kind)
	case kind != "" && (cert != "" || key != ""):
		return usagef("--tls and --tls-cert can't be combined")
	case kind == "" && (cert == "" || key == ""):
		return usagef("--tls-cert and --tls-key need each other")
	case c.String("listen") == "none":
		return usagef("TLS needs --listen ADDR; the socket has none")
	}
	return nil
}

// useTLS adds TLS to the listeners if the flags ask for it.
func useTLS(c *cli.Context, workspace string, listeners []serve.Listener) error {
	var cert tls.Certificate
	var err error
	switch {
	case c.String("tls") != "":
		file := serve.CertificatePath(workspace)
		cert, err = serve.SelfSigned(file, c.StringSlice("host"))
		switch {
		case errors.Is(err, serve.ErrKeyMode):
			err = hinted{err, "run chmod 600 " + file + "; if its disk has no permissions, use --tls-cert and --tls-key"}
		case errors.Is(err, serve.ErrCertificate):
			err = hinted{err, "remove the file; the next start creates another certificate"}
		}
	case c.String("tls-cert") != "":
		if cert, err = tls.LoadX509KeyPair(c.String("tls-cert"), c.String("tls-key")); err != nil {
			err = fmt.Errorf("--tls-cert %s: %w", c.String("tls-cert"), err)
		}
	default:
		return nil
	}
	if err != nil {
		return err
	}
	for i := range listeners {
		listeners[i] = listeners[i].WithTLS(cert)
	}
	return nil
}
