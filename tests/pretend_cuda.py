"""A CUDA device that is not there: tensors say they are on it, and compute on the CPU.

Inside `pretend_cuda()` a tensor on `cuda:0` is a wrapper around one in host memory. Every operation
goes through `_run`, which raises where a GPU would: two devices meet, CUDA has no such kernel, or
something waits for the device where `no_waiting()` forbids it. What a GPU does later is done later:
a download arrives when an event after it has been waited for, and a CUDA graph computes nothing
until it is replayed.

What it does not see: the order of streams, the memory of a GPU, Triton's and CuPy's code.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
CUDA = torch.device("cuda", 0)

WAITS = {
    aten._local_scalar_dense.default: "a number is read on the host",
    aten.nonzero.default: "the host must know how many there are",
    aten.masked_select.default: "the host must know how many there are",
    aten._unique2.default: "the host must know how many there are",
    aten.unique_dim.default: "the host must know how many there are",
    aten.unique_consecutive.default: "the host must know how many there are",
    aten.unique_dim_consecutive.default: "the host must know how many there are",
    aten.repeat_interleave.Tensor: "the host must know how many there are",
    aten.bincount.default: "the host must know how many there are",
    aten.equal.default: "a truth is read on the host",
    aten.linalg_eigh.default: "the solver's report is read on the host",
    aten._linalg_eigh.default: "the solver's report is read on the host",
    aten._linalg_svd.default: "the solver's report is read on the host",
}
"""Operations whose CUDA form waits for the device."""

_NO_CAPTURE = "a graph captures no work that waits"


class WaitedError(RuntimeError):
    """A GPU would have been waited for where that is forbidden."""


class DevicesMetError(RuntimeError):
    """One operation was given tensors of both devices."""


class NoKernelError(RuntimeError):
    """CUDA has no such operation."""


class OnCuda(Tensor):
    """A tensor that says it is on `cuda:0`."""

    inner: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: Tensor) -> "OnCuda":
        made = Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=CUDA,
        )
        made.inner = inner
        return made

    def __repr__(self) -> str:
        return f"OnCuda({self.inner!r})"

    def tolist(self) -> Any:
        return self.cpu().tolist()

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _outside_inference(func, args, kwargs or {})


class Device:
    """What the pretended device is about to do."""

    now: ClassVar["Device | None"] = None

    def __init__(self) -> None:
        self.waiting_forbidden = 0
        self.num_waits = 0
        self.captured: list[Callable[[], None]] | None = None
        self.capture_outputs: list[Tensor] = []
        self.pinned: dict[int, Any] = {}
        self.streams = threading.local()

    @property
    def stream(self) -> "Stream":
        if not hasattr(self.streams, "current"):
            self.streams.current = DEFAULT_STREAM
        return self.streams.current

    def wait(self, what: str) -> None:
        self.num_waits += 1
        if self.captured is not None:
            raise WaitedError(f"{_NO_CAPTURE}: {what}")
        if self.waiting_forbidden:
            raise WaitedError(what)


class Stream:
    """Downloads that are on their way."""

    cuda_stream = 0

    def __init__(self, device: object = None) -> None:
        self.under_way: list[Callable[[], None]] = []

    def wait_stream(self, other: "Stream") -> None:
        self.under_way += [each for each in other.under_way if each not in self.under_way]

    def synchronize(self) -> None:
        for each in self.under_way:
            each()
        self.under_way.clear()


DEFAULT_STREAM = Stream()


class Event:
    """Everything that was under way when it was recorded."""

    def __init__(self, enable_timing: bool = False) -> None:
        self._before: list[Callable[[], None]] = []
        self._num_asked = 0

    def record(self, stream: Stream | None = None) -> None:
        self._before = list((stream or _device().stream).under_way)

    def query(self) -> bool:
        """Not at the first time: whoever asks has to come back."""
        self._num_asked += 1
        if self._num_asked > 1:
            self.synchronize()
        return self._num_asked > 1

    def synchronize(self) -> None:
        for each in self._before:
            each()

    def elapsed_time(self, other: "Event") -> float:
        return 1.0


class Graph:
    """What was captured, and is done at each replay."""

    def __init__(self) -> None:
        self.work: list[Callable[[], None]] = []

    def replay(self) -> None:
        with torch.inference_mode():
            for each in self.work:
                each()


@contextlib.contextmanager
def _capturing(graph: Graph, **_: object) -> Iterator[None]:
    device = _device()
    device.captured, device.capture_outputs = graph.work, []
    try:
        yield
    finally:
        outputs, device.captured = device.capture_outputs, None
    # A capture computes nothing: what it hands out is nonsense before the first replay.
    with torch.inference_mode():
        for each in outputs:
            each.fill_(77)


@contextlib.contextmanager
def _on_stream(stream: Stream) -> Iterator[None]:
    streams, before = _device().streams, _device().stream
    streams.current = stream
    try:
        yield
    finally:
        streams.current = before


def _device() -> Device:
    assert Device.now is not None, "only inside pretend_cuda()"
    return Device.now


def _inner(value: Any) -> Any:
    """What the CPU is given; lists of tensors are one deep in any operation."""
    if isinstance(value, OnCuda):
        return value.inner
    return [_inner(each) for each in value] if isinstance(value, list | tuple) else value


def _tensors(*values: Any) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(*value)


def _is_cuda(device: object) -> bool:
    return device is not None and torch.device(device).type == "cuda"


LEAVES = {
    *WAITS,
    aten.batch_norm.default,
    aten.scaled_dot_product_attention.default,
}
"""Not to be taken apart as on a GPU, where parts of them are cuDNN's own."""


