// Package outcome defines the JSON objects that describe a workspace and its changes, and sorts
// errors by their cause. Start with [After] for a change, [ListOf] for a workspace, or [CauseOf] for
// an error.
package outcome

import (
	"time"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/evaluate"
	"github.com/imprintkit/imprint/imprint/fleet"
)

// Workspace describes a workspace after a change.
type Workspace struct {
	Estimate   classifier.Estimate `json:"estimate"`
	Generation uint64              `json:"generation"`
	Model      string              `json:"model,omitempty"` // path of the model; "" if there are no classes
}

// After describes ws after a change.
func After(ws *imprint.Workspace) Workspace {
	a := Workspace{Estimate: ws.Head().Estimate, Generation: ws.Generation()}
	if len(ws.Classes()) > 0 {
		a.Model = ws.ModelPath()
	}
	return a
}

// Head describes how the last layer was trained and which candidates were compared.
type Head struct {
	classifier.Recipe
	Candidates []classifier.Candidate `json:"tried,omitempty"`
}

// HeadOf describes the head of ws.
func HeadOf(ws *imprint.Workspace) Head { return Head{ws.Head().Recipe, ws.Head().Candidates} }

// Added describes added photos.
type Added struct {
	*imprint.Added
	Head       Head                     `json:"head"`
	Estimate   classifier.Estimate      `json:"estimate"`
	MS         float64                  `json:"ms"`
	Generation uint64                   `json:"generation"`
	Model      string                   `json:"model"`
	Written    *imprint.Written         `json:"written,omitempty"`
	Chosen     *evaluate.BackboneChoice `json:"backbone_choice,omitempty"`
}

// AddedTo describes photos that were added to ws. Its field Chosen is nil.
func AddedTo(ws *imprint.Workspace, added *imprint.Added) Added {
	return Added{added, HeadOf(ws), added.Estimate, Milliseconds(added.Elapsed), ws.Generation(), ws.ModelPath(), ws.Written(), nil}
}

// Removed describes removed photos.
type Removed struct {
	Photos    int    `json:"photos"`
	Negatives int    `json:"negatives,omitempty"`
	Label     string `json:"label,omitempty"` // of a photo that was named by its SHA-256
	Workspace
}

// Moved describes photos that were moved to another class.
type Moved struct {
	Photos int    `json:"photos"`
	To     string `json:"to"`
	Workspace
}

// Renamed describes a renamed class.
type Renamed struct {
	From string `json:"from"`
	To   string `json:"to"`
	Workspace
}

// Undone describes a change that was undone.
type Undone struct {
	Undid     string         `json:"undid"`
	Classes   map[string]int `json:"classes"`
	Negatives int            `json:"negatives,omitempty"`
	From      string         `json:"from,omitempty"`
	To        string         `json:"to,omitempty"`
	Workspace
}

// UndoneIn describes the change u that was undone in a workspace.
func UndoneIn(ws Workspace, u imprint.Undone) Undone {
	return Undone{u.Verb, u.Photos, u.Negatives, u.From, u.To, ws}
}

// Retrained describes a workspace after it was trained again.
type Retrained struct {
	Head Head    `json:"head"`
	MS   float64 `json:"ms"`
	Workspace
	Written  *imprint.Written         `json:"written,omitempty"`
	Backbone string                   `json:"backbone"`
	Dropped  []imprint.Skipped        `json:"dropped,omitempty"`
	Chosen   *evaluate.BackboneChoice `json:"backbone_choice,omitempty"`
}

// RetrainedIn describes ws after training in the given time. Its fields Dropped and Chosen are nil.
func RetrainedIn(ws *imprint.Workspace, took time.Duration) Retrained {
	return Retrained{HeadOf(ws), Milliseconds(took), After(ws), ws.Written(), ws.Backbone().Name, nil, nil}
}

// Exported describes a model that was written to a file.
type Exported struct {
	Model   string            `json:"model"`
	Labels  string            `json:"labels,omitempty"`
	Layout  classifier.Layout `json:"layout"`
	Written *imprint.Written  `json:"written,omitempty"`
}

// List describes a workspace and its classes.
type List struct {
	Backbone    string              `json:"backbone"`
	Resize      dataset.Resize      `json:"fit"`
	Layout      classifier.Layout   `json:"layout"`
	KeepClasses bool                `json:"keep_classes"`
	Head        Head                `json:"head"`
	Generation  uint64              `json:"generation"`
	Classes     []imprint.Class     `json:"classes"`
	Estimate    classifier.Estimate `json:"estimate"`
	Model       string              `json:"model"`
	Written     *imprint.Written    `json:"written,omitempty"`
	Unknown     float64             `json:"unknown"`
	// Merged lists the workspaces that were merged into this one.
	Merged []fleet.Contribution `json:"merged,omitempty"`
}

// ListOf describes ws.
func ListOf(ws *imprint.Workspace) List {
	s := ws.Settings()
	return List{ws.Backbone().Name, s.Resize, s.Layout, s.KeepClasses, HeadOf(ws), ws.Generation(),
		append([]imprint.Class{}, ws.Classes()...), ws.Head().Estimate, ws.ModelPath(), ws.Written(), s.Unknown, ws.Contributions()}
}

// Milliseconds returns a duration in milliseconds, exact to a microsecond.
func Milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
