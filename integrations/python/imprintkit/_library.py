"""The shared library libimprint_edgetpu.so, which the wheel contains. imprint.h and coral.h describe its functions."""

import ctypes
import functools
import json
import os
from ctypes import POINTER, Structure, c_char_p, c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_ssize_t, c_uint64, c_void_p
from typing import Any, Dict, Iterator, List, Optional, Tuple

from . import _photo
from .errors import BY_STATUS, BadArgumentError, ImprintError, NotFoundError

NAME = 'libimprint_edgetpu.so'
VARIABLE = 'IMPRINT_LIBRARY'


def path() -> str:
    """Return the path of the library: the value of the environment variable IMPRINT_LIBRARY, or the file in this package."""
    found = os.environ.get(VARIABLE) or os.path.join(os.path.dirname(os.path.abspath(__file__)), NAME)
    if not os.path.exists(found):
        raise NotFoundError(f'{found} does not exist: install the wheel of imprintkit for this platform, '
                            f'or name the library in the environment variable {VARIABLE}')
    return found


class Option(Structure):
    _fields_ = [('name', c_char_p), ('value', c_char_p)]


class Photo(Structure):
    _fields_ = [('path', c_char_p), ('label', c_char_p), ('data', c_void_p), ('size', c_size_t), ('pixels', c_void_p),
                ('width', c_int32), ('height', c_int32), ('stride', c_ssize_t)]


class Result(Structure):
    _fields_ = [('label', c_char_p), ('score', c_double), ('unknown', c_int), ('nearest', c_char_p), ('num_labels', c_size_t),
                ('labels', POINTER(c_char_p)), ('scores', POINTER(c_double)), ('device', c_char_p),
                ('milliseconds', c_double), ('generation', c_uint64)]


class Estimate(Structure):
    _fields_ = [('accuracy', c_double), ('low', c_double), ('high', c_double), ('correct', c_int64), ('total', c_int64),
                ('excluded', c_int64), ('bursts', c_int64)]


class Device(Structure):
    _fields_ = [('type', c_int), ('path', c_char_p)]


Progress = ctypes.CFUNCTYPE(c_int, c_void_p, c_size_t, c_size_t)

_JSON = [POINTER(c_void_p), POINTER(c_void_p)]  # the last two parameters of most functions: the result and the error
_PATHS = [POINTER(c_char_p), c_size_t]
_OPTIONS = [POINTER(Option), c_size_t]

