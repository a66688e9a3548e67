package imprint

import (
	"runtime"
	"sync"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// estimateChunk is how many unit vectors of a class Estimate keeps in memory for each
// core: all of them would take eight times the space of the state. Bursts are found
// within a chunk.
const estimateChunk = 2048

// Recipe says how the head of the workspace was made; nothing when nothing is taught.
func (k *Workspace) Recipe() classifier.Recipe {
	if k.head == nil && k.state.Made != nil {
		return k.state.Made.Recipe
	}
	if head, err := k.currentHead(); err == nil {
		return head.Recipe
	}
	return classifier.Recipe{}
}

// Tried is what classifier.Auto chose the head by; nil where it did not, or could not
// compare.
func (k *Workspace) Candidates() []classifier.Candidate {
	if k.head == nil && k.state.Made != nil {
		return k.state.Made.Candidates
	}
	if f, err := k.currentHead(); err == nil {
		return f.Candidates
	}
	return nil
}

// Estimate is the leave-one-out accuracy of the workspace's head on its own examples.
// That of one that keeps the backbone's classes is the mean head's without them.
func (k *Workspace) Estimate() classifier.Estimate {
	if k.state.Settings.Method() != classifier.Mean {
		if k.head == nil && k.state.Made != nil {
			return k.state.Made.Estimate
		}
		if head, err := k.currentHead(); err == nil {
			return head.Estimate
		}
		return classifier.Estimate{} // nothing is taught
	}
	sums, err := k.sums(k.state)
	if err != nil {
		return classifier.Estimate{} // the state was checked when it was read
	}
	threads := k.options.Threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	chunks := make(chan []store.Example)
	found := make([]classifier.Estimate, threads)
	var wg sync.WaitGroup
	for i := range found {
		wg.Go(func() {
			for c := range chunks {
				e := sums.LeaveOneOut(k.unitsOf(c))
				found[i].Correct += e.Correct
				found[i].Total += e.Total
				found[i].Excluded += e.Excluded
				found[i].Bursts += e.Bursts
			}
		})
	}
	for rest := k.state.Positives(); len(rest) > 0; {
		n := 1
		for n < min(len(rest), estimateChunk) && rest[n].Label == rest[0].Label {
			n++
		}
		chunks <- rest[:n]
		rest = rest[n:]
	}
	close(chunks)
	wg.Wait()
	var all classifier.Estimate
	for _, e := range found {
		all.Correct += e.Correct
		all.Total += e.Total
		all.Excluded += e.Excluded
		all.Bursts += e.Bursts
	}
	return all
}
