"""Weight imprinting with pycoral's ImprintingEngine."""

import os
from ctypes import POINTER, byref, c_double, c_float, c_size_t, c_void_p
from typing import Any, List, Union

import numpy as np

from .... import _library
from ....errors import ImprintError


class ImprintingEngine:
    """Adds classes to a model from the embeddings of a few photos.

    The model must end in L2_NORMALIZATION, CONV_2D, MUL, RESHAPE and SOFTMAX. Such are Coral's
    mobilenet_v1_1.0_224_l2norm_quant and its compiled file, the models that serialize_model returns, and those that imprint
    writes in the layout coral. With keep_classes, the model's own classes remain. Raises ValueError for another model.
    """

    def __init__(self, model_path: Union[str, 'os.PathLike[str]'], keep_classes: bool = False) -> None:
        try:
            with open(model_path, 'rb') as f:
                self._model = f.read()
        except OSError as e:
            raise ValueError(f'Failed to open file: {os.fspath(model_path)}: {e.strerror}') from e
        dim, classes, size = c_size_t(), c_size_t(), c_size_t()
        weights, norms, extractor = c_void_p(), c_void_p(), c_void_p()
        _library.call('imprint_coral_read', self._model, len(self._model), byref(dim), byref(classes), byref(weights),
                      byref(norms), byref(extractor), byref(size))
        self._dim, n = dim.value, classes.value
        self._extractor = _library.take_bytes(extractor, size.value)
        rows = np.frombuffer(_library.take_bytes(weights, 4 * n * self._dim), np.float32).reshape(n, self._dim)
        lengths = np.frombuffer(_library.take_bytes(norms, 8 * n))
        # The sum of the embeddings of each class. A class of the base model has no norm, and can't be trained.
        self._trainable: List[bool] = []
        self._sums: List['np.ndarray[Any, np.dtype[np.float64]]'] = []
        if keep_classes:
            self._trainable = [bool(length > 0) for length in lengths]
            self._sums = [row * (length or 1.0) for row, length in zip(rows.astype(np.float64), lengths)]
        self._kept = len(self._sums)

    @property
    def embedding_dim(self) -> int:
        """The number of values in an embedding."""
        return self._dim

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self._sums)

    def serialize_extractor_model(self) -> bytes:
        """Return the model that computes embeddings."""
        return self._extractor

    def train(self, embedding: Any, class_id: int) -> None:
        """Add an embedding to a class: one that was added before, or a new one, whose index is num_classes.

        An embedding is the output of the extractor, a vector of embedding_dim real numbers. Raises RuntimeError if the
        embedding or the class can't be used.
        """
        vector = np.asarray(embedding, np.float64)
        if vector.shape != (self._dim,):
            raise RuntimeError(f'an embedding has the shape ({self._dim},), not {vector.shape}')
        if not np.isfinite(vector).all():
            raise RuntimeError('an embedding has a value that is not finite')
        if not 0 <= class_id <= self.num_classes:
            raise RuntimeError(f'class {class_id} is not between 0 and {self.num_classes}, the index of the next new class')
        if class_id == self.num_classes:
            self._sums.append(np.zeros(self._dim))
            self._trainable.append(True)
        elif not self._trainable[class_id]:
            raise RuntimeError(f'class {class_id} belongs to the base model, so it can\'t be trained')
        self._sums[class_id] = self._sums[class_id] + vector

    def serialize_model(self) -> bytes:
        """Return the model with the classes."""
        if not self._sums:
            raise RuntimeError('Model is not trained: call train first')
        sums = np.array(self._sums)
        norms = np.linalg.norm(sums, axis=1)
        rows = np.ascontiguousarray(sums / np.maximum(norms, np.finfo(float).tiny)[:, np.newaxis], np.float32)
        norms = np.where(self._trainable, norms, 0.0)
        model, size = c_void_p(), c_size_t()
        try:
            _library.call('imprint_coral_write', self._model, len(self._model), rows.ctypes.data_as(POINTER(c_float)),
                          norms.ctypes.data_as(POINTER(c_double)), *rows.shape, self._kept, byref(model), byref(size))
        except ImprintError as e:
            raise RuntimeError(str(e)) from e
        return _library.take_bytes(model, size.value)
