package classifier

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// A Method is a way to turn examples into a head.
type Method string

const (
	// Mean is imprinting: normalised class means (Qi, Brown, Lowe, CVPR 2018).
	Mean Method = "mean"
	// Ridge is least squares on classes as unit vectors, with a penalty λ on the
	// weights.
	Ridge Method = "ridge"
	// LDA is linear discriminant analysis with a covariance shared by all classes,
	// shrunk towards the identity by λ.
	LDA Method = "lda"
	// RidgeLDA is the sum of Ridge and LDA, each scaled to be likely, and MeanRidgeLDA that
	// of Mean as well.
	RidgeLDA     Method = "ridge+lda"
	MeanRidgeLDA Method = "mean+ridge+lda"
	// Softmax is logistic regression on all examples at once, begun at ridge regression
	// and ended when examples left out become no likelier.
	Softmax Method = "softmax"
	// CoralSGD is Coral's SoftmaxRegression with the settings of its example, a baseline.
	CoralSGD Method = "coral-sgd"
	// Auto chooses among LDA and the sums by leaving out one example at a time.
	Auto Method = "auto"
)

// Methods lists the methods there are.
func Methods() []Method {
	return []Method{Auto, Mean, Ridge, LDA, RidgeLDA, MeanRidgeLDA, Softmax, CoralSGD}
}

// ParseMethod returns the method of that name.
func ParseMethod(name string) (Method, error) {
	if m := Method(name); slices.Contains(Methods(), m) {
		return m, nil
	}
	return "", fmt.Errorf("head %q is not one of %s", name, strings.Trim(fmt.Sprint(Methods()), "[]"))
}

// A Recipe says how a head is made of examples.
type Recipe struct {
	Method Method  `json:"method"`
	Lambda float64 `json:"lambda,omitempty"`
	// Root is whether the square roots of the embedding's values are its features.
	Root bool `json:"root,omitempty"`
}

func (r Recipe) String() string {
	s := string(r.Method)
	if r.Lambda != 0 {
		s += fmt.Sprintf(" λ=%g", r.Lambda)
	}
	if r.Root {
		s += " on square roots"
	}
	return s
}

// The λ that were the best of 0.03, 0.1, 0.3 and 1 for ridge regression, and of 0.3, 1, 3
// and 10 for LDA, on nine sets (2 to 105 classes, 1 to 20 photos each, Coral's MobileNet v1
// 1.0 224).
const (
	ridgeLambda = 0.3
	ldaLambda   = 3
)

// recipe is how a head of that name is made.
func (m Method) recipe() (Recipe, error) {
	switch m {
	case Mean, RidgeLDA, MeanRidgeLDA, CoralSGD:
		return Recipe{Method: m}, nil
	case Ridge, Softmax:
		return Recipe{Method: m, Lambda: ridgeLambda}, nil
	case LDA:
		return Recipe{Method: m, Lambda: ldaLambda}, nil
	}
	return Recipe{}, fmt.Errorf("no head is called %q", m)
}

// recipes are what Auto chooses from.
func recipes(root bool) []Recipe {
	all := []Recipe{{Method: MeanRidgeLDA}, {Method: RidgeLDA}, {Method: LDA, Lambda: ldaLambda}}
	if root {
		for _, r := range slices.Clone(all) {
			r.Root = true
			all = append(all, r)
		}
	}
	return all
}

// A Tried is a recipe and the mean of −log score of the right class over the examples
// left out, of about 500 at most.
type Candidate struct {
	Recipe
	LogLoss float64 `json:"loss"`
}

