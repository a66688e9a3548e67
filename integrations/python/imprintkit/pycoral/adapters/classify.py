"""Functions for the output of a classifier or an embedding extractor."""

import operator
from typing import Any, List, NamedTuple

import numpy as np

from . import common


class Class(NamedTuple):
    """A class and its score."""
    id: int
    score: float


def num_classes(interpreter: Any) -> int:
    """Return the number of scores in the first output."""
    return int(np.prod(interpreter.get_output_details()[0]['shape']))


def get_scores(interpreter: Any) -> 'np.ndarray[Any, Any]':
    """Return the first output as a vector of real numbers."""
    details = interpreter.get_output_details()[0]
    values = common.output_tensor(interpreter, 0).reshape(-1)
    if not np.issubdtype(details['dtype'], np.integer):
        return values.copy()
    scale, zero_point = details['quantization']
    return (values.astype(np.int64) - zero_point) * scale


def get_classes_from_scores(scores: Any, top_k: float = float('inf'), score_threshold: float = -float('inf')) -> List[Class]:
    """Return the classes with the largest scores, best first: at most top_k, with scores of at least score_threshold.

    As in pycoral, 0 for top_k means all classes. Of equal scores, the one with the smaller index comes first.
    """
    count = operator.index(min(top_k, len(scores))) or len(scores)
    scores = np.asarray(scores)
    best = np.argsort(-scores.astype(np.float64), kind='stable')[:count]
    return [Class(int(i), scores[i]) for i in best if scores[i] >= score_threshold]


def get_classes(interpreter: Any, top_k: float = float('inf'), score_threshold: float = -float('inf')) -> List[Class]:
    """Return the classes of the first output with the largest scores, like get_classes_from_scores."""
    return get_classes_from_scores(get_scores(interpreter), top_k, score_threshold)
