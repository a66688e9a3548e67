package annotations

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// studioTask is a photo in Label Studio's export: https://labelstud.io/guide/export.html.
type studioTask struct {
	Data        map[string]json.RawMessage `json:"data"`
	Annotations []struct {
		Canceled bool           `json:"was_cancelled"`
		Results  []studioResult `json:"result"`
	} `json:"annotations"`
}

type studioResult struct {
	Type   string  `json:"type"`
	Width  float64 `json:"original_width"` // pixels
	Height float64 `json:"original_height"`
	Value  struct {
		X        float64  `json:"x"` // percent, as all lengths
		Y        float64  `json:"y"`
		Width    float64  `json:"width"`
		Height   float64  `json:"height"`
		Rotation float64  `json:"rotation"`
		Labels   []string `json:"rectanglelabels"`
	} `json:"value"`
}

// readLabelStudio reads Label Studio's format JSON. Of several annotations of a photo it takes
// the first that was not canceled. It skips photos without one, and regions other than rectangles.
func readLabelStudio(c *collector, f file) error {
	return each(newJSONFile(f), func(t *studioTask, _ int) error {
		if t.Data == nil {
			return errors.New(`the task has no key "data": export as JSON, not as JSON-MIN`)
		}
		for _, a := range t.Annotations {
			if a.Canceled {
				continue
			}
			p, err := t.photo(a.Results)
			if err != nil {
				return err
			}
			return c.add(p)
		}
		return nil
	})
}

// photo returns the photo of a task with the boxes in results.
func (t *studioTask) photo(results []studioResult) (p Photo, err error) {
	if p.Path, err = t.path(); err != nil {
		return p, err
	}
	for _, r := range results {
		if r.Type != "rectanglelabels" {
			continue
		}
		s := size{r.Width, r.Height}
		if err := s.check(); err != nil {
			return p, err
		}
		v := r.Value
		if v.Rotation != 0 {
			return p, fmt.Errorf("a box is rotated by %g°: draw it without rotation", v.Rotation)
		}
		if len(v.Labels) != 1 {
			return p, fmt.Errorf("a box has %d labels: give it one", len(v.Labels))
		}
		b, err := relative(v.Labels[0], v.X/100, v.Y/100, (v.X+v.Width)/100, (v.Y+v.Height)/100)
		if err != nil {
			return p, err
		}
		p.Width, p.Height, p.Boxes = int(s.width), int(s.height), append(p.Boxes, b)
	}
	return p, nil
}

// path returns the path of the task's photo. Its key depends on the project's configuration, but
// usually is "image".
func (t *studioTask) path() (string, error) {
	var found []string
	for key, raw := range t.Data {
		var text string
		if json.Unmarshal(raw, &text) != nil {
			continue
		}
		if key == "image" {
			found = []string{text}
			break
		}
		found = append(found, text)
	}
	if len(found) != 1 {
		return "", errors.New(`"data" has no text with the key "image": use it for the photo`)
	}
	u, err := url.Parse(found[0])
	if err != nil {
		return "", fmt.Errorf("the photo's address %q: %w", found[0], err)
	}
	if local := u.Query().Get("d"); local != "" && strings.HasSuffix(u.Path, "/local-files/") {
		return cleanPath(local)
	}
	return cleanPath(u.Path)
}
