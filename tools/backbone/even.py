"""Scales the channels of the embedding to the same standard deviation and lowers their biases.

    python even.py --photos STORE --weights run/weights.f32 --out weights.f32

Without scaling, the channels that vary most dominate the cosine. The program divides each channel's weights and bias in
the last layer by the channel's standard deviation over the held-out photos, relative to the geometric mean of all
channels. Without the clipping at 6, this would only change units. Then the program subtracts --lower from every bias.
Values that all photos have in common fall below 0 and are clipped, so cosines differ more between photos.
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
