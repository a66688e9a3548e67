"""Gives every channel of the embedding the same spread, and takes an offset off all.

    python even.py --photos STORE --weights run/weights.f32 --out weights.f32

Cosine goes mostly by the channels that vary most. The last layer's weights and biases of each channel are divided by
the standard deviation of that channel over the held-out photos, relative to the geometric mean of all. Only its
clipping at 6 keeps that from being an exact change of units. Then --lower is taken off every bias: what all photos
have in common falls below 0, where it is cut off, and cosines tell photos apart more.
"""

import argparse
import tempfile

import student

import numpy as np

import train


def main():
    arg = argparse.ArgumentParser()
    arg.add_argument("--photos", required=True)
    arg.add_argument("--weights", required=True)
    arg.add_argument("--out", required=True)
    arg.add_argument("--lower", type=float, default=1.5)
    a = arg.parse_args()
    w, bias = student.read(a.weights)
    bn = np.concatenate([np.ones_like(bias), bias])
    store = train.Store(a.photos, {})
    with tempfile.TemporaryDirectory() as folder:
        passes = student.Passes(student.compile_passes(folder), 100, 128, learns=False)
    e = []
    for _ in train.held_views(passes, store):
        e.append(train.clipped(passes.forward(w, bn, True, 0)[0], 0).mean(1))
    spread = np.concatenate(e).std(0) + 0.05
    factor = (np.exp(np.log(spread).mean()) / spread).astype(np.float32)
    list(student.layers(w))[-1][:] *= factor
    bias[-len(factor) :] = bias[-len(factor) :] * factor - a.lower
    print("factors from", factor.min(), "to", factor.max())
    student.write(a.out, w, bias)


if __name__ == "__main__":
    main()
