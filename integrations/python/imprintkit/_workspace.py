"""Workspaces and models in this process."""

import contextlib
import ctypes
import os
import sys
import threading
import weakref
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Tuple, TypeVar, Union

import numpy as np

from . import _library, _photo
from ._photo import Photo
from .errors import BadArgumentError, CanceledError, ImprintError

Self = TypeVar('Self', bound='_Handle')
Path = Union[str, 'os.PathLike[str]']


@contextlib.contextmanager
def _dropped(function: Callable[..., Any], raised: List[BaseException]) -> Iterator[None]:
    """Append the exceptions to raised that a callback raises outside of its try.

    Ctrl-C may be handled just when a callback begins. ctypes then drops the exception, and goes on with any result.
    """
    if threading.current_thread() is not threading.main_thread():  # only that one handles signals
        yield
        return
    previous = sys.unraisablehook

    def hook(dropped: Any) -> None:
        # Python 3.13 and newer have the function only in the message.
        ours = dropped.object is function or repr(function) in (dropped.err_msg or '')
        if ours and dropped.exc_value is not None:
            raised.append(dropped.exc_value)
        else:
            previous(dropped)
    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = previous


class Result(NamedTuple):
    """The classification of a photo."""
    label: str  # the best class, or the label of the answer "unknown"
    score: float  # of label, 0 to 1
    unknown: bool  # whether the photo shows no trained class
    nearest: str  # the best class, also if the answer is "unknown"
    scores: List[Tuple[str, float]]  # all classes, best first
    device: str  # what ran the model, such as 'cpu' or 'usb:1-2'
    milliseconds: float  # time spent in the model
    generation: int  # generation of the workspace, or 0


class Estimate(NamedTuple):
    """The accuracy on training photos that were left out, with its 95 % interval."""
    accuracy: float
    low: float
    high: float
    correct: int
    total: int  # photos that were left out; without any, accuracy means nothing
    excluded: int  # photos that can't be left out, because their class has no others
    bursts: int


class _Handle:
    """What workspaces and models have in common."""
    _kind = ''
    _reporting: Optional[int] = None  # the thread that runs a progress function of this handle, which would wait for itself

    def __init__(self, path: Path, options: Dict[str, Any]) -> None:
        handle = ctypes.c_void_p()
        array, n = _library.options(options)
        _library.call(f'imprint_{self._kind}_open', _library.file(path), array, n, ctypes.byref(handle))
        self._handle: Optional[ctypes.c_void_p] = handle
        self._close = weakref.finalize(self, getattr(_library.load(), f'imprint_{self._kind}_close'), handle)

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the memory and the device. No other method may be called afterwards."""
        if self._handle is not None:
            self._open()  # fails in a progress function
        self._handle = None
        self._close()

    def _open(self) -> ctypes.c_void_p:
        if self._reporting == threading.get_ident():
            raise BadArgumentError(f'a progress function can\'t use its own {self._kind}, which waits for it')
        if self._handle is None:
            raise BadArgumentError(f'the {self._kind} is closed')
        return self._handle

    def _call(self, name: str, *arguments: Any) -> None:
        _library.call(f'imprint_{self._kind}_{name}', self._open(), *arguments)

    def classify(self, photo: Photo) -> Result:
        """Classify a photo. Check unknown before you use label."""
        array, _ = _library.photos([(None, photo)])
        block = ctypes.c_void_p()
        self._call('classify', array, ctypes.byref(block))
        try:
            r = ctypes.cast(block, ctypes.POINTER(_library.Result)).contents
            scores = [(label.decode(), score) for label, score in zip(r.labels[:r.num_labels], r.scores[:r.num_labels])]
            return Result(r.label.decode(), r.score, bool(r.unknown), r.nearest.decode(), scores, r.device.decode(),
                          r.milliseconds, r.generation)
        finally:
            _library.load().imprint_free(block)

    def embed(self, photo: Photo) -> 'np.ndarray[Any, np.dtype[np.float32]]':
        """Return the embedding of a photo, a vector of float32."""
        array, _ = _library.photos([(None, photo)])
        n = ctypes.c_size_t()
        self._call('embedding_length', ctypes.byref(n))
        embedding = np.empty(n.value, np.float32)
        self._call('embed', array, embedding.ctypes.data_as(ctypes.POINTER(ctypes.c_float)), n.value)
        return embedding

    @property
    def labels(self) -> List[str]:
        """The classes in the order of the model's scores."""
        return _library.strings(f'imprint_{self._kind}_labels', self._open())

    @property
    def input_size(self) -> Tuple[int, int]:
        """The width and height of the model's input. Photos of any size are resized to it."""
        width, height = ctypes.c_int(), ctypes.c_int()
        self._call('input_size', ctypes.byref(width), ctypes.byref(height))
        return width.value, height.value


