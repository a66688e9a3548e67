"""Cuts views out of the training photos and asks the frozen teacher for their embeddings.

    python views.py --photos FOLDER --models FOLDER --out CACHE --rounds 6 --part 0 --parts 2

A view is a random rectangle of a photo, perhaps mirrored, with changed light and colour, or two such views
laid over one another. Teacher and student are shown the same view: 224×224 and 128×128 pixels. Each round
takes one view of every photo, so that the program can be stopped after any round. The parts run side by
side; each writes view-ROUND-PART.npy (uint8 [n, 128, 128, 3]) and teacher-ROUND-PART.npy (uint8 [n, 1024]).
"""

import argparse
import io
import os
import tarfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from PIL import Image, ImageEnhance

import teacher

FILTERS = [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.BOX]


def load(folder, part, parts):
    """Returns the JPEG files of this part, in the order of the tar files."""
    files = []
    for shard in sorted(Path(folder).glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.isfile() and member.name.endswith(".jpg"):
                    files.append(tar.extractfile(member).read())
    return files[part::parts]


def cut(jpeg, rng, smallest):
    """One view, 224×224, float32 0…255."""
    photo = Image.open(io.BytesIO(jpeg)).convert("RGB")
    w, h = photo.size
    while True:
        area = rng.uniform(smallest, 1) * w * h
        aspect = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        cw, ch = np.sqrt(area * aspect), np.sqrt(area / aspect)
        if cw <= w and ch <= h:
            break
        smallest *= 0.95
    x, y = rng.uniform(0, w - cw), rng.uniform(0, h - ch)
    view = photo.resize((224, 224), FILTERS[rng.integers(3)], box=(x, y, x + cw, y + ch))
    if rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.6:
        for change in rng.permutation([ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color]):
            view = change(view).enhance(np.exp(rng.uniform(-0.4, 0.4)))
    return view


def main():
    arg = argparse.ArgumentParser()
    arg.add_argument("--photos", required=True)
    arg.add_argument("--models", required=True)
    arg.add_argument("--out", required=True)
    arg.add_argument("--rounds", type=int, default=6, help="rounds in all")
    arg.add_argument("--first", type=int, default=0, help="round to begin with")
    arg.add_argument("--part", type=int, default=0)
    arg.add_argument("--parts", type=int, default=1)
    a = arg.parse_args()
    files = load(a.photos, a.part, a.parts)
    print(len(files), "photos", flush=True)
    it = tf.lite.Interpreter(os.path.join(a.models, teacher.EXTRACTOR), num_threads=1)
    it.allocate_tensors()
    source, target = it.get_input_details()[0]["index"], it.get_output_details()[0]["index"]
    for r in range(a.first, a.rounds):
        start = time.time()
        views = np.empty((len(files), 128, 128, 3), np.uint8)
        embeddings = np.empty((len(files), 1024), np.uint8)
        for i, jpeg in enumerate(files):
            rng = np.random.default_rng([r, a.part, i])
            view = cut(jpeg, rng, 0.6 if r == 0 else 0.2)
            if r > 1 and rng.random() < 0.25:
                other = cut(files[rng.integers(len(files))], rng, 0.2)
                view = Image.blend(view, other, rng.uniform(0.15, 0.5))
            it.set_tensor(source, np.asarray(view)[None])
            it.invoke()
            embeddings[i] = it.get_tensor(target).ravel()
            views[i] = np.asarray(view.resize((128, 128), FILTERS[rng.integers(4)]))
            if i % 500 == 0:
                print("round", r, i, round(time.time() - start, 1), "s", flush=True)
        np.save(f"{a.out}/view-{r}-{a.part}.npy", views)
        np.save(f"{a.out}/teacher-{r}-{a.part}.npy", embeddings)
        print("round", r, "done,", round(time.time() - start, 1), "s", flush=True)


if __name__ == "__main__":
    main()
