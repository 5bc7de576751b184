"""Where in the picture the tokens of a layer lie, found by sending coordinates through the graph.

A dense layer on tokens computes [B * T, C]: which row belongs to which place of the picture is
decided far away, by a patch embedding, a class token put in front, a window partition, a roll, a
merge of four tokens into one. So every element of every value gets a coordinate, y + ix in input
pixels, and the graph is run on those: operations that move elements about move the coordinates
with them, a convolution or a mean takes the mean of what it reads, a matrix product gives each row
the mean of its own row, attention gives each query its own place, and what comes from no place (a
class or register token) is NaN. `rtvis.engine.flat.place_rules` has a rule for each operation.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from rtvis.engine.flat.graph import depends_on, input_of
from rtvis.engine.flat.place_rules import mean_place, nowhere, transfer


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """How the tokens of one picture form a map."""

    map_size: tuple[int, int]
    rows: tuple[int, ...]
    """The token of each place of the map, places counted row by row."""
    others: tuple[int, ...]
    """Tokens that lie nowhere: class and register tokens."""
    stride: tuple[float, float]
    """Input pixels (rows, columns) between neighbouring places."""


def find_places(module: fx.GraphModule, wanted: Mapping[fx.Node, int]) -> dict[fx.Node, Tensor]:
    """The coordinates of the tokens of some nodes, complex64, NaN where they lie nowhere.

    Args:
        module: A flat graph with one input, its fake values in `meta["val"]`.
        wanted: For each node the axis along which a token's features lie: that axis is gone.
    """
    if not wanted:
        return {}
    tracker = _Tracker(module, wanted)
    with torch.no_grad():
        tracker.run(tracker.start())
    return tracker.found


def as_grid(coordinates_T: Tensor) -> Grid | None:
    """The grid that the tokens of a picture form; None where a place is missing or taken twice."""
    placed_T = ~coordinates_T.real.isnan()
    rows = placed_T.nonzero().flatten()
    if not len(rows):
        return None
    # Means of the same pixels in another order differ in the last bits.
    y = (coordinates_T.real[rows] * 64).round() / 64
    x = (coordinates_T.imag[rows] * 64).round() / 64
    # Sorting CaiT's 331,776 pairs of tokens only to find that out took most of its start.
    if bool(((y[1:] == y[:-1]) & (x[1:] == x[:-1])).any()):
        return None
    ys, row_of = torch.unique(y, return_inverse=True)
    xs, column_of = torch.unique(x, return_inverse=True)
    height, width = len(ys), len(xs)
    order = (row_of * width + column_of).argsort()
    places = (row_of * width + column_of)[order]
    complete = height * width == len(rows) and torch.equal(places, torch.arange(len(rows)))
    if not complete or len(rows) < 2:
        return None
    return Grid(
        map_size=(height, width),
        rows=tuple(rows[order].tolist()),
        others=tuple((~placed_T).nonzero().flatten().tolist()),
        stride=(_spacing(ys), _spacing(xs)),
    )


def _spacing(sorted_places: Tensor) -> float:
    if len(sorted_places) < 2:
        return 1.0
    return float((sorted_places[-1] - sorted_places[0]) / (len(sorted_places) - 1))


class _Tracker(fx.Interpreter):
    """Runs a flat graph on coordinates."""

    def __init__(self, module: fx.GraphModule, wanted: Mapping[fx.Node, int]) -> None:
        super().__init__(module)
        self._x = input_of(module.graph)
        self._live = depends_on(module.graph, [self._x])
        self._wanted = wanted
        self.found: dict[fx.Node, Tensor] = {}

    def start(self) -> Tensor:
        """The coordinates of the input's pixels."""
        shape = self._x.meta["val"].shape
        y = torch.arange(shape[-2], dtype=torch.float32)[:, None]
        x = torch.arange(shape[-1], dtype=torch.float32)[None, :]
        return torch.complex(y.expand(shape[-2:]), x.expand(shape[-2:])).expand(shape)

    def run_node(self, n: fx.Node) -> Any:
        """The coordinates of one node's value."""
        if n.op == "output":
            return None
        if n.op == "get_attr":
            return _of_constant(getattr(self.module, str(n.target)))
        if n.op == "placeholder" and n is not self._x:
            return nowhere(n.meta["val"])
        if n.op != "call_function" or n not in self._live:
            return super().run_node(n)
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        result = transfer(n, args, kwargs)
        if n in self._wanted:
            self.found[n] = mean_place(result, (self._wanted[n],), keepdim=False)
        return result


def _of_constant(value: Tensor) -> Tensor:
    """Numbers that address something are needed; others lie nowhere."""
    return nowhere(value) if value.is_floating_point() or value.is_complex() else value
