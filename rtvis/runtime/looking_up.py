"""What the shelf has of the units that the user looks at."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import assert_never

import torch

from rtvis.data import Layer
from rtvis.render.learned_plan import NUM_TOPS
from rtvis.render.scene import TopShown
from rtvis.runtime.known import KnownUnits, Name
from rtvis.runtime.learned_tiles import LearnedTiles
from rtvis.runtime.shelf import (
    InputFound,
    Kept,
    KeptInput,
    KeptTop,
    Loader,
    Shelf,
    TilesFound,
    Trouble,
    UnitFound,
)
from rtvis.runtime.upload import on_device
from rtvis.session import TopInput


@dataclass(kw_only=True, slots=True)
class Heard:
    """What has come from the shelf."""

    units: bool = False
    """Whether more is known of a unit."""
    tiles: bool = False
    """Whether there are more tiles in sight."""
    done: list[Name] = field(default_factory=list)
    """Units whose optimised picture was there: it need not grow."""


class LookUp:
    """Asks the shelf, and takes over what it has into what is known. Owned by the engine thread.

    Args:
        shelf: None: nothing is ever found.
        layers: Of the network, by name.
        known: What is known of units.
        device: Where pictures are drawn.
        say: Tells the user something; the second argument: whether it is a warning.
    """

    def __init__(
        self,
        shelf: Shelf | None,
        *,
        layers: Mapping[str, Layer],
        known: KnownUnits,
        device: torch.device,
        say: Callable[[str, bool], None],
    ) -> None:
        self._shelf = shelf
        self._loader = Loader(shelf, num_tops=NUM_TOPS) if shelf is not None else None
        self._known = known
        self._device = device
        self._say = say
        self.tiles = LearnedTiles(layers, self._loader)
        """Of the grid."""
        self._wanted: Name | None = None
        """What the loader was asked for last."""
        self._input: tuple[TopInput, KeptInput | None] | None = None
        """The whole picture that was looked for last, if it was found."""

    @property
    def back_rule(self) -> str:
        """By which rule the backward pictures of best inputs were made."""
        return self._shelf.back_rule if self._shelf is not None else ""

    def has(self, name: Name) -> bool:
        """Whether the shelf has an optimised picture of a unit."""
        return self._shelf is not None and self._shelf.has(*name)

    def may_find(self, name: Name) -> bool:
        """Whether there may be more of a unit than is known."""
        entry = self._known.get(name)
        return self._loader is not None and not (entry is not None and entry.is_looked_up)

    def want(self, *names: Name | None) -> None:
        """Look for all that there is of these units, one after the other, the first one first."""
        if self._loader is None:
            return
        for name in names:
            if name is None or self._known.of(name).is_looked_up:
                continue
            if self._wanted != name:
                self._wanted = name
                self._loader.want_unit(*name)
            return
        self._wanted = None

    def want_input(self, top: TopInput) -> None:
        """Look for the whole picture of one of a unit's best inputs."""
        self._input = None
        if self._loader is None:
            self._input = top, None
            self._say("nothing is kept of top inputs, so there are none to look at", False)
        else:
            self._loader.want_input(top)

    def has_looked_for(self, top: TopInput) -> bool:
        """Whether that has come to an end."""
        return self._input is not None and self._input[0] == top

    def whole_input(self, top: TopInput) -> KeptInput | None:
        """The picture; None where it cannot be had."""
        return self._input[1] if self._input is not None and self._input[0] == top else None

    def keep(self, name: Name, result: object) -> None:
        """Put a result on the shelf."""
        if self._loader is not None:
            self._loader.keep(*name, result)

    def hear(self, *, wait_s: float = 0.0) -> Heard:
        """Take over what was found since the last call.

        Args:
            wait_s: How long to wait for the first news, if there are none.
        """
        heard = Heard()
        for news in self._loader.news(wait_s=wait_s) if self._loader is not None else ():
            match news:
                case UnitFound():
                    heard.units = True
                    if self._found(news):
                        heard.done.append((news.layer, news.unit))
                case InputFound():
                    self._input = news.top, news.found
                case TilesFound():
                    heard.tiles |= self.tiles.found(news)
                case Kept():
                    pass
                case Trouble():
                    self._say(news.text, True)
                case _:
                    assert_never(news)
        return heard

    def close(self) -> None:
        """Write what is to be kept. From any thread, safe to call twice."""
        if self._loader is not None:
            self._loader.close()

    def _found(self, news: UnitFound) -> bool:
        """Take over a unit; whether its optimised picture came."""
        entry = self._known.of((news.layer, news.unit))
        entry.is_looked_up = True
        entry.tops = tuple(self._top_shown(top) for top in news.tops)
        kept = news.optimized
        if kept is None or entry.is_done:
            return False
        entry.image_HW3, entry.draw = on_device(kept.image_HW3, self._device), None
        entry.value, entry.share, entry.is_done = kept.value, 1.0, True
        return True

    def _top_shown(self, top: KeptTop) -> TopShown:
        back_HW3 = None if top.back_HW3 is None else on_device(top.back_HW3, self._device)
        return TopShown(
            crop_HW3=on_device(top.crop_HW3, self._device),
            back_HW3=back_HW3,
            value=top.value,
            name=top.name,
        )
