package serve

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/imprint/serve/doubtful"
)

const (
	// doubtScore is the score below which an answer is doubtful, as for the states of regions.
	doubtScore = 0.6
	// doubtPeriod is the shortest time between two pictures that are compared with those kept.
	doubtPeriod = 200 * time.Millisecond
)

// ErrNoDoubts means that the server does not keep doubtful pictures.
var ErrNoDoubts = errors.New("doubtful pictures are not kept")

// DoubtfulPath returns the default folder for a workspace's doubtful pictures.
func DoubtfulPath(workspace string) string { return filepath.Join(workspace, "doubtful") }

// Doubts counts the doubtful pictures. It is the data of the event "doubtful".
type Doubts struct {
	Kept     bool  `json:"kept"` // whether the server keeps them
	Pictures int   `json:"pictures"`
	Bytes    int64 `json:"bytes"`
	Groups   int   `json:"groups"`
}

// DoubtList is a part of the groups of doubtful pictures, the largest first.
type DoubtList struct {
	Doubts
	List []doubtful.Group `json:"list"`
}

// doubts passes doubtful pictures to a queue, in a goroutine of its own.
type doubts struct {
	queue   *doubtful.Queue // nil if they are not kept
	server  *Server
	waiting chan doubt // has room for one
	period  time.Duration
}

// A doubt is a picture with a doubtful answer.
type doubt struct {
	picture *picture
	result  predict.Result
}

func newDoubts(s *Server) (d *doubts, err error) {
	d = &doubts{server: s, waiting: make(chan doubt, 1), period: doubtPeriod}
	if s.options.KeepDoubtful != "" {
		if d.queue, err = doubtful.Open(s.options.KeepDoubtful); err == nil && d.queue.Damaged() > 0 {
			s.log.Warn("deleted damaged doubtful pictures", "pictures", d.queue.Damaged(), "folder", s.options.KeepDoubtful)
		}
	}
	return d, err
}

// offer takes a picture if its answer is doubtful. It does not wait: while one picture waits, others
// are left out.
func (d *doubts) offer(p *picture, r predict.Result) {
	if d.queue == nil || !isDoubtful(r) || d.server.holds.current("") != nil {
		return // a held button says what the picture shows
	}
	select {
	case d.waiting <- doubt{p, r}:
	default:
	}
}

// isDoubtful reports whether an answer is doubtful. Without classes there is no answer, and without
// an embedding pictures can't be compared.
func isDoubtful(r predict.Result) bool {
	return len(r.Top) > 0 && r.Embedding != nil && (r.Unknown || r.Score < doubtScore)
}

// run keeps offered pictures until ctx ends. It logs an error once until a picture can be kept again.
func (d *doubts) run(ctx context.Context) {
	for logged := ""; ; {
		select {
		case <-ctx.Done():
			return
		case o := <-d.waiting:
			kept, err := d.keep(o)
			result := "duplicate"
			switch {
			case kept:
				result, logged = "kept", ""
				d.publish()
			case err != nil:
				if result = "failed"; err.Error() != logged {
					d.server.log.Error("can't keep a doubtful picture", "error", err)
				}
				logged = err.Error()
			}
			d.server.metrics.doubted(result)
			sleep(ctx, d.period)
		}
	}
}

func (d *doubts) keep(o doubt) (kept bool, err error) {
	b, r := o.result.Backbone, o.result
	embedding := make([]float64, b.Dim())
	b.Dequantize(embedding, r.Embedding)
	label := r.Label
	for _, t := range r.Top { // the most similar class of an unknown picture
		if slices.Contains(d.server.live.Labels(), t.Label) {
			label = t.Label
			break
		}
	}
	p := doubtful.Picture{Label: label, Score: r.Score, Unknown: r.Unknown, Source: d.server.sourceOf(o.picture.area()), Captured: o.picture.Captured}
	return d.queue.Add(p, fmt.Sprintf("%x/%d", b.SHA256, b.Embedding.Index), embedding, o.picture.encoded)
}

func (d *doubts) publish() { d.server.events.publish("doubtful", d.counts()) }

func (d *doubts) counts() Doubts {
	if d.queue == nil {
		return Doubts{}
	}
	c := Doubts{Kept: true, Groups: len(d.queue.Groups())}
	c.Pictures, c.Bytes = d.queue.Len()
	return c
}

