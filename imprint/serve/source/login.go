package source

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/icholy/digest"
)

// login is a transport that logs in at cameras, with the scheme that the camera asks for: digest
// (RFC 7616), or else basic (RFC 7617). Digest does not reveal the password. So login sends no
// password before the camera has asked for one. It never logs in at another server, to which the
// camera may redirect.
type login struct {
	http.RoundTripper
	camera *url.URL // with the user and password, if any
}

// newHTTPCamera returns the URL of a camera, and a client that logs in there with the URL's user and
// password. prefix is the part of a source's name before the URL.
func newHTTPCamera(prefix, where string) (*url.URL, *http.Client, error) {
	u, err := url.Parse(where)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, nil, fmt.Errorf("%w %s%s: want a URL like http://car.local:8887/video; in a password, write %%23 for # and %%2F for /", ErrSpec, prefix, masked(where))
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = frameTimeout
	return u, &http.Client{Transport: login{transport, u}}, nil
}

// anonymous returns a URL without user and password. With them, a client would send the password
// unasked.
func anonymous(u *url.URL) *url.URL {
	without := *u
	without.User = nil
	return &without
}

// RoundTrip implements http.RoundTripper for requests without a body.
func (l login) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := l.RoundTripper.RoundTrip(request)
	if err != nil || response.StatusCode != http.StatusUnauthorized || l.camera.User == nil ||
		request.URL.Scheme != l.camera.Scheme || request.URL.Host != l.camera.Host {
		return response, err
	}
	authorization, err := l.answer(request, response.Header)
	if err != nil || authorization == "" {
		return response, nil // let the caller report the status
	}
	response.Body.Close()
	request = request.Clone(request.Context())
	request.Header.Set("Authorization", authorization)
	return l.RoundTripper.RoundTrip(request)
}

// answer returns the Authorization header that answers the challenges in header, or "".
func (l login) answer(request *http.Request, header http.Header) (string, error) {
	password, _ := l.camera.User.Password()
	if challenge, err := digest.FindChallenge(header); err == nil {
		credentials, err := digest.Digest(challenge, digest.Options{
			Method: request.Method, URI: cmp.Or(request.URL.RequestURI(), "/"), Count: 1, Username: l.camera.User.Username(), Password: password,
		})
		if err != nil {
			return "", fmt.Errorf("log in: %w", err)
		}
		return credentials.String(), nil
	}
	for _, challenge := range header.Values("WWW-Authenticate") {
		if scheme, _, _ := strings.Cut(challenge, " "); strings.EqualFold(scheme, "Basic") {
			basic := http.Request{Header: make(http.Header)}
			basic.SetBasicAuth(l.camera.User.Username(), password)
			return basic.Header.Get("Authorization"), nil
		}
	}
	return "", nil
}
