"""What the tiles of the grid show of what units have learned (DVT-34)."""

from collections.abc import Iterable, Mapping
from typing import Final

from torch import Tensor

from rtvis.data import ImageU8, Layer
from rtvis.render.focus import focus_of
from rtvis.render.scene import PatternShown
from rtvis.runtime.shelf import Loader, SheetKind, TilesFound
from rtvis.session import Pattern

SHEETS: Final[dict[Pattern, SheetKind]] = {"optimized": "optimized", "top": "top"}
"""What the shelf is asked for."""

_MAKES: Final[dict[Pattern, tuple[str, ...]]] = {
    "optimized": ("F3 makes them",),
    "top": (
        "rtvis units scan and then units crops make them",
        "units crops makes them",
        "units crops",
    ),
}
"""What would make pictures that are missing: in more words and in fewer."""


def focused(layer: Layer, image_HW3: Tensor) -> Tensor:
    """What a unit can see of its picture."""
    height, width = image_HW3.shape[:2]
    return image_HW3[focus_of(layer, (height, width))]


class LearnedTiles:
    """Pictures of one layer's units at a time: from the shelf, and newer ones of this session.

    Owned by the engine thread.

    Args:
        layers: By name.
        loader: Asks the shelf; None where there is none.
    """

    def __init__(self, layers: Mapping[str, Layer], loader: Loader | None) -> None:
        self._layers = layers
        self._loader = loader
        self._of: tuple[str, Pattern] = ("", "maps")
        self._tiles: dict[int, ImageU8] = {}
        self.is_loading = False
        """More of what was looked for last may come."""

    def shown(self, layer: str, pattern: Pattern) -> PatternShown:
        """For the screen, as far as they are there."""
        is_it = self._of == (layer, pattern)
        return PatternShown(
            layer=layer,
            tiles=self._tiles if is_it else {},
            is_loading=not is_it or self.is_loading,
            notes=_MAKES.get(pattern, ()),
        )

    def follow(self, layer: str, pattern: Pattern, done: Iterable[tuple[int, Tensor]]) -> bool:
        """Look for the pictures that are in sight now; whether these are others than before.

        Args:
            layer: Its name.
            pattern: What tiles show.
            done: Unit and optimised picture of those that this session has made.
        """
        sheet = SHEETS.get(pattern)
        if sheet is None or self._of == (layer, pattern):
            return False
        self._of, self._tiles, self.is_loading = (layer, pattern), {}, self._loader is not None
        if pattern == "optimized":
            for unit, image_HW3 in done:
                self.add(layer, unit, image_HW3)
        if self._loader is not None:
            self._loader.want_sheet(layer, sheet)
        return True

    def found(self, news: TilesFound) -> bool:
        """Take over what the shelf had; whether it is what is in sight."""
        if self._of != (news.layer, news.kind):
            return False
        self.is_loading = not news.is_last
        self._tiles = {**news.tiles, **self._tiles}  # of this session: newer
        return True

    def add(self, layer: str, unit: int, image_HW3: Tensor) -> None:
        """An optimised picture of this session; from a GPU it comes when the layer is looked at
        again."""
        if self._of == (layer, "optimized") and image_HW3.device.type == "cpu":
            self._tiles[unit] = focused(self._layers[layer], image_HW3).numpy()
