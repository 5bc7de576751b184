"""The rules of ReLU for a model that runs as it is: every activation, however it is called.

They are those of `rtvis.engine.flat.vjps`, for autograd instead of a graph. An activation that one
of torch's own functions calls inside itself, or that TorchScript has compiled, is not seen here and
keeps its true derivative.
"""

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from rtvis.engine.flat.vjps import Thresholds, clamped

Function: TypeAlias = Callable[..., Any]

PLAIN = Thresholds(0.0, -math.inf)
"""The true derivative."""


class RuledActivations(TorchFunctionMode):
    """While it is entered, what activations compute passes gradients by the rule.

    Which rule is read when a gradient arrives, so that one run of the model serves several.
    """

    def __init__(self) -> None:
        super().__init__()
        self.thresholds = PLAIN
        self.behind: dict[str, Tensor] = {}
        """What left the activations behind the values watched, by name."""
        self._watched: list[tuple[Tensor, str]] = []

    def watch(self, value: Tensor, name: str) -> None:
        """Keep what leaves the activation that reads `value`, itself or behind a batch norm."""
        self._watched.append((value, name))

    def __torch_function__(
        self,
        func: Function,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """What `func` returns, with the rule behind it."""
        kwargs = kwargs or {}
        name = self._name_of(args[0] if args else kwargs.get("input"))
        result = self._ruled(func, args, kwargs)
        if name is None or not isinstance(result, Tensor):
            return result
        if func in _BATCH_NORM:
            self.watch(result, name)
        elif func in _KNOWN or func in _OTHER_ACTIVATIONS:
            self.behind[name] = result
            return result.clone()  # what follows may write over it
        return result

    def _name_of(self, value: object) -> str | None:
        return next((name for watched, name in self._watched if watched is value), None)

    def _ruled(self, func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func not in _KNOWN:
            return func(*args, **kwargs)
        plain, args, kwargs, writes = _plainly(func, args, kwargs)
        x: Any = args[0] if args else kwargs.get("input")
        limits = _limits(plain, args, kwargs)
        if limits is not None:
            y = _rectified(x, *limits, self)
        elif plain in _MAXIMUM:
            value = _beside_zero(*args[:2]) if len(args) > 1 else None
            return (
                func(*args, **kwargs) if value is None else _rectified(value, 0.0, math.inf, self)
            )
        elif plain in _SMOOTH:
            if writes:  # its derivative needs what is then written over
                args, kwargs = _with_input(x.clone(), args, kwargs)
            y = _ruled(plain(*args, **kwargs), self)
        else:
            return func(*args, **kwargs)
        return x.copy_(y) if writes else y


class _Rectified(torch.autograd.Function):
    """clamp(x, low, high), whose gradient passes by the rule."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float, rules: RuledActivations) -> Tensor:
        y = x.clamp(low, high)
        # The value itself may be written over by what follows.
        ctx.save_for_backward((y > low) & (y < high))
        ctx.rules = rules
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
        (is_open,) = ctx.saved_tensors
        thresholds: Thresholds = ctx.rules.thresholds
        if isinstance(thresholds.tx, Tensor):
            is_open = is_open | thresholds.tx.isneginf()
        elif thresholds.tx == -math.inf:
            return clamped(g, thresholds), None, None, None
        return torch.where(is_open, clamped(g, thresholds), 0.0), None, None, None


class _Ruled(torch.autograd.Function):
    """The identity; what arrives at a smooth activation is clamped by the rule."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, rules: RuledActivations) -> Tensor:
        ctx.rules = rules
        return y.clone()  # a view of it could not be written over by what follows

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        return clamped(g, ctx.rules.thresholds), None


def _rectified(x: Tensor, low: float, high: float, rules: RuledActivations) -> Tensor:
    y: Tensor = _Rectified.apply(x, low, high, rules)
    return y


def _ruled(y: Tensor, rules: RuledActivations) -> Tensor:
    ruled: Tensor = _Ruled.apply(y, rules)
    return ruled


def _plainly(
    func: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Function, tuple[Any, ...], dict[str, Any], bool]:
    """The call in its form that does not write over its argument, and whether it would have."""
    if func in _IN_PLACE:
        return _IN_PLACE[func], args, kwargs, True
    signature = _signature(func)
    if signature is None or "inplace" not in signature.parameters:
        return func, args, kwargs, False
    bound = signature.bind(*args, **kwargs)
    writes = bool(bound.arguments.pop("inplace", False))
    return func, bound.args, bound.kwargs, writes


def _with_input(
    x: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return ((x, *args[1:]), kwargs) if args else ((), {**kwargs, "input": x})


@functools.cache
def _signature(func: Function) -> inspect.Signature | None:
    return inspect.signature(func) if inspect.isfunction(func) else None


def _limits(func: Function, args: Any, kwargs: Any) -> tuple[float, float] | None:
    """(low, high) of ReLU and its clipped relatives; None where `func` is something else.

    A lower limit alone makes a ReLU if it is zero, as in `rtvis.engine.flat.trace`.
    """
    if func in _RELU:
        return 0.0, math.inf
    if func in _RELU6:
        return 0.0, 6.0
    if func in _HARDTANH:
        low = args[1] if len(args) > 1 else kwargs.get("min_val", -1.0)
        high = args[2] if len(args) > 2 else kwargs.get("max_val", 1.0)
        return float(low), float(high)
    if func not in _CLAMP:
        return None
    low = args[1] if len(args) > 1 else kwargs.get("min")
    high = args[2] if len(args) > 2 else kwargs.get("max")
    if isinstance(low, int | float) and isinstance(high, int | float):
        return float(low), float(high)
    return (0.0, math.inf) if isinstance(low, int | float) and low == 0 and high is None else None


def _beside_zero(left: Any, right: Any) -> Tensor | None:
    """The other one, where one of two tensors is a plain zero: what `torch.maximum` rectifies."""
    if not (isinstance(left, Tensor) and isinstance(right, Tensor)):
        return None  # torch.max along an axis
    for value, other in ((left, right), (right, left)):
        fits = other.shape == value.shape or (other.numel() == 1 and other.ndim <= value.ndim)
        if fits and not other.requires_grad and not other.any():
            return value
    return None


_RELU: set[Function] = {F.relu, torch.relu, Tensor.relu}
_RELU6: set[Function] = {F.relu6}
_HARDTANH: set[Function] = {F.hardtanh}
_CLAMP: set[Function] = {
    *(torch.clamp, Tensor.clamp, torch.clip, Tensor.clip),
    *(torch.clamp_min, Tensor.clamp_min),
}
_MAXIMUM: set[Function] = {torch.maximum, Tensor.maximum, torch.max, Tensor.max}
_SMOOTH: set[Function] = {
    *(F.gelu, F.silu, F.hardswish, F.leaky_relu, F.elu, F.mish, F.softplus),
    *(F.selu, F.celu, F.rrelu, F.prelu, torch.selu, torch.celu, torch.prelu, Tensor.prelu),
}
_IN_PLACE: dict[Function, Function] = {
    **dict.fromkeys((F.relu_, torch.relu_, Tensor.relu_), F.relu),
    F.hardtanh_: F.hardtanh,
    **dict.fromkeys((torch.clamp_, Tensor.clamp_, torch.clip_, Tensor.clip_), torch.clamp),
    **dict.fromkeys((torch.clamp_min_, Tensor.clamp_min_), torch.clamp_min),
    F.leaky_relu_: F.leaky_relu,
    F.elu_: F.elu,
    **dict.fromkeys((F.selu_, torch.selu_), F.selu),
    **dict.fromkeys((F.celu_, torch.celu_), F.celu),
    F.rrelu_: F.rrelu,
}
_OTHER_ACTIVATIONS: set[Function] = {
    *(torch.sigmoid, Tensor.sigmoid, F.sigmoid, torch.tanh, Tensor.tanh, F.tanh, F.hardsigmoid),
}
"""They pass every gradient by their true derivative."""
_BATCH_NORM: set[Function] = {F.batch_norm, torch.batch_norm}
_KNOWN: set[Function] = {*_RELU, *_RELU6, *_HARDTANH, *_CLAMP, *_MAXIMUM, *_SMOOTH, *_IN_PLACE}
