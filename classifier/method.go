package classifier

import (
	"fmt"
	"slices"
	"strings"
)

// A Method is a way to train a head.
type Method string

const (
	// Mean is imprinting: normalized class means, as in [Sums.Mean].
	Mean Method = "mean"
	// Ridge is least-squares regression on one-hot classes, with an L2 penalty λ on
	// the weights.
	Ridge Method = "ridge"
	// LDA is linear discriminant analysis with a covariance shared by all classes and
	// shrunk toward the identity by λ.
	LDA Method = "lda"
	// RidgeLDA is the sum of the calibrated logits of Ridge and LDA. With more than 1024 examples,
	// and more than dimensions, both share one λ.
	RidgeLDA Method = "ridge+lda"
	// MeanRidgeLDA is the sum of the calibrated logits of Mean and the parts of RidgeLDA.
	MeanRidgeLDA Method = "mean+ridge+lda"
	// Softmax is logistic regression by full-batch gradient descent. It starts from ridge
	// regression and stops early, after a number of steps chosen by cross-validation.
	Softmax Method = "softmax"
	// CoralSGD is Coral's SoftmaxRegression with the settings of Coral's example. It is a
	// baseline.
	CoralSGD Method = "coral-sgd"
	// Auto chooses among LDA, RidgeLDA and MeanRidgeLDA by leave-one-out log loss.
	Auto Method = "auto"
)

// Methods returns all methods.
func Methods() []Method {
	return []Method{Auto, Mean, Ridge, LDA, RidgeLDA, MeanRidgeLDA, Softmax, CoralSGD}
}

// ParseMethod returns the method called name.
func ParseMethod(name string) (Method, error) {
	if m := Method(name); slices.Contains(Methods(), m) {
		return m, nil
	}
	return "", fmt.Errorf("head %q is not one of %s", name, strings.Trim(fmt.Sprint(Methods()), "[]"))
}

// A Recipe is a method with its hyperparameters. The zero Recipe means that there is no head.
type Recipe struct {
	Method Method `json:"method"`
	// Lambda is the λ of [Ridge], of [LDA], or of the ridge regression from which
	// [Softmax] starts. It is 0 for other methods.
	Lambda float64 `json:"lambda,omitempty"`
	// Sqrt reports whether the features are the square roots of the embedding's
	// values, scaled to length 1.
	Sqrt bool `json:"root,omitempty"`
}

// String returns a description such as "ridge λ=0.3 on square roots".
func (r Recipe) String() string {
	s := string(r.Method)
	if r.Lambda != 0 {
		s += fmt.Sprintf(" λ=%g", r.Lambda)
	}
	if r.Sqrt {
		s += " on square roots"
	}
	return s
}

// These values of λ were the best of 0.03, 0.1, 0.3 and 1 for ridge regression, and of 0.3, 1, 3
// and 10 for LDA, on nine datasets (2 to 105 classes, 1 to 20 photos per class, Coral's
// MobileNet v1 1.0 224).
const (
	ridgeLambda = 0.3
	ldaLambda   = 3
)

// recipe returns the default recipe of m, which must not be Auto.
func (m Method) recipe() (Recipe, error) {
	switch m {
	case Mean, RidgeLDA, MeanRidgeLDA, CoralSGD:
		return Recipe{Method: m}, nil
	case Ridge, Softmax:
		return Recipe{Method: m, Lambda: ridgeLambda}, nil
	case LDA:
		return Recipe{Method: m, Lambda: ldaLambda}, nil
	}
	return Recipe{}, fmt.Errorf("unknown head %q", m)
}

// autoRecipes returns the recipes that Auto chooses from. If several are equally good, Auto
// chooses the first.
func autoRecipes(sqrt bool) []Recipe {
	recipes := []Recipe{{Method: MeanRidgeLDA}, {Method: RidgeLDA}, {Method: LDA, Lambda: ldaLambda}}
	if sqrt {
		for _, r := range slices.Clone(recipes) {
			r.Sqrt = true
			recipes = append(recipes, r)
		}
	}
	return recipes
}

// training prepares sorted examples for training with r. For gradient descent it uses a
// subsample. memory may be nil.
func (r Recipe) training(examples []Example, memory *Memory) (*training, error) {
	if memory != nil {
		return memory.training(examples, r.Sqrt)
	}
	if r.Method != Softmax && r.Method != CoralSGD {
		return newTraining(examples, r.Sqrt)
	}
	indexes := subsample(examples, maxDescentExamples)
	t, err := newTraining(pick(examples, indexes), r.Sqrt)
	if err == nil {
		t.indexes = indexes
	}
	return t, err
}
