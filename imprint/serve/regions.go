package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/draw"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/imprint/serve/region"
)

const (
	// regionRate is the default of Options.RegionRate.
	regionRate = 5
	// stillFor is the longest time for which a still picture repeats the last answer.
	stillFor = 10 * time.Second
	// tapFrames is the number of frames with which TeachRegion trains a class.
	tapFrames = 5
)

// ErrNoRegion means that no region has the given name.
var ErrNoRegion = errors.New("no such region")

// RegionList is the list of regions, sorted by name. It is the data of the event "regions".
type RegionList struct {
	Regions []RegionStatus `json:"regions"`
}

// A RegionStatus is a region, its state and its newest answer.
type RegionStatus struct {
	region.Region
	State region.State `json:"state"`
	// Answer is the newest answer, or nil before the first.
	Answer *RegionAnswer `json:"answer"`
	Frames RegionFrames  `json:"frames"`
}

// A RegionAnswer is what the model says about a region of one frame.
type RegionAnswer struct {
	Frame      uint64    `json:"frame"`
	Label      string    `json:"label"`
	Score      float64   `json:"score"`
	Unknown    bool      `json:"unknown"`
	Generation uint64    `json:"generation"`
	Captured   time.Time `json:"captured"`
}

// RegionFrames counts the frames of a region. Each frame is counted once.
type RegionFrames struct {
	Answered uint64 `json:"answered"`
	Still    uint64 `json:"still"`   // repeated the last answer, because nothing moved
	Dropped  uint64 `json:"dropped"` // replaced by a newer frame while the device was busy
	Failed   uint64 `json:"failed"`
}

// regions cuts the regions out of frames, and keeps their states. It reads at most rate frames per
// second, the newest. Each region has room for one picture that waits for the device.
type regions struct {
	path    string // file with the regions
	period  time.Duration
	holds   *holds
	events  *hub
	metrics *metrics
	whole   *slot // whole pictures that wait for the device
	frames  *slot // the frame to cut next
	current *latestValue[RegionList]
	onState func(region.State) // may be nil

	generation func() uint64 // of the model in use

	saving sync.Mutex // held while the list is changed; saved without mu, which the device needs
	mu     sync.Mutex
	due    time.Time  // when the next frame is wanted
	list   []*watched // sorted by name; replaced, never changed
	turn   int        // whose picture the device gets next: 0 is the whole picture, i is list[i-1]
}

// A watched is a region with its state. regions.mu guards all of its fields except name.
type watched struct {
	name string
	region.Region
	tracker  region.Tracker
	frames   RegionFrames
	answer   *RegionAnswer // newest answer; never changed
	seen     *region.Gray  // what the newest answer was given for
	answered time.Time
	waiting  *picture
}

// regionPicture is the part of a picture that only pictures of regions have.
type regionPicture struct {
	of   *watched
	box  region.Box
	gray *region.Gray
}

// newRegions loads the regions of the workspace in dir, and adds those of the options.
func newRegions(dir string, s *Server) (*regions, error) {
	rate := cmp.Or(s.options.RegionRate, regionRate)
	g := &regions{
		path: region.Path(dir), period: time.Duration(float64(time.Second) / rate),
		holds: s.holds, events: s.events, metrics: s.metrics, whole: s.intake.waiting, frames: newSlot(),
		current: newLatestValue[RegionList](), onState: s.options.OnState, generation: s.live.Generation,
	}
	list, err := region.Load(g.path)
	if err != nil {
		return nil, err
	}
	for _, r := range list {
		g.list = append(g.list, &watched{name: r.Name, Region: r})
	}
	for _, r := range s.options.Regions {
		if err := g.put(r.Name, func(v *region.Region) { v.Box = r.Box }); err != nil {
			return nil, err
		}
	}
	g.publish()
	return g, nil
}

// put adds a region, or changes the one of this name. change gets a copy of the region, or a new one
// with the default rules and no box. It can rename a region that exists.
func (g *regions) put(name string, change func(*region.Region)) error {
	g.saving.Lock()
	defer g.saving.Unlock()
	w := g.find(name)
	r := region.New(name, region.Box{})
	if w != nil {
		r = w.Region
	}
	change(&r)
	switch {
	case w == nil && r.Name != name:
		return fmt.Errorf("rename region %q: %w", name, ErrNoRegion)
	case w != nil && w.Region == r:
		return nil
	}
	next := w
	if w == nil || r.Name != name {
		next = &watched{name: r.Name}
	}
	list := slices.Clone(g.list)
	if w == nil {
		list = append(list, next)
	}
	plain := make([]region.Region, len(list))
	for i, other := range list {
		if plain[i] = other.Region; other == w || other == next {
			list[i], plain[i] = next, r
		}
	}
	if err := g.save(plain); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if w != nil && next != w { // renamed
		g.drop(w)
		*next = *w
		next.name = r.Name
	}
	if next.Box != r.Box {
		g.drop(next)
		next.seen = nil
	}
	next.Region = r
	next.tracker.Restart()
	slices.SortFunc(list, func(a, b *watched) int { return cmp.Compare(a.Name, b.Name) })
	g.list, g.turn = list, 0
	g.show()
	return nil
}

