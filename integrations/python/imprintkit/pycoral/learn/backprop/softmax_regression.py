"""Softmax regression on embeddings with pycoral's SoftmaxRegression."""

import os
from ctypes import POINTER, byref, c_float, c_size_t, c_void_p
from typing import Any, Dict, Optional, Union

import numpy as np

from .... import _library


class SoftmaxRegression:
    """The last layer of a classifier, trained on embeddings with stochastic gradient descent.

    Weights start as normal random numbers, multiplied by weight_scale; biases start at zero. reg is the factor of the
    squared weights in the loss. With a seed, the result is always the same.
    """

    def __init__(self, feature_dim: Optional[int] = None, num_classes: Optional[int] = None, weight_scale: float = 0.01,
                 reg: float = 0.0, *, seed: Optional[int] = None) -> None:
        if not feature_dim or not num_classes:
            raise ValueError('feature_dim and num_classes are needed')
        self._random = np.random.default_rng(seed)
        self._weights = (weight_scale * self._random.standard_normal((feature_dim, num_classes))).astype(np.float32)
        self._bias = np.zeros(num_classes, np.float32)
        self._reg = reg
        self._range = 0.0, 0.0  # of the logits

    def _logits(self, embeddings: Any) -> Any:
        return np.asarray(embeddings, np.float32) @ self._weights + self._bias

    def get_accuracy(self, mat_x: Any, labels: Any) -> float:
        """Return the proportion of embeddings, of shape (photos, feature_dim), that are classified as labels says."""
        return float(np.mean(self._logits(mat_x).argmax(axis=1) == np.asarray(labels)))

    def train_with_sgd(self, data: Dict[str, Any], num_iter: int, learning_rate: float, batch_size: int = 100,
                       print_every: int = 100) -> None:
        """Train for num_iter steps, each on batch_size embeddings drawn at random.

        data has the embeddings data_train and data_val, of shape (photos, feature_dim), and the indices of their classes,
        labels_train and labels_val. Every print_every steps, the loss and the accuracy on both are printed; 0 prints none.
        """
        embeddings, labels = np.asarray(data['data_train'], np.float32), np.asarray(data['labels_train'])
        for step in range(num_iter):
            drawn = self._random.integers(len(embeddings), size=batch_size)
            x, classes = embeddings[drawn], labels[drawn]
            logits = self._logits(x)
            errors = np.exp(logits - logits.max(axis=1, keepdims=True))
            errors /= errors.sum(axis=1, keepdims=True)
            likelihood = errors[np.arange(batch_size), classes].copy()
            errors[np.arange(batch_size), classes] -= 1
            if print_every > 0 and step % print_every == 0:
                loss = -np.log(np.maximum(likelihood, np.finfo(np.float32).tiny)).mean()
                loss += self._reg / 2 * (self._weights ** 2).sum()
                print(f'step {step}: loss {loss:.4f}, accuracy {self.get_accuracy(embeddings, labels):.3f}, validation '
                      f'{self.get_accuracy(data["data_val"], data["labels_val"]):.3f}')
            self._weights -= np.float32(learning_rate) * (x.T @ errors / batch_size + np.float32(self._reg) * self._weights)
            self._bias -= np.float32(learning_rate) * errors.mean(axis=0)
        logits = self._logits(embeddings)
        self._range = float(logits.min()), float(logits.max())

    def serialize_model(self, in_model_path: Union[str, 'os.PathLike[str]']) -> bytes:
        """Return the embedding extractor in a file with this layer behind it, in uint8. Raises ValueError if it can't be."""
        with open(in_model_path, 'rb') as f:
            extractor = f.read()
        rows = np.ascontiguousarray(self._weights.T)
        model, size = c_void_p(), c_size_t()
        _library.call('imprint_coral_append', extractor, len(extractor), rows.ctypes.data_as(POINTER(c_float)),
                      self._bias.ctypes.data_as(POINTER(c_float)), *rows.shape, *self._range, byref(model), byref(size))
        return _library.take_bytes(model, size.value)
