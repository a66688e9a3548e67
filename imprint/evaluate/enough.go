package evaluate

import (
	"context"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/classifier"
)

// A Verdict says whether a class has enough photos.
type Verdict string

const (
	// VerdictEnough means that at least 90 % of the class's left-out photos are classified correctly, and that
	// the interval of this proportion starts at 70 % or higher.
	VerdictEnough Verdict = "enough"
	// VerdictMore means that the proportion is too low or, if it is 90 % or more, that there are too few
	// photos to rely on it.
	VerdictMore Verdict = "more"
	// VerdictConfused means that the proportion is too low, and that most mistakes are the same other class.
	VerdictConfused Verdict = "confused"
	// VerdictFew means that fewer than five independent photos can be left out, so that nothing is known.
	VerdictFew Verdict = "few"
)

const (
	enoughRecall = 0.9 // recall of a class that has enough photos
	enoughLow    = 0.7 // lower bound of its interval
	minBursts    = 5   // bursts below which the verdict is VerdictFew
	maxMore      = 50  // largest number of photos to add
)

// Sufficiency says whether a class has enough photos, judged by classifying each of them with a head
// trained without it and its burst.
type Sufficiency struct {
	Label   string  `json:"label"`
	Verdict Verdict `json:"verdict"`
	// More is the number of photos that should suffice, at most 50; 0 if there are enough or the class
	// is VerdictConfused. They must not be near-duplicates of each other.
	More int `json:"more,omitempty"`
	// With is the other class, if Verdict is VerdictConfused.
	With    string `json:"with,omitempty"`
	Correct int    `json:"right"`
	Total   int    `json:"total"` // photos left out
}

// Sufficiency judges all classes of the set, which must have at least two. The numbers of photos to add
// follow from the learning curve of [classifier.Advice].
func (s *Set) Sufficiency(ctx context.Context, head classifier.Method) ([]Sufficiency, error) {
	if len(s.Classes) < 2 {
		return nil, fmt.Errorf("judge the classes of %s: %w with fewer than two", s.Name, ErrProtocol)
	}
	fitted, left, err := s.leftOutLogits(head)
	if err != nil {
		return nil, fmt.Errorf("judge the classes of %s: %w", s.Name, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	photos, wrong := make([]int, len(s.Classes)), make([]map[int]int, len(s.Classes))
	for row, logits := range left {
		c := s.Labels[row]
		photos[c]++
		if logits == nil {
			continue
		}
		if a := classifier.ArgMax(logits); a != c {
			if wrong[c] == nil {
				wrong[c] = make(map[int]int)
			}
			wrong[c][a]++
		}
	}
	all := make([]Sufficiency, len(s.Classes))
	for c, label := range s.Classes {
		var e classifier.Estimate
		if i, found := slices.BinarySearch(fitted.Head.Labels, label); found {
			e = fitted.ByClass[i]
		}
		all[c] = judge(e, photos[c])
		all[c].Label = label
		if other := mostOf(wrong[c], e.Total-e.Correct); all[c].Verdict == VerdictMore && other >= 0 {
			all[c].Verdict, all[c].More, all[c].With = VerdictConfused, 0, s.Classes[other]
		}
	}
	return all, nil
}

// judge judges a class by its estimate and its number of photos. It doesn't return VerdictConfused.
func judge(e classifier.Estimate, photos int) Sufficiency {
	v := Sufficiency{Verdict: VerdictMore, Correct: e.Correct, Total: e.Total}
	recall := e.Accuracy()
	switch low, _ := e.Interval(); {
	case e.Bursts < minBursts:
		v.Verdict, v.More = VerdictFew, minBursts-e.Bursts
	case recall >= enoughRecall && low >= enoughLow:
		v.Verdict = VerdictEnough
	case recall >= enoughRecall:
		for v.More = 1; ; v.More++ {
			if low, _ := classifier.Wilson(recall, e.Bursts+v.More); low >= enoughLow {
				break
			}
		}
	default:
		v.More = min(classifier.PhotosFor(enoughRecall, recall, photos)-photos, maxMore)
	}
	return v
}

// mostOf returns the key that accounts for at least two and more than half of n counts, or −1.
func mostOf(counts map[int]int, n int) int {
	for k, count := range counts {
		if count >= 2 && 2*count > n {
			return k
		}
	}
	return -1
}
