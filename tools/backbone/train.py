"""Trains the student on the cached views.

    python train.py --cache CACHE --models FOLDER --out FOLDER --minutes 40

The loss compares what the student makes of a batch with what the teacher made of it:

  relations  for each view the softmax over its similarities to the other views of the batch; Kullback-Leibler
             divergence of the student's (plain cosine, learned temperature) from the teacher's (cosine after
             its mean is taken off, fixed temperature);
  scores     divergence of 1001 class scores, linear in the student's embedding, from those the teacher's last
             layer gives; that linear layer is learned too and thrown away;
  values     cosine between the teacher's embedding and a learned linear map of the student's.

The last quarter of the time rounds weights and activations as the finished model does, and its end folds
normalisation into the weights and trains them on as they are. Progress is by the clock, so that a busy
machine gives a weaker model and not a later one; with --steps it is by steps and can be repeated.
"""

import argparse
import concurrent.futures
import json
import math
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

import student
import teacher

HELD_OUT = 250  # photos of each part that are never trained on


class Views:
    """The cached views, read again when more have been computed."""

    def __init__(self, folder, t):
        self.folder, self.names = folder, []
        self.views = np.empty((0, 128, 128, 3), np.uint8)
        self.embeddings = np.empty((0, 1024), np.uint8)
        self.scores = np.empty((0, 1001), np.float16)
        self.train = self.held = np.empty(0, np.int64)
        self.teacher = t
        self.refresh()

    def refresh(self):
        names = sorted(n for n in os.listdir(self.folder) if n.startswith("teacher-") and n.endswith(".npy"))
        new = [n for n in names if n not in self.names]
        if not new:
            return
        time.sleep(2 if self.names else 0)  # let a file be finished
        for n in new:
            v = np.load(os.path.join(self.folder, n.replace("teacher", "view")))
            at = len(self.views)
            self.views = np.concatenate([self.views, v])
            e = np.load(os.path.join(self.folder, n))
            self.embeddings = np.concatenate([self.embeddings, e])
            scores = (teacher.ACTIVATION_SCALE * e.astype(np.float32)) @ self.teacher.head + self.teacher.head_bias
            self.scores = np.concatenate([self.scores, scores.astype(np.float16)])
            index = at + np.arange(len(v))
            self.train = np.concatenate([self.train, index[:-HELD_OUT]])
            if n.startswith("teacher-0-"):
                self.held = np.concatenate([self.held, index[-HELD_OUT:]])
        self.names += new
        print(len(self.train), "views to train on,", len(self.held), "held out", flush=True)


def changes(rng, n):
    """A small change of each view: part shown, mirrored or not, light and colour."""
    c = np.empty((n, 10), np.float32)
    size = 128 * rng.uniform(0.85, 1, (n, 1)) * np.exp(rng.uniform(-0.06, 0.06, (n, 2)))
    size = np.minimum(size, 128)
    c[:, :2] = rng.uniform(0, 1, (n, 2)) * (128 - size)
    c[:, 2:4] = size
    mirror = rng.random(n) < 0.5
    c[mirror, 0] += c[mirror, 2]
    c[mirror, 2] *= -1
    gain = np.exp(rng.normal(0, 0.12, (n, 1)) + rng.normal(0, 0.04, (n, 3)))
    c[:, 4:7] = gain
    c[:, 7:10] = 110 * (1 - gain) + rng.normal(0, 10, (n, 1))
    return c


def unchanged(n):
    return np.tile(np.array([0, 0, 128, 128, 1, 1, 1, 0, 0, 0], np.float32), (n, 1))


