package serve

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/imprint/serve/doubtful"
)

var (
	studyPhotos = flag.String("study-photos", "", "the `folder` of one folder per class for TestDoubtfulStudy; by default, it renders photos")
	studyKept   = flag.Int("study-kept", 12, "the `number` of doubtful pictures that TestDoubtfulStudy collects")
	studyViews  = flag.Int("study-views", 3, "the `number` of frames for each photo")
	studyTrain  = flag.Int("study-train", 2, "the `number` of photos per class to begin with")
	studyNew    = flag.String("study-new", "arrow", "the `class` that is not trained to begin with")
)

// A study collects doubtful frames, and a person labels them by groups.
type study struct {
	*testServer
	random                 *rand.Rand
	folders                map[string][]string // photos by class
	truth                  map[string]string   // class by the SHA-256 of a frame
	heldOut                int                 // the first photos of each class, which are never shown
	chosen, named, dropped int                 // taps
	labeled, wrong, lost   int                 // pictures: labeled, those with the wrong label, and dropped ones
}

// TestDoubtfulStudy trains a few photos per class, shows frames of the others, and labels the groups of
// doubtful frames as a person at the page does. It reports taps, purity of the groups, and accuracy on
// photos held out. To reproduce the numbers in docs/automation.md:
//
//	go test ./imprint/serve -run TestDoubtfulStudy -v -timeout 60m -study-kept 1000 -study-views 6
func TestDoubtfulStudy(t *testing.T) {
	dir := *studyPhotos
	if dir == "" {
		dir = t.TempDir()
		renderPhotos(t, dir, max(12, *studyKept), 3)
	}
	config := testConfig{noCamera: true, anyRate: true, anyBackbone: true, options: Options{KeepDoubtful: filepath.Join(t.TempDir(), "doubtful")}}
	s := &study{testServer: start(t, config), random: rand.New(rand.NewPCG(1, 2)), folders: make(map[string][]string), truth: make(map[string]string)}
	classes, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range classes {
		files, err := filepath.Glob(filepath.Join(dir, c.Name(), "*.jpg"))
		if err != nil || len(files) < 2*(*studyTrain+1) {
			t.Fatalf("%s: got %d photos, %v", c.Name(), len(files), err)
		}
		s.random.Shuffle(len(files), func(i, j int) { files[i], files[j] = files[j], files[i] })
		s.folders[c.Name()] = files
		s.heldOut = min(len(files)/2, 100)
		var form []string
		for _, file := range files[s.heldOut : s.heldOut+*studyTrain] {
			form = append(form, file, string(s.read(file)))
		}
		contentType, body := photoForm(t, form...)
		if c.Name() == *studyNew {
			continue
		}
		if status, answer := s.sendForm("/v1/examples?label="+c.Name(), contentType, body); status != 200 {
			t.Fatalf("train %s: got status %d: %s", c.Name(), status, answer)
		}
	}
	start := time.Now()
	frames, doubts := s.showFrames()
	groups := s.Doubtful(0, maxGroups)
	t.Logf("%d frames shown, %d doubtful, %d kept in %d groups of purity %.3f, in %.0f s", frames, doubts, groups.Pictures, groups.Groups, s.purity(groups.List), time.Since(start).Seconds())
	t.Logf("%5s %9s %6s %8s %5s", "taps", "pictures", "wrong", "accuracy", "unknown")
	s.accuracy()
	start = time.Now()
	var list DoubtList
	for s.do("GET", "/v1/doubtful?limit=1", "", 200, &list); len(list.List) > 0; s.do("GET", "/v1/doubtful?limit=1", "", 200, &list) {
		s.settleGroup(list.List[0])
		if slices.Contains([]int{5, 10, 20, 50, 100, 200}, s.taps()) {
			s.accuracy()
		}
	}
	s.accuracy()
	t.Logf("%d taps (%d on a class, %d with the name of a new one, %d to drop) for %d pictures in %.0f s", s.taps(), s.chosen, s.named, s.dropped, groups.Pictures, time.Since(start).Seconds())
	if s.taps() != groups.Groups || s.labeled+s.lost != groups.Pictures {
		t.Errorf("%d taps for %d pictures in %d groups: %d labeled, %d dropped", s.taps(), groups.Pictures, groups.Groups, s.labeled, s.lost)
	}
}

func (s *study) read(file string) []byte {
	s.t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	return content
}

func (s *study) taps() int { return s.chosen + s.named + s.dropped }

