package serve

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

const (
	// certificateAge is the validity of a self-signed certificate. Apple accepts no longer one
	// (support.apple.com/103769).
	certificateAge = 825 * 24 * time.Hour
	// clockError is how far the clocks of clients may be behind.
	clockError = 24 * time.Hour
)

var (
	// ErrCertificate means that a file has no usable certificate with its key.
	ErrCertificate = errors.New("no usable certificate")
	// ErrKeyMode means that other users can read a private key.
	ErrKeyMode = errors.New("other users can read the private key")
)

// WithTLS returns a listener whose clients must use TLS. It supports HTTP/1.1 only, because the
// server limits connections, and HTTP/2 would share one among many requests.
func (l Listener) WithTLS(c tls.Certificate) Listener {
	l.tls = &tls.Config{Certificates: []tls.Certificate{c}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	return l
}

// Fingerprint returns the SHA-256 of the listener's certificate, in the form that browsers show, or
// "" without TLS.
func (l Listener) Fingerprint() string {
	if l.tls == nil {
		return ""
	}
	sum := sha256.Sum256(l.tls.Certificates[0].Certificate[0])
	return strings.ReplaceAll(fmt.Sprintf("% X", sum), " ", ":")
}

// CertificatePath returns the path of a workspace's self-signed certificate and its key.
func CertificatePath(workspace string) string { return filepath.Join(workspace, "serve.pem") }

// SelfSigned returns the self-signed certificate in a file, which also has its private key, in PEM
// format. If the file does not exist, or the certificate has expired, SelfSigned creates it for this
// machine's names and addresses, and for hosts. The file has mode 600. SelfSigned fails with
// ErrKeyMode if other users can read it, and with ErrCertificate if it is damaged.
func SelfSigned(file string, hosts []string) (tls.Certificate, error) {
	hosts = append(ownNames(), hosts...)
	for _, a := range interfaceAddresses() {
		if n, ok := a.(*net.IPNet); ok {
			hosts = append(hosts, n.IP.String())
		}
	}
	c, err := selfSigned(file, hosts, time.Now())
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("self-signed certificate %s: %w", file, err)
	}
	return c, nil
}

// selfSigned is like SelfSigned at a given time, for these host names and addresses only.
func selfSigned(file string, hosts []string, now time.Time) (c tls.Certificate, err error) {
	content, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return c, err
	default:
		if err := checkKeyMode(file); err != nil {
			return c, err
		}
		if c, err = tls.X509KeyPair(content, content); err != nil {
			return c, fmt.Errorf("%w: %w", ErrCertificate, err)
		}
		if now.Before(c.Leaf.NotAfter) {
			return c, nil
		}
	}
	if content, err = newCertificate(hosts, now); err != nil {
		return c, err
	}
	if err := writeKey(file, content); err != nil {
		return c, err
	}
	return tls.X509KeyPair(content, content)
}

// newCertificate returns a self-signed certificate and its key in PEM format.
func newCertificate(hosts []string, now time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "imprint"},
		NotBefore:   now.Add(-clockError),
		NotAfter:    now.Add(certificateAge - clockError),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		// The key signs nothing else, so a client that trusts it trusts only this server.
		BasicConstraintsValid: true,
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: private})
	return b.Bytes(), nil
}

// writeKey replaces a file with one that only its owner can read.
func writeKey(file string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".serve-*.tmp") // with mode 600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if err := checkKeyMode(f.Name()); err != nil { // as on vfat
		return errors.Join(err, f.Close())
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

// checkKeyMode returns ErrKeyMode unless only the owner can read a file. On Windows, which has access
// lists instead of modes, it checks nothing.
func checkKeyMode(file string) error {
	info, err := os.Stat(file)
	if err != nil || runtime.GOOS == "windows" {
		return err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%w: mode %o", ErrKeyMode, mode)
	}
	return nil
}
