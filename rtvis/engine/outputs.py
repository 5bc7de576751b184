"""Networks that return a dict, a tuple or an object with fields instead of one tensor."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from torch import Tensor, nn

from rtvis.errors import NetworkError

_KEYS: Final = ("logits", "scores", "out", "output", "pred", "predictions")
"""Where scores are usually found, best first."""


class SingleOutput(nn.Module):
    """`model`, with its scores chosen out of whatever it returns.

    It shares the model's children, parameters and buffers under their own names: layers are
    called as in `model.named_modules()`. Of a mapping it takes "logits", "scores", "out" ..., else
    the first tensor; of a sequence or an object with fields (InceptionV3's and GoogLeNet's
    outputs) the first tensor likewise.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        # Not registered as a child, which would put "model." before every name.
        object.__setattr__(self, "_inner", model)
        self._modules = model._modules
        self._parameters = model._parameters
        self._buffers = model._buffers
        self._non_persistent_buffers_set = model._non_persistent_buffers_set
        self.training = model.training

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """The scores of the model: [B, K]."""
        inner: nn.Module = self.__dict__["_inner"]
        return choose_scores(inner(*args, **kwargs), type(inner).__name__)

    def train(self, mode: bool = True) -> "SingleOutput":
        """Set the mode of the model too, which is no child of this module."""
        self.__dict__["_inner"].train(mode)
        self.training = mode
        return self


def wrap(model: nn.Module) -> nn.Module:
    """A module that returns the one score tensor of `model`; nothing of `model` is changed."""
    return model if isinstance(model, SingleOutput) else SingleOutput(model)


def choose_scores(output: Any, name: str) -> Tensor:
    """The tensor [B, K] among what a model returned.

    Raises:
        NetworkError: There is none.
    """
    scores = _find(output)
    if scores is None:
        raise NetworkError(
            f"{name} returns {_describe(output)}, which holds no scores; rtvis needs one tensor "
            f"[batch, classes], or a dict with one of: {', '.join(_KEYS)}"
        )
    return scores


def _find(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output.flatten(1) if _is_scores(output) else None
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        output = {field.name: getattr(output, field.name) for field in dataclasses.fields(output)}
    if isinstance(output, Mapping):
        ordered = [output[key] for key in _KEYS if key in output]
        ordered += [value for key, value in output.items() if key not in _KEYS]
    elif isinstance(output, Sequence) and not isinstance(output, str | bytes):
        ordered = list(output)
    else:
        return None
    return next((found for value in ordered if (found := _find(value)) is not None), None)


def _is_scores(value: Tensor) -> bool:
    """[B, K], or [B, K, 1, 1] of a fully convolutional classifier."""
    is_flat = value.ndim == 2 or (value.ndim == 4 and value.shape[2:] == (1, 1))
    return is_flat and value.is_floating_point()


def _describe(output: Any) -> str:
    if isinstance(output, Tensor):
        kind = str(output.dtype).removeprefix("torch.")
        return f"a {kind} tensor of shape {tuple(output.shape)}"
    if isinstance(output, Mapping):
        return f"a dict with {', '.join(map(str, output)) or 'nothing'}"
    if isinstance(output, list | tuple):
        return f"a {type(output).__name__} of {', '.join(type(item).__name__ for item in output)}"
    return f"a {type(output).__name__}"
