"""Trains the student by distillation from the teacher.

    python train.py --photos STORE --models FOLDER --out FOLDER --minutes 80

Every step cuts new views from the photos, and both networks get the same pixels. The loss compares

  places     the output of the last layer at each position of the view, with each channel divided by the teacher's
             standard deviation. Where the teacher's output is 0, the student's may be negative.
  embedding  the mean over the positions, divided by its own standard deviation.
  scores     the 1001 class scores that the teacher's last layer computes from each embedding: Kullback-Leibler
             divergence at temperature 2.
  neighbors  how similar a view is to the latest views of other photos, compared with what the strong teacher finds
             for their photos (see Neighbors). This loss is optional; strong.py prepares it.

Near the end, weights and activations are rounded as in the finished model. At the very end, batch normalization is
folded into the weights and training continues on the folded weights. Schedules follow the clock: a busy machine takes
no longer, but produces a weaker model. With --steps, they follow the number of steps. --resume continues a run that was stopped;
--start begins a new run from the weights of another one.
"""

import argparse
import concurrent.futures
import json
import math
import os
import pickle
import time
from pathlib import Path

import student  # before numpy, whose threads it limits

import numpy as np

import teacher


class Store:
    """The photos that photos.py decoded. at holds the address, height and width of each."""

    def __init__(self, folder, shares, similar=False):
        self.files, at, self.source, strong = [], [], [], []
        names = sorted(p.stem for p in Path(folder).glob("*.u8"))
        self.names = [n for n in names if n != "held"]
        for n in self.names + ["held"]:
            index = np.load(Path(folder) / (n + ".npy"))
            self.files.append(np.memmap(Path(folder) / (n + ".u8"), np.uint8, "r"))
            index[:, 0] += self.files[-1].ctypes.data
            at.append(index)
            self.source += [n] * len(index)
            file = Path(folder) / (n + ".strong.npy")
            strong.append(np.load(file) if similar and file.exists() else np.zeros((len(index), 0), np.int8))
        self.at, self.source = np.ascontiguousarray(np.concatenate(at)), np.array(self.source)
        self.held = np.flatnonzero(self.source == "held")
        self.sums = np.cumsum(sum((self.source == n) * (shares.get(n, 1) / (self.source == n).sum()) for n in self.names))
        self.taught = np.concatenate([np.full(len(x), x.shape[1] > 0) for x in strong])
        self.strong = np.zeros((len(self.taught), 256), np.float16)
        if self.taught.any():
            self.strong[self.taught] = standard(np.concatenate([x for x in strong if x.shape[1]]))
        print({n: int((self.source == n).sum()) for n in self.names + ["held"]}, flush=True)

    def draw(self, rng, n):
        """Returns four photos and a layout (Mode in views.cc) for each of n views."""
        index = np.searchsorted(self.sums, rng.random((n, 4)) * self.sums[-1], "right")
        return index, rng.choice(5, n, p=[0.5, 0.1, 0.15, 0.15, 0.1])


