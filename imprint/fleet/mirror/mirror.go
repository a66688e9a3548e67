// Package mirror copies the workspace of a running server into a folder, to merge it. Start with
// [New], then call [Server.Copy].
//
// A copy is verified before it replaces an earlier one, and only what is new is downloaded. After a
// failure, the next copy resumes where the download ended.
package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/imprint/fleet"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

var (
	// ErrURL means that a URL can't be that of a server.
	ErrURL = errors.New("not the URL of a server")
	// ErrToken means that the server wants another token.
	ErrToken = errors.New("missing or wrong token")
	// ErrTooOld means that the server can't be copied, because it is too old or no imprint server.
	ErrTooOld = errors.New("the server does not offer its workspace: it is too old, or not imprint serve")
	// ErrNotTrained means that the server's workspace has no classes.
	ErrNotTrained = errors.New("the server has no classes yet")
	// ErrContent means that a file that the server sent is not the one that it listed.
	ErrContent = errors.New("the server sent another file than it listed")
)

// A Server is a running imprint serve.
type Server struct {
	base   string // scheme and host
	token  string
	client *http.Client
}

// listTimeout is ample: for the list, a server reads files of at most 1 GiB.
const listTimeout = 2 * time.Minute

// maxList is the largest list of files, in bytes.
const maxList = 1 << 20

// maxCopies is how often Copy starts again because the server's workspace has changed meanwhile.
const maxCopies = 5

// New returns the server at address, a URL that begins with http or https. Its parameter token, as in
// the URL that a server prints, is used instead of token. A nil client means one with the proxies and
// the certificates of the environment.
func New(address, token string, client *http.Client) (*Server, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.User != nil {
		return nil, fmt.Errorf("%w: %q", ErrURL, withoutToken(address))
	}
	if t := u.Query().Get("token"); t != "" {
		token = t
	}
	return &Server{u.Scheme + "://" + u.Host, token, authorized(token, client)}, nil
}

// withoutToken returns the part of a URL that may be shown.
func withoutToken(address string) string {
	address, _, _ = strings.Cut(address, "?")
	return address
}

// Name returns the URL without a token. It is the name of the server's photos in a merge.
func (s *Server) Name() string { return s.base }

// Copy makes dir a copy of the server's state and, with models, of the models that it may need. It
// also returns a warning if the workspace is older than that of an earlier copy.
func (s *Server) Copy(ctx context.Context, dir string, models bool) (from fleet.Source, warning string, err error) {
	from = fleet.Source{Dir: dir, Name: s.base}
	var before fleet.Files
	for range maxCopies {
		list, listErr := s.list(ctx)
		if listErr != nil {
			err = listErr
			break
		}
		if slices.Equal(list.Files, before.Files) {
			break // err says that the server sends something else
		}
		before = list
		st := store.Store{Dir: dir}
		if was := max(st.SlotGeneration(0), st.SlotGeneration(1)); was > list.Generation {
			warning = fmt.Sprintf("the workspace of %s has generation %d, and had generation %d: it was replaced or restored", s.base, list.Generation, was)
		}
		if err = s.fetch(ctx, dir, list, models); !errors.Is(err, ErrContent) {
			break
		}
	}
	if err != nil {
		return fleet.Source{}, "", fmt.Errorf("copy the workspace of %s: %w", s.base, err)
	}
	return from, warning, nil
}

// list asks the server for its files.
func (s *Server) list(ctx context.Context) (list fleet.Files, err error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/v1/workspace", nil)
	if err != nil {
		return list, err
	}
	response, err := s.client.Do(r)
	if err != nil {
		return list, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxList))
	if err != nil {
		return list, err
	}
	if response.StatusCode != http.StatusOK {
		return list, refusal(response, body)
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return list, fmt.Errorf("%w: %w", ErrTooOld, err)
	}
	return list, check(list)
}

// refusal returns the error for a response that is not a list.
func refusal(response *http.Response, body []byte) error {
	var problem struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &problem) != nil || len(problem.Error) > 1000 {
		problem.Error = ""
	}
	switch {
	case response.StatusCode == http.StatusUnauthorized:
		return ErrToken
	case response.StatusCode == http.StatusNotFound && strings.HasPrefix(problem.Error, "no model"):
		return ErrNotTrained
	case response.StatusCode == http.StatusNotFound:
		return ErrTooOld
	}
	return fmt.Errorf("%s: %q", response.Status, problem.Error)
}

// check returns an error unless all files may be written into the folder of a copy.
func check(list fleet.Files) error {
	if len(list.Files) == 0 || list.Files[0].Name != store.SlotFile(list.Generation) {
		return fmt.Errorf("%w: it lists no state of generation %d", ErrContent, list.Generation)
	}
	for _, f := range list.Files {
		if !store.IsShared(f.Name) || f.Size <= 0 || f.Size > store.MaxState {
			return fmt.Errorf("%w: it lists %.80q of %d bytes", ErrContent, f.Name, f.Size)
		}
	}
	return nil
}

// fetch downloads the files of list that dir does not have.
func (s *Server) fetch(ctx context.Context, dir string, list fleet.Files, all bool) error {
	from := models.Store{Dir: dir, BaseURL: s.base + "/v1/workspace", Client: s.client}
	// The state comes last, so that it never names a model that is missing.
	for _, f := range slices.Backward(list.Files) {
		if !all && f.Name != list.Files[0].Name {
			continue
		}
		if _, err := from.Fetch(ctx, f.Name, f.Size, f.SHA256); errors.Is(err, models.ErrContent) {
			return fmt.Errorf("%w: %w", ErrContent, err)
		} else if err != nil {
			return err
		}
	}
	// The other state is older, unless the server's workspace was replaced.
	err := os.Remove(filepath.Join(dir, store.SlotFile(list.Generation+1)))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return err
}

// authorized returns a client that sends the token. It follows no redirect, which would give the token
// to another server.
func authorized(token string, client *http.Client) *http.Client {
	var c http.Client
	if client != nil {
		c = *client
	}
	if c.Transport == nil {
		c.Transport = http.DefaultTransport
	}
	c.Transport = bearer{token, c.Transport}
	c.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		return fmt.Errorf("it redirects to %s", r.URL.Redacted())
	}
	return &c
}

// bearer adds a token to requests.
type bearer struct {
	token string
	next  http.RoundTripper
}

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if b.token != "" {
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.next.RoundTrip(r)
}