# The parameters of the functions that return a status.
_CHECKED: Dict[str, List[Any]] = {
    'imprint_workspace_open': [c_char_p, *_OPTIONS, *_JSON],
    'imprint_workspace_add': [c_void_p, POINTER(Photo), c_size_t, POINTER(Photo), c_size_t, Progress, c_void_p, *_JSON],
    'imprint_workspace_remove': [c_void_p, c_char_p, *_PATHS, *_JSON],
    'imprint_workspace_remove_photo': [c_void_p, c_char_p, *_JSON],
    'imprint_workspace_remove_negatives': [c_void_p, *_JSON],
    'imprint_workspace_move': [c_void_p, c_char_p, *_PATHS, *_JSON],
    'imprint_workspace_rename': [c_void_p, c_char_p, c_char_p, *_JSON],
    'imprint_workspace_retrain': [c_void_p, *_OPTIONS, *_JSON],
    'imprint_workspace_undo': [c_void_p, *_JSON],
    'imprint_workspace_reload': [c_void_p, POINTER(c_int), POINTER(c_void_p)],
    'imprint_workspace_list': [c_void_p, *_JSON],
    'imprint_workspace_labels': [c_void_p, POINTER(c_void_p), POINTER(c_size_t), POINTER(c_void_p)],
    'imprint_workspace_estimate': [c_void_p, POINTER(Estimate), POINTER(c_void_p)],
    'imprint_workspace_generation': [c_void_p, POINTER(c_uint64), POINTER(c_void_p)],
    'imprint_workspace_model_path': [c_void_p, *_JSON],
    'imprint_workspace_export': [c_void_p, c_char_p, *_OPTIONS, *_JSON],
    'imprint_workspace_classify': [c_void_p, POINTER(Photo), *_JSON],
    'imprint_workspace_embed': [c_void_p, POINTER(Photo), POINTER(c_float), c_size_t, POINTER(c_void_p)],
    'imprint_workspace_embedding_length': [c_void_p, POINTER(c_size_t), POINTER(c_void_p)],
    'imprint_workspace_input_size': [c_void_p, POINTER(c_int), POINTER(c_int), POINTER(c_void_p)],
    'imprint_model_open': [c_char_p, *_OPTIONS, *_JSON],
    'imprint_model_classify': [c_void_p, POINTER(Photo), *_JSON],
    'imprint_model_embed': [c_void_p, POINTER(Photo), POINTER(c_float), c_size_t, POINTER(c_void_p)],
    'imprint_model_embedding_length': [c_void_p, POINTER(c_size_t), POINTER(c_void_p)],
    'imprint_model_input_size': [c_void_p, POINTER(c_int), POINTER(c_int), POINTER(c_void_p)],
    'imprint_model_labels': [c_void_p, POINTER(c_void_p), POINTER(c_size_t), POINTER(c_void_p)],
    'imprint_coral_read': [c_char_p, c_size_t, POINTER(c_size_t), POINTER(c_size_t), POINTER(c_void_p), POINTER(c_void_p),
                           POINTER(c_void_p), POINTER(c_size_t), POINTER(c_void_p)],
    'imprint_coral_write': [c_char_p, c_size_t, POINTER(c_float), POINTER(c_double), c_size_t, c_size_t, c_size_t,
                            POINTER(c_void_p), POINTER(c_size_t), POINTER(c_void_p)],
    'imprint_coral_append': [c_char_p, c_size_t, POINTER(c_float), POINTER(c_float), c_size_t, c_size_t, c_double, c_double,
                             POINTER(c_void_p), POINTER(c_size_t), POINTER(c_void_p)],
}


@functools.lru_cache(maxsize=None)
def load() -> ctypes.CDLL:
    """Load the library. It stays loaded, because it contains the Go runtime."""
    library = ctypes.CDLL(path())
    for name, parameters in _CHECKED.items():
        function = getattr(library, name)
        function.argtypes, function.restype = parameters, c_int
    others: List[Tuple[str, List[Any], Any]] = [
        ('imprint_free', [c_void_p], None),
        ('imprint_workspace_close', [c_void_p], None),
        ('imprint_model_close', [c_void_p], None),
        ('imprint_version', [], c_char_p),
        ('edgetpu_version', [], c_char_p),
        ('edgetpu_verbosity', [c_int], None),
        ('edgetpu_list_devices', [POINTER(c_size_t)], POINTER(Device)),
        ('edgetpu_free_devices', [POINTER(Device)], None),
    ]
    for name, parameters, result in others:
        function = getattr(library, name)
        function.argtypes, function.restype = parameters, result
    return library


def version() -> str:
    """Return the version of the library, such as '0.2.0'."""
    return load().imprint_version().decode()


def call(name: str, *arguments: Any) -> None:
    """Call a function that returns a status. Its last parameter, the error, is added. Raises ImprintError."""
    error = c_void_p()
    status = getattr(load(), name)(*arguments, ctypes.byref(error))
    if status != 0:
        message = take_text(error) or f'{name} failed with status {status}'
        raise BY_STATUS.get(status, ImprintError)(message)


def take_text(text: c_void_p) -> str:
    """Return a string of the library, and free it."""
    return '' if not text.value else take_bytes(text, len(ctypes.string_at(text.value))).decode('utf-8', 'replace')


