package region

import "time"

// An Answer is what the model says about one picture of a region.
type Answer struct {
	Label   string // the best class
	Score   float64
	Unknown bool
}

// A State is what a region shows, as far as the answers agree.
type State struct {
	Region string `json:"region"`
	// Label is what the region shows, or "" if that is unknown.
	Label string `json:"label"`
	// Known is the last Label that was not "", or "" if there was none.
	Known string `json:"known"`
	// Score is the score of the answer that made the state.
	Score float64 `json:"score"`
	// Since is when the state began. It is zero before the first state.
	Since time.Time `json:"since"`
	// Changes counts the states so far. It is 0 before the first state, when nothing is known yet.
	Changes uint64 `json:"changes"`
}

// A Tracker turns the answers for one region into its state. Its zero value has no state yet.
type Tracker struct {
	state State
	next  string // what the last answers count as; "" means unknown
	count int    // number of these answers
}

// State returns the current state. Its field Region is not set.
func (t *Tracker) State() State { return t.state }

// Restart makes the next state need the full number of answers.
func (t *Tracker) Restart() { t.count = 0 }

// Step adds an answer given at a time, and reports whether the state has changed.
func (t *Tracker) Step(r Region, a Answer, now time.Time) bool {
	label := t.counts(r, a)
	if label != t.next {
		t.next, t.count = label, 0
	}
	t.count = min(t.count+1, r.Answers)
	first := t.state.Changes == 0
	if t.count < r.Answers || !first && label == t.state.Label {
		return false
	}
	t.state.Label, t.state.Score, t.state.Since = label, a.Score, now
	t.state.Changes++
	if label != "" {
		t.state.Known = label
	}
	return true
}

// counts returns the label that an answer counts as, or "" for unknown.
func (t *Tracker) counts(r Region, a Answer) string {
	limit := r.MinScore
	if a.Label == t.state.Label {
		limit -= r.Hysteresis
	}
	if a.Unknown || a.Score < limit {
		return ""
	}
	return a.Label
}
