"""A second network, compared with the first on the same frames."""

from dataclasses import replace
from typing import Final

from rtvis.data import Layer, Result, Selection
from rtvis.errors import SelectionError
from rtvis.render.scene import Half
from rtvis.runtime.compare import Asked, ComparedEngine

_PRETRAINED: Final = "pretrained"


class NetworkRival:
    """Another network, or the same one with other weights, on the same frames."""

    def __init__(self, engine: ComparedEngine) -> None:
        """Compare with `engine`, whose layers are found by name; the caller closes it."""
        self._engine = engine
        self._layers = {layer.name: layer for layer in engine.layers}
        self._name = engine.network

    def network(self, engine: ComparedEngine) -> str:
        """Its name."""
        del engine
        return self._engine.network

    def weights_note(self, engine: ComparedEngine) -> str:
        """Of which of two networks; of two sets of weights the names tell it."""
        first, second = engine.weights_note, self._engine.weights_note
        if first == second:
            return first
        if engine.network == self._engine.network:
            return ""
        return ", ".join(f"{name}: {note}" for name, note in (("A", first), ("B", second)) if note)

    def source_name(self, first: str) -> str:
        """They see the same frames."""
        return first

    @property
    def state(self) -> tuple[object, ...]:
        """Where compiling stands."""
        return (self._engine.compile_note,)

    def names(self, engine: ComparedEngine, source_name: str) -> tuple[str, str]:
        """Of the two networks, or else of their weights."""
        del source_name
        if engine.network != self._engine.network:
            return engine.network, self._engine.network
        both = (each.weights_note.removeprefix("weights ") for each in (engine, self._engine))
        first, second = (note or _PRETRAINED for note in both)
        return first, second

    @property
    def trouble(self) -> str:
        """It has no source of its own."""
        return ""

    def same_classes(self, engine: ComparedEngine) -> bool:
        """The same number of them, and the same names where both have names."""
        if self._engine.num_classes != engine.num_classes:
            return False
        both = engine.labels, self._engine.labels
        return None in both or both[0] == both[1]

    def start(self) -> None:
        """It has no source of its own."""

    def has_news(self, *, paused: bool) -> bool:
        """Never: its frames are those of the first."""
        del paused
        return False

    def step(self, count: int) -> None:
        """Nothing: see `has_news`."""
        del count

    def layer(self, engine: ComparedEngine, name: str) -> Layer | None:
        """The layer of this name."""
        del engine
        return self._layers.get(name)

    def run(self, engine: ComparedEngine, asked: Asked) -> tuple[Result, Half]:
        """Both networks, one after the other."""
        about = {"seq": asked.frame.seq, "captured_ns": asked.frame.captured_ns}
        first = engine.run(asked.input_HW3, asked.selection, revision=asked.revision, **about)
        selection, note = self._translated(asked.selection, first.selection)
        second = self._engine.run(asked.input_HW3, selection, revision=asked.revision, **about)
        name = second.selection.layer
        half = Half(
            name=self.names(engine, "")[1],
            image_HW3=asked.image_HW3,
            result=second,
            labels=self._engine.labels,
            weights=self._engine.weights(name) if name is not None else None,
            note=note,
        )
        return first, half

    def _translated(self, asked: Selection, found: Selection) -> tuple[Selection, str]:
        """The selection in the second network, and why its maps cannot be shown.

        Args:
            asked: What the user chose.
            found: The same with the defaults of the first network filled in.
        """
        layer, unit = self._layers.get(found.layer or ""), found.unit or 0
        changes = tuple(
            change
            for change in asked.interventions
            if change.layer in self._layers and change.unit < self._layers[change.layer].num_units
        )
        has_origin = asked.origin is not None and asked.origin.layer in self._layers
        common = replace(
            asked,
            layer=None,
            unit=None,
            position=None,
            seed="score" if asked.seed == "score" else None,
            cam_layer=asked.cam_layer if asked.cam_layer in self._layers else None,
            interventions=changes,
            origin=asked.origin if has_origin else None,
        )
        if layer is None:
            return self._resolvable(common), f"{self._name} has no layer {found.layer}"
        if unit >= layer.num_units:
            note = f"{self._name} has no unit {unit} in {layer.name}, only {layer.num_units}"
            return self._resolvable(common), note
        wanted = replace(
            common, layer=layer.name, unit=unit, position=asked.position, seed=asked.seed
        )
        return self._resolvable(wanted), ""

    def _resolvable(self, selection: Selection) -> Selection:
        """Without the class, region or place that the second network does not have."""
        no_class = replace(selection, class_index=None)
        no_region = replace(no_class, region=None)
        no_place = replace(no_region, position=None)
        for candidate in (selection, no_class, no_region, no_place):
            try:
                self._engine.resolve(candidate)
            except SelectionError:
                continue
            return candidate
        return replace(no_place, origin=None, interventions=())