def _cudnn_batch_norm(x, weight, bias, mean, var, training, momentum, eps):
    found = aten.native_batch_norm(x, weight, bias, mean, var, training, momentum, eps)
    return (*found, torch.empty(0, dtype=torch.uint8))


OWN_FORMS = {aten.cudnn_batch_norm.default: _cudnn_batch_norm}


@functools.cache
def _has_form(func: Any, *keys: str) -> bool:
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    return any(has(func.name(), key) for key in keys)


def _outside_inference(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Wrappers cannot be inference tensors: views of those want no version, and they have one."""
    if not torch.is_inference_mode_enabled():
        return _run(func, args, kwargs)
    with torch.inference_mode(mode=False), torch.no_grad():
        return _run(func, args, kwargs)


def _run(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = [*_tensors(*args, *kwargs.values())]
    on_cuda = [each for each in given if isinstance(each, OnCuda)]
    asked = kwargs.get("device")
    if not on_cuda and not _is_cuda(asked) and not kwargs.get("pin_memory"):
        return func(*args, **kwargs)
    if func not in LEAVES and _has_form(func, "CompositeImplicitAutograd"):
        with _Everywhere():  # what it makes out of nothing
            found = func.decompose(*args, **kwargs)
        if found is not NotImplemented:
            return found
    if func is aten._pin_memory.default or func is aten.is_pinned.default:
        raise AssertionError("pinned memory is pretended elsewhere")
    if func is aten._to_copy.default:
        return _copied(args[0], dict(kwargs))
    if func is aten.copy_.default:
        return _copied_into(*args, **kwargs)
    to_cuda = _is_cuda(asked) or (asked is None and bool(on_cuda))
    kwargs = {**kwargs, "device": torch.device("cpu")} if _is_cuda(asked) else dict(kwargs)
    is_pinned = kwargs.pop("pin_memory", None)
    if on_cuda:
        _check(func, args, given)
    if to_cuda:
        _check_kernel(func)
        if func in WAITS:
            _device().wait(f"{func}: {WAITS[func]}")
    inner_args = tuple(_inner(each) for each in args)
    inner_kwargs = {key: _inner(each) for key, each in kwargs.items()}
    found = OWN_FORMS.get(func, func)(*inner_args, **inner_kwargs)
    if not to_cuda:
        if is_pinned:
            _pin(found)
        return found
    _capture(func, inner_args, inner_kwargs, found)
    wrappers = {id(each.inner): each for each in on_cuda}

    def wrapped(each: Any) -> Any:
        if isinstance(each, list | tuple):
            return type(each)(wrapped(one) for one in each)
        if not isinstance(each, Tensor):
            return each
        return wrappers[id(each)] if id(each) in wrappers else OnCuda(each)

    return wrapped(found)


def _capture(func: Any, args: Any, kwargs: Any, found: Any) -> None:
    device = _device()
    if device.captured is None:
        return
    given = {each.untyped_storage().data_ptr() for each in _tensors(*args, *kwargs.values())}
    made = [*_tensors(found)]
    fresh = [each for each in made if each.untyped_storage().data_ptr() not in given]
    if made and not fresh and not func._schema.is_mutable:
        return  # a view of what is there
    device.capture_outputs += fresh

    def again() -> None:
        for held, new in zip(made, _tensors(func(*args, **kwargs)), strict=True):
            if held is not new:
                held.copy_(new)

    device.captured.append(again)


def _check(func: Any, args: tuple[Any, ...], given: list[Tensor]) -> None:
    """Tensors of both devices meet only where CUDA lets them."""
    for each in given:
        if isinstance(each, OnCuda):
            continue
        if each.dim() == 0 and (torch.Tag.pointwise in func.tags or func in TAKES_NUMBERS):
            continue  # a number that becomes an argument of the kernel
        if func in INDEXED and isinstance(args[0], OnCuda):
            _device().wait(f"{func}: indices in host memory are uploaded")
            continue
        raise DevicesMetError(f"{func}: a tensor {list(each.shape)} is on the CPU")
    if func in INDEXED:
        masks = [e for e in args[1] if e is not None and e.dtype in {torch.bool, torch.uint8}]
        # CUDA fills under a mask without counting.
        fills = func is not aten.index.Tensor and args[2].numel() == 1
        if masks and not fills:
            _device().wait(f"{func}: the host must know how many a mask has")


TAKES_NUMBERS = {aten.fill_.Tensor, aten.index_put_.default}
"""Not pointwise, but what an assignment of a number becomes, in torch 2.11 with a tensor of it."""

INDEXED = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._unsafe_index.Tensor,
}


def _check_kernel(func: Any) -> None:
    composite = "CompositeExplicitAutograd", "CompositeExplicitAutogradNonFunctional"
    if not _has_form(func, "CUDA", "CompositeImplicitAutograd", *composite):
        raise NoKernelError(f"{func} has no form on CUDA")


def _pin(value: Tensor) -> Tensor:
    # By its memory: the wrapper of a view would be another object.
    _device().pinned[value.untyped_storage().data_ptr()] = value.untyped_storage()
    return value


def _is_pinned(value: Tensor) -> bool:
    return value.untyped_storage().data_ptr() in _device().pinned


def _copied(value: Tensor, options: dict[str, Any]) -> Tensor:
    asked, is_on = options.pop("device", None), isinstance(value, OnCuda)
    to_cuda = is_on if asked is None else _is_cuda(asked)
    is_blocking = not options.pop("non_blocking", False)
    if options.pop("pin_memory", None):
        raise AssertionError("pin_memory belongs to empty()")
    found = aten._to_copy.default(_inner(value), **options)
    if is_on and not to_cuda:
        # Into memory that is not pinned, which is always waited for.
        _device().wait("a download into pageable memory" + " that blocks" * is_blocking)
        return found
    if to_cuda and not is_on:
        _check_upload(value, is_blocking)
    if not to_cuda:
        return found
    _capture(aten._to_copy.default, (_inner(value),), options, found)
    return OnCuda(found)


def _check_upload(value: Tensor, is_blocking: bool) -> None:
    if is_blocking:
        _device().wait(f"an upload of {list(value.shape)} that blocks")
    elif not _is_pinned(value):
        _device().wait(f"an upload of {list(value.shape)} from pageable memory")


def _copied_into(into: Tensor, value: Tensor, non_blocking: bool = False) -> Tensor:
    to_cuda, is_on = isinstance(into, OnCuda), isinstance(value, OnCuda)
    if is_on and not to_cuda:
        if not (non_blocking and _is_pinned(into)):
            _device().wait("a download that blocks")
            return aten.copy_.default(into, value.inner)
        sent = value.inner.clone()
        into.fill_(0xAA % 128)  # until it has arrived
        _device().stream.under_way.append(lambda: into.copy_(sent))
        return into
    if to_cuda and not is_on and not (value.dim() == 0 and value.numel() == 1):
        _check_upload(value, not non_blocking)
    found = aten.copy_.default(_inner(into), _inner(value))
    _capture(aten.copy_.default, (_inner(into), _inner(value)), {}, found)
    return into


class _Everywhere(TorchDispatchMode):
    """What makes tensors out of nothing, and what uploads."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _outside_inference(func, args, kwargs or {})


@contextlib.contextmanager
def no_waiting() -> Iterator[None]:
    """Whatever waits for the device raises."""
    _device().waiting_forbidden += 1
    try:
        yield
    finally:
        _device().waiting_forbidden -= 1


@contextlib.contextmanager
def pretend_cuda() -> Iterator[Device]:
    """A machine with one GPU."""
    torch._C._ensureCUDADeviceGuardSet()  # indexing asks which GPU is the current one
    patch = pytest.MonkeyPatch()
    Device.now = device = Device()
    run_thread = threading.Thread.run

    def run_with_cuda(self: threading.Thread) -> None:
        with _Everywhere():
            run_thread(self)

    def pin_memory(self: Tensor, *_: object) -> Tensor:
        assert not isinstance(self, OnCuda), "only host memory can be pinned"
        return _pin(self.clone())

    patch.setattr(threading.Thread, "run", run_with_cuda)
    patch.setattr(Tensor, "pin_memory", pin_memory)
    patch.setattr(Tensor, "record_stream", lambda *_: None)
    patch.setattr("rtvis.render.tiles.cuda_kernel", lambda _: None)  # it would want real memory
    for name, stand_in in {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "set_device": lambda _: None,
        "device": lambda _: contextlib.nullcontext(),
        "get_device_name": lambda *_: "pretended",
        "get_rng_state": lambda *_: torch.zeros(0, dtype=torch.uint8),
        "set_rng_state": lambda *_: None,
        "manual_seed_all": lambda _: None,
        "memory_reserved": lambda *_: 0,
        "empty_cache": lambda: None,
        "synchronize": lambda *_: None,
        "current_stream": lambda *_: device.stream,
        "default_stream": lambda *_: DEFAULT_STREAM,
        "Stream": Stream,
        "stream": _on_stream,
        "Event": Event,
        "CUDAGraph": Graph,
        "graph": _capturing,
        "graph_pool_handle": lambda: (0, 0),
        "is_current_stream_capturing": lambda: device.captured is not None,
    }.items():
        patch.setattr(torch.cuda, name, stand_in)
    # `torch.tensor(numbers, device="cuda")` is then made on the CPU and uploaded, for all to see.
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        with _Everywhere():
            yield device
    finally:
        torch._C._set_only_lift_cpu_tensors(False)
        patch.undo()
        Device.now = None
        DEFAULT_STREAM.under_way.clear()
