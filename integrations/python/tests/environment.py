"""What the tests share. tools/delegate.sh test sets the variables."""

import os
import struct
import zlib

import numpy as np

PROGRAM = os.environ['IMPRINT_PROGRAM']  # the command imprint
MODELS = os.environ['IMPRINT_MODELS']  # Coral's models
SMALL = os.path.join(MODELS, 'mobilenet_v1_0.25_128_quant')

COLORS = {'red': (200, 40, 40), 'green': (40, 180, 60), 'blue': (40, 60, 200)}


def picture(label, seed):
    """Return a photo of a class, RGB pixels of shape (96, 128, 3): a disc of the class's color on a gray ground."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :128]
    disc = (x - random.integers(40, 90)) ** 2 + (y - random.integers(30, 66)) ** 2 < random.integers(34, 46) ** 2
    image = np.where(disc[:, :, np.newaxis], COLORS[label], random.integers(90, 160))
    return np.clip(image + random.integers(-15, 16, image.shape), 0, 255).astype(np.uint8)


def pictures(label, n, first=0):
    return [picture(label, first + i) for i in range(n)]


def ppm(pixels):
    """Return the file of a photo."""
    return b'P6 %d %d 255\n' % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes()


def png(rgba):
    """Return the file of a photo with transparency, of shape (height, width, 4)."""
    def chunk(name, data):
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))
    rows = b''.join(b'\0' + row.tobytes() for row in rgba)
    header = struct.pack('>IIBBBBB', rgba.shape[1], rgba.shape[0], 8, 6, 0, 0, 0)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


class Image:
    """What imprintkit uses of a PIL image. converted has its pixels in RGB, or in RGBA if the mode or info has transparency."""

    def __init__(self, converted, mode='CMYK', info=None):
        self.size, self.mode, self.info, self.converted = (converted.shape[1], converted.shape[0]), mode, info or {}, converted

    def convert(self, mode):
        assert len(mode) == self.converted.shape[2]
        return Image(self.converted, mode)

    def tobytes(self):
        assert self.mode in ('RGB', 'RGBA')
        return self.converted.tobytes()

    def __array__(self, dtype=None, copy=None):
        return self.converted
