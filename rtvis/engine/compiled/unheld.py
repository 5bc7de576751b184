"""Compiled code of a CPU that runs while other threads of Python go on.

Torch's own binding keeps Python's lock (the GIL) for as long as the network computes: threads that
decode pictures meanwhile wait for it after each call of a library. Here the functions that the
compiled library exports are called through ctypes, which gives the lock away.
"""

import ctypes
import functools
import tempfile
import weakref
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

_CREATE: Final = "AOTInductorModelContainerCreateWithDevice"
_RUN: Final = "AOTInductorModelContainerRunSingleThreaded"
_NUM_OUTPUTS: Final = "AOTInductorModelContainerGetNumOutputs"
_DELETE: Final = "AOTInductorModelContainerDelete"


class UnheldRunner:
    """Runs the artifact of a piece on a CPU. For one thread at a time.

    Args:
        path: The artifact, as `compile_worker` leaves it.

    Raises:
        RuntimeError: It cannot be run in this way; torch's own binding can.
    """

    def __init__(self, path: Path) -> None:
        self._handle, self._path = ctypes.c_void_p(), path
        try:
            library = _loaded(path, path.stat().st_mtime_ns)
            create, count, delete = library[_CREATE], library[_NUM_OUTPUTS], library[_DELETE]
            self._run = library[_RUN]
            bindings: Any = torch._C._aoti
            self._handles_of = bindings.unsafe_alloc_void_ptrs_from_tensors
            self._tensors_of = bindings.alloc_tensors_by_stealing_from_void_ptrs
        except (OSError, AttributeError, zipfile.BadZipFile) as fault:
            raise RuntimeError(f"{path}: {fault}") from None
        _check(create(ctypes.byref(self._handle), ctypes.c_size_t(1), b"cpu", None), path)
        weakref.finalize(self, delete, self._handle)
        num = ctypes.c_size_t()
        _check(count(self._handle, ctypes.byref(num)), path)
        self._num_outputs = num.value

    def __call__(self, inputs: list[Tensor]) -> Sequence[Tensor]:
        """Run it on inputs of the shapes and strides that it was made for."""
        given = (ctypes.c_void_p * len(inputs))(*map(_pointer, self._handles_of(inputs)))
        found = (ctypes.c_void_p * self._num_outputs)()
        code = self._run(  # it owns what it is given
            self._handle,
            given,
            ctypes.c_size_t(len(inputs)),
            found,
            ctypes.c_size_t(self._num_outputs),
            None,
            None,
        )
        _check(code, self._path)
        tensors: list[Tensor] = self._tensors_of([_capsule(each) for each in found])
        return tensors


@functools.cache
def _loaded(path: Path, _changed_ns: int) -> ctypes.CDLL:
    """The library in an artifact: once, for it stays loaded, with its constants.

    Raises:
        AttributeError: Some of its operations are torch's own without a function in C, which wants
            an interpreter for them.
        OSError: It cannot be read.
        zipfile.BadZipFile: It is damaged.
    """
    with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
        names = archive.namelist()
        libraries = [name for name in names if name.endswith(".so")]
        told = [name for name in names if name.endswith(".json")]
        if len(libraries) != 1 or not all(name.endswith("metadata.json") for name in told):
            raise AttributeError("it is not one library that needs nothing else")
        # Loaded it stays, though its file goes.
        return ctypes.CDLL(archive.extract(libraries[0], folder))


def _check(code: int, path: Path) -> None:
    if code:
        raise RuntimeError(f"{path}: the compiled code failed ({code})")


_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype, _get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]


def _pointer(capsule: object) -> int:
    pointer: int = _get_pointer(capsule, None)
    return pointer


def _capsule(pointer: int | None) -> object:
    assert pointer, "it leaves every output"
    capsule: object = _new_capsule(pointer, None, None)
    return capsule
