package modelfile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/tpu/compiled"
)

// ErrNoTemplate means that no compiled model at hand has the architecture of the model to compile.
var ErrNoTemplate = errors.New("no compiled model of this architecture is at hand")

const compiledSuffix = "_edgetpu"

// A Template names a compiled model and the uncompiled model that it was made from. Each is a file
// or a pulled model.
type Template struct {
	Compiled   string `json:"compiled"`
	Uncompiled string `json:"uncompiled"`
}

// Uncompiled returns the name of the model that a compiled model was made from: the same name
// without "_edgetpu". It returns an error if there is no file and no pulled model with that name.
func Uncompiled(compiledName string) (string, error) {
	base, tflite := strings.CutSuffix(compiledName, ".tflite")
	name, ok := strings.CutSuffix(base, compiledSuffix)
	if !ok {
		return "", fmt.Errorf("the name %s does not end in %s", compiledName, compiledSuffix)
	}
	if tflite {
		name += ".tflite"
	}
	if _, err := infer.Locate(name); err != nil {
		return "", err
	}
	return name, nil
}

// pulledTemplates returns the pulled compiled models whose uncompiled models are pulled too.
func pulledTemplates() (all []Template) {
	for _, p := range models.List() {
		if !p.Compiled() || p.Counterpart == "" {
			continue
		}
		_, err := models.Store{}.Path(p.Name)
		if err == nil {
			_, err = models.Store{}.Path(p.Counterpart)
		}
		if err == nil {
			all = append(all, Template{p.Name, p.Counterpart})
		}
	}
	return all
}

// Retarget returns the compiled model of t with the weights of model. Its errors are those of package
// compiled, and of reading the files.
func Retarget(t Template, model []byte) ([]byte, error) {
	var files [2][]byte
	for i, f := range []struct{ what, name string }{{"compiled model", t.Compiled}, {"uncompiled model", t.Uncompiled}} {
		file, err := read(f.name)
		if err != nil {
			return nil, fmt.Errorf("read the %s %s: %w", f.what, f.name, err)
		}
		files[i] = file
	}
	p, err := compiled.Open(files[0], files[1])
	if err != nil {
		return nil, err
	}
	return p.Retarget(model)
}

// read reads the model with the given name.
func read(name string) ([]byte, error) {
	path, err := infer.Locate(name)
	if err != nil {
		return nil, err
	}
	file, err := tflite.ReadModel(path)
	if err != nil {
		return nil, err
	}
	return file.Model, nil
}

// retargetAny writes the weights of model into one of the templates that have the most operators in
// common with it. The error wraps ErrNoTemplate, and says how model differs from the first of them.
func retargetAny(ctx context.Context, templates []Template, model []byte) ([]byte, Template, error) {
	m, err := tflite.Parse(model)
	if err != nil {
		return nil, Template{}, err
	}
	common := make(map[Template]int, len(templates))
	most := 1
	for _, t := range templates {
		file, err := read(t.Uncompiled)
		if err != nil {
			return nil, Template{}, err
		}
		old, err := tflite.Parse(file)
		if err != nil {
			return nil, Template{}, fmt.Errorf("%s: %w", t.Uncompiled, err)
		}
		common[t] = commonOperators(m, old)
		most = max(most, common[t])
	}
	var nearest error
	for _, t := range templates {
		if err := ctx.Err(); err != nil {
			return nil, Template{}, err
		}
		if common[t] < most {
			continue
		}
		file, err := Retarget(t, model)
		if err == nil {
			return file, t, nil
		}
		if nearest == nil {
			nearest = fmt.Errorf("the nearest is %s: %w", t.Compiled, err)
		}
	}
	if nearest == nil {
		nearest = fmt.Errorf("none of the %d pulled ones begins with the same operator", len(templates))
	}
	return nil, Template{}, fmt.Errorf("%w; %w", ErrNoTemplate, nearest)
}

// commonOperators returns how many operators of two models, from the first on, are of the same kind
// and have outputs of the same shape.
func commonOperators(a, b *tflite.Model) (n int) {
	if len(a.Subgraphs) != 1 || len(b.Subgraphs) != 1 {
		return 0
	}
	x, y := a.Subgraphs[0].Operators, b.Subgraphs[0].Operators
	for n < min(len(x), len(y)) && a.OperatorCodes[x[n].Opcode].Builtin == b.OperatorCodes[y[n].Opcode].Builtin &&
		slices.EqualFunc(x[n].Outputs, y[n].Outputs, func(t, u int32) bool {
			return slices.Equal(a.Subgraphs[0].Tensors[t].Shape, b.Subgraphs[0].Tensors[u].Shape)
		}) {
		n++
	}
	return n
}