// remove removes a region.
func (g *regions) remove(name string) error {
	g.saving.Lock()
	defer g.saving.Unlock()
	w := g.find(name)
	if w == nil {
		return fmt.Errorf("remove region %q: %w", name, ErrNoRegion)
	}
	list := slices.DeleteFunc(slices.Clone(g.list), func(other *watched) bool { return other == w })
	plain := make([]region.Region, len(list))
	for i, other := range list {
		plain[i] = other.Region
	}
	if err := g.save(plain); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.drop(w)
	g.list, g.turn = list, 0
	g.show()
	return nil
}

// save checks and saves a list of regions.
func (g *regions) save(list []region.Region) error {
	if err := region.CheckAll(list); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(g.path), 0o755); err != nil {
		return fmt.Errorf("save regions: %w", err)
	}
	if err := region.Save(g.path, list); err != nil {
		return fmt.Errorf("save regions: %w", err)
	}
	return nil
}

// find returns the region of this name, or nil.
func (g *regions) find(name string) *watched {
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.IndexFunc(g.list, func(w *watched) bool { return w.Name == name }); i >= 0 {
		return g.list[i]
	}
	return nil
}

// offer takes a frame if it is time for one.
func (g *regions) offer(p *picture) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if len(g.list) == 0 || now.Before(g.due) {
		return
	}
	g.due = g.due.Add(g.period) // so that a camera with this rate loses no frame by jitter
	if g.due.Before(now) {
		g.due = now
	}
	if g.frames.put(p) != nil {
		for _, w := range g.list {
			g.count(w, "dropped", &w.frames.Dropped)
		}
	}
}

// run cuts frames until ctx ends.
func (g *regions) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.frames.ready:
			if p := g.frames.take(); p != nil {
				g.cut(p)
			}
		}
	}
}

// cut puts the regions of a frame up for the device, except those that are still.
func (g *regions) cut(p *picture) {
	img, err := p.pixels()
	g.mu.Lock()
	list := slices.Clone(g.list)
	boxes := make([]region.Box, len(list))
	for i, w := range list {
		boxes[i] = w.Box
	}
	g.mu.Unlock()
	for i, w := range list {
		if err != nil {
			g.fail(w)
			continue
		}
		part := subImage(img, boxes[i].Pixels(img.Bounds()))
		c := &picture{number: p.number, part: &regionPicture{w, boxes[i], region.NewGray(part)}}
		c.Captured, c.Name, c.Image = p.Captured, p.Name, part
		g.wait(c)
	}
	g.publish()
	g.whole.wake()
}

// wait makes a picture of a region wait for the device, in place of the one that waits. If the
// picture is still, wait repeats the last answer.
func (g *regions) wait(p *picture) {
	w := p.part.of
	held := g.holds.region() == w.name // a held button collects still pictures, too
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.Box != p.part.box || !slices.Contains(g.list, w) { // changed or removed meanwhile
		g.count(w, "dropped", &w.frames.Dropped)
		return
	}
	g.drop(w)
	if !held && w.seen != nil && p.part.gray.Difference(w.seen) < w.Motion &&
		w.answer.Generation == g.generation() && time.Since(w.answered) < stillFor {
		g.count(w, "still", &w.frames.Still)
		g.step(w)
		return
	}
	w.waiting = p
}

// answer records what the model says about a picture of a region.
func (g *regions) answer(p *picture, r predict.Result) {
	g.mu.Lock()
	defer g.mu.Unlock()
	w := p.part.of
	g.count(w, "answered", &w.frames.Answered)
	if w.Box != p.part.box || !slices.Contains(g.list, w) {
		return // changed or removed meanwhile
	}
	w.answer = &RegionAnswer{p.number, r.Label, r.Score, r.Unknown, r.Generation, p.Captured}
	w.seen, w.answered = p.part.gray, time.Now()
	g.step(w)
	g.show()
}