// A Fitted is a head and what is known about it from leaving out one example at a
// time.
type Fitted struct {
	Head     *Head
	Recipe   Recipe
	Estimate Estimate
	// Loss is the mean of −log score of the right class over the examples left out,
	// NaN when none could be.
	LogLoss float64
	// Calibration is the expected calibration error of the examples left out: how far
	// scores are from the share of right answers, on average over ten bins of scores.
	// Plain is what it would be if outputs were not scaled to be likely. Both are NaN
	// when nothing could be left out.
	Calibration, Uncalibrated float64
	// Temperature is what the logits would be multiplied by to undo that scaling.
	Temperature float64
	// Rejection tells of the row that [Reject] has added; nil without it.
	Rejection *Rejection
	// Tried is what Auto chose by, in the order in which it looked, and last the mean head,
	// for comparison; nil where it could not compare.
	Candidates []Candidate
	// Advice is what more photos would probably buy; nil where that is not known.
	Advice *Advice

	scale float64 // from outputs to logits
}

const (
	// plainScale is the factor from outputs of ridge regression to logits where too few
	// examples can be left out to estimate it. It makes scores as bold as those of
	// imprinting; the likeliest on clothing and Oxford 17 flowers was 8 to 25, whether 1
	// photo a class was taught or 20.
	plainScale = MeanScale
	// enough is the least number of examples left out that say anything.
	enough = 10
	// few is how many examples Auto looks at; the head is then made of all.
	few = 500
	// mostLeftOut is how many examples are left out at most when there are more
	// examples than dimensions, where each costs as much as in teaching anew.
	mostLeftOut = 2000
)

// Fit makes a head of examples, whose order does not matter. The outputs of the layer
// are scaled so that the scores of examples left out are as likely as can be. Auto
// takes the recipe under which they are most likely; where fewer than ten can be left out
// it takes ridge regression. Root features are considered when root is
// set; they need embeddings without negative values.
//
// Likelihood decides, not the number of right answers: that differs by chance between
// recipes as good as each other. Nor does the simplest within one standard error of the
// best: the mean head would often be that, and is right less often (docs/accuracy.md).
func Fit(examples []Example, method Method, root bool) (*Fitted, error) {
	t, recipe, err := choose(sorted(examples), method, root)
	if err != nil {
		return nil, err
	}
	return t.fit(recipe)
}

// choose names the recipe for sorted examples, and takes them for it.
func choose(examples []Example, method Method, root bool) (*training, Recipe, error) {
	if method != Auto {
		r, err := method.recipe()
		if err != nil {
			return nil, r, err
		}
		t, err := r.training(examples)
		return t, r, err
	}
	best, loss := Recipe{Method: Ridge, Lambda: ridgeLambda}, math.Inf(1)
	some := pick(examples, thinned(examples, few))
	trainings := make(map[bool]*training) // with and without square roots
	var tried []Candidate
	for _, r := range recipes(root) {
		t := trainings[r.Root]
		if t == nil {
			var err error
			if t, err = newTraining(some, r.Root); err != nil {
				return nil, best, err
			}
			trainings[r.Root] = t
		}
		if len(t.labels) < 2 {
			best = Recipe{Method: Mean}
			break
		}
		_, left, err := t.layer(r)
		if err != nil {
			return nil, best, err
		}
		f := &Fitted{Recipe: r, Estimate: t.estimate(left)}
		t.scale(left, f)
		if f.Estimate.Total < max(enough, 2*len(t.labels)) {
			break
		}
		// A likelihood that differs by rounding alone decides nothing.
		if f.LogLoss < loss*(1-1e-9) {
			best, loss = r, f.LogLoss
		}
		if !math.IsNaN(f.LogLoss) {
			tried = append(tried, Candidate{r, f.LogLoss})
		}
	}
	if len(tried) > 0 {
		mean, err := trainings[false].made(Mean)
		if err != nil {
			return nil, best, err
		}
		if !math.IsNaN(mean.loss) {
			tried = append(tried, Candidate{Recipe{Method: Mean}, mean.loss})
		}
	}
	if len(some) == len(examples) {
		trainings[best.Root].tried = tried
		return trainings[best.Root], best, nil
	}
	t, err := best.training(examples)
	if err == nil {
		t.tried = tried
	}
	return t, best, err
}

