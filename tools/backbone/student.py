"""The student network: its layers, its compiled passes, folding, quantising and the file of weights."""

import ctypes
import math
import os
import subprocess

# Every pass has one thread of its own; two of them run side by side.
os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

BLOCKS = [(8, 16), (16, 32), (32, 32), (32, 64), (64, 64), (64, 128)] + [(128, 128)] * 5 + [(128, 256), (256, 256)]
# One entry a layer: rows and columns of its weights; columns are output channels.
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
    """Compiles student.cc into folder and returns the path of the library."""
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "student.cc")
    library = os.path.join(folder, "libstudent.so")
    flags = "-O3 -march=native -ffast-math -fopenmp -Wall -shared -fPIC".split()
    subprocess.run(["g++", *flags, "-o", library, source], check=True)
    return library


class Passes:
    """Forward and backward over batches of one length, at one width and height of the views."""

    def __init__(self, library, batch, size):
        lib = ctypes.CDLL(library)
        lib.student_new.restype = ctypes.c_void_p
        lib.student_weights.restype = lib.student_channels.restype = ctypes.c_int64
        self.lib, self.batch = lib, batch
        self.s = ctypes.c_void_p(lib.student_new(batch, size))
        assert (lib.student_weights(self.s), lib.student_channels(self.s)) == (WEIGHTS, CHANNELS)

    def close(self):
        self.lib.student_free(self.s)

    def forward(self, views, index, change, w, bn, frozen, step):
        """Returns embeddings [batch, 256] and the means and variances of all channels."""
        index = np.ascontiguousarray(index, np.int64)
        change = np.ascontiguousarray(change, np.float32)
        assert len(index) == len(change) == self.batch and index.max() < len(views)
        mean, variance = np.zeros(CHANNELS, np.float32), np.zeros(CHANNELS, np.float32)
        e = np.zeros((self.batch, 256), np.float32)
        self.lib.student_views(self.s, _pointer(views), _pointer(index), _pointer(change))
        self.lib.student_forward(self.s, _pointer(w), _pointer(bn), int(frozen), ctypes.c_float(step), _pointer(mean), _pointer(variance), _pointer(e))
        return e, mean, variance

    def backward(self, w, de):
        """Returns the gradients of weights and of gamma and beta."""
        dw, dbn = np.zeros(WEIGHTS, np.float32), np.zeros(2 * CHANNELS, np.float32)
        self.lib.student_backward(self.s, _pointer(w), _pointer(np.ascontiguousarray(de, np.float32)), _pointer(dw), _pointer(dbn))
        return dw, dbn


class Adam:
    """Adam with decoupled weight decay, on named float32 arrays in place."""

    def __init__(self, library):
        self.lib, self.m, self.v, self.n = ctypes.CDLL(library), {}, {}, 0

    def step(self, parameters, gradients, rate, decay):
        self.n += 1
        f = ctypes.c_float
        for k, g in gradients.items():
            if k not in self.m:
                self.m[k], self.v[k] = np.zeros_like(g), np.zeros_like(g)
            p, m, v = parameters[k], self.m[k], self.v[k]
            assert p.dtype == g.dtype == np.float32 and p.shape == g.shape and g.flags.c_contiguous, k
            self.lib.adam(_pointer(p), _pointer(m), _pointer(v), _pointer(g), ctypes.c_int64(p.size), f(rate), f(decay.get(k, 0)),
                          f(1 / (1 - 0.9**self.n)), f(1 / (1 - 0.99**self.n)))


def layers(w):
    """Views of the flat weights, one [rows, columns] array a layer."""
    at = 0
    for rows, columns in LAYERS:
        yield w[at : at + rows * columns].reshape(rows, columns)
        at += rows * columns


def channels(x):
    at = 0
    for _, columns in LAYERS:
        yield x[at : at + columns]
        at += columns


def fold(w, bn, mean, variance):
    """Folds normalisation into the weights; returns weights and a bias for each channel."""
    factor = bn[:CHANNELS] / np.sqrt(variance + EPSILON)
    folded = w.copy()
    for l, f in zip(layers(folded), channels(factor)):
        l *= f
    return folded, (bn[CHANNELS:] - mean * factor).astype(np.float32)


def unfold(w, bias, run):
    """Puts normalisation back: the inverse of fold for the views of one batch. run(w, bn) gives means and
    variances of all channels for them. Returns weights, gamma, beta, means and variances."""
    w, grown = w.copy(), []
    for (rows, columns), l in zip(LAYERS, layers(w)):
        grown.append(math.sqrt(2 / rows) / np.maximum(np.sqrt((l * l).mean(0)), 1e-4))
        l *= grown[-1]  # to the size of fresh weights
    bn = np.concatenate([np.ones(CHANNELS), np.zeros(CHANNELS)]).astype(np.float32)
    at = 0
    for g in grown:  # what a layer gives depends on the normalisation of those before it
        mean, variance = run(w, bn)
        here = slice(at, at + len(g))
        bn[:CHANNELS][here] = np.sqrt(variance[here] + EPSILON) / g
        bn[CHANNELS:][here] = bias[here] + mean[here] / g
        at += len(g)
    mean, variance = run(w, bn)
    return w, bn[:CHANNELS].copy(), bn[CHANNELS:].copy(), mean, variance


def fake_quantise(w):
    """Rounds every layer to its 255 values, as package builtin does when it writes the model."""
    out = w.copy()
    for l in layers(out):
        low, high = min(float(l.min()), 0.0), max(float(l.max()), 0.0)
        scale = np.float32((high - low) / 254)
        zero = 1 + round(-low / float(scale))
        l[:] = (np.clip(np.round(l / scale) + zero, 1, 255) - zero) * scale
    return out


def fake_quantise_before_folding(w, bn, variance):
    """Rounds weights that are still to be multiplied by normalisation, to what rounding them afterwards gives."""
    factor = bn[:CHANNELS] / np.sqrt(variance + EPSILON)
    factor = np.where(np.abs(factor) < 1e-6, 1e-6, factor).astype(np.float32)
    folded = w.copy()
    for l, f in zip(layers(folded), channels(factor)):
        l *= f
    folded = fake_quantise(folded)
    for l, f in zip(layers(folded), channels(factor)):
        l /= f
    return folded


def read(path):
    """Reads what write wrote."""
    f = np.fromfile(path, "<f4")
    assert len(f) == WEIGHTS + CHANNELS, path
    return f[:WEIGHTS].copy(), f[WEIGHTS:].copy()


def write(path, w, bias):
    """Writes folded weights and biases: little-endian float32, layer after layer, weights [rows, columns]
    and then the biases of all layers."""
    tmp = path + ".tmp"
    with open(tmp, "wb") as f:
        f.write(w.astype("<f4").tobytes() + bias.astype("<f4").tobytes())
    os.replace(tmp, path)
