"""Draws pictures for training: waves, stripes, tiles, clouds and shapes in random colors, often noisy.

    python drawings.py --out STORE --count 3000

Photos alone teach the student little about patterns, and it then finds many of them alike. The pictures go to
drawn.u8 and drawn.npy, in the format of photos.py. The same seed gives the same pictures.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 200, 160


def waves(rng, x, y):
    total = np.zeros_like(x)
    for _ in range(rng.integers(1, 4)):
        angle, length = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(0.02), np.log(0.6)))
        total += np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / length + rng.uniform(0, 6))
    return total


def rings(rng, x, y):
    return np.sin(np.hypot(x - rng.random(), y - rng.random()) * 2 * np.pi / rng.uniform(0.04, 0.5))


def tiles(rng, x, y):
    angle, a, b = rng.uniform(0, np.pi), *np.exp(rng.uniform(np.log(0.03), np.log(0.6), 2))
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    values = rng.normal(size=(64, 64))
    return values[(u // a).astype(int) % 64, (v // b).astype(int) % (64 if rng.random() < 0.7 else 1)]


def cells(rng, x, y):
    points = rng.random((rng.integers(3, 60), 2)) * [1.3, 1]
    nearest = np.argmin((x[..., None] - points[:, 0]) ** 2 + (y[..., None] - points[:, 1]) ** 2, -1)
    return rng.normal(size=len(points))[nearest]


def clouds(rng, x, y):
    total = np.zeros_like(x)
    for octave in range(1, rng.integers(3, 7)):
        grid = Image.fromarray(rng.normal(size=(2**octave, 2**octave)).astype(np.float32))
        total += np.asarray(grid.resize(x.shape[::-1], Image.BICUBIC)) * rng.uniform(0.4, 0.9) ** octave
    return total


def slope(rng, x, y):
    angle = rng.uniform(0, 2 * np.pi)
    return x * np.cos(angle) + y * np.sin(angle)


def plain(rng, x, y):
    return np.zeros_like(x)


PATTERNS = [waves, waves, rings, tiles, tiles, cells, clouds, slope, plain]


def surface(rng, x, y):
    """Returns a pattern as colors: each channel follows its own mixture of two patterns."""
    p = [PATTERNS[rng.integers(len(PATTERNS))](rng, x, y) for _ in range(2)]
    p = [q / (q.std() + 1e-6) for q in p]
    contrast = rng.uniform(5, 70)
    gray, tint = rng.normal(1, 0.2, 3), rng.normal(0, 0.5, 3) * rng.integers(2)
    return rng.uniform(20, 235) + rng.normal(0, 35, 3) + contrast * (p[0][..., None] * gray + p[1][..., None] * tint)


def shape(rng, x, y):
    """Returns where an ellipse, a rectangle or a half plane lies."""
    angle, cx, cy = rng.uniform(0, np.pi), 1.25 * rng.random(), rng.random()
    rx, ry = rng.uniform(0.04, 0.5, 2)
    u, v = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle), (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
    return [(u / rx) ** 2 + (v / ry) ** 2 < 1, (abs(u) < rx) & (abs(v) < ry), u > 0][rng.integers(3)]


def draw(rng):
    scale = np.exp(rng.uniform(np.log(0.15), 0))  # small pictures are enlarged, like photos of few pixels
    w, h = round(WIDTH * scale), round(HEIGHT * scale)
    y, x = np.mgrid[0:h, 0:w].astype(np.float64) / h
    out = surface(rng, x, y)
    for _ in range(rng.integers(5) if rng.random() < 0.6 else 0):
        at = shape(rng, x, y)
        out[at] = surface(rng, x, y)[at]
    out += rng.normal(size=out.shape if rng.random() < 0.5 else (h, w, 1)) * rng.uniform(0, 30) * (rng.random() < 0.6)
    return Image.fromarray(np.clip(out, 0, 255).astype(np.uint8)).resize((WIDTH, HEIGHT), Image.BICUBIC)


def main():
    arg = argparse.ArgumentParser()
    arg.add_argument("--out", required=True)
    arg.add_argument("--count", type=int, default=3000)
    arg.add_argument("--seed", type=int, default=1)
    a = arg.parse_args()
    size = WIDTH * HEIGHT * 3
    with open(Path(a.out) / "drawn.u8", "wb") as f:
        for i in range(a.count):
            f.write(draw(np.random.default_rng([a.seed, i])).tobytes())
    np.save(Path(a.out) / "drawn.npy", np.array([[i * size, HEIGHT, WIDTH] for i in range(a.count)]))


if __name__ == "__main__":
    main()
