package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/evaluate"
	"github.com/imprintkit/imprint/imprint/fleet"
	"github.com/imprintkit/imprint/imprint/predict"
)

func TestNumbersAsText(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{count(1, "photo"), "1 photo"},
		{count(0, "photo"), "0 photos"},
		{count(2, "class"), "2 classes"},
		{count(1, "class"), "1 class"},
		{enumerate(nil), ""},
		{enumerate([]string{"a"}), "a"},
		{enumerate([]string{"a", "b"}), "a and b"},
		{enumerate([]string{"a", "b", "c"}), "a, b and c"},
		{percent(0.9, 0), "90 %"},
		{percent(0.049, 1), "4.9 %"},
		{percent(1, 0), "100 %"},
		{percent(0.9999, 0), "99 %"},
		{percent(0.9999, 1), "99.9 %"},
		{percent(0, 0), "0 %"},
		{percentRange(0.8, 0.95), "80–95 %"},
		{duration(25 * time.Microsecond), "25 µs"},
		{duration(4100 * time.Microsecond), "4.1 ms"},
		{duration(62 * time.Millisecond), "62 ms"},
		{duration(400 * time.Millisecond), "0.4 s"},
		{duration(12340 * time.Millisecond), "12.3 s"},
		{fileSize(236953), "237 kB"},
		{fileSize(3343000), "3.3 MB"},
		{plain("a\x1b[31m\n"), "a\ufffd[31m\ufffd"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

// classesOf returns classes named hat, cap, shoe and sock with the given numbers of photos.
func classesOf(sizes ...int) []imprint.Class {
	var classes []imprint.Class
	for i, n := range sizes {
		classes = append(classes, imprint.Class{Label: []string{"hat", "cap", "shoe", "sock"}[i], Photos: make([]imprint.Photo, n)})
	}
	return classes
}

func TestAccuracyLine(t *testing.T) {
	for _, test := range []struct {
		e       classifier.Estimate
		classes []imprint.Class
		want    string
	}{
		{classifier.Estimate{}, nil, "no classes yet"},
		{classifier.Estimate{Excluded: 5}, classesOf(5), "accuracy: needs two classes"},
		{classifier.Estimate{Excluded: 6}, classesOf(1, 5), "accuracy: needs a second photo of hat"},
		{classifier.Estimate{Excluded: 2}, classesOf(1, 1), "accuracy: needs a second photo of hat and cap"},
		{classifier.Estimate{Excluded: 3}, classesOf(1, 1, 1), "accuracy: needs a second photo of each class"},
		{classifier.Estimate{Excluded: 10}, classesOf(5, 5), "accuracy: needs photos that differ more (other angles, other light)"},
		{classifier.Estimate{Correct: 54, Total: 60, Bursts: 60}, classesOf(20, 20, 20), "accuracy 90 % (80–95 %) on photos left out"},
		{classifier.Estimate{Correct: 8, Total: 8, Bursts: 8}, classesOf(4, 4), "accuracy 100 % (68–100 %) on photos left out"},
	} {
		if got := accuracyLine(test.e, test.classes); got != test.want {
			t.Errorf("%+v: got %q, want %q", test.e, got, test.want)
		}
	}
}

func TestEstimateLine(t *testing.T) {
	for _, test := range []struct {
		e       classifier.Estimate
		classes []imprint.Class
		want    string
	}{
		{classifier.Estimate{}, classesOf(2), ""},
		{classifier.Estimate{Excluded: 4}, classesOf(2, 2), ""},
		{classifier.Estimate{Correct: 3, Total: 4, Bursts: 4}, classesOf(2, 2), "accuracy: 3 of 4 correct, each photo left out once"},
		{classifier.Estimate{Correct: 3, Total: 4, Bursts: 3, Excluded: 1}, classesOf(2, 2, 1), "accuracy: 3 of 4 correct, each photo left out once with its near-duplicates (3 groups); 1 single-photo class excluded"},
		{classifier.Estimate{Correct: 3, Total: 4, Bursts: 4, Excluded: 2}, classesOf(2, 2, 2), "accuracy: 3 of 4 correct, each photo left out once; 2 photos excluded, near-duplicates of all others in the class"},
	} {
		if got := estimateLine(test.e, test.classes); got != test.want {
			t.Errorf("%+v: got %q, want %q", test.e, got, test.want)
		}
	}
}

func TestChangeLines(t *testing.T) {
	s := summary{classes: classesOf(20, 20, 20), estimate: classifier.Estimate{Correct: 54, Total: 60, Bursts: 60}}
	const accuracy = "accuracy 90 % (80–95 %) on photos left out"
	added := func(classes map[string]int, negatives int) []string {
		a := &imprint.Added{Classes: classes, Negatives: negatives, Elapsed: 400 * time.Millisecond, Estimate: s.estimate}
		for _, n := range classes {
			a.Photos += n
		}
		return addedLines(a, s)
	}
	for _, test := range []struct{ got, want []string }{
		{added(map[string]int{"hat": 20}, 0), []string{"added 20 photos to hat (3 classes, 60 photos) in 0.4 s", accuracy}},
		{added(map[string]int{"hat": 1, "cap": 2}, 0), []string{"added 3 photos to cap and hat (3 classes, 60 photos) in 0.4 s", accuracy}},
		{added(map[string]int{"a": 1, "b": 2, "c": 3, "d": 4}, 1), []string{"added 10 photos to 4 classes and 1 negative (3 classes, 60 photos) in 0.4 s", accuracy}},
		{added(nil, 2), []string{"added 2 negatives (3 classes, 60 photos) in 0.4 s", accuracy}},
		{added(nil, 0), []string{"added nothing new (3 classes, 60 photos)", accuracy}},
		{mergedLines(&fleet.Merged{Classes: map[string]int{"hat": 4}, Estimate: s.estimate}, 2, s), []string{"merged 2 workspaces: added 4 photos to hat (3 classes, 60 photos)", accuracy}},
		{removedLines("12 photos of cone", s), []string{"removed 12 photos of cone (3 classes, 60 photos)", accuracy}},
		{removedLines("1 photo", summary{}), []string{"removed 1 photo", "no classes left: model.tflite removed"}},
		{renamedLines("cone", "traffic cone"), []string{"renamed cone to traffic cone"}},
		{retrainedLines(62*time.Millisecond, s), []string{"retrained (3 classes, 60 photos) in 62 ms", accuracy}},
		{undoneLines(imprint.Undone{Verb: "add", Photos: map[string]int{"cone": 12}}, s), []string{"undid: add cone (12 photos)", accuracy}},
		{undoneLines(imprint.Undone{Verb: "add", Photos: map[string]int{"cone": 2, "ball": 1}, Negatives: 1}, s), []string{"undid: add ball, cone and negatives (4 photos)", accuracy}},
		{undoneLines(imprint.Undone{Verb: "merge", Photos: map[string]int{"a": 1, "b": 1, "c": 1, "d": 1}}, s), []string{"undid: merge 4 classes (4 photos)", accuracy}},
		{undoneLines(imprint.Undone{Verb: "rename", From: "duck", To: "goose"}, s), []string{"undid: rename duck to goose", accuracy}},
		{undoneLines(imprint.Undone{Verb: "retrain"}, s), []string{"undid: retrain", accuracy}},
		{undoneLines(imprint.Undone{Verb: "add", Photos: map[string]int{"cone": 1}}, summary{}), []string{"undid: add cone (1 photo)", "no classes left: model.tflite removed"}},
		{wroteLines("x.tflite", nil), []string{"wrote x.tflite"}},
		{wroteLines("x.tflite", &imprint.Written{Examples: 4}), []string{"wrote x.tflite"}},
		{wroteLines("x.tflite", &imprint.Written{Disagreements: 3, Examples: 60, LogitScale: 12}), []string{"wrote x.tflite", "quantization changes the prediction for 3 of 60 training photos; logits scaled by 12"}},
	} {
		if !slices.Equal(test.got, test.want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(test.got, "\n"), strings.Join(test.want, "\n"))
		}
	}
}

func TestHeadLine(t *testing.T) {
	ridge := classifier.Recipe{Method: classifier.Ridge, Lambda: 0.3}
	lda := classifier.Recipe{Method: classifier.LDA, Lambda: 3}
	candidates := []classifier.Candidate{{Recipe: ridge, LogLoss: 0.288}, {Recipe: lda, LogLoss: 0.282}, {Recipe: classifier.Recipe{Method: classifier.Mean}, LogLoss: 0.45}}
	for _, test := range []struct {
		recipe     classifier.Recipe
		candidates []classifier.Candidate
		asked      classifier.Method
		want       string
	}{
		{lda, candidates, classifier.Auto, "head: lda λ=3, best of 2 by leave-one-out log loss (0.28; next ridge λ=0.3 0.29; mean 0.45)"},
		{ridge, nil, classifier.Auto, "head: ridge λ=0.3, too few distinct photos to compare others"},
		{ridge, nil, classifier.Ridge, "head: ridge λ=0.3"},
		{classifier.Recipe{Method: classifier.Mean}, nil, classifier.Auto, "head: mean"},
	} {
		if got := headLine(test.recipe, test.candidates, test.asked); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestTipAndUnknownLines(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{tipLine(nil), ""},
		{tipLine(&classifier.Advice{Label: "hat", Photos: 5, Recall: 0.85, ExpectedRecall: 0.9}), "tip: 5 more photos of hat should help most (85 → 90 %)"},
		{tipLine(&classifier.Advice{Label: "ball", Photos: 5, Recall: 0.951, ExpectedRecall: 0.954}), ""},
		{unknownLine(summary{}), ""},
		{unknownLine(summary{unknownOff: "the backbone's own classes are kept"}), "unknown: off, because the backbone's own classes are kept"},
		{unknownLine(summary{settings: imprint.Settings{Unknown: 0.05}, rejection: &classifier.Rejection{TargetFAR: 0.05, Negatives: 256, FalseAccepts: 5, Positives: 40, Rejected: 2, Background: true}}), "false accepts: target 5 %; 5 % of your own photos would be rejected"},
		{unknownLine(summary{settings: imprint.Settings{Unknown: 1e-9}, rejection: &classifier.Rejection{TargetFAR: 1e-9, Negatives: 256, Background: true}}), "false accepts: target below 0.1 %"},
		{unknownLine(summary{settings: imprint.Settings{Unknown: 0.05}}), "unknown: off until ten photos can be left out, or there are ten negatives"},
		{unknownLine(summary{settings: imprint.Settings{Unknown: 0.05}, estimate: classifier.Estimate{Total: 10}}), "unknown: off until the next change, because an older version made the model"},
		{unknownLine(summary{settings: imprint.Settings{Unknown: 0.05, KeepClasses: true}}), "unknown: off until the next change, because an older version made the model"},
		{unknownLine(summary{settings: imprint.Settings{Unknown: 0.05}, rejection: &classifier.Rejection{Own: true, TargetFAR: 0.05, Rejected: 1, Positives: 20}}), "unknown: what is unlike your photos; ten negatives would show what else; 5 % of your own photos would be rejected"},
		{unknownLine(summary{settings: imprint.Settings{Unknown: 0.05}, rejection: &classifier.Rejection{TargetFAR: 0.05, Negatives: 512, FalseAccepts: 25, Positives: 60, Rejected: 25}}), "false accepts: 4.9 % (target 5 %); 42 % of your own photos would be rejected"},
		{unknownLine(summary{settings: imprint.Settings{Unknown: 0.05}, rejection: &classifier.Rejection{TargetFAR: 0.05, Negatives: 512, FalseAccepts: 25}}), "false accepts: 4.9 % (target 5 %)"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestResultLine(t *testing.T) {
	hat := predict.Result{Path: "new.jpg", Label: "hat", Score: 0.994, Device: "cpu", Elapsed: 4100 * time.Microsecond,
		Top: []predict.Score{{Label: "hat", Score: 0.994}, {Label: "cap", Score: 0.006}}}
	unknown := predict.Result{Path: "new.jpg", Label: "unknown", Score: 0.6, Unknown: true, Device: "usb:1-2", Elapsed: 2 * time.Millisecond,
		Top: []predict.Score{{Label: "unknown", Score: 0.6}, {Label: "hat", Score: 0.3}}}
	for _, test := range []struct {
		r       predict.Result
		top     int
		verbose bool
		want    string
	}{
		{hat, 1, false, "new.jpg: hat 99 %"},
		{hat, 1, true, "new.jpg: hat 99.4 %, in 4.1 ms on cpu"},
		{hat, 2, false, "new.jpg: hat 99 %, cap 1 %"},
		{unknown, 1, false, "new.jpg: unknown (nearest: hat)"},
		{unknown, 1, true, "new.jpg: unknown (nearest: hat), in 2.0 ms on usb:1-2"},
		{unknown, 2, false, "new.jpg: unknown 60 %, hat 30 %"},
	} {
		if got := strings.Join(resultLines(test.r, test.top, test.verbose), "\n"); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestSkippedLines(t *testing.T) {
	duplicate := func(path string) imprint.Skipped {
		return imprint.Skipped{Path: path, Reason: "the same photo", Duplicate: true, Label: "hat"}
	}
	damaged := func(path, detail string) imprint.Skipped {
		return imprint.Skipped{Path: path, Reason: "read photo " + path + ": damaged photo: " + detail}
	}
	for _, test := range []struct {
		skipped []imprint.Skipped
		all     bool
		want    []string
	}{
		{nil, false, nil},
		{[]imprint.Skipped{duplicate("1.jpg")}, false, []string{`1.jpg is already in "hat"`}},
		{[]imprint.Skipped{duplicate("1.jpg"), damaged("2.jpg", "cut short"), duplicate("3.jpg")}, false,
			[]string{`2 photos are already in "hat"`, "skipped 2.jpg: damaged photo: cut short"}},
		{[]imprint.Skipped{duplicate("1.jpg"), duplicate("3.jpg")}, true, []string{`1.jpg is already in "hat"`, `3.jpg is already in "hat"`}},
		{[]imprint.Skipped{damaged("1.jpg", "cut short"), damaged("2.jpg", "no image")}, false, []string{"skipped 2 photos, first 1.jpg: damaged photo"}},
		{[]imprint.Skipped{damaged("1.jpg", "cut short"), damaged("2.jpg", "cut short")}, false, []string{"skipped 2 photos, first 1.jpg: damaged photo: cut short"}},
		{[]imprint.Skipped{{Path: "1.jpg", Duplicate: true}, {Path: "2.jpg", Duplicate: true}}, false, []string{"2 photos are already among the negatives"}},
		{[]imprint.Skipped{{Path: "tub/manifest.json", Reason: "cut short"}}, false, []string{"skipped tub/manifest.json: cut short"}},
	} {
		if got := skippedLines(test.skipped, test.all); !slices.Equal(got, test.want) {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestEvaluationLines(t *testing.T) {
	e := classifier.Estimate{Correct: 54, Total: 60, Bursts: 60}
	confused := [][]int{{8, 2}, {0, 10}}
	report := func(head string, value float64, support int) evaluate.HeadReport {
		return evaluate.HeadReport{Head: head, Support: support, Estimate: &e, Accuracy: evaluate.Proportion{Value: value, N: 20},
			Classes: []evaluate.ClassReport{{Label: "hat"}, {Label: "cap"}}, Confusion: confused}
	}
	curve := []evaluate.Accuracy{{Head: "auto", Support: 1, Mean: 31.3}, {Head: "auto", Support: 5, Mean: 52.7}, {Head: "mean", Support: 1, Mean: 29.1}, {Head: "mean", Support: 5, Mean: 50.4}}
	for _, test := range []struct {
		ev      evaluated
		compare bool
		want    []string
	}{
		{evaluated{Evaluation: &evaluate.Evaluation{Heads: []evaluate.HeadReport{report("auto", 0.9, 0)}}, classes: classesOf(30, 30)}, false,
			[]string{"accuracy 90 % (80–95 %) on photos left out", "most common mistakes: 20 % of hat classified as cap"}},
		{evaluated{Evaluation: &evaluate.Evaluation{Heads: []evaluate.HeadReport{report("auto", 0.9, 0)}}, classes: classesOf(30, 30), advice: &classifier.Advice{Label: "hat", Photos: 5, Recall: 0.8, ExpectedRecall: 0.85}}, false,
			[]string{"accuracy 90 % (80–95 %) on photos left out", "tip: 5 more photos of hat should help most (80 → 85 %)"}},
		{evaluated{Evaluation: &evaluate.Evaluation{Heads: []evaluate.HeadReport{report("mean", 0.8, 0), report("lda", 0.9, 0)}}}, true,
			[]string{"accuracy mean 80 %; lda 90 %", "most common mistakes: 20 % of hat classified as cap"}},
		{evaluated{Evaluation: &evaluate.Evaluation{Results: curve, Heads: []evaluate.HeadReport{report("auto", 0.5, 5), report("mean", 0.5, 5)}}}, false,
			[]string{"accuracy 31 % with 1 photo per class, 53 % with 5", "most common mistakes: 20 % of hat classified as cap"}},
		{evaluated{Evaluation: &evaluate.Evaluation{Results: curve, Heads: []evaluate.HeadReport{report("auto", 0.5, 5), report("mean", 0.5, 5)}, OpenSet: []evaluate.OpenSet{{FAR: 4.9, TargetFAR: 5, TPR: 58}}}}, true,
			[]string{"accuracy auto 31 % with 1 photo per class, 53 % with 5; mean 29 % with 1 photo per class, 50 % with 5", "false accepts: 4.9 % (target 5 %); 42 % of trained classes would be rejected"}},
	} {
		if got := evaluationLines(test.ev, test.compare); !slices.Equal(got, test.want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
		}
	}
}

// TestLossy checks when a compiled model deserves a warning.
func TestLossy(t *testing.T) {
	for _, test := range []struct {
		w    *imprint.Written
		want bool
	}{
		{nil, false}, {&imprint.Written{Examples: 4}, false}, {&imprint.Written{Disagreements: 5, Examples: 50}, false}, {&imprint.Written{Disagreements: 21, Examples: 50}, true},
	} {
		if got := lossy(test.w); got != test.want {
			t.Errorf("%+v: got %v, want %v", test.w, got, test.want)
		}
	}
}

func TestBackboneChoiceLine(t *testing.T) {
	candidate := func(name string, correct int) evaluate.BackboneCandidate {
		return evaluate.BackboneCandidate{Name: name, Estimate: classifier.Estimate{Correct: correct, Total: 20}}
	}
	for _, test := range []struct {
		choice evaluate.BackboneChoice
		want   string
	}{
		{evaluate.BackboneChoice{Candidates: []evaluate.BackboneCandidate{candidate("a", 0)}}, "a is the only backbone on this computer; imprint models list shows others"},
		{evaluate.BackboneChoice{Candidates: []evaluate.BackboneCandidate{candidate("a", 0), candidate("b", 0)}}, "chose a of 2 backbones for its accuracy on other photos: yours are too few to compare them"},
		{evaluate.BackboneChoice{Photos: 20, Candidates: []evaluate.BackboneCandidate{candidate("a", 19), candidate("b", 18)}}, "chose a of 2 backbones: 95 % of your photos left out were correct, with b 90 %"},
		{evaluate.BackboneChoice{Photos: 20, Candidates: []evaluate.BackboneCandidate{candidate("a", 19), candidate("b", 19)}}, "chose a of 2 backbones: 95 % of your photos left out were correct, as many as with b"},
	} {
		if got := backboneChoiceLine(&test.choice); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}
