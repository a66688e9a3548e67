"""Compares the photos that imprint and Pillow read, and their pixels. Needs Python with Pillow and numpy.

    python3 tools/pillow/compare.py DIR

Reads every photo below DIR, for example of bmpsuite, libwebp-test-data, the test data of wuffs, or
exif-orientation-examples. Prints the number of photos by how much the pixels differ, and lists photos that differ in more
than chroma and photos that only one of the two reads.
"""
import collections, os, subprocess, sys, tempfile, warnings

import numpy
from PIL import Image, ImageOps

warnings.filterwarnings('ignore')
ENDINGS = ('.jpg', '.jpeg', '.png', '.webp', '.gif', '.bmp', '.tif', '.tiff', '.ppm', '.pgm', '.pbm', '.pnm')


def by_pillow(path):
    """Returns a photo's first frame, upright and on white, as an array of bytes (height, width, 3)."""
    photo = Image.open(path)
    photo.load()
    photo = ImageOps.exif_transpose(photo)
    if photo.mode.startswith('I'):  # 16 bits, which convert would clip instead of scaling
        gray = (numpy.asarray(photo).astype(int) >> 8).clip(0, 255)
        return numpy.stack([gray] * 3, -1).astype(numpy.uint8)
    white = Image.new('RGBA', photo.size, 'white')
    white.alpha_composite(photo.convert('RGBA'))
    return numpy.asarray(white.convert('RGB'))


def difference(a, b):
    """Names the kind of difference between two photos."""
    if a.shape != b.shape:
        return 'another size'
    a, b = a.astype(int), b.astype(int)
    largest = abs(a - b).max()
    if largest <= 3:
        return 'equal' if largest == 0 else 'at most 3'
    # Decoders may enlarge chroma as they like. Luma must agree where no channel is clipped.
    inside = ((a > 8) & (a < 247) & (b > 8) & (b < 247)).all(-1)
    luma = abs((a - b) @ [.299, .587, .114])[inside]
    return 'chroma only' if luma.size and luma.max() <= 3 else 'DIFFERENT'


def main():
    paths = sorted(os.path.join(d, f) for d, _, files in os.walk(sys.argv[1]) for f in files if f.lower().endswith(ENDINGS))
    counts, notes = collections.Counter(), []
    with tempfile.TemporaryDirectory() as folder:
        lines = subprocess.run(['go', 'run', './tools/pillow', folder], input='\n'.join(paths), capture_output=True, text=True, check=True)
        for line in lines.stdout.splitlines():
            path, result = line.split('\t', 1)
            try:
                want = by_pillow(path)
            except Exception as e:  # Pillow raises many kinds
                want, refusal = None, str(e)
            if result.startswith('!'):
                kind = 'neither reads it' if want is None else 'ONLY PILLOW reads it'
                refusal = result[1:]
            elif want is None:
                kind = 'only imprint reads it'
            else:
                kind, refusal = difference(numpy.asarray(Image.open(os.path.join(folder, result))), want), ''
            counts[kind] += 1
            if kind.isupper() or kind.startswith('ONLY') or kind in ('another size', 'only imprint reads it'):
                notes.append(f'{kind}: {path} {refusal}')
    for kind, n in counts.most_common():
        print(f'{n:5} {kind}')
    print(*sorted(notes), sep='\n')


main()
