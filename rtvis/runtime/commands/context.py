"""What every command is, and what it may know beside the View."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from rtvis.data import Layer, Seed, Selection
from rtvis.render.readout import Readout
from rtvis.session import View

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What a command must know beside the View."""

    layers: tuple[Layer, ...]
    default_layer: int
    """Index of the layer that a Selection without one means."""
    cam_methods: tuple[str, ...]
    num_columns: int
    """Of the grid as it is drawn now."""
    home: Selection = Selection()  # noqa: RUF009 - frozen
    """What was selected at the start."""
    readout: Readout = Readout()  # noqa: RUF009 - frozen
    """The numbers of the picture that the user sees."""
    is_dense: bool = False
    """Whether the network has a dense output."""

    def layer_index(self, view: View) -> int:
        """Index of the selected layer."""
        name = view.selection.layer
        for layer in self.layers:
            if layer.name == name:
                return layer.index
        return self.default_layer

    def layer(self, view: View) -> Layer:
        """The selected layer."""
        return self.layers[self.layer_index(view)]

    def unit_seed(self, view: View) -> Seed | None:
        """Where a backward pass of a unit starts: as now, or as at the start of the program."""
        seeds = view.selection.seed, self.home.seed
        return next((seed for seed in seeds if seed != "score"), "activation")


ViewCommand: TypeAlias = Callable[[View, Context], View]


def after(now: T, choices: Sequence[T]) -> T:
    """The choice after `now`, the first one after the last; the first if `now` is none of them."""
    if now not in choices:
        return choices[0]
    return choices[(choices.index(now) + 1) % len(choices)]


def select(view: View, **changes: object) -> View:
    """The View with fields of its Selection replaced by name."""
    return replace(view, selection=replace(view.selection, **changes))  # type: ignore[arg-type]
