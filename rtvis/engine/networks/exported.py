"""Exported programs (`torch.export.save`), and what they say about their input."""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from rtvis.errors import NetworkError, WeightsError


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Exported:
    """A program as a module, with what was fixed when it was exported; None: left open."""

    model: nn.Module
    """Its parameters, and so its layers, have the names of the model that was exported."""
    batch: int | None
    num_channels: int | None
    size: tuple[int | None, int | None]
    """(height, width) of its input."""


def load_exported(path: str, *, trust_pickle: bool) -> Exported:
    """The program in a `.pt2` file.

    Raises:
        WeightsError: The file is not trusted.
        NetworkError: It is no exported program, or does not take one batch of pictures.
    """
    if not trust_pickle:
        # torch.export.load reads some of its parts with weights_only=False (torch 2.11 to 2.15).
        raise WeightsError(
            f"{path}: torch unpickles parts of exported programs, which can run code from the "
            "file; pass --trust-pickle if you trust its author"
        )
    try:
        with warnings.catch_warnings():
            # Torch 2.11 warns about the buffers that it reads the file into itself.
            warnings.simplefilter("ignore", UserWarning)
            program = torch.export.load(path)
            model = program.module()
    except Exception as fault:
        text = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
        raise NetworkError(f"{path}: not an exported program: {text}") from fault
    # Its mode was chosen at the export and eval() is refused, but the flag still says "train".
    for module in model.modules():
        module.training = False
    batch, channels, height, width = _input_shape(program, path)
    if batch not in {None, 1}:
        raise NetworkError(
            f"{path}: was exported for batches of {batch} pictures; export it again with an "
            "example of one picture, or with a dynamic first dimension"
        )
    return Exported(model=model, batch=batch, num_channels=channels, size=(height, width))


def _input_shape(program: torch.export.ExportedProgram, path: str) -> list[int | None]:
    """Its four lengths, None where they are dynamic."""
    names = program.graph_signature.user_inputs
    inputs = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in names]
    shape = _shape(inputs[0]) if len(inputs) == 1 else []
    if len(shape) != 4:
        raise NetworkError(
            f"{path}: the program takes {_described(inputs)}; rtvis gives it one tensor [batch, "
            "channels, height, width]"
        )
    return shape


def _shape(node: fx.Node) -> list[int | None]:
    value = node.meta.get("val")
    lengths: Any = value.shape if isinstance(value, torch.Tensor) else ()
    return [length if isinstance(length, int) else None for length in lengths]


def _described(inputs: list[fx.Node]) -> str:
    if len(inputs) != 1:
        return f"{len(inputs)} inputs"
    return f"an input of {len(_shape(inputs[0]))} dimensions"
