"""Photos as users pass them: paths, bytes, numpy arrays and PIL images."""

import os
from typing import Any, Iterable, List, NamedTuple, Union

from .errors import BadArgumentError

Photo = Any
"""A path (str or os.PathLike), an encoded photo (bytes), an array of uint8 in RGB of shape (height, width, 3) or in gray of
shape (height, width), or a PIL image."""


class Pixels(NamedTuple):
    """RGB bytes, row by row from the top."""
    data: bytes
    width: int
    height: int


def load(photo: Photo) -> Union[str, bytes, Pixels]:
    """Return a path, an encoded photo or pixels."""
    if isinstance(photo, (str, os.PathLike)):
        return os.fsdecode(photo)
    if isinstance(photo, (bytes, bytearray, memoryview)):
        return bytes(photo)
    if hasattr(photo, 'tobytes') and hasattr(photo, 'convert') and hasattr(photo, 'size'):  # a PIL image
        return _image(photo)
    if hasattr(photo, '__array__') or hasattr(photo, '__array_interface__'):
        return _pixels(photo)
    raise BadArgumentError(f'a photo is a path, bytes, an array or a PIL image, not {type(photo).__name__}')


def _image(photo: Any) -> Pixels:
    """Return the pixels of a PIL image as imprint reads them in a file. PIL's conversion to RGB is another one: it ignores
    transparency, and makes all 16-bit values above 255 white.
    """
    width, height = photo.size
    deep = photo.mode.startswith('I;16')
    if not deep and photo.mode not in ('RGBA', 'RGBa', 'LA', 'La', 'PA') and 'transparency' not in photo.info:
        return Pixels(photo.convert('RGB').tobytes(), width, height)
    import numpy as np  # only here, as in _pixels
    if deep:
        return _pixels(((np.asarray(photo).astype(np.uint32) + 128) // 257).astype(np.uint8))
    rgba = np.frombuffer(photo.convert('RGBA').tobytes(), np.uint8).reshape(height, width, 4).astype(np.uint32)
    alpha = rgba[:, :, 3:]
    return _pixels(((rgba[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8))


def _pixels(photo: Any) -> Pixels:
    import numpy as np  # only here, because a client that sends files does not need it
    array = np.asarray(photo)
    if array.dtype != np.uint8:
        raise BadArgumentError(f'an array of pixels has values of type uint8, not {array.dtype}')
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 2:
        array = np.repeat(array[:, :, np.newaxis], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise BadArgumentError(f'an array of pixels has the shape (height, width, 3) or (height, width), not {array.shape}')
    height, width, _ = array.shape
    return Pixels(array.tobytes(), width, height)


def encode(photo: Photo) -> bytes:
    """Return a photo as the content of a file. Pixels become a PPM."""
    loaded = load(photo)
    if isinstance(loaded, str):
        with open(loaded, 'rb') as f:
            return f.read()
    if isinstance(loaded, Pixels):
        return b'P6 %d %d 255\n' % (loaded.width, loaded.height) + loaded.data
    return loaded


def several(photos: Union[Photo, Iterable[Photo]]) -> List[Photo]:
    """Return a list of photos. photos may be a single one."""
    if isinstance(photos, (list, tuple, set, frozenset)) or hasattr(photos, '__next__'):
        return list(photos)
    return [photos]
