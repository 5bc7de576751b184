"""Weights from files: read without running their code, matched by name, or refused in one line."""

import json
import pickle
import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from rtvis.errors import WeightsError

_CONTAINERS: Final = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights",
    "module", "params", "params_ema", "ema_state_dict", "ema",
)  # fmt: skip
"""Keys under which training scripts put the tensors, most telling first."""

_PREFIXES: Final = (
    "module.", "model.", "_orig_mod.", "net.", "network.", "backbone.", "encoder.", "student.",
)  # fmt: skip

_IGNORED: Final = ("num_batches_tracked", "total_ops", "total_params")
"""Last parts of keys that do not matter in eval mode, or that profilers leave behind."""

_AUXILIARY: Final = ("aux1.", "aux2.", "AuxLogits.", "aux_classifier.")
"""Training heads of GoogLeNet, InceptionV3 and segmentation models, which rtvis leaves out."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Checkpoint:
    """What a weights file holds."""

    path: str
    tensors: dict[str, Tensor]
    metadata: dict[str, Any] = field(default_factory=dict)
    """What stood beside the tensors: class names, mean, input_size ..."""


def read_checkpoint(path: str, *, trust_pickle: bool = False) -> Checkpoint:
    """Read safetensors, or what `torch.save` wrote, told apart by content.

    Args:
        path: A file with a state dict, possibly within a training checkpoint.
        trust_pickle: Also read pickled models. This runs code from the file.

    Raises:
        WeightsError: Not readable, not weights, or a pickle that is not trusted.
    """
    head = _head(path)
    if _is_safetensors(head):
        return _read_safetensors(path)
    loaded = load_pickle(path, head, trust_pickle=trust_pickle)
    if isinstance(loaded, nn.Module):
        return Checkpoint(path=path, tensors=loaded.state_dict())
    return _unpack(path, loaded)


def load_pickle(path: str, head: bytes | None = None, *, trust_pickle: bool) -> Any:
    """What `torch.load` gives: of plain data only, unless the file is trusted.

    Raises:
        WeightsError: Not readable, not such a file, or not trusted.
    """
    head = _head(path) if head is None else head
    if not head.startswith((b"PK\x03\x04", b"\x80")):
        start = head[:24].decode("utf-8", errors="replace").split("\n")[0]
        raise WeightsError(
            f"{path}: not a weights file (it begins with {start!r}); "
            "give safetensors, or a state dict saved by torch.save"
        )
    try:
        with warnings.catch_warnings():
            # Torch warns about newer pickle protocols, and then refuses or reads them all the same.
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=not trust_pickle)
    except pickle.UnpicklingError as fault:
        if trust_pickle:
            raise WeightsError(f"{path}: damaged: {_first_line(fault)}") from fault
        raise WeightsError(
            f"{path}: holds pickled objects{_refused(fault)}, and loading those runs code from the "
            "file; save model.state_dict() instead, or pass --trust-pickle if you trust its author"
        ) from fault
    except (RuntimeError, EOFError, OSError, KeyError, ValueError) as fault:
        raise WeightsError(f"{path}: damaged or cut short: {_first_line(fault)}") from fault
    except (AttributeError, ImportError) as fault:
        raise WeightsError(f"{path}: its classes cannot be found: {_first_line(fault)}") from fault


def load_into(model: nn.Module, checkpoint: Checkpoint, *, name: str) -> None:
    """Copy the tensors into `model`, all of them or none.

    Raises:
        WeightsError: Keys are missing or unexpected, or shapes differ; one line says how many and
            names the first few.
    """
    expected = model.state_dict()
    tensors = match_prefixes(checkpoint.tensors, expected)
    missing = [key for key in expected if key not in tensors and not _is_ignored(key)]
    unexpected = [key for key in tensors if key not in expected and not _is_ignored(key)]
    mismatched = [
        f"{key} is {_shape(tensors[key])} instead of {_shape(expected[key])}"
        for key in tensors
        if key in expected and tensors[key].shape != expected[key].shape
    ]
    if missing or unexpected or mismatched:
        num_fitting = sum(key in tensors for key in expected) - len(mismatched)
        report = [
            f"{len(keys)} {what} ({_few(keys)})"
            for what, keys in (
                ("missing", missing),
                ("unexpected", unexpected),
                ("of another shape", mismatched),
            )
            if keys
        ]
        raise WeightsError(
            f"{checkpoint.path}: not the weights of {name}: {num_fitting} of {len(expected)} "
            f"tensors fit; {', '.join(report)}"
        )
    model.load_state_dict({key: tensors[key] for key in expected if key in tensors}, strict=False)


def match_prefixes(tensors: dict[str, Tensor], expected: Mapping[str, Any]) -> dict[str, Tensor]:
    """`tensors` without (or with) the prefix that makes most of their names the expected ones.

    `DataParallel`, `torch.compile` and training frameworks put `module.`, `_orig_mod.`, `model.`
    before every name, sometimes several of them; or the network has one that the file lacks.
    """
    best, most = tensors, _num_common(tensors, expected)
    while most < len(expected):
        candidates = [
            {key.removeprefix(prefix): value for key, value in best.items()}
            for prefix in _PREFIXES
            if any(key.startswith(prefix) for key in best)
        ]
        counts = [_num_common(candidate, expected) for candidate in candidates]
        if not counts:
            break
        if max(counts) <= most:
            if most > 0:
                break
            # Nothing fits yet: one prefix may hide the next, as in `module.model.conv1.weight`.
            best = candidates[0]
            continue
        most = max(counts)
        best = candidates[counts.index(most)]
    if most == 0 and expected:
        first = next(iter(expected)).split(".")[0] + "."
        added = {first + key: value for key, value in tensors.items()}
        if _num_common(added, expected) > 0:
            return added
        return tensors  # The report should speak of the names as the file has them.
    return best


def num_classes_in(tensors: Mapping[str, Tensor], model: nn.Module, num_classes: int) -> int | None:
    """The number of classes of fine-tuned weights, if they differ from `model` by that alone."""
    expected = model.state_dict()
    matched = match_prefixes(dict(tensors), expected)
    found: set[int] = set()
    for key, value in expected.items():
        if key not in matched or matched[key].shape == value.shape:
            continue
        shape = matched[key].shape
        if value.shape[:1] != (num_classes,) or shape[1:] != value.shape[1:] or not shape:
            return None
        found.add(shape[0])
    return found.pop() if len(found) == 1 else None


def _head(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            head = file.read(64)
    except IsADirectoryError as fault:
        raise WeightsError(f"{path}: is a folder; give a weights file") from fault
    except OSError as fault:
        raise WeightsError(f"{path}: cannot read weights: {fault.strerror}") from fault
    if not head:
        raise WeightsError(f"{path}: the file is empty")
    return head


def _is_safetensors(head: bytes) -> bool:
    """Eight bytes of header length, then JSON."""
    return len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 2**32


def _read_safetensors(path: str) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            texts = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as fault:
        raise WeightsError(f"{path}: damaged or cut short: {_first_line(fault)}") from fault
    if not tensors:
        raise WeightsError(f"{path}: holds no tensors")
    return Checkpoint(path=path, tensors=tensors, metadata=_parsed(texts))


def _parsed(texts: Mapping[str, str]) -> dict[str, Any]:
    """Safetensors metadata are texts; lists and numbers in them are JSON."""
    values: dict[str, Any] = {}
    for key, text in texts.items():
        try:
            values[key] = json.loads(text)
        except json.JSONDecodeError:
            values[key] = text
    return values


def _unpack(path: str, loaded: Any) -> Checkpoint:
    """Find the tensors in nested dicts; keep what else there is as metadata."""
    metadata: dict[str, Any] = {}
    while isinstance(loaded, Mapping):
        tensors = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}
        metadata |= {str(k): v for k, v in loaded.items() if not isinstance(v, Tensor | nn.Module)}
        inner = next((loaded[key] for key in _CONTAINERS if _holds_tensors(loaded.get(key))), None)
        if inner is None:
            if tensors:
                return Checkpoint(path=path, tensors=tensors, metadata=metadata)
            break
        loaded = inner.state_dict() if isinstance(inner, nn.Module) else inner
    kind = type(loaded).__name__
    keys = (
        f" with the keys {_few([str(key) for key in loaded])}" if isinstance(loaded, dict) else ""
    )
    raise WeightsError(f"{path}: no state dict in it, but a {kind}{keys}")


def _holds_tensors(value: Any) -> bool:
    if isinstance(value, nn.Module):
        return True
    if not isinstance(value, Mapping):
        return False
    return any(isinstance(v, Tensor) for v in value.values()) or any(
        _holds_tensors(value.get(key)) for key in _CONTAINERS
    )


def _num_common(tensors: Mapping[str, Any], expected: Mapping[str, Any]) -> int:
    return sum(key in expected for key in tensors)


def _is_ignored(key: str) -> bool:
    return key.rsplit(".", 1)[-1] in _IGNORED or key.startswith(_AUXILIARY)


def _few(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", ..." if len(names) > count else "")


def _shape(tensor: Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "a scalar"


def _refused(fault: pickle.UnpicklingError) -> str:
    """What torch found in the file that is no plain data: " (GLOBAL models.Net)", or nothing."""
    # Some reasons follow on the same line, others after an empty one.
    reason = str(fault).partition("WeightsUnpickler error: ")[2].strip()
    text = reason.partition("\n")[0].split(" was not an allowed", 1)[0].strip()
    return f" ({text})" if text else ""


def _first_line(fault: BaseException) -> str:
    lines = str(fault).strip().splitlines()
    return lines[0] if lines else type(fault).__name__
