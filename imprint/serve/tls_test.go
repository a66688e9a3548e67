package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestSelfSigned checks when a certificate is kept, replaced or refused.
func TestSelfSigned(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	file := CertificatePath(t.TempDir())
	hosts := []string{"pi.local", "192.0.2.7"}
	first, err := selfSigned(file, hosts, now)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
		t.Errorf("got mode %v, %v, want 0600", info.Mode(), err)
	}
	for _, h := range hosts {
		if err := first.Leaf.VerifyHostname(h); err != nil {
			t.Error(err)
		}
	}
	if first.Leaf.IsCA {
		t.Error("the certificate may sign others")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		content []byte
		mode    os.FileMode
		now     time.Time
		kept    bool
		err     error
	}{
		{"the same day", content, 0o600, now, true, nil},
		{"two years later", content, 0o600, now.AddDate(2, 0, 0), true, nil},
		{"expired", content, 0o600, now.AddDate(3, 0, 0), false, nil},
		{"readable by a group", content, 0o640, now, false, ErrKeyMode},
		{"readable by all", content, 0o604, now, false, ErrKeyMode},
		{"damaged", content[:len(content)/2], 0o600, now, false, ErrCertificate},
		{"empty", nil, 0o600, now, false, ErrCertificate},
	} {
		if err := errors.Join(os.Remove(file), os.WriteFile(file, c.content, c.mode)); err != nil {
			t.Fatal(err)
		}
		got, err := selfSigned(file, hosts, c.now)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: got error %v, want %v", c.name, err, c.err)
		}
		if err == nil && (got.Leaf.Equal(first.Leaf) != c.kept || !c.now.Before(got.Leaf.NotAfter)) {
			t.Errorf("%s: kept %v, want %v; it is valid until %v", c.name, !c.kept, c.kept, got.Leaf.NotAfter)
		}
		if after, _ := os.ReadFile(file); err != nil && string(after) != string(c.content) {
			t.Errorf("%s: the refused file was changed", c.name)
		}
	}
	if _, err := selfSigned(filepath.Join(file, "x"), nil, now); err == nil {
		t.Error("no error for a path below a file")
	}
}

// TestTLS opens the page over TLS as a browser does, and checks what clients without TLS, without
// the certificate and without the token get.
func TestTLS(t *testing.T) {
	cert, err := SelfSigned(CertificatePath(t.TempDir()), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, testConfig{token: "0123456789abcdef", tls: &cert})
	get := func(client *http.Client, url string) (*http.Response, string, error) {
		t.Helper()
		resp, err := client.Get(url)
		if err != nil {
			return nil, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(b), nil
	}
	client := func(trusted bool) *http.Client {
		roots := x509.NewCertPool()
		if trusted {
			roots.AddCert(cert.Leaf)
		}
		jar, _ := cookiejar.New(nil)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
		t.Cleanup(transport.CloseIdleConnections)
		return &http.Client{Transport: transport, Jar: jar}
	}
	browser := client(true)
	if resp, _, err := get(browser, s.url+"/v1/health"); err != nil || resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: got %v, %v, want status 401", resp, err)
	}
	resp, body, err := get(browser, s.url+"/?token=0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	cookies := fmt.Sprint(resp.Request.Response.Header["Set-Cookie"])
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, "<title>imprint</title>") || resp.ProtoMajor != 1 || !strings.Contains(cookies, "; Secure") {
		t.Errorf("page: got status %s %s, cookies %s and %.100s", resp.Proto, resp.Status, cookies, body)
	}
	if resp, body, err := get(browser, s.url+"/v1/health"); err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(body, `"status"`) {
		t.Errorf("with the cookie: got %v %s, %v, want status 200", resp, body, err)
	}
	var untrusted x509.UnknownAuthorityError
	if _, _, err := get(client(false), s.url+"/v1/health"); !errors.As(err, &untrusted) {
		t.Errorf("client without the certificate: got error %v, want %T", err, untrusted)
	}
	plain := strings.Replace(s.url, "https:", "http:", 1)
	if resp, body, err := get(client(true), plain+"/?token=0123456789abcdef"); err != nil || resp.StatusCode != http.StatusBadRequest || !strings.Contains(body, "HTTPS") {
		t.Errorf("without TLS: got %v %q, %v, want status 400", resp, body, err)
	}
	s.do("GET", "/v1/health", "", http.StatusOK, nil) // the socket needs no TLS
}

// TestTLSConnections checks that limits on connections see those with TLS.
func TestTLSConnections(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	want := &limitedConn{Conn: a}
	if got := withConnection(context.Background(), tls.Server(want, &tls.Config{})).Value(connKey{}); got != want {
		t.Errorf("got connection %v, want %v", got, want)
	}
}