// sourceOf returns the name of the camera, with the region of a picture if it is not "". Two regions
// of a camera don't show the same scene.
func (s *Server) sourceOf(area string) string {
	if area == "" {
		return s.intake.status.source
	}
	return s.intake.status.source + "#" + area
}

// Doubtful returns at most limit groups of doubtful pictures from offset on.
func (s *Server) Doubtful(offset, limit int) DoubtList {
	list := DoubtList{Doubts: s.doubts.counts(), List: []doubtful.Group{}}
	if s.doubts.queue != nil {
		groups := s.doubts.queue.Groups()
		offset = min(offset, len(groups))
		list.List = append(list.List, groups[offset:min(offset+limit, len(groups))]...)
	}
	return list
}

// doubtGroup returns a group of doubtful pictures.
func (s *Server) doubtGroup(number uint64) (doubtful.Group, error) {
	if s.doubts.queue == nil {
		return doubtful.Group{}, ErrNoDoubts
	}
	return s.doubts.queue.Group(number)
}

// settle removes the pictures of a group from the queue unless *err is not nil. It sets *err if that
// fails.
func (s *Server) settle(g doubtful.Group, err *error) {
	if *err == nil {
		*err = s.doubts.queue.Remove(g.Pictures)
		s.doubts.publish()
	}
}

// LabelDoubtful adds a group of doubtful pictures to a class, in one change, and removes it from the
// queue.
func (s *Server) LabelDoubtful(ctx context.Context, group uint64, label string) (c Changed, err error) {
	if err := imprint.CheckLabel(label); err != nil {
		return Changed{}, err
	}
	g, err := s.doubtGroup(group)
	if err != nil {
		return Changed{}, err
	}
	defer s.settle(g, &err)
	var photos []observed
	var skipped []imprint.Skipped
	for _, p := range g.Pictures {
		content, err := s.doubts.queue.Read(p.SHA256)
		var picture *picture
		var result predict.Result
		if err == nil {
			picture, result, err = s.classifyPhoto(ctx, p.SHA256, content)
		}
		if errors.Is(err, doubtful.ErrGone) || isUnreadable(err) {
			skipped = append(skipped, imprint.Skipped{Path: p.SHA256, Reason: err.Error()})
			continue
		}
		if err != nil {
			return Changed{}, err
		}
		picture.Captured = p.Captured
		photos = append(photos, observed{picture: picture, result: result})
	}
	if len(photos) == 0 {
		return Changed{}, fmt.Errorf("add to %s: %w", label, doubtful.ErrGone)
	}
	return s.addPhotos(ctx, label, g.Pictures[0].Source, photos, skipped)
}

// RejectDoubtful adds a group of doubtful pictures to the negatives, which show none of the classes, in
// one change, and removes it from the queue.
func (s *Server) RejectDoubtful(ctx context.Context, group uint64) (c Changed, err error) {
	g, err := s.doubtGroup(group)
	if err != nil {
		return Changed{}, err
	}
	defer s.settle(g, &err)
	return s.act(ctx, "reject", "", func(ws *imprint.Workspace) (string, error) {
		var items []dataset.Item
		for _, p := range g.Pictures {
			content, err := s.doubts.queue.Read(p.SHA256)
			if errors.Is(err, doubtful.ErrGone) {
				continue
			}
			var path string
			if err == nil {
				path, err = s.workspace.photos.keep(content)
			}
			if err != nil {
				return "", err
			}
			items = append(items, dataset.Item{Path: path, Content: content, Source: p.Source, Time: p.Captured})
		}
		if len(items) == 0 {
			return "", fmt.Errorf("add negatives: %w", doubtful.ErrGone)
		}
		added, err := ws.Add(ctx, nil, imprint.AddOptions{Negatives: items})
		if err != nil {
			return "", err
		}
		if added.Negatives == 1 {
			return "1 photo shows no class", nil
		}
		return fmt.Sprintf("%d photos show no class", added.Negatives), nil
	})
}

// DropDoubtful removes a group of doubtful pictures from the queue.
func (s *Server) DropDoubtful(group uint64) (Changed, error) {
	g, err := s.doubtGroup(group)
	if err != nil {
		return Changed{}, err
	}
	if s.settle(g, &err); err != nil {
		return Changed{}, err
	}
	return Changed{Generation: s.live.Generation(), Sentence: "dropped " + count(len(g.Pictures), "photo")}, nil
}
