package classifier

import (
	"slices"
	"testing"
)

// TestMemoryKeepsChoice replaces the choice that a Memory keeps, and checks that the next call uses it
// if and only if the sample is the same.
func TestMemoryKeepsChoice(t *testing.T) {
	examples := sortedExamples(gridClusters(8, 20, 700, 600))
	sample := sampleByHash(examples, nil)
	var outside int
	for slices.Contains(sample, outside) {
		outside++
	}
	without := func(i int) []Example { return slices.Delete(slices.Clone(examples), i, i+1) }
	relabeled := slices.Clone(examples)
	relabeled[sample[0]].Burst = "x"
	for _, tt := range []struct {
		name     string
		examples []Example
		method   Method
		sqrt     bool
		used     bool
	}{
		{"the same", examples, Auto, true, true},
		{"without an example outside the sample", without(outside), Auto, true, true},
		{"without an example of the sample", without(sample[5]), Auto, true, false},
		{"another burst", relabeled, Auto, true, false},
		{"without square roots", examples, Auto, false, false},
		{"after another method", examples, LDA, true, false},
	} {
		for _, restored := range []bool{false, true} {
			var m Memory
			if _, err := m.Fit(examples, Auto, true); err != nil {
				t.Fatal(err)
			}
			wrong := Recipe{Method: Ridge, Lambda: 0.7}
			m.choice.recipe = wrong
			if restored {
				b, err := m.MarshalBinary()
				m = Memory{}
				if err == nil {
					err = m.Restore(examples, b, nil)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if tt.method != Auto {
				if _, err := m.Fit(tt.examples, tt.method, tt.sqrt); err != nil {
					t.Fatal(err)
				}
			}
			f, err := m.Fit(tt.examples, Auto, tt.sqrt)
			if err != nil {
				t.Fatal(err)
			}
			if used := f.Recipe == wrong; used != tt.used {
				t.Errorf("%s, restored %v: used %v, want %v", tt.name, restored, used, tt.used)
			}
		}
	}
}

func TestSampleByHash(t *testing.T) {
	for _, tt := range []struct {
		counts []int
		want   []int // examples of each class
	}{
		{[]int{300, 200}, []int{300, 200}},
		{[]int{400, 200, 5}, []int{166, 166, 5}},
		{slices.Repeat([]int{4}, 300), slices.Repeat([]int{3}, 300)},
	} {
		examples := sortedExamples(gridClusters(9, 70, tt.counts...))
		sample := sampleByHash(examples, nil)
		if got := classCounts(pick(examples, sample)); !slices.IsSorted(sample) || !slices.Equal(got, tt.want) {
			t.Errorf("got %v of %v examples, sorted: %v, want %v", got, tt.counts, slices.IsSorted(sample), tt.want)
		}
		hashes, largest := hashesOf(examples), make(map[string]uint64) // in the sample of each class
		for _, i := range sample {
			largest[examples[i].Label] = max(largest[examples[i].Label], hashes[i])
		}
		for i, e := range examples {
			if _, ok := slices.BinarySearch(sample, i); !ok && hashes[i] < largest[e.Label] {
				t.Errorf("the sample of %v lacks example %d, whose hash is smaller than that of others", tt.counts, i)
			}
		}
		if len(slices.Compact(slices.Sorted(slices.Values(hashes)))) != len(examples) {
			t.Errorf("%d examples have equal hashes", len(examples))
		}
	}
}
