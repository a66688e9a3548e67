package classifier

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// TestMemoryFitsLikeFit changes examples at random and compares the heads of Memory.Fit with the heads
// of Fit, which must be equal in all bits.
func TestMemoryFitsLikeFit(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	pool := gridClusters(5, 30, 700, 500, 400)
	for i := range pool {
		if i%40 < 3 {
			pool[i].Burst = string(rune('A' + i/40))
		}
		if i%7 == 0 && i > 0 && pool[i].Label == pool[i-1].Label { // near-duplicates
			pool[i].Unit = slices.Clone(pool[i-1].Unit)
			pool[i].Unit[i%30] += 0.01
			Normalize(pool[i].Unit)
		}
	}
	r.Shuffle(len(pool), func(i, j int) { pool[i], pool[j] = pool[j], pool[i] })
	now, rest := slices.Clone(pool[:1200]), slices.Clone(pool[1200:])
	take := func(from *[]Example) Example {
		i := r.IntN(len(*from))
		e := (*from)[i]
		*from = slices.Delete(*from, i, i+1)
		return e
	}
	steps := []struct {
		name   string
		change func()
	}{
		{"nothing", func() {}},
		{"add one", func() { now = append(now, take(&rest)) }},
		{"add some", func() {
			for range 30 {
				e := take(&rest)
				now = append(now, e)
			}
		}},
		{"remove some", func() {
			for range 9 {
				e := take(&now)
				rest = append(rest, e)
			}
		}},
		{"replace", func() {
			old := take(&now)
			now = append(now, take(&rest))
			rest = append(rest, old)
		}},
		{"rename a class", func() {
			from, to := now[0].Label, string(rune('a'+r.IntN(26)))
			for i := range now {
				if now[i].Label == from {
					now[i].Label = to
				}
			}
		}},
		{"move", func() { now[1].Label = now[0].Label }},
		{"name bursts", func() {
			for i := range 5 {
				now[i].Burst = string(rune('A' + r.IntN(3)))
			}
		}},
		{"shuffle", func() { r.Shuffle(len(now), func(i, j int) { now[i], now[j] = now[j], now[i] }) }},
		{"far from the others", func() {
			e := Example{Label: "z", Unit: make([]float64, 30), Norm: 1}
			e.Unit[r.IntN(30)] = 1
			now = append(now, e)
		}},
		{"twice the same", func() { now = append(now, now[0]) }},
		{"once the same", func() { now = now[:len(now)-1] }},
	}
	var m Memory
	units := make(map[*float64][]float64) // of restored examples
	set := func(e Example) Example {
		if u := units[&e.Unit[0]]; u != nil {
			e.Unit = u
		}
		return e
	}
	check := func(name string, examples []Example, method Method, sqrt bool) {
		t.Helper()
		all := slices.Clone(examples)
		for i := range all {
			all[i] = set(all[i])
		}
		want, err := Fit(all, method, sqrt)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Fit(examples, method, sqrt)
		if err != nil || !equalFits(got, want) {
			t.Errorf("%s, %s: got another head: %+v, %v, want %+v", name, method, got, err, want)
		}
		if got, want := m.BackgroundSample(), NewBackgroundSample(all); got != nil {
			same := func(a, b Example) bool { return a.Label == b.Label && slices.Equal(a.Unit, b.Unit) }
			if !slices.Equal(got.indexes, want.indexes) || !slices.EqualFunc(got.examples, want.examples, same) {
				t.Errorf("%s: got another sample for the background", name)
			}
		}
	}
	restore := func() {
		b, err := m.MarshalBinary()
		m = Memory{}
		if err == nil {
			empty := make([][]float64, len(now)) // unit vectors that are not set yet
			for i := range now {
				empty[i] = make([]float64, len(now[i].Unit))
				units[&empty[i][0]] = set(now[i]).Unit
				now[i].Unit = empty[i]
			}
			err = m.Restore(now, b, func(i int) { copy(empty[i], units[&empty[i][0]]) })
		}
		if err != nil || len(m.list) != len(now) {
			t.Errorf("restored %d of %d examples: %v", len(m.list), len(now), err)
		}
	}
	methods := []Method{Ridge, LDA, Auto, Mean, MeanRidgeLDA}
	for n := range 4 * len(steps) {
		s := steps[n%len(steps)]
		if n >= len(steps) && s.name != "twice the same" && s.name != "once the same" {
			s = steps[r.IntN(len(steps)-2)]
		}
		s.change()
		check(s.name, now, methods[n%len(methods)], n%3 > 0)
		if n%4 == 1 && len(m.list) > 0 {
			restore()
		}
	}
	check("few", now[:50], Ridge, false)
	check("many again", now, Ridge, false)
}

func TestRestoreFails(t *testing.T) {
	var m Memory
	if b, err := m.MarshalBinary(); b != nil || err != nil {
		t.Errorf("got %d bytes for nothing, %v", len(b), err)
	}
	examples := gridClusters(6, 5, 600, 600)
	if _, err := m.Fit(examples, Ridge, false); err != nil {
		t.Fatal(err)
	}
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	renamed := slices.Clone(examples)
	renamed[7].Label = "z"
	for name, tt := range map[string]struct {
		examples []Example
		b        []byte
	}{
		"nothing": {examples, nil}, "half": {examples, b[:len(b)/2]}, "other number": {examples[1:], b}, "few": {examples[:9], b},
		"no examples": {nil, b}, "other size": {gridClusters(6, 6, 600, 600), b}, "other class": {renamed, b},
	} {
		if err := m.Restore(tt.examples, tt.b, nil); !errors.Is(err, ErrShape) {
			t.Errorf("%s: got error %v, want %v", name, err, ErrShape)
		}
		if got, err := m.MarshalBinary(); got != nil || err != nil {
			t.Errorf("%s: got %d bytes after a failure, %v", name, len(got), err)
		}
	}
	if err := m.Restore(examples, b, nil); err != nil {
		t.Error(err)
	}
}