def standard(x):
    """Returns embeddings with every channel centered and divided by its standard deviation, as float16 vectors of
    length 1 with the 256 dimensions of the largest variance."""
    part = x[:: max(1, len(x) // 20000)].astype(np.float32)
    mean, spread = part.mean(0), part.std(0) + 0.05 * part.std()
    part = (part - mean) / spread
    axes = np.linalg.eigh(part.T @ part)[1][:, -256:]
    out = np.empty((len(x), 256), np.float16)
    for i in range(0, len(x), 4096):
        v = ((x[i : i + 4096] - mean) / spread) @ axes
        out[i : i + 4096] = v / np.linalg.norm(v, axis=1, keepdims=True)
    return out


class Teacher:
    def __init__(self, models):
        self.w, self.bn, self.scores, self.bias = teacher.read(models)

    def teach(self, passes, n):
        """Returns the teacher's output for the first n views of the batch, [n, places, 256]."""
        return np.clip(passes.teach(self.w, self.bn, n), 0, 6)

    def measure(self, passes, store, rng):
        """Estimates the variances that the losses are divided by."""
        maps = []
        for i in range(20):
            passes.make_views(store.at, *store.draw(rng, passes.batch), i)
            maps.append(self.teach(passes, passes.batch))
        maps = np.concatenate(maps)
        inverse = lambda v: (1 / (v + 0.05 * v.mean())).astype(np.float32)
        self.places, self.pooled = inverse(maps.var((0, 1))), inverse(maps.mean(1).var(0))


class Views:
    """The views of one thread. Every reuse-th view of each batch is new. The others are drawn from the latest views,
    which saves cutting them and running the teacher."""

    KEPT = 4000

    def __init__(self, passes, store, t, reuse):
        self.passes, self.store, self.t = passes, store, t
        self.new = -(-passes.batch // reuse)
        self.seen = 0
        self.views = np.empty((self.KEPT, *passes.input.shape[1:]), np.uint8)
        self.maps = np.empty((self.KEPT, passes.places, 256), np.float16)
        self.photos = np.empty(self.KEPT, int)

    def next(self, rng):
        """Loads the next batch. Returns the teacher's output for it, and the photo of each view, or -1 if the view does
        not show a single photo with an embedding of the strong teacher."""
        p, n = self.passes, self.new if self.seen >= self.passes.batch else self.passes.batch
        old = rng.integers(min(self.seen, self.KEPT), size=p.batch - n) if n < p.batch else np.zeros(0, int)
        p.input[n:] = self.views[old]
        p.input[n:] -= 128
        p.input[n:] /= 128
        index, modes = self.store.draw(rng, n)
        p.make_views(self.store.at, index, modes, int(rng.integers(1 << 62)))
        photos = np.where((modes == 0) & self.store.taught[index[:, 0]], index[:, 0], -1)
        photos = np.concatenate([photos, self.photos[old]])
        want = np.concatenate([self.t.teach(p, n), self.maps[old].astype(np.float32)])
        to = np.arange(self.seen, self.seen + n) % self.KEPT
        self.views[to] = p.input[:n] * 128 + 128
        self.maps[to] = want[:n]
        self.photos[to] = photos[:n]
        self.seen += n
        return want, photos


class Neighbors:
    """Compares the student's similarities with the strong teacher's, as SEED does (Fang et al., ICLR 2021): both give
    each view a distribution over the latest views, the softmax of the cosines. The student's embedding is taken as
    even.py scales and lowers it."""

    KEPT, LOWER = 2048, 1.5

    def __init__(self, store, t, weight, temperature):
        self.store, self.weight, self.temperature = store, weight, temperature
        factor = np.sqrt(t.pooled)
        self.factor = factor / np.exp(np.log(factor).mean())
        self.log_scale, self.seen = math.log(10), 0
        self.got, self.photos = np.empty((self.KEPT, 256), np.float32), np.empty(self.KEPT, int)

    def compare(self, y, photos):
        """Returns the loss, the views that it compared, and the gradient with respect to their y. The first views only
        fill the memory."""
        plain = np.flatnonzero(photos >= 0)
        photos, low = photos[plain], y[plain] * self.factor - self.LOWER
        h = np.clip(low, 0, 6).mean(1)
        size = np.linalg.norm(h, axis=1, keepdims=True) + 1e-6
        u = h / size
        loss, g = 0.0, 0.0
        if self.seen >= self.KEPT:
            same = photos[:, None] == self.photos
            want = self.store.strong[photos].astype(np.float32) @ self.store.strong[self.photos].astype(np.float32).T / self.temperature
            cosines, scale = u @ self.got.T, math.exp(self.log_scale)
            want[same] = -1e4
            cosines[same] = -1e4
            kl, d = divergence(want, cosines * scale)
            loss = float(kl.mean())
            d *= self.weight / len(plain)
            cosines[same] = 0
            self.log_scale -= 0.05 * float(np.vdot(d, cosines)) * scale / self.weight
            du = scale * (d @ self.got)
            dh = (du - u * (u * du).sum(1, keepdims=True)) / size
            g = ((low > 0) & (low < 6)) * (self.factor * dh / y.shape[1])[:, None]
        to = np.arange(self.seen, self.seen + len(plain)) % self.KEPT
        self.got[to], self.photos[to] = u, photos
        self.seen += len(plain)
        return loss, plain, g


def divergence(want, got):
    """Returns the KL divergence of softmax(got) from softmax(want) per row, and its gradient with respect to got."""
    def softmax(x):
        x = x - x.max(1, keepdims=True)
        e = np.exp(x)
        s = e.sum(1, keepdims=True)
        return e / s, x - np.log(s)

    p, log_p = softmax(want)
    q, log_q = softmax(got)
    return (p * (log_p - log_q)).sum(1), q - p


def clipped(y, step):
    """Returns the activations of y: clipped to 0…6 and, if step is not 0, rounded to multiples of it."""
    a = np.clip(y, 0, 6)
    return np.minimum(np.round(a / step), 255) * step if step else a


def compare(y, want, t, weights, step):
    """Returns the three losses and the gradient of their weighted sum with respect to y."""
    n, places, _ = y.shape
    d = y - want
    d[((want <= 0) & (y < 0)) | ((want >= 6) & (y > 6))] = 0
    g = d * t.places
    places_loss = float(np.vdot(d, g)) / y.size
    g *= 2 * weights[0] / y.size

    a = clipped(y, step)
    e, f = a.mean(1), want.mean(1)
    d = e - f
    de = d * t.pooled
    pooled_loss = float(np.vdot(d, de)) / d.size
    de *= 2 * weights[1] / d.size
    kl, ds = divergence((f @ t.scores + t.bias) / 2, (e @ t.scores + t.bias) / 2)
    de += (weights[2] / 2 / n) * (ds @ t.scores.T)
    g += ((y > 0) & (y < 6)) * (de / places)[:, None]
    return (places_loss, pooled_loss, float(kl.mean())), g


def orthogonal(m):
    """Brings all singular values of a matrix close to 1, by five Newton-Schulz steps with the coefficients of the
    Muon optimizer (github.com/KellerJordan/Muon)."""
    m = m / (np.linalg.norm(m) + 1e-12)
    turned = m.shape[0] > m.shape[1]
    m = m.T if turned else m
    for _ in range(5):
        a = m @ m.T
        m = 3.4445 * m + (-4.775 * a + 2.0315 * (a @ a)) @ m
    return m.T if turned else m


def muon_step(w, momentum, gradient, rate, pool):
    """Performs one step of Muon for the weights between channels. Each matrix moves by rate times its norm and is
    then scaled back to that norm. The scale has no effect, because batch normalization follows."""
    momentum += 0.1 * (gradient - momentum)
    look = gradient * 0.1 + momentum * 0.9

    def one(m, step):
        u, norm = orthogonal(step), np.linalg.norm(m)
        m -= u * (rate * norm / np.linalg.norm(u))
        m *= norm / np.linalg.norm(m)

    both = [(m, step) for m, step, g in zip(*map(student.layers, (w, look, gradient))) if len(m) != 9 and g.any()]
    list(pool.map(lambda x: one(*x), reversed(both)))  # the largest matrices first


DEPTHWISE = np.concatenate([np.full(r * c, r == 9) for r, c in student.LAYERS])


def agreement(a, b):
    """Returns the correlation between the pairwise cosines of a and of b."""
    a, b = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
    upper = np.triu_indices(len(a), 1)
    return float(np.corrcoef((a @ a.T)[upper], (b @ b.T)[upper])[0, 1])


def unfold(w, bias, passes, store, t, lower):
    """Returns the parameters, means and variances of an unfolded network that computes the same as folded weights.
    First it undoes even.py: it adds lower to the biases of the last layer and scales the channels to the teacher's."""
    one, maps, got = np.ones(student.CHANNELS, np.float32), [], []
    bias[-256:] += lower
    for _ in held_views(passes, store):
        maps.append(t.teach(passes, passes.batch))
        got.append(passes.forward(w, np.concatenate([one, bias]), True, 0)[0])
    spread = lambda maps: clipped(np.concatenate(maps), 0).mean(1).std(0) + 0.01
    factor = spread(maps) / spread(got)
    list(student.layers(w))[-1][:] *= factor
    bias[-256:] *= factor
    passes.make_views(store.at, *store.draw(np.random.default_rng(0), passes.batch), 0)
    mean, variance = np.zeros_like(one), one
    for _ in student.LAYERS:  # each pass corrects one more layer
        _, mean, variance = passes.forward(w, np.concatenate([np.sqrt(variance + student.EPSILON), bias + mean]), False, 0)
    return {"w": w, "gamma": np.sqrt(variance + student.EPSILON), "beta": bias + mean}, mean, variance


def held_views(passes, store):
    """Loads and yields one view of every held-out photo, a batch at a time. The views are always the same."""
    for i in range(0, len(store.held) - passes.batch + 1, passes.batch):
        passes.make_views(store.at, np.stack([store.held[i : i + passes.batch]] * 4, 1), np.zeros(passes.batch), i)
        yield passes.input.copy()


def main():
    arg = argparse.ArgumentParser()
    arg.add_argument("--photos", required=True)
    arg.add_argument("--models", required=True)
    arg.add_argument("--out", required=True)
    arg.add_argument("--minutes", type=float, default=80)
    arg.add_argument("--share", action="append", default=[], help="NAME=NUMBER, relative frequency of a source (default 1)")
    arg.add_argument("--size", type=int, default=128, help="width and height of views, a multiple of 32")
    arg.add_argument("--batch", type=int, default=32, help="views per thread and step")
    arg.add_argument("--reuse", type=int, default=4, help="how often each view is used")
    arg.add_argument("--rate", type=float, default=2e-3, help="learning rate of Adam")
    arg.add_argument("--turn", type=float, default=0.015, help="learning rate of Muon")
    arg.add_argument("--weights", type=float, nargs=3, default=[1, 2, 1], help="weights of the three losses: places, embedding and scores")
    arg.add_argument("--decay-from", type=float, default=0.25, help="when learning rates start to decay, as a fraction of the time")
    arg.add_argument("--round-from", type=float, default=0.9, help="when rounding starts, as a fraction of the time")
    arg.add_argument("--fold-from", type=float, default=0.95, help="when batch normalization is folded, as a fraction of the time")
    arg.add_argument("--every", type=float, default=180, help="seconds between evaluations")
    arg.add_argument("--steps", type=int, default=0, help="end after this many steps instead of --minutes")
    arg.add_argument("--threads", type=int, default=2)
    arg.add_argument("--neighbors", type=float, default=0, help="weight of the loss neighbors")
    arg.add_argument("--temperature", type=float, default=0.1, help="temperature of the strong teacher's cosines")
    arg.add_argument("--start", help="folded weights, as even.py writes them, to begin from")
    arg.add_argument("--lower", type=float, default=1.5, help="what even.py subtracted from the biases of these weights")
    arg.add_argument("--resume", action="store_true")
    arg.add_argument("--seed", type=int, default=1)
    a = arg.parse_args()
    os.makedirs(a.out, exist_ok=True)
    rng = np.random.default_rng(a.seed)
    library = student.compile_passes(a.out)
    store, t = Store(a.photos, {k: float(v) for k, v in (x.split("=") for x in a.share)}, a.neighbors > 0), Teacher(a.models)
    validation = student.Passes(library, 100, 128, learns=False)
    t.measure(validation, store, rng)
    held, held_map = [], []
    for views in held_views(validation, store):
        held.append(views)
        held_map.append(t.teach(validation, validation.batch))
    held_map = np.concatenate(held_map)
    pool = concurrent.futures.ThreadPoolExecutor(a.threads)

    state_file = os.path.join(a.out, "state")
    if a.resume:
        with open(state_file, "rb") as f:
            s = pickle.load(f)
        rng = np.random.default_rng([a.seed, s["step"]])
        print("resuming at step", s["step"], flush=True)
    else:
        w = np.concatenate([rng.normal(0, math.sqrt(2 / r), (r, c)).astype(np.float32).ravel() for r, c in student.LAYERS])
        mean, variance = np.zeros(student.CHANNELS, np.float32), np.ones(student.CHANNELS, np.float32)
        p = {"w": w, "gamma": variance.copy(), "beta": mean.copy()}
        if a.start:
            p, mean, variance = unfold(*student.read(a.start), validation, store, t, a.lower)
        s = {"p": p, "mean": mean, "variance": variance, "step": 0,
             "views": 0, "seconds": 0.0, "folded": False, "momentum": np.zeros_like(w), "adam": student.Adam()}
    p = s["p"]
    s["adam"].open(library)

    def finished():
        """Returns the weights and biases to write now."""
        if s["folded"]:
            return p["w"], p["beta"]
        return student.fold(p["w"], np.concatenate([p["gamma"], p["beta"]]), s["mean"], s["variance"])

    def save(path):
        with open(path + ".tmp", "wb") as f:
            pickle.dump(s, f)
        os.replace(path + ".tmp", path)

    def evaluate(rounded):
        """Returns the three losses over the held-out photos, and the agreement of the pooled embeddings."""
        w, bias = finished()
        bn = np.concatenate([np.ones(student.CHANNELS, np.float32), bias])
        step = student.ACTIVATION_SCALE if rounded else 0
        w, y = student.fake_quantize(w) if rounded else w, []
        for views in held:
            validation.input[:] = views
            y.append(validation.forward(w, bn, True, step)[0])
        y = np.concatenate(y)
        losses, _ = compare(y, held_map, t, a.weights, step)
        return [round(x, 4) for x in (*losses, agreement(clipped(y, step).mean(1), held_map.mean(1)))]

    def part(views, near, rng, w, bn, step, first):
        want, photos = views.next(rng)
        y, mean, variance = views.passes.forward(w, bn, s["folded"], step)
        losses, g = compare(y, want, t, a.weights, step)
        if a.neighbors:
            loss, plain, more = near.compare(y, photos)
            g[plain] += more
            losses += (loss,)
        return (*views.passes.backward(w, g, first), mean, variance, losses)

    parts = [(Views(student.Passes(library, a.batch, a.size), store, t, a.reuse), Neighbors(store, t, a.neighbors, a.temperature), r)
             for r in rng.spawn(a.threads)]
    begun, last, recent = time.time() - s["seconds"], time.time(), []
    curve = open(os.path.join(a.out, "curve.jsonl"), "a")
    while True:
        now = time.time()
        s["seconds"] = now - begun
        progress = s["step"] / a.steps if a.steps else s["seconds"] / (60 * a.minutes)
        if now - last > a.every or progress >= 1:
            last = now
            line = {"minutes": round(s["seconds"] / 60, 2), "cpu": round(time.process_time()), "size": a.size, "step": s["step"], "views": s["views"],
                    "loss": np.round(np.mean(recent, 0), 4).tolist(), "held": evaluate(False), "held_rounded": evaluate(True)}
            recent = []
            print(json.dumps(line), file=curve, flush=True)
            print(line, flush=True)
            student.write(os.path.join(a.out, "weights.f32"), *finished())
            save(state_file)
            if progress >= 1:
                break
        rounding = progress >= a.round_from
        if not s["folded"] and progress >= a.fold_from:
            save(state_file + ".unfolded")
            p["w"], p["beta"] = [np.array(x) for x in finished()]
            p["gamma"] = np.ones(student.CHANNELS, np.float32)
            s["adam"], s["folded"] = student.Adam(), True
            s["adam"].open(library)
        # The rate warms up, stays constant, then decays along a half cosine to a twentieth until normalization is folded.
        down = min(max(progress - a.decay_from, 0) / (a.fold_from - a.decay_from), 1)
        slow = min(1, (s["step"] + 1) / 200) * (0.05 + 0.475 * (1 + math.cos(math.pi * down)))

        bn = np.concatenate([p["gamma"], p["beta"]])
        w = p["w"]
        if s["folded"]:
            w = student.fake_quantize(w)
        elif rounding:
            w = student.fake_quantize_before_folding(w, bn, s["variance"])
        step = student.ACTIVATION_SCALE if rounding else 0
        # The first layers converge early and their backward pass is slow, so they learn only from every fourth batch.
        first = 5 if s["step"] % 4 else 0
        jobs = [pool.submit(part, *x, w, bn, step, first) for x in parts]
        found = [j.result() for j in jobs]
        dw, dbn = np.mean([f[0] for f in found], 0), np.mean([f[1] for f in found], 0)
        if s["folded"]:
            s["adam"].step(p, {"w": dw, "beta": np.ascontiguousarray(dbn[student.CHANNELS :])}, 3e-4 * max(1 - progress, 0) / (1 - a.fold_from))
        else:
            keep = 0.98 - 0.08 * slow
            for f in found:
                s["mean"] = (keep * s["mean"] + (1 - keep) * f[2]).astype(np.float32)
                s["variance"] = (keep * s["variance"] + (1 - keep) * f[3]).astype(np.float32)
            muon_step(p["w"], s["momentum"], dw, a.turn * slow, pool)
            dw *= DEPTHWISE
            g = {"w": dw, "gamma": np.ascontiguousarray(dbn[: student.CHANNELS]), "beta": np.ascontiguousarray(dbn[student.CHANNELS :])}
            s["adam"].step(p, g, a.rate * slow)
        recent.append(np.mean([f[4] for f in found], 0))
        s["step"] += 1
        s["views"] += a.threads * a.batch


if __name__ == "__main__":
    main()
