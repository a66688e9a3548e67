"""Decodes training photos into one file per source. train.py cuts views from these files.

    python photos.py --out STORE --against EVALUATION-FOLDER ... NAME=PLACE[:MATCH] ...

PLACE is a folder of tar files or a git directory. From a git directory, the program reads the JPEG files in the newest
commit whose paths match the regular expression MATCH. Photos keep their aspect ratio and get a short side of 160
pixels; smaller photos are not enlarged. The program skips photos whose long side exceeds 2.6 times the short one. It
also skips near-duplicates of photos in the evaluation folders: their 64-bit difference hashes differ in at most 4 bits,
possibly after mirroring.

NAME.u8 contains the pixels; NAME.npy contains the offset, height and width of each photo. With --hold-out N, the last
N photos of the first source go to held.u8, for validation, and their near-duplicates are skipped too.
"""

import argparse
import io
import os
import re
import subprocess
import tarfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SHORT = 160
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


def tars(folder):
    for shard in sorted(Path(folder).glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                if member.isfile() and member.name.endswith(".jpg"):
                    yield tar.extractfile(member).read()


def git(place, match, limit):
    paths = subprocess.run(["git", "-C", place, "ls-tree", "-rz", "HEAD"], check=True, capture_output=True).stdout.decode("utf8", "replace")
    blobs = []
    for line in paths.split("\0"):
        if line.lower().endswith((".jpg", ".jpeg")) and re.search(match, line.split("\t", 1)[1]):
            blobs.append(line.split()[2])
    if limit and len(blobs) > limit:
        blobs = sorted(blobs)[:limit]  # sorted by checksum, so this is a random sample
    p = subprocess.Popen(["git", "-C", place, "cat-file", "--batch"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for b in blobs:
        p.stdin.write(b.encode() + b"\n")
        p.stdin.flush()
        head = p.stdout.readline().split()
        if len(head) < 3:
            continue  # this copy does not have the file
        yield p.stdout.read(int(head[2]))
        p.stdout.read(1)
    p.stdin.close()
    p.wait()


def hashes(image):
    gray = np.asarray(image.convert("L").resize((9, 8), Image.Resampling.BILINEAR), np.int16)
    bits = lambda a: np.packbits(a[:, 1:] > a[:, :-1]).view(np.uint64)[0]
    return bits(gray), bits(gray[:, ::-1])


def is_near(image, references):
    return len(references) and any(np.bitwise_count(np.array(references) ^ h).min() <= 4 for h in hashes(image))


def write(folder, name, images):
    at, index = 0, []
    with open(os.path.join(folder, name + ".u8"), "wb") as out:
        for image in images:
            index.append((at, image.height, image.width))
            at += out.write(np.asarray(image).tobytes())
    np.save(os.path.join(folder, name + ".npy"), np.array(index, np.int64).reshape(-1, 3))


def decode(content):
    image = Image.open(io.BytesIO(content))
    if image.format != "JPEG" or max(image.size) > 2.6 * min(image.size) or min(image.size) < 48:
        return None
    image.draft("RGB", (SHORT + 80, SHORT + 80))
    image = image.convert("RGB")
    if min(image.size) > SHORT:
        f = SHORT / min(image.size)
        image = image.resize((round(image.width * f), round(image.height * f)), Image.Resampling.LANCZOS)
    return image


def main():
    arg = argparse.ArgumentParser()
    arg.add_argument("--out", required=True)
    arg.add_argument("--against", action="append", default=[])
    arg.add_argument("--most", type=int, default=0, help="maximum number of photos from each git directory; 0 means all")
    arg.add_argument("--hold-out", type=int, default=0)
    arg.add_argument("sources", nargs="+")
    a = arg.parse_args()
    os.makedirs(a.out, exist_ok=True)
    references = [hashes(Image.open(f))[0] for folder in a.against for f in sorted(Path(folder).rglob("*")) if f.suffix.lower() in SUFFIXES]
    for source in a.sources:
        name, place = source.split("=", 1)
        place, _, match = place.partition(":")
        photos = git(place, match, a.most) if os.path.isdir(os.path.join(place, "objects")) else tars(place)
        kept, seen, close, bad = [], set(), 0, 0
        for content in photos:
            check = zlib.crc32(content)
            try:
                image = None if check in seen else decode(content)
            except OSError:
                image = None
            if image is None:
                bad += 1
                continue
            seen.add(check)
            if is_near(image, references):
                close += 1
            else:
                kept.append(image)
        if a.hold_out:
            held, kept, a.hold_out = kept[-a.hold_out :], kept[: -a.hold_out], 0
            references += [hashes(image)[0] for image in held]
            before = len(kept)
            kept = [image for image in kept if not is_near(image, references)]
            close += before - len(kept)
            write(a.out, "held", held)
        write(a.out, name, kept)
        print(f"{name}: {len(kept)} photos; skipped {close} near-duplicates of evaluation photos, {bad} others", flush=True)


if __name__ == "__main__":
    main()