class Loss:
    def __init__(self, mean, weights, rng):
        self.weights = weights
        self.mean = tf.constant(mean)
        self.parameters = {
            "scores": rng.normal(0, 0.03, (256, 1001)).astype(np.float32),
            "bias": np.zeros(1001, np.float32),
            "map": rng.normal(0, 0.06, (256, 1024)).astype(np.float32),
            "temperature": np.array([math.log(5)], np.float32),
        }

    @tf.function(reduce_retracing=True)
    def gradients(self, e, t, scores, p):
        with tf.GradientTape() as tape:
            tape.watch(e)
            tape.watch(p)
            total = 0.0
            centred = tf.nn.l2_normalize(t - self.mean, 1)
            if self.weights["relations"]:
                s = tf.nn.l2_normalize(e, 1)
                own = -1e9 * tf.eye(tf.shape(e)[0])
                want = tf.matmul(centred, centred, transpose_b=True) / 0.1 + own
                got = tf.matmul(s, s, transpose_b=True) * tf.exp(p["temperature"]) + own
                q = tf.nn.softmax(want)
                l = tf.reduce_sum(q * (tf.nn.log_softmax(want) - tf.nn.log_softmax(got)), 1)
                total += self.weights["relations"] * tf.reduce_mean(l)
            if self.weights["scores"]:
                want = tf.cast(scores, tf.float32) / 2
                got = (e @ p["scores"] + p["bias"]) / 2
                q = tf.nn.softmax(want)
                l = tf.reduce_sum(q * (tf.nn.log_softmax(want) - tf.nn.log_softmax(got)), 1)
                total += self.weights["scores"] * tf.reduce_mean(l)
            if self.weights["values"]:
                c = tf.nn.l2_normalize(e, 1)
                c = tf.nn.l2_normalize((c - tf.reduce_mean(c, 0)) @ p["map"], 1)
                total += self.weights["values"] * tf.reduce_mean(1 - tf.reduce_sum(c * centred, 1))
        de, dp = tape.gradient(total, [e, p], unconnected_gradients="zero")
        return total, de, dp


def agreement(e, t, mean):
    """How well similarities agree with the teacher's: correlation, and share of its 10 nearest found."""
    s = e / np.linalg.norm(e, axis=1, keepdims=True)
    t = t - mean
    t = t / np.linalg.norm(t, axis=1, keepdims=True)
    a, b = s @ s.T, t @ t.T
    np.fill_diagonal(a, -2)
    np.fill_diagonal(b, -2)
    upper = np.triu_indices(len(a), 1)
    near = np.argsort(-b, 1)[:, :10]
    found = np.argsort(-a, 1)[:, :10]
    share = np.mean([len(np.intersect1d(x, y)) / 10 for x, y in zip(near, found)])
    return float(np.corrcoef(a[upper], b[upper])[0, 1]), float(share)


tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)


