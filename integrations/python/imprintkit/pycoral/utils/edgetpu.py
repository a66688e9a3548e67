"""Interpreters that run on the Edge TPU."""

import ctypes
import mmap
import os
import weakref
from typing import Any, Dict, List, Optional, Union

import numpy as np

from ... import _interpreter, _library

# The interpreters by their native handles, for the functions that get such a handle.
_interpreters: 'weakref.WeakValueDictionary[int, Any]' = weakref.WeakValueDictionary()


def load_edgetpu_delegate(options: Optional[Dict[str, Any]] = None) -> Any:
    """Open an Edge TPU. The option device chooses it, as in make_interpreter. Raises ValueError if none can be used."""
    return _interpreter.load_delegate(options)


def make_interpreter(model_path_or_content: Union[str, 'os.PathLike[str]', bytes], device: Optional[str] = None,
                     delegate: Any = None) -> Any:
    """Create a TensorFlow Lite interpreter for the path or the content of a model.

    device is None or 'usb' for any Edge TPU, or ':N' or 'usb:N' for number N of list_edge_tpus. A delegate of
    load_edgetpu_delegate takes its place. Devices on PCI are not supported.
    """
    interpreter = _interpreter.make_interpreter(model_path_or_content, {'device': device} if device else {}, delegate)
    _interpreters[interpreter._native_handle()] = interpreter
    return interpreter


def list_edge_tpus() -> List[Dict[str, str]]:
    """Return the type, 'usb', and the path of each Edge TPU that is plugged in."""
    return [{'type': kind, 'path': path} for kind, path in _library.devices()]


def get_runtime_version() -> str:
    """Return the version of the library, such as 'BuildLabel(imprint 0.2.0), RuntimeVersion(14)'."""
    return _library.load().edgetpu_version().decode()


def set_verbosity(verbosity: int) -> bool:
    """Set how much the driver writes to standard error: 0 nothing, 1 failures and recoveries, 10 details. Returns True."""
    _library.load().edgetpu_verbosity(verbosity)
    return True


def supports_dmabuf(interpreter_handle: Any) -> bool:
    """Return False: an Edge TPU on USB does not read DMA buffers."""
    return False


def _find(interpreter_handle: Any) -> Any:
    """Return the interpreter with a native handle. An interpreter may take the place of its handle."""
    if hasattr(interpreter_handle, 'invoke'):
        return interpreter_handle
    try:
        return _interpreters[interpreter_handle]
    except KeyError:
        raise ValueError('make_interpreter of this module has not created the interpreter with this handle') from None


def _input(interpreter: Any) -> 'np.ndarray[Any, np.dtype[np.uint8]]':
    """Return the bytes of the first input."""
    index = interpreter.get_input_details()[0]['index']
    try:
        return interpreter.tensor(index)().reshape(-1).view(np.uint8)
    except (RuntimeError, ValueError):
        interpreter.invoke()  # has no memory yet, so this raises the runtime's own error
        raise


def _invoke(interpreter: Any, data: Any, size: int) -> None:
    tensor = _input(interpreter)
    if not tensor.size <= size <= len(data):
        raise ValueError(f'input size={min(size, len(data))}, expected={tensor.size}.')
    tensor[:] = np.frombuffer(data, np.uint8, tensor.size)
    # Unlike Interpreter.invoke, this runs although the program still has views of tensors, as pycoral's function does.
    interpreter._interpreter.Invoke()


def invoke_with_bytes(interpreter_handle: Any, input_data: bytes) -> None:
    """Run the interpreter with the content of its first input."""
    _invoke(_find(interpreter_handle), input_data, len(input_data))


def invoke_with_membuffer(interpreter_handle: Any, buffer: int, size: int) -> None:
    """Run the interpreter with the content of its first input, size bytes at an address."""
    _invoke(_find(interpreter_handle), (ctypes.c_uint8 * int(size)).from_address(buffer), int(size))


def invoke_with_dmabuffer(interpreter_handle: Any, dma_fd: int, size: int) -> None:
    """Run the interpreter with the content of its first input, in the buffer with a file descriptor. It is copied."""
    interpreter = _find(interpreter_handle)
    _input(interpreter)
    with mmap.mmap(dma_fd, int(size), prot=mmap.PROT_READ) as memory:
        _invoke(interpreter, memory[:], int(size))


def run_inference(interpreter: Any, input_data: Any) -> None:
    """Run the interpreter with the content of its first input: uint8 values as an array of one dimension, as bytes, as a
    pair of a ctypes.c_void_p and a size, or as a Gst.Buffer. There may be more values than the input has.
    """
    if isinstance(input_data, np.ndarray):
        data: Any = np.ascontiguousarray(input_data)
        if data.ndim != 1:
            raise ValueError(f'the input is an array of {data.ndim} dimensions, not 1: call its method ravel')
        data = data.view(np.uint8)
    elif isinstance(input_data, (bytes, bytearray)):
        data = input_data
    elif _is_memory(input_data):
        pointer, size = input_data
        data = (ctypes.c_uint8 * size).from_address(pointer.value)
    elif hasattr(input_data, 'extract_dup') and hasattr(input_data, 'get_size'):  # a Gst.Buffer
        data = input_data.extract_dup(0, input_data.get_size())
    else:
        raise TypeError('the input is an array, bytes, a pair of pointer and size, or a Gst.Buffer, '
                        f'not {type(input_data).__name__}')
    _invoke(interpreter, data, len(data))


def _is_memory(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], ctypes.c_void_p) and isinstance(
        value[1], (int, np.integer))
