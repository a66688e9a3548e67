package input

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ExampleParseAction() {
	a, err := ParseAction("teach:cone")
	fmt.Println(a.Verb, a.Label, err)

	_, err = ParseAction("explode")
	fmt.Println(err)
	// Output:
	// teach cone <nil>
	// invalid action "explode": want teach:LABEL, remove:LABEL, undo or reload
}

var errRefused = errors.New("refused")

// A recorder is an Actor that records the calls it gets.
type recorder struct {
	mu     sync.Mutex
	calls  []string
	refuse string // label for which Press fails
}

func (r *recorder) add(format string, a ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, fmt.Sprintf(format, a...))
}

func (r *recorder) Press(_ context.Context, a Action) error {
	r.add("press %v", a)
	r.mu.Lock()
	defer r.mu.Unlock()
	if a.Label == r.refuse && r.refuse != "" {
		return errRefused
	}
	return nil
}

func (r *recorder) Release(_ context.Context, a Action) error {
	r.add("release %v", a)
	return nil
}

func (r *recorder) Toggle(_ context.Context, a Action) error {
	r.add("toggle %v", a)
	return nil
}

func (r *recorder) Cancel(label string) error {
	r.add("cancel %v", label)
	return nil
}

func (r *recorder) refuseLabel(label string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = label
}

// wait waits until the calls since the last wait equal want, in any order.
func (r *recorder) wait(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		r.mu.Lock()
		got = slices.Clone(r.calls)
		r.mu.Unlock()
		slices.Sort(got)
		if len(got) >= len(want) {
			break
		}
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got calls %q, want %q", got, want)
	}
	r.mu.Lock()
	r.calls = nil
	r.mu.Unlock()
}