def take_bytes(memory: c_void_p, size: int) -> bytes:
    """Return the content of a buffer of the library, and free it."""
    try:
        return ctypes.string_at(memory.value or 0, size) if size else b''
    finally:
        load().imprint_free(memory)


def call_json(name: str, *arguments: Any) -> Any:
    """Call a function whose last result is JSON, and return that."""
    text = c_void_p()
    call(name, *arguments, ctypes.byref(text))
    return json.loads(take_text(text) or 'null')


def text(value: str) -> bytes:
    """Return a label or another text as the library takes it. A C string would end at a NUL character."""
    if not isinstance(value, str):
        raise BadArgumentError(f'a label is a str, not {type(value).__name__}')
    try:
        encoded = value.encode()
    except UnicodeEncodeError as e:
        raise BadArgumentError(f'unusable label {value!r}: {e.reason}') from None
    if b'\0' in encoded:
        raise BadArgumentError(f'unusable label {value!r}: it has a NUL character')
    return encoded


def file(path: Any) -> bytes:
    """Return a path as the library takes it."""
    try:
        encoded = os.fsencode(path)
    except UnicodeEncodeError as e:
        raise BadArgumentError(f'unusable path {path!r}: {e.reason}') from None
    if b'\0' in encoded:
        raise BadArgumentError(f'unusable path {os.fsdecode(encoded)!r}: it has a NUL character')
    return encoded


def options(values: Dict[str, Any]) -> Tuple[Any, int]:
    """Return an array of options and its length. Values that are None are left out."""
    given = {k: v for k, v in values.items() if v is not None}
    array = (Option * len(given))()
    for option, (name, value) in zip(array, given.items()):
        option.name = name.encode()
        option.value = str(value).lower().encode() if isinstance(value, bool) else file(
            value if isinstance(value, (str, bytes, os.PathLike)) else str(value))
    return array, len(given)


def paths(values: Any) -> Tuple[Any, int]:
    """Return an array of paths and its length. values may be a single path, whose characters are not paths."""
    found = [file(v) for v in ([values] if isinstance(values, (str, bytes, os.PathLike)) else values)]
    return (c_char_p * len(found))(*found), len(found)


def photos(values: List[Tuple[Optional[str], _photo.Photo]]) -> Tuple[Any, int]:
    """Return an array of photos with labels, and its length. The array keeps the memory of the photos alive."""
    array: Any = (Photo * len(values))()
    kept = []
    for photo, (label, value) in zip(array, values):
        if label is not None:
            photo.label = text(label)
        loaded = _photo.load(value)
        if isinstance(loaded, str):
            photo.path = file(loaded)
            continue
        data = loaded.data if isinstance(loaded, _photo.Pixels) else loaded
        memory = ctypes.cast(ctypes.c_char_p(data), c_void_p)
        kept.append(data)
        if isinstance(loaded, _photo.Pixels):
            photo.pixels, photo.width, photo.height = memory.value, loaded.width, loaded.height
        else:
            photo.data, photo.size = memory.value, len(data)
    array.kept = kept
    return array, len(values)


def strings(name: str, handle: Any) -> List[str]:
    """Call a function that returns an array of strings in one block."""
    block, n = c_void_p(), c_size_t()
    call(name, handle, ctypes.byref(block), ctypes.byref(n))
    try:
        texts = ctypes.cast(block, POINTER(c_char_p))
        return [texts[i].decode() for i in range(n.value)]
    finally:
        load().imprint_free(block)


def devices() -> Iterator[Tuple[str, str]]:
    """Yield the type, 'usb' or 'pci', and the path of each Edge TPU that is plugged in."""
    n = c_size_t()
    found = load().edgetpu_list_devices(ctypes.byref(n))
    try:
        for i in range(n.value):
            yield 'usb' if found[i].type else 'pci', os.fsdecode(found[i].path)
    finally:
        load().edgetpu_free_devices(found)
