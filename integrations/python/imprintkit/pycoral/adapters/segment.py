"""The output of a segmentation model."""

from typing import Any

import numpy as np

from . import common


def get_output(interpreter: Any) -> 'np.ndarray[Any, np.dtype[np.uint8]]':
    """Return the first output for the first image: a class for each pixel, or scores for each class and pixel."""
    return common.output_tensor(interpreter, 0)[0].astype(np.uint8)