def main():
    arg = argparse.ArgumentParser()
    arg.add_argument("--cache", required=True)
    arg.add_argument("--models", required=True)
    arg.add_argument("--out", required=True)
    arg.add_argument("--minutes", type=float, default=40)
    arg.add_argument("--steps", type=int, default=0)
    arg.add_argument("--batch", type=int, default=80)
    arg.add_argument("--rate", type=float, default=2.5e-3)
    arg.add_argument("--relations", type=float, default=1)
    arg.add_argument("--scores", type=float, default=1)
    arg.add_argument("--values", type=float, default=2)
    arg.add_argument("--size-96-from", type=float, default=0.45, help="share of the time after which views are shown at 96×96, not 64×64")
    arg.add_argument("--size-128-from", type=float, default=0.62, help="share of the time after which views are shown at 128×128")
    arg.add_argument("--round-from", type=float, default=0.75, help="share of the time after which numbers are rounded")
    arg.add_argument("--fold-from", type=float, default=0.9, help="share of the time after which normalisation is folded")
    arg.add_argument("--start", help="weights.f32 of an earlier run to go on from")
    arg.add_argument("--seed", type=int, default=1)
    a = arg.parse_args()
    os.makedirs(a.out, exist_ok=True)
    rng = np.random.default_rng(a.seed)
    t = teacher.Teacher(a.models)
    data = Views(a.cache, t)
    mean = teacher.ACTIVATION_SCALE * data.embeddings[data.train].mean(0).astype(np.float32)
    loss = Loss(mean, {k: getattr(a, k) for k in ("relations", "scores", "values")}, rng)
    library = student.compile_passes(a.out)
    pool = concurrent.futures.ThreadPoolExecutor(2)
    sizes = [(0, 64), (a.size_96_from, 96), (a.size_128_from, 128)]
    size, halves = 0, []
    judges = student.Passes(library, HELD_OUT, 128)

    p = dict(loss.parameters)
    p["w"] = np.concatenate([
        rng.normal(0, math.sqrt(2 / rows), (rows, columns)).astype(np.float32).ravel() for rows, columns in student.LAYERS
    ])
    p["gamma"], p["beta"] = np.ones(student.CHANNELS, np.float32), np.zeros(student.CHANNELS, np.float32)
    running_mean, running_variance = np.zeros(student.CHANNELS, np.float32), np.ones(student.CHANNELS, np.float32)
    if a.start:
        first = np.ascontiguousarray(data.train[:HELD_OUT])
        run = lambda w, bn: judges.forward(data.views, first, unchanged(HELD_OUT), w, bn, False, 0)[1:]
        p["w"], p["gamma"], p["beta"], running_mean, running_variance = student.unfold(*student.read(a.start), run)
    optimiser = student.Adam(library)
    folded = False
    curve = open(os.path.join(a.out, "curve.jsonl"), "a")

    def finished():
        """Weights and biases as they would be written now."""
        if folded:
            return p["w"], p["beta"]
        return student.fold(p["w"], np.concatenate([p["gamma"], p["beta"]]), running_mean, running_variance)

    def judge(rounded):
        w, bias = finished()
        bn = np.concatenate([np.ones(student.CHANNELS, np.float32), bias])
        if rounded:
            w = student.fake_quantise(w)
        found = []
        held = data.held
        for at in range(0, len(held), HELD_OUT):
            e, _, _ = judges.forward(data.views, held[at : at + HELD_OUT], unchanged(HELD_OUT), w, bn, True, teacher.ACTIVATION_SCALE if rounded else 0)
            found.append(e)
        e = np.concatenate(found)
        return agreement(e, teacher.ACTIVATION_SCALE * data.embeddings[held].astype(np.float32), mean)

    start = time.time()
    step, recent, last = 0, [], start
    while True:
        now = time.time()
        progress = step / a.steps if a.steps else (now - start) / (60 * a.minutes)
        if now - last > 60 or progress >= 1:
            last = now
            line = {"minutes": round((now - start) / 60, 2), "step": step, "views": step * a.batch, "loss": float(np.mean(recent or [0])),
                    "held_out": judge(False), "held_out_rounded": judge(True), "temperature": float(p["temperature"][0])}
            recent = []
            print(json.dumps(line), file=curve, flush=True)
            print(line, flush=True)
            student.write(os.path.join(a.out, "weights.f32"), *finished())
            if progress >= 1:
                break
            data.refresh()
        rounding = progress >= a.round_from
        if not folded and progress >= a.fold_from:
            p["w"], p["beta"] = [np.array(x) for x in finished()]
            p["gamma"] = np.ones(student.CHANNELS, np.float32)
            optimiser, folded = student.Adam(library), True
        rate = a.rate * min(1, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * min(progress, 1)))
        if folded:
            rate = min(rate, 3e-4) * min(1, (1 - progress) / (1 - a.fold_from) + 0.02)

        index = rng.choice(data.train, a.batch, replace=False)
        bn = np.concatenate([p["gamma"], p["beta"]])
        w = p["w"]
        if folded:
            w = student.fake_quantise(w)
        elif rounding:
            w = student.fake_quantise_before_folding(w, bn, running_variance)
        change = changes(rng, a.batch)
        want = [n for at, n in sizes if progress >= at][-1]
        if want != size:
            for h in halves:
                h.close()
            size, halves = want, [student.Passes(library, a.batch // 2, want) for _ in range(2)]
        half = [slice(0, a.batch // 2), slice(a.batch // 2, a.batch)]
        bn_step = teacher.ACTIVATION_SCALE if rounding else 0
        found = list(pool.map(lambda h, i: h.forward(data.views, index[i], change[i], w, bn, folded, bn_step), halves, half))
        e = np.concatenate([f[0] for f in found])
        if not folded:
            keep = 0.98 if step > 50 else 0.8
            for _, m, v in found:
                running_mean = (keep * running_mean + (1 - keep) * m).astype(np.float32)
                running_variance = (keep * running_variance + (1 - keep) * v).astype(np.float32)
        t = teacher.ACTIVATION_SCALE * data.embeddings[index].astype(np.float32)
        own = {k: tf.constant(p[k]) for k in loss.parameters}
        l, de, dp = loss.gradients(tf.constant(e), tf.constant(t), tf.constant(data.scores[index]), own)
        de = de.numpy()
        found = list(pool.map(lambda h, i: h.backward(w, de[i]), halves, half))
        dw, dbn = found[0][0] + found[1][0], found[0][1] + found[1][1]
        g = {k: x.numpy() for k, x in dp.items()}
        g["w"], g["beta"] = dw, np.ascontiguousarray(dbn[student.CHANNELS :])
        if not folded:
            g["gamma"] = np.ascontiguousarray(dbn[: student.CHANNELS])
        optimiser.step(p, g, rate, {} if folded else {"w": 0.01, "scores": 0.02, "map": 0.02})
        recent.append(float(l))
        step += 1
    print("done:", step, "steps", flush=True)


if __name__ == "__main__":
    main()
