// Package fleet describes how workspaces are merged: which workspaces, which label wins if they
// disagree about a photo, and what came of it. Start with [Source], which names a workspace.
package fleet

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/imprintkit/imprint/classifier"
)

// A Source is a workspace to merge.
type Source struct {
	Dir  string // its folder, which is only read
	Name string // what its photos are remembered by; "" means the result of NameOf
}

// NameOf returns the name of the workspace in dir: the absolute path, without the name .imprint at
// its end.
func NameOf(dir string) (string, error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if short := filepath.Dir(path); filepath.Base(path) == ".imprint" && short != filepath.Dir(short) {
		path = short
	}
	return path, nil
}

// Matches reports whether text means the source of that name: it is the name, the last elements of
// its path, or the host in its URL.
func Matches(name, text string) bool {
	text = strings.TrimSuffix(filepath.ToSlash(text), "/")
	name = filepath.ToSlash(name)
	if at, err := url.Parse(name); err == nil && at.Hostname() == text && text != "" {
		return true
	}
	return text != "" && (name == text || strings.HasSuffix(name, "/"+text))
}

// A Rule decides the label of a photo to which merged workspaces give different labels. Its
// decision does not depend on the order in which they are merged.
type Rule string

const (
	Refuse   Rule = ""         // the merge fails
	Oldest   Rule = "oldest"   // the label that was given first
	Newest   Rule = "newest"   // the label that was given last
	Majority Rule = "majority" // the label that most workspaces give, or of those the oldest
)

// ErrRule means that there is no such rule.
var ErrRule = errors.New(`no such rule for conflicts; there are "refuse", "oldest", "newest" and "majority"`)

// ParseRule returns the rule of that name, where "refuse" and "" are Refuse.
func ParseRule(name string) (Rule, error) {
	switch r := Rule(name); r {
	case "refuse":
		return Refuse, nil
	case Refuse, Oldest, Newest, Majority:
		return r, nil
	}
	return "", fmt.Errorf("%w, not %.40q", ErrRule, name)
}

// A Claim says which label a workspace gives to a photo.
type Claim struct {
	Workspace string    `json:"workspace"` // its folder as given for the merge, or the name it is remembered by
	Label     string    `json:"label"`     // "" for a negative
	Path      string    `json:"path"`      // where the workspace read the photo from
	Time      time.Time `json:"time"`      // when the photo was added
}

// A Conflict is a photo to which workspaces give different labels.
type Conflict struct {
	SHA256 string  `json:"sha256"`
	Claims []Claim `json:"claims"` // sorted by label and workspace
	// Label is the label that the photo has now. Rule chose it. Both are "" if the merge failed, and
	// Label is "" for a negative.
	Label string `json:"label"`
	Rule  Rule   `json:"rule"`
}

// String says which workspaces disagree about the label of a photo.
func (c Conflict) String() string {
	text := c.Claims[0].Path + " is "
	last := ""
	for i, claim := range c.Claims {
		label := Quote(claim.Label)
		switch {
		case i == 0:
			text += label + " in "
		case label != last:
			text += " and " + label + " in "
		default:
			text += ", "
		}
		text, last = text+claim.Workspace, label
	}
	return text
}

// Quote returns a label in quotation marks, or the words for a negative.
func Quote(label string) string {
	if label == "" {
		return "a negative"
	}
	return fmt.Sprintf("%q", label)
}

// ErrConflict means that merged workspaces give different labels to the same photo.
var ErrConflict = errors.New("the same photo has different labels")

// A ConflictError lists the conflicts because of which a merge failed. It wraps ErrConflict.
type ConflictError struct{ Conflicts []Conflict }

func (e *ConflictError) Error() string {
	text := fmt.Sprintf("%v: %v", ErrConflict, e.Conflicts[0])
	if more := len(e.Conflicts) - 1; more > 0 {
		text += fmt.Sprintf(", and %d more photos have two labels", more)
	}
	return text
}

func (e *ConflictError) Unwrap() error { return ErrConflict }

// Merged is the result of a merge.
type Merged struct {
	Photos     int                 `json:"photos"`  // new photos in classes
	Classes    map[string]int      `json:"classes"` // new photos by label
	Negatives  int                 `json:"negatives,omitempty"`
	Duplicates int                 `json:"duplicates"`          // photos that several workspaces have
	Conflicts  []Conflict          `json:"conflicts,omitempty"` // sorted by SHA-256
	Warnings   []string            `json:"-"`                   // damage found in the workspaces
	Estimate   classifier.Estimate `json:"estimate"`            // leave-one-out accuracy after the merge
}

// Files lists the files from which a program can copy a workspace: its state, and its models.
type Files struct {
	Generation uint64 `json:"generation"`
	Files      []File `json:"files"` // the state first
}

// A File is a file of a workspace.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"` // in bytes
	SHA256 string `json:"sha256"`
}

// A Contribution is what a workspace holds of another that was merged into it.
type Contribution struct {
	Workspace string `json:"workspace"` // name of the other
	Photos    int    `json:"photos"`    // photos of the other, including those that more workspaces have
}

// ErrAmbiguous means that the end of a path is the end of several names.
var ErrAmbiguous = errors.New("several workspaces have that name")
