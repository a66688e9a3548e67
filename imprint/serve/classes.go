package serve

import (
	"context"
	"time"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint"
)

// Classes are what has been taught. They are also the data of the event "classes".
type Classes struct {
	Generation uint64   `json:"generation"`
	Accuracy   Accuracy `json:"accuracy"`
	Classes    []Class  `json:"classes"`
}

// Accuracy is how many photos are named right by a model that has not seen them,
// leaving out one at a time, and the interval in which the rate is with 95 %
// probability (Wilson).
type Accuracy struct {
	Correct int     `json:"right"`
	Total   int     `json:"total"` // 0: not to be told
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
}

// A Class is one taught label.
type Class struct {
	Label  string  `json:"label"`
	Photos []Photo `json:"photos"`
}

// A Photo is one that a class was taught with.
type Photo struct {
	SHA256 string    `json:"sha256"`
	Source string    `json:"source"` // the recording or camera, or the file
	Time   time.Time `json:"time"`   // when it was taken or, if that is not known, taught
	path   string
}

// Classes returns what the workspace holds now.
func (s *Server) Classes(ctx context.Context) (*Classes, error) {
	s.listing.Lock()
	defer s.listing.Unlock()
	if c := s.classes; c != nil && c.Generation == s.live.Generation() {
		return c, nil
	}
	k, err := s.live.Workspace(ctx)
	if err != nil {
		return nil, err
	}
	defer k.Close()
	s.classes = listClasses(k)
	return s.classes, nil
}

func listClasses(k *imprint.Workspace) *Classes {
	list := &Classes{Generation: k.Generation(), Classes: []Class{}}
	for _, c := range k.Classes() {
		class := Class{Label: c.Label}
		for _, p := range c.Photos {
			v := Photo{SHA256: p.SHA256, Source: p.Source, Time: p.Taken, path: p.Path}
			if v.Source == "" {
				v.Source = p.Path
			}
			if v.Time.IsZero() {
				v.Time = p.Time
			}
			class.Photos = append(class.Photos, v)
		}
		list.Classes = append(list.Classes, class)
	}
	var e classifier.Estimate
	if len(list.Classes) > 1 {
		e = k.Estimate()
	}
	list.Accuracy.Correct, list.Accuracy.Total = e.Correct, e.Total
	list.Accuracy.Low, list.Accuracy.High = classifier.Wilson(e.Accuracy(), e.Total)
	return list
}

func (c *Classes) photos() (n int) {
	for _, class := range c.Classes {
		n += len(class.Photos)
	}
	return n
}

// photo returns the photo of that sum, or nil.
func (c *Classes) photo(sha256 string) *Photo {
	for i := range c.Classes {
		for j := range c.Classes[i].Photos {
			if p := &c.Classes[i].Photos[j]; p.SHA256 == sha256 {
				return p
			}
		}
	}
	return nil
}