// training takes sorted examples for a head.
func (r Recipe) training(examples []Example) (*training, error) {
	if r.Method != Softmax && r.Method != CoralSGD {
		return newTraining(examples, r.Root)
	}
	at := thinned(examples, mostTrained)
	t, err := newTraining(pick(examples, at), r.Root)
	if err == nil {
		t.at = at
	}
	return t, err
}

// thinned gives the places of about most of many sorted examples, as many of each
// class.
func thinned(examples []Example, most int) []int {
	var classes [][2]int // first and number
	for i := range examples {
		if i == 0 || examples[i].Label != examples[i-1].Label {
			classes = append(classes, [2]int{i, 0})
		}
		classes[len(classes)-1][1]++
	}
	each := max(most/len(classes), 3)
	if len(examples) <= most {
		each = most
	}
	var at []int
	for _, c := range classes {
		n := min(each, c[1])
		for k := range n {
			at = append(at, c[0]+k*c[1]/n)
		}
	}
	return at
}

// layer makes the layer of a recipe, and the outputs for each example left out.
func (t *training) layer(r Recipe) (layer, [][]float64, error) {
	switch r.Method {
	case Mean:
		return t.imprint()
	case Ridge:
		return t.ridge(r.Lambda)
	case LDA:
		if made := t.layers[LDA]; made != nil && r.Lambda == ldaLambda {
			return made.layer, made.left, nil
		}
		return t.lda(r.Lambda)
	case RidgeLDA:
		return t.sum(Ridge, LDA)
	case MeanRidgeLDA:
		return t.sum(Mean, Ridge, LDA)
	case Softmax:
		return t.softmax(r.Lambda)
	case CoralSGD:
		return t.coralSGD()
	}
	return layer{}, nil, fmt.Errorf("no head is called %q", r.Method)
}

// A made layer is kept, because it may be a part of several heads.
type madeLayer struct {
	layer
	left  [][]float64
	scale float64 // from outputs to logits
	loss  float64 // as in Fitted
}

// made makes the layer of one method, or takes that which has been made.
func (t *training) made(m Method) (*madeLayer, error) {
	if l := t.layers[m]; l != nil {
		return l, nil
	}
	r, err := m.recipe()
	if err != nil {
		return nil, err
	}
	l, left, err := t.layer(r)
	if err != nil {
		return nil, err
	}
	f := &Fitted{Recipe: r, Estimate: t.estimate(left)}
	scale := t.scale(left, f)
	if t.layers == nil {
		t.layers = make(map[Method]*madeLayer)
	}
	t.layers[m] = &madeLayer{l, left, scale, f.LogLoss}
	return t.layers[m], nil
}

// sum adds layers up that have been scaled.
func (t *training) sum(methods ...Method) (l layer, left [][]float64, err error) {
	l = layer{newTable(len(t.labels), t.dim), make([]float64, len(t.labels))}
	left = make([][]float64, len(t.x))
	for _, m := range methods {
		part, err := t.made(m)
		if err != nil {
			return l, nil, err
		}
		for c, w := range part.weights {
			axpy(part.scale, w, l.weights[c])
		}
		axpy(part.scale, part.bias, l.bias)
		for i, row := range part.left {
			if row == nil {
				continue
			}
			if left[i] == nil {
				left[i] = make([]float64, len(row))
			}
			axpy(part.scale, row, left[i])
		}
	}
	return l, left, nil
}

// fit makes one head.
func (t *training) fit(r Recipe) (*Fitted, error) {
	f, _, err := t.fitLeaving(r)
	return f, err
}

// fitLeaving makes one head and gives its outputs for each example left out.
func (t *training) fitLeaving(r Recipe) (*Fitted, [][]float64, error) {
	l, left, err := t.layer(r)
	if err != nil {
		return nil, nil, err
	}
	f := &Fitted{Recipe: r, Head: &Head{Labels: t.labels, Dim: t.dim, Root: r.Root}, Estimate: t.estimate(left), Candidates: t.tried}
	scale := t.scale(left, f)
	f.scale = scale
	centre := l.centre()
	for c, w := range l.weights {
		for i, v := range w {
			// The same row taken from all rows changes no score, and keeps logits small.
			f.Head.Weights = append(f.Head.Weights, float32(float64(v-centre[i])*scale))
		}
		f.Head.Bias = append(f.Head.Bias, float32(l.bias[c]*scale))
	}
	f.Advice = t.advise(left)
	if !math.IsNaN(f.LogLoss) {
		f.Calibration, f.Uncalibrated = t.calibration(left, scale), t.calibration(left, scale*f.Temperature)
	}
	return f, left, f.Head.Check()
}