// equalFits reports whether a and b are equal in all bits that Reject uses or users see.
func equalFits(a, b *Fitted) bool {
	if a == nil || b == nil {
		return a == b
	}
	return headHash(a.Head) == headHash(b.Head) && slices.Equal(a.Head.Labels, b.Head.Labels) && a.Recipe == b.Recipe && a.Estimate == b.Estimate &&
		a.LogLoss == b.LogLoss && a.scale == b.scale && reflect.DeepEqual(a.Advice, b.Advice) && reflect.DeepEqual(a.Candidates, b.Candidates) &&
		slices.EqualFunc(a.leftOutTops, b.leftOutTops, func(x, y float64) bool { return x == y || x != x && y != y })
}

func TestMemoryFails(t *testing.T) {
	var m Memory
	examples := gridClusters(6, 5, 600, 600)
	for _, broken := range [][]Example{nil, append(slices.Clone(examples), Example{Label: "c", Unit: make([]float64, 4)}), {{Label: "a"}}} {
		_, want := Fit(broken, Ridge, false)
		if _, err := m.Fit(broken, Ridge, false); err == nil || err.Error() != want.Error() {
			t.Errorf("got error %v, want %v", err, want)
		}
		if f, err := m.Fit(examples, Ridge, false); err != nil || f.Estimate.Total == 0 {
			t.Errorf("after an error: got %+v, %v", f, err)
		}
	}
}

// TestMemoryGroupsBursts compares the bursts of a Memory with those of groupBursts, in cases where
// the groups of the last call no longer hold.
func TestMemoryGroupsBursts(t *testing.T) {
	at := exampleAt
	chain := []Example{at("a", 0), at("a", 0.25), at("a", 0.5), at("a", 1.5), at("a", 2.5)} // neighbors of 0.25 are near-duplicates
	close := []Example{at("a", 0), at("a", 0.02), at("a", 0.06), at("a", 0.1)}
	identical := []Example{at("a", 1), at("a", 1), at("a", 1)}
	far := []Example{at("b", 1.5), at("b", 3)}
	tests := []struct {
		name          string
		before, after []Example
	}{
		{"without the middle of a chain", chain, slices.Delete(slices.Clone(chain), 1, 2)},
		{"with the middle of a chain", slices.Delete(slices.Clone(chain), 1, 2), chain},
		{"with a larger distance of near-duplicates", close, slices.Concat(close, far)},
		{"after identical photos", identical, append(slices.Clone(identical), far...)},
		{"with a smaller one", slices.Concat(close, far), close},
	}
	for _, tt := range tests {
		var m Memory
		for _, examples := range [][]Example{tt.before, tt.after} {
			if got, want := m.update(examples), sortedExamples(examples); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got examples %v, want %v", tt.name, got, want)
			}
			if want := groupBursts(sortedExamples(examples)); !reflect.DeepEqual(m.bursts, want) {
				t.Errorf("%s: got bursts %v, want %v", tt.name, m.bursts, want)
			}
		}
		if same := slices.EqualFunc(groupBursts(sortedExamples(tt.before)), m.bursts, slices.Equal); same {
			t.Errorf("%s: the bursts are the same, %v", tt.name, m.bursts)
		}
	}
}

// exampleAt returns an example of two dimensions.
func exampleAt(label string, angle float64) Example {
	x := []float64{math.Cos(angle), math.Sin(angle)}
	Normalize(x)
	return Example{Label: label, Unit: x}
}

// TestMemoryNearLimit adds an example that changes the distance of near-duplicates a little, while
// two other examples are about as far apart.
func TestMemoryNearLimit(t *testing.T) {
	var others []Example
	for i := range 60 {
		others = append(others, exampleAt("b", float64(i)/40))
	}
	joined := 0
	for _, further := range []Example{exampleAt("c", 2), exampleAt("c", 0.2), exampleAt("c", 0.25), exampleAt("c", 0.7)} {
		limit := NearDuplicateDistance(others)
		for k := range 100 {
			angle := math.Sqrt(limit) * (0.95 + float64(k)/1000)
			before := append(slices.Clone(others), exampleAt("a", 0), exampleAt("a", angle))
			var m Memory
			var counts []int
			for _, examples := range [][]Example{before, append(slices.Clone(before), further)} {
				sorted := m.update(examples)
				if want := groupBursts(sorted); !reflect.DeepEqual(m.bursts, want) {
					t.Fatalf("angle %v: got bursts %v, want %v", angle, m.bursts, want)
				}
				counts = append(counts, len(m.bursts[0]))
			}
			if counts[0] != counts[1] {
				joined++
			}
		}
	}
	if joined < 2 {
		t.Errorf("the bursts have changed %d times, want at least twice", joined)
	}
}
