"""The student network: its layers, its compiled passes, folding, quantization and the file of weights."""

import ctypes
import os
import subprocess

# Two passes run in parallel, so numpy must not start threads of its own.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

BLOCKS = [(8, 16), (16, 32), (32, 32), (32, 64), (64, 64), (64, 128)] + [(128, 128)] * 5 + [(128, 256), (256, 256)]
# Rows and columns of each layer's weights. Columns are output channels.
LAYERS = [(27, 8)]
for _in, _out in BLOCKS:
    LAYERS += [(9, _in), (_in, _out)]
WEIGHTS = sum(r * c for r, c in LAYERS)
CHANNELS = sum(c for _, c in LAYERS)
EPSILON = 1e-3
ACTIVATION_SCALE = 0.023528477177023888


def _pointer(a):
    assert a.flags.c_contiguous
    return a.ctypes.data_as(ctypes.c_void_p)


def compile_passes(folder):
    """Compiles student.cc and views.cc into a library in folder and returns its path."""
    here = os.path.dirname(os.path.abspath(__file__))
    library = os.path.join(folder, "libstudent.so")
    flags = "-O3 -march=native -ffast-math -Wall -shared -fPIC".split()
    subprocess.run(["g++", *flags, "-o", library, f"{here}/student.cc", f"{here}/views.cc"], check=True)
    return library


class Passes:
    """A batch of square views and their forward and backward passes."""

    def __init__(self, library, batch, size, learns=True):
        lib = ctypes.CDLL(library)
        lib.student_new.restype = lib.student_input.restype = ctypes.c_void_p
        lib.student_weights.restype = lib.student_channels.restype = ctypes.c_int64
        self.lib, self.batch, self.size, self.places = lib, batch, size, (size // 32) ** 2
        self.s = ctypes.c_void_p(lib.student_new(batch, size, int(learns)))
        self.teacher = ctypes.c_void_p(lib.student_new(1, size, 0))
        assert (lib.student_weights(self.s), lib.student_channels(self.s)) == (WEIGHTS, CHANNELS)
        place = ctypes.cast(lib.student_input(self.s), ctypes.POINTER(ctypes.c_float))
        self.input = np.ctypeslib.as_array(place, (batch, size, size, 3))

    def make_views(self, photos, index, modes, seed):
        """Cuts the first len(index) views of the next batch. photos is Store.at; index has four photos per view."""
        assert index.shape == (len(index), 4) and len(index) == len(modes) <= self.batch
        index, modes = np.ascontiguousarray(index, np.int64), np.ascontiguousarray(modes, np.int32)
        self.lib.make_views(_pointer(self.input), len(index), self.size, _pointer(photos), _pointer(index), _pointer(modes), ctypes.c_uint64(seed))

    def forward(self, w, bn, frozen, step):
        """Returns the unclipped output of the last layer at every position, [batch, places, 256], and the means
        and variances of all channels."""
        mean, variance = np.zeros(CHANNELS, np.float32), np.zeros(CHANNELS, np.float32)
        y = np.empty((self.batch, self.places, 256), np.float32)
        self.lib.student_forward(self.s, _pointer(w), _pointer(bn), int(frozen), ctypes.c_float(step), _pointer(mean), _pointer(variance), _pointer(y))
        return y, mean, variance

    def teach(self, w, bn, n):
        """Returns the output of a frozen network of the same shape for the first n views."""
        y = np.empty((n, self.places, 256), np.float32)
        self.lib.student_teach(self.teacher, self.s, n, _pointer(w), _pointer(bn), _pointer(y), ctypes.c_int64(self.places))
        return y

    def backward(self, w, dy, first=0):
        """Returns the gradients of the weights and of gamma and beta. They are 0 for layers before first."""
        dw, dbn = np.empty(WEIGHTS, np.float32), np.empty(2 * CHANNELS, np.float32)
        self.lib.student_backward(self.s, _pointer(w), _pointer(np.ascontiguousarray(dy, np.float32)), _pointer(dw), _pointer(dbn), first)
        return dw, dbn


class Adam:
    """The Adam optimizer. It changes named float32 arrays in place."""

    def __init__(self):
        self.m, self.v, self.n = {}, {}, 0

    def open(self, library):
        self.adam = ctypes.CDLL(library).adam

    def __getstate__(self):
        return {"m": self.m, "v": self.v, "n": self.n}

    def step(self, parameters, gradients, rate):
        self.n += 1
        f = ctypes.c_float
        for k, g in gradients.items():
            if k not in self.m:
                self.m[k], self.v[k] = np.zeros_like(g), np.zeros_like(g)
            p, m, v = parameters[k], self.m[k], self.v[k]
            assert p.dtype == g.dtype == np.float32 and p.shape == g.shape and g.flags.c_contiguous, k
            self.adam(_pointer(p), _pointer(m), _pointer(v), _pointer(g), ctypes.c_int64(p.size), f(rate),
                      f(1 / (1 - 0.9**self.n)), f(1 / (1 - 0.99**self.n)))


def layers(w):
    """Yields views of the flat weights, one [rows, columns] array per layer."""
    at = 0
    for rows, columns in LAYERS:
        yield w[at : at + rows * columns].reshape(rows, columns)
        at += rows * columns


def channels(x):
    """Yields views of the per-channel values, one array per layer."""
    at = 0
    for _, columns in LAYERS:
        yield x[at : at + columns]
        at += columns


def fold(w, bn, mean, variance):
    """Folds batch normalization into the weights. Returns the weights and a bias per channel."""
    factor = bn[:CHANNELS] / np.sqrt(variance + EPSILON)
    folded = w.copy()
    for l, f in zip(layers(folded), channels(factor)):
        l *= f
    return folded, (bn[CHANNELS:] - mean * factor).astype(np.float32)


def fake_quantize(w):
    """Rounds the weights of every layer to 255 values, as package mobilenet does when it writes the model."""
    out = w.copy()
    for l in layers(out):
        low, high = min(float(l.min()), 0.0), max(float(l.max()), 0.0)
        scale = np.float32((high - low) / 254)
        zero = 1 + round(-low / float(scale))
        l[:] = (np.clip(np.round(l / scale) + zero, 1, 255) - zero) * scale
    return out


def fake_quantize_before_folding(w, bn, variance):
    """Rounds unfolded weights so that folding them gives the same values as rounding after folding."""
    factor = bn[:CHANNELS] / np.sqrt(variance + EPSILON)
    factor = np.where(np.abs(factor) < 1e-6, 1e-6, factor).astype(np.float32)
    folded = w.copy()
    for l, f in zip(layers(folded), channels(factor)):
        l *= f
    folded = fake_quantize(folded)
    for l, f in zip(layers(folded), channels(factor)):
        l /= f
    return folded


def read(path):
    """Reads a file written by write. Returns weights and biases."""
    f = np.fromfile(path, "<f4")
    assert len(f) == WEIGHTS + CHANNELS, path
    return f[:WEIGHTS].copy(), f[WEIGHTS:].copy()


def write(path, w, bias):
    """Writes folded weights and biases as little-endian float32: the weights [rows, columns] of each layer, then
    the biases of all layers."""
    tmp = path + ".tmp"
    with open(tmp, "wb") as f:
        f.write(w.astype("<f4").tobytes() + bias.astype("<f4").tobytes())
    os.replace(tmp, path)