// showFrames shows a few frames of each photo, a little moved, until enough doubtful pictures are kept.
func (s *study) showFrames() (frames, doubts int) {
	s.t.Helper()
	type photo struct{ class, file string }
	var photos []photo
	for class, files := range s.folders {
		for _, f := range files[s.heldOut+*studyTrain:] {
			photos = append(photos, photo{class, f})
		}
	}
	slices.SortFunc(photos, func(a, b photo) int { return strings.Compare(a.file, b.file) })
	s.random.Shuffle(len(photos), func(i, j int) { photos[i], photos[j] = photos[j], photos[i] })
	for _, p := range photos {
		for range *studyViews {
			if s.doubts.counts().Pictures >= *studyKept {
				return frames, doubts
			}
			frame := s.moved(p.file)
			s.truth[fmt.Sprintf("%x", sumOf(frame))] = p.class
			var r Result
			s.do("POST", "/v1/frames", string(frame), 200, &r)
			if frames++; r.Unknown || r.Score < doubtScore {
				doubts++
				for s.doubted() < doubts {
					time.Sleep(time.Millisecond)
				}
			}
		}
	}
	return frames, doubts
}

// doubted returns the number of doubtful pictures that the server has compared.
func (s *study) doubted() (n int) {
	for _, result := range []string{"kept", "duplicate", "failed"} {
		n += int(s.metrics.set.GetOrCreateCounter(fmt.Sprintf("imprint_doubtful_total{result=%q}", result)).Get())
	}
	return n
}

// moved returns a photo as JPEG, without a twelfth of its width and height at random sides.
func (s *study) moved(file string) []byte {
	s.t.Helper()
	img, err := jpeg.Decode(bytes.NewReader(s.read(file)))
	if err != nil {
		s.t.Fatal(err)
	}
	b := img.Bounds()
	w, h := b.Dx()/12, b.Dy()/12
	part := image.NewRGBA(image.Rect(0, 0, b.Dx()-w, b.Dy()-h))
	draw.Draw(part, part.Rect, img, b.Min.Add(image.Pt(s.random.IntN(w+1), s.random.IntN(h+1))), draw.Src)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, part, nil); err != nil {
		s.t.Fatal(err)
	}
	return out.Bytes()
}

// shownPictures returns the pictures of a group that the page shows, as doubtful.js chooses them.
func shownPictures(g doubtful.Group) (some []doubtful.Picture) {
	const shown = 6
	if len(g.Pictures) <= shown {
		return g.Pictures
	}
	for i := range shown {
		some = append(some, g.Pictures[i*(len(g.Pictures)-1)/(shown-1)])
	}
	return some
}

// settleGroup does what a person does at the page: if two thirds of the pictures that are shown are of
// one class, it labels the group, and otherwise drops it.
func (s *study) settleGroup(g doubtful.Group) {
	s.t.Helper()
	seen := shownPictures(g)
	label, n := s.most(seen)
	body := `{"action":"drop"}`
	if 3*n < 2*len(seen) {
		s.dropped++
		s.lost += len(g.Pictures)
	} else {
		text, err := json.Marshal(map[string]string{"action": "label", "label": label})
		if err != nil {
			s.t.Fatal(err)
		}
		if body = string(text); slices.Contains(s.Labels(), label) { // the page has a button for each of 10 classes
			s.chosen++
		} else {
			s.named++
		}
		s.labeled += len(g.Pictures)
		for _, p := range g.Pictures {
			if s.truth[p.SHA256] != label {
				s.wrong++
			}
		}
	}
	s.do("POST", fmt.Sprintf("/v1/doubtful/%d", g.Number), body, 200, nil)
}

// most returns the most frequent class of pictures and its number.
func (s *study) most(pictures []doubtful.Picture) (class string, n int) {
	count := make(map[string]int)
	for _, p := range pictures {
		c := s.truth[p.SHA256]
		if count[c]++; count[c] > n {
			class, n = c, count[c]
		}
	}
	return class, n
}

// purity returns the share of pictures that show the most frequent class of their group.
func (s *study) purity(groups []doubtful.Group) float64 {
	pure, all := 0, 0
	for _, g := range groups {
		_, n := s.most(g.Pictures)
		pure, all = pure+n, all+len(g.Pictures)
	}
	return float64(pure) / float64(all)
}

// accuracy classifies the photos held out, and logs and returns the share of correct answers.
func (s *study) accuracy() float64 {
	s.t.Helper()
	right, unknown, all := 0, 0, 0
	for class, files := range s.folders {
		for _, f := range files[:s.heldOut] {
			var r Result
			s.do("POST", "/v1/classify", string(s.read(f)), 200, &r)
			if all++; r.Unknown {
				unknown++
			} else if r.Label == class {
				right++
			}
		}
	}
	accuracy := float64(right) / float64(all)
	s.t.Logf("%5d %9d %6d %8.3f %5.3f", s.taps(), s.labeled, s.wrong, accuracy, float64(unknown)/float64(all))
	return accuracy
}