// estimate counts right answers to examples left out.
func (t *training) estimate(left [][]float64) (e Estimate) {
	for _, burst := range t.burst {
		switch {
		case t.alone(burst):
			e.Excluded += len(burst)
			continue
		case left[burst[0]] == nil:
			continue
		}
		e.Bursts++
		for _, i := range burst {
			e.Total++
			if Best(left[i]) == t.class[i] {
				e.Correct++
			}
		}
	}
	return e
}

// scale finds the factor from outputs to logits under which the examples left out are
// most likely, and sets f.Loss. The factors tried are powers of 2¼, so that rounding
// does not decide between neighbours.
func (t *training) scale(left [][]float64, f *Fitted) float64 {
	var spread float64
	for _, row := range left {
		if row != nil {
			spread += deviation(row) / float64(f.Estimate.Total)
		}
	}
	f.LogLoss, f.Calibration, f.Uncalibrated = math.NaN(), math.NaN(), math.NaN()
	plain := 1.0 // LDA gives logits
	switch f.Recipe.Method {
	case Mean:
		plain = MeanScale
	case Ridge:
		plain = plainScale
	}
	f.Temperature = 1
	if spread == 0 || f.Estimate.Total < enough {
		return plain
	}
	// The loss has one minimum, because it is convex in the factor.
	factor := func(k int) float64 {
		return math.Ldexp([4]float64{1, 1.189207115002721, 1.4142135623730951, 1.681792830507429}[k%4], k/4-3) / spread
	}
	losses := make(map[int]float64)
	loss := func(k int) float64 {
		if _, ok := losses[k]; !ok {
			losses[k] = t.loss(left, factor(k)) / float64(f.Estimate.Total)
		}
		return losses[k]
	}
	low, high := 0, 39
	for low < high {
		if k := (low + high) / 2; loss(k+1) < loss(k)*(1-1e-9) {
			low = k + 1
		} else {
			high = k
		}
	}
	f.LogLoss = loss(low)
	f.Temperature = plain / factor(low)
	return factor(low)
}

// loss is the sum of −log score of the right class over the examples left out.
func (t *training) loss(left [][]float64, scale float64) (sum float64) {
	for i, row := range left {
		if row == nil {
			continue
		}
		top := row[Best(row)]
		var all float64
		for _, v := range row {
			// The smallest change nothing.
			if d := (v - top) * scale; d > -40 {
				all += exp(d)
			}
		}
		sum += log(all) - float64((row[t.class[i]]-top)*scale)
	}
	return sum
}

// calibration is the expected calibration error, over ten bins of equal width, of the
// winners' scores of examples left out (Guo et al., On Calibration of Modern Neural
// Networks, ICML 2017).
func (t *training) calibration(left [][]float64, scale float64) float64 {
	const bins = 10
	var score, right [bins]float64
	total := 0.0
	logits := make([]float64, len(t.labels))
	for i, c := range t.class {
		if left[i] == nil {
			continue
		}
		for j, v := range left[i] {
			logits[j] = v * scale
		}
		Scores(logits)
		best := Best(logits)
		b := min(int(logits[best]*bins), bins-1)
		score[b] += logits[best]
		if best == c {
			right[b]++
		}
		total++
	}
	var e float64
	for b := range score {
		e += math.Abs(score[b]-right[b]) / total
	}
	return e
}

func deviation(v []float64) float64 {
	var mean, sum float64
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		sum += float64((x - mean) * (x - mean))
	}
	return math.Sqrt(sum / float64(len(v)))
}
