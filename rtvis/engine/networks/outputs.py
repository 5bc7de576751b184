"""Networks that return a dict, a tuple or an object with fields instead of one tensor."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from torch import Tensor, nn

from rtvis.engine.dense import is_dense
from rtvis.errors import NetworkError, did_you_mean

_KEYS: Final = ("logits", "scores", "out", "output", "pred", "predictions")
"""Where scores are usually found, best first."""

_MOST_NAMED: Final = 12
"""Outputs that an error lists."""


class Borrowing(nn.Module):
    """A module with the children, parameters and buffers of another one, under their own names.

    Layers are called as in `model.named_modules()`; nothing of `model` is changed.
    """

    inner: nn.Module
    cam_layer: str | None = None
    """At which layer a CAM is taken unless the user chooses, where the model knows it better."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        # Not registered as a child, which would put "model." before every name.
        object.__setattr__(self, "inner", model)
        self._modules = model._modules
        self._parameters = model._parameters
        self._buffers = model._buffers
        self._non_persistent_buffers_set = model._non_persistent_buffers_set
        self.training = model.training

    def train(self, mode: bool = True) -> "Borrowing":
        """Set the mode of the model too, which is no child of this module."""
        self.inner.train(mode)
        self.training = mode
        return self


class SingleOutput(Borrowing):
    """`model`, with its scores chosen out of whatever it returns.

    Of a mapping it takes "logits", "scores", "out" ..., else the first tensor; of a sequence or an
    object with fields (InceptionV3's and GoogLeNet's outputs) the first tensor likewise. Scores
    for the picture go before scores for each pixel. `output` names another one.
    """

    def __init__(self, model: nn.Module, output: str | None = None) -> None:
        super().__init__(model)
        self.output = output

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The scores of the model: [B, K], or [B, K, H, W] of a dense output."""
        size = (args[0].shape[-2], args[0].shape[-1])
        given = self.inner(*args, **kwargs)
        name = type(self.inner).__name__
        return choose_scores(given, name, output=self.output, input_size=size)


def wrap(model: nn.Module, output: str | None = None) -> nn.Module:
    """A module that returns the one score tensor of `model`; nothing of `model` is changed."""
    if isinstance(model, SingleOutput):
        return model if output is None else SingleOutput(model.inner, output)
    return SingleOutput(model, output)


def choose_scores(
    given: Any,
    name: str,
    *,
    output: str | None = None,
    input_size: tuple[int, int] | None = None,
) -> Tensor:
    """The scores among what a model returned: [B, K], or [B, K, H, W] of a dense output.

    Args:
        given: What it returned.
        name: What to call the model in errors.
        output: Which of its tensors: a key, a field or an index, nested ones joined by dots.
        input_size: (height, width) of the input. A tensor [B, H, W] in the same proportions is
            one score for each pixel.

    Raises:
        NetworkError: There is none, or `output` is not one of them.
    """
    if output is not None:
        value = _at(given, output, name)
        chosen = _as_scores(value) if isinstance(value, Tensor) else None
        if chosen is None:
            raise NetworkError(
                f"{name}: its output '{output}' is {_describe(value)}, not scores: a float tensor "
                f"[batch, classes], or [batch, classes, height, width]; {_listed(given)}"
            )
        return chosen
    for wanted in (_as_flat, lambda value: _as_dense(value, input_size)):
        found = _find(given, wanted)
        if found is not None:
            return found
    raise NetworkError(
        f"{name} returns {_describe(given)}, which holds no scores; rtvis needs one tensor "
        f"[batch, classes] or [batch, classes, height, width], or a dict with one of: "
        f"{', '.join(_KEYS)}; or name it: --output KEY (gradcam.py: --network-output)"
    )


def _find(given: Any, wanted: Callable[[Tensor], Tensor | None]) -> Tensor | None:
    if isinstance(given, Tensor):
        return wanted(given)
    fields = _fields(given)
    ordered = [fields[key] for key in _KEYS if key in fields]
    ordered += [value for key, value in fields.items() if key not in _KEYS]
    return next((found for each in ordered if (found := _find(each, wanted)) is not None), None)


def _fields(value: Any) -> dict[str, Any]:
    """What a value holds, by key, field or index; nothing for a tensor and for plain values."""
    if isinstance(value, Tensor | str | bytes | int | float) or value is None:
        return {}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): each for key, each in value.items()}
    if isinstance(value, Sequence):
        by_index = {str(index): each for index, each in enumerate(value)}
        return dict(zip(getattr(value, "_fields", ()), value, strict=False)) | by_index
    return {key: each for key, each in getattr(value, "__dict__", {}).items() if key[0] != "_"}


def _at(given: Any, output: str, name: str) -> Any:
    value, rest = given, output
    while rest:
        fields = _fields(value)
        # A key may hold dots itself: the longest that exists.
        parts = rest.split(".")
        keys = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
        key = next((key for key in keys if key in fields), None)
        if key is None:
            known = [path for path, _ in _leaves(given, "")]
            raise NetworkError(
                f"{name} has no output '{output}'{did_you_mean(output, known)}; {_listed(given)}"
            )
        value, rest = fields[key], rest[len(key) + 1 :]
    return value


def _listed(given: Any) -> str:
    leaves = list(_leaves(given, ""))
    if not leaves:
        return f"it returns {_describe(given)}"
    texts = [f"{path} ({_shape(value)})" for path, value in leaves[:_MOST_NAMED]]
    more = f" and {len(leaves) - _MOST_NAMED} more" if len(leaves) > _MOST_NAMED else ""
    return f"there are: {', '.join(texts)}{more}"


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Tensor]]:
    """Every tensor with its path; a field of a named tuple is not listed by its index again."""
    if isinstance(value, Tensor):
        if path:
            yield path, value
        return
    seen: set[int] = set()
    for key, each in _fields(value).items():
        if id(each) not in seen:
            seen.add(id(each))
            yield from _leaves(each, f"{path}.{key}" if path else key)


def _as_flat(value: Tensor) -> Tensor | None:
    """[B, K], also of a fully convolutional classifier's [B, K, 1, 1]."""
    is_flat = value.ndim == 2 or (value.ndim == 4 and value.shape[2:] == (1, 1))
    return value.flatten(1) if is_flat and value.is_floating_point() else None


def _as_dense(value: Tensor, input_size: tuple[int, int] | None) -> Tensor | None:
    """[B, K, H, W]; [B, H, W] in proportion to the input is one class."""
    if value.ndim == 3 and input_size is not None:
        height, width = value.shape[1:]
        if min(height, width) > 1 and height * input_size[1] == width * input_size[0]:
            value = value.unsqueeze(1)
    return value if is_dense(value) else None


def _as_scores(value: Tensor) -> Tensor | None:
    """[B, K] or [B, K, H, W] of a tensor that was asked for by name: [B] is one score, [B, H, W]
    one class."""
    if value.ndim in {1, 3}:
        value = value.unsqueeze(1)
    flat = _as_flat(value)
    return flat if flat is not None else _as_dense(value, None)


def _describe(output: Any) -> str:
    if isinstance(output, Tensor):
        kind = str(output.dtype).removeprefix("torch.")
        return f"a {kind} tensor of shape {tuple(output.shape)}"
    if isinstance(output, Mapping):
        return f"a dict with {', '.join(map(str, output)) or 'nothing'}"
    if isinstance(output, list | tuple):
        return f"a {type(output).__name__} of {', '.join(type(item).__name__ for item in output)}"
    return f"a {type(output).__name__}"


def _shape(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "one number"
