"""Functions for the input and the outputs of any model."""

from typing import Any, Callable, Tuple

import numpy as np


def output_tensor(interpreter: Any, i: int) -> 'np.ndarray[Any, Any]':
    """Return a view of output i. Copy it if you keep it, because it changes with the next invoke."""
    return interpreter.tensor(interpreter.get_output_details()[i]['index'])()


def input_details(interpreter: Any, key: str) -> Any:
    """Return a detail of the first input, such as 'dtype', 'index', 'quantization' or 'shape'."""
    first, *_ = interpreter.get_input_details()
    return first[key]


def input_size(interpreter: Any) -> Tuple[int, int]:
    """Return the width and height of the input."""
    _, height, width, _ = input_details(interpreter, 'shape')
    return width, height


def input_tensor(interpreter: Any) -> 'np.ndarray[Any, Any]':
    """Return a view of the input, of shape (height, width, channels)."""
    batch = interpreter.tensor(input_details(interpreter, 'index'))()
    return batch[0]


def set_input(interpreter: Any, data: Any) -> None:
    """Copy an image of the right size, as an array or a PIL image, to the input."""
    np.copyto(input_tensor(interpreter), np.asarray(data), casting='unsafe')


def set_resized_input(interpreter: Any, size: Tuple[int, int],
                      resize: Callable[[Tuple[int, int]], Any]) -> Tuple[Any, Tuple[float, float]]:
    """Copy an image to the top left of the input, as large as possible, and fill the rest with zeros.

    size is the width and height of the image, and resize a function that returns the image in a given size. Returns the
    resized image and the scale, once for each axis, which get_objects needs.
    """
    tensor = input_tensor(interpreter)
    _, _, channels = tensor.shape
    width, height = input_size(interpreter)
    w, h = size
    scale = min(width / w, height / h)
    w, h = int(w * scale), int(h * scale)
    tensor[...] = 0
    image = resize((w, h))
    tensor[:h, :w] = np.asarray(image).reshape(h, w, channels)
    return image, (scale, scale)