// fail counts a picture of a region that could not be read or classified.
func (g *regions) fail(w *watched) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count(w, "failed", &w.frames.Failed)
}

// step adds the newest answer of a region to its state. The caller holds the lock.
func (g *regions) step(w *watched) {
	a := region.Answer{Label: w.answer.Label, Score: w.answer.Score, Unknown: w.answer.Unknown}
	if !w.tracker.Step(w.Region, a, time.Now()) {
		return
	}
	g.metrics.regionChanged(w.Name)
	if g.onState != nil {
		g.onState(w.state())
	}
}

func (w *watched) state() region.State {
	s := w.tracker.State()
	s.Region = w.Name
	return s
}

// take removes and returns the picture whose turn it is. The whole picture and the regions take
// turns.
func (g *regions) take() *picture {
	g.mu.Lock()
	defer g.mu.Unlock()
	for range len(g.list) + 1 {
		i := g.turn
		g.turn = (g.turn + 1) % (len(g.list) + 1)
		if i == 0 {
			if p := g.whole.take(); p != nil {
				return p
			}
		} else if w := g.list[i-1]; w.waiting != nil {
			p := w.waiting
			w.waiting = nil
			return p
		}
	}
	return nil
}

// pending reports whether take would return a picture.
func (g *regions) pending() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.whole.pending() || slices.ContainsFunc(g.list, func(w *watched) bool { return w.waiting != nil })
}

// drain drops the pictures that still wait when the server stops.
func (g *regions) drain() {
	g.mu.Lock()
	defer g.mu.Unlock()
	frame := g.frames.take()
	for _, w := range g.list {
		g.drop(w)
		if frame != nil {
			g.count(w, "dropped", &w.frames.Dropped)
		}
	}
}

// drop drops the picture of a region that waits, if any. The caller holds the lock.
func (g *regions) drop(w *watched) {
	if w.waiting != nil {
		w.waiting = nil
		g.count(w, "dropped", &w.frames.Dropped)
	}
}

// count counts a frame of a region. The caller holds the lock.
func (g *regions) count(w *watched, result string, n *uint64) {
	*n++
	g.metrics.regionFrame(w.Name, result)
}

// publish sends the list of regions to listeners.
func (g *regions) publish() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.show()
}

// show is publish for a caller that holds the lock.
func (g *regions) show() {
	list := RegionList{Regions: []RegionStatus{}}
	for _, w := range g.list {
		list.Regions = append(list.Regions, RegionStatus{w.Region, w.state(), w.answer, w.frames})
	}
	g.current.put(list)
	g.events.publish("regions", list)
}

// subImage returns a rectangle of an image. It shares the pixels.
func subImage(img image.Image, r image.Rectangle) image.Image {
	if m, ok := img.(interface {
		SubImage(image.Rectangle) image.Image
	}); ok {
		return m.SubImage(r)
	}
	part := image.NewRGBA(r)
	draw.Draw(part, r, img, r.Min, draw.Src)
	return part
}

// Regions returns the regions and their states, and a channel that is closed at the next change.
func (s *Server) Regions() (RegionList, <-chan struct{}) { return s.regions.current.get() }

// Labels returns the names of the classes, sorted.
func (s *Server) Labels() []string {
	v := s.live.Snapshot()
	return slices.DeleteFunc(slices.Clone(v.Labels), func(label string) bool { return label == v.None })
}

// ChangeRegion adds a region, or changes the one with this name. change gets a copy of the region,
// or of a new one without a box. It can rename a region that exists. The change is durable.
// ChangeRegion fails with region.ErrRegion if the region can't be used or another one has its name.
func (s *Server) ChangeRegion(name string, change func(*region.Region)) error {
	return s.regions.put(name, change)
}

// RemoveRegion removes a region. It fails with ErrNoRegion if there is none with this name.
func (s *Server) RemoveRegion(name string) error { return s.regions.remove(name) }

// TeachRegion trains a class with what a region shows now. It fails with ErrNoRegion if there is
// no region with this name.
func (s *Server) TeachRegion(ctx context.Context, label, name string) (Teaching, error) {
	if _, err := s.StartTeaching(label, name); err != nil {
		return Teaching{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, tapTimeout)
	defer cancel()
	for t, held := s.holds.state(); held && t.Frames < tapFrames && ctx.Err() == nil; t, held = s.holds.state() {
		_, changed := s.Regions()
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return s.StopTeaching(context.WithoutCancel(ctx), label)
}
