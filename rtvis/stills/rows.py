"""What a batch of pictures gave, a row for each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from rtvis.data import Result, Selection
from rtvis.engine.engine import Engine


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Row:
    """One picture's part of a Result."""

    scores_K: Tensor
    maps_CHW: Tensor
    cam_HW: Tensor
    backprop_CHW: Tensor
    class_index: int
    position: tuple[int, int]
    value: float
    health: int
    selection: Selection

    @classmethod
    def of(cls, result: Result, index: int) -> Self:
        """That of the picture with this index."""
        row, column = result.position_B2[index].tolist()
        return cls(
            scores_K=result.scores_BK[index],
            maps_CHW=result.maps_BCHW[index],
            cam_HW=result.cam_BHW[index],
            backprop_CHW=result.backprop_B3HW[index],
            class_index=int(result.class_index_B[index]),
            position=(row, column),
            value=float(result.value_B[index]),
            health=int(result.health_B[index]),
            selection=result.selection,
        )


def run(engine: Engine, x_BCHW: Tensor, selection: Selection) -> list[Row]:
    """One row per picture; a short batch is filled up, for another size is another graph."""
    count = x_BCHW.shape[0]
    missing = engine.batch_size - count if count > 1 else 0
    if missing:
        x_BCHW = torch.cat([x_BCHW, x_BCHW[-1:].expand(missing, -1, -1, -1)])
    result = engine.run(x_BCHW, selection)
    return [Row.of(result, index) for index in range(count)]


def run_each(engine: Engine, x_BCHW: Tensor, choices: Sequence[Selection]) -> list[Row]:
    """Rows for selections that differ; pictures with the same one run together."""
    rows: dict[int, Row] = {}
    for selection in dict.fromkeys(choices):
        at = [index for index, each in enumerate(choices) if each == selection]
        rows.update(zip(at, run(engine, x_BCHW[at], selection), strict=True))
    return [rows[index] for index in range(len(choices))]
