"""What the tests share. tools/delegate.sh test sets the variables."""

import os

import numpy as np

PROGRAM = os.environ['IMPRINT_PROGRAM']  # the command imprint
MODELS = os.environ['IMPRINT_MODELS']  # Coral's models
SMALL = os.path.join(MODELS, 'mobilenet_v1_0.25_128_quant')

COLORS = {'red': (200, 40, 40), 'green': (40, 180, 60), 'blue': (40, 60, 200)}


def picture(label, seed):
    """Return a photo of a class, RGB pixels of shape (96, 128, 3): a disc of the class's color on a gray ground."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :128]
    disc = (x - random.integers(40, 90)) ** 2 + (y - random.integers(30, 66)) ** 2 < random.integers(20, 30) ** 2
    image = np.where(disc[:, :, np.newaxis], COLORS[label], random.integers(90, 160))
    return np.clip(image + random.integers(-15, 16, image.shape), 0, 255).astype(np.uint8)


def pictures(label, n, first=0):
    return [picture(label, first + i) for i in range(n)]


def ppm(pixels):
    """Return the file of a photo."""
    return b'P6 %d %d 255\n' % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes()


class Image:
    """What imprintkit uses of a PIL image."""

    def __init__(self, pixels, mode='RGBA'):
        self.size, self.mode, self._pixels = (pixels.shape[1], pixels.shape[0]), mode, pixels

    def convert(self, mode):
        assert mode == 'RGB'
        return Image(self._pixels, mode)

    def tobytes(self):
        assert self.mode == 'RGB'
        return self._pixels.tobytes()