class Model(_Handle):
    """A TensorFlow Lite model that takes one photo, compiled for the Edge TPU or not.

    model is the path of a file, or the name of a model that "imprint models pull" has downloaded. The labels are in the
    model, in a file next to it, or in the file labels. The other options are those of Workspace.
    """
    _kind = 'model'

    def __init__(self, model: Path, *, labels: Optional[Path] = None, embedding: Optional[str] = None,
                 resize: Optional[str] = None, uncompiled: Optional[Path] = None, device: Optional[str] = None,
                 clock: Optional[str] = None, threads: Optional[int] = None, arithmetic: Optional[str] = None,
                 emulator: Optional[str] = None) -> None:
        super().__init__(model, dict(labels=labels, embedding=embedding, resize=resize, uncompiled=uncompiled, device=device,
                                     clock=clock, threads=threads, arithmetic=arithmetic, emulator=emulator))


class Workspace(_Handle):
    """A folder with the photos' embeddings and the model that is trained on them. The first change creates it.

    Each change is durable when its method returns, and undo undoes it. Several processes may open a workspace; the command
    imprint works with it, too. Methods raise ImprintError. Several threads may use a workspace; their calls wait for each
    other.

    backbone      file or name of the model that embeds photos; by default the workspace's, or the built-in one
    head          how the last layer is trained: auto, mean, ridge, lda, ridge+lda, mean+ridge+lda, softmax or coral-sgd
    layout        how the last layer is written: float, coral or tpu
    resize        how photos are resized: crop, squash, pad or auto
    keep_classes  whether to keep the backbone's own classes
    unknown       rate of other things that may pass for a class, such as 0.05, or 'off'
    none          label of the answer "unknown"
    embedding     tensor of the backbone that is the embedding
    compiled, uncompiled  models for the layout tpu; uncompiled alone is what a compiled backbone was made from
    existing      whether to raise NoClassesError if there is no workspace yet
    device        '' or auto, cpu, usb, or ':N', 'usb:N' or 'usb:BUS-PORT' for one Edge TPU
    clock         low, medium, high or max
    threads       largest number of cores; 0 means all
    arithmetic    how the CPU computes: tflite or edgetpu
    emulator      for tests: uncompiled models of an emulated device, separated by colons, or pattern
    """
    _kind = 'workspace'

    def __init__(self, folder: Path = '.imprint', *, backbone: Optional[Path] = None, head: Optional[str] = None,
                 layout: Optional[str] = None, resize: Optional[str] = None, keep_classes: Optional[bool] = None,
                 unknown: Union[float, str, None] = None, none: Optional[str] = None, embedding: Optional[str] = None,
                 compiled: Optional[Path] = None, uncompiled: Optional[Path] = None, existing: Optional[bool] = None,
                 device: Optional[str] = None, clock: Optional[str] = None, threads: Optional[int] = None,
                 arithmetic: Optional[str] = None, emulator: Optional[str] = None) -> None:
        super().__init__(folder, dict(
            backbone=backbone, head=head, layout=layout, resize=resize, keep_classes=keep_classes, unknown=unknown, none=none,
            embedding=embedding, compiled=compiled, uncompiled=uncompiled, existing=existing, device=device, clock=clock,
            threads=threads, arithmetic=arithmetic, emulator=emulator))

    def _json(self, name: str, *arguments: Any) -> Dict[str, Any]:
        return _library.call_json(f'imprint_workspace_{name}', self._open(), *arguments)

    # Changes. They return what the command of the same name prints with --json.

    def add(self, label: str, photos: Union[Photo, Iterable[Photo]],
            progress: Optional[Callable[[int, int], object]] = None) -> Dict[str, Any]:
        """Add a photo, or several in one change, to a class. A path may be a folder of photos.

        Photos that can't be read or that the workspace already has are skipped; "skipped" lists them. progress is called
        with the numbers of photos that are done and of all photos. If it raises an exception, nothing changes.
        """
        return self._add([(label, p) for p in _photo.several(photos)], [], progress)

    def add_classes(self, photos: Union[Path, Dict[str, Union[Photo, Iterable[Photo]]]],
                    negatives: Union[Photo, Iterable[Photo]] = (),
                    progress: Optional[Callable[[int, int], object]] = None) -> Dict[str, Any]:
        """Add photos to several classes in one change: a dict with the photos of each label, or a folder with a folder of
        photos for each class.
        """
        items: List[Tuple[Optional[str], Photo]]
        if isinstance(photos, dict):
            items = [(label, p) for label, group in photos.items() for p in _photo.several(group)]
        else:
            items = [(None, photos)]
        return self._add(items, _photo.several(negatives), progress)

    def add_negatives(self, photos: Union[Photo, Iterable[Photo]],
                      progress: Optional[Callable[[int, int], object]] = None) -> Dict[str, Any]:
        """Add photos of things that belong to no class, to train the answer "unknown"."""
        return self._add([], _photo.several(photos), progress)

    def _add(self, photos: List[Tuple[Optional[str], Photo]], negatives: List[Photo],
             progress: Optional[Callable[[int, int], object]]) -> Dict[str, Any]:
        raised: List[BaseException] = []

        def report(_: Any, done: int, total: int) -> int:
            try:
                if raised:
                    return 1
                self._reporting = threading.get_ident()
                if progress is not None:
                    progress(done, total)
                return 0
            except BaseException as e:
                raised.append(e)
                return 1
            finally:
                self._reporting = None
        try:
            with _dropped(report, raised):
                result = self._json('add', *_library.photos(photos), *_library.photos([(None, p) for p in negatives]),
                                    _library.Progress(report), None)
            if raised:  # Ctrl-C came too late to prevent the addition
                raise raised[0]
            return result
        except ImprintError as e:
            if raised:
                raise raised[0] from None
            if isinstance(e, CanceledError):
                # Ctrl-C was handled just when report began, and ctypes has dropped the exception.
                raise KeyboardInterrupt from None
            raise

    def remove(self, label: Optional[str] = None, paths: Union[Path, Iterable[Path]] = ()) -> Dict[str, Any]:
        """Remove the photos with a label, the photos at paths (files or folders), or with both, those that match both."""
        return self._json('remove', label if label is None else _library.text(label), *_library.paths(paths))

    def remove_photo(self, sha256: str) -> Dict[str, Any]:
        """Remove the photo with that SHA-256, which classes lists."""
        return self._json('remove_photo', _library.text(sha256))

    def remove_negatives(self) -> Dict[str, Any]:
        """Remove all negatives."""
        return self._json('remove_negatives')

    def move(self, label: str, paths: Union[Path, Iterable[Path]]) -> Dict[str, Any]:
        """Move the photos at paths (files or folders) to a class, which may be new."""
        return self._json('move', _library.text(label), *_library.paths(paths))

    def rename(self, label: str, to: str) -> Dict[str, Any]:
        """Rename a class."""
        return self._json('rename', _library.text(label), _library.text(to))

    def retrain(self, head: Optional[str] = None, unknown: Union[float, str, None] = None) -> Dict[str, Any]:
        """Train the last layer again, from now on with another head or another rate of false accepts."""
        return self._json('retrain', *_library.options(dict(head=head, unknown=unknown)))

    def undo(self) -> Dict[str, Any]:
        """Undo the last change."""
        return self._json('undo')

    def reload(self) -> bool:
        """Load the newest generation, and return whether another process has written it. Changes see it anyway."""
        changed = ctypes.c_int()
        self._call('reload', ctypes.byref(changed))
        return bool(changed.value)

    # Questions.

    @property
    def classes(self) -> Dict[str, List[Dict[str, Any]]]:
        """The photos of each class, with path and sha256."""
        return {c['label']: c['photos'] for c in self.list().get('classes') or []}

    def list(self) -> Dict[str, Any]:
        """Return what "imprint list --json" prints, with negatives and warnings."""
        return self._json('list')

    @property
    def estimate(self) -> Estimate:
        """The accuracy on photos left out."""
        e = _library.Estimate()
        self._call('estimate', ctypes.byref(e))
        return Estimate(*[getattr(e, name) for name in Estimate._fields])

    @property
    def generation(self) -> int:
        """The number of changes so far."""
        n = ctypes.c_uint64()
        self._call('generation', ctypes.byref(n))
        return n.value

    @property
    def model_path(self) -> str:
        """The path of the model file, which exists if there are classes."""
        text = ctypes.c_void_p()
        self._call('model_path', ctypes.byref(text))
        return os.fsdecode(_library.take_bytes(text, len(ctypes.string_at(text.value or 0))))

    def export(self, path: Path, *, labels: Optional[Path] = None, layout: Optional[str] = None,
               keep_classes: Optional[bool] = None) -> Dict[str, Any]:
        """Write the model, with the labels inside, to a file, and the labels also to the file labels."""
        options = _library.options(dict(labels=labels, layout=layout, keep_classes=keep_classes))
        return self._json('export', _library.file(path), *options)
