"""What units have learned, beside the film: pictures that grow, and those that are on the shelf.

The engine thread calls `follow` once a turn. Growing is a job (`rtvis.runtime.jobs`), reading and
writing is done by a thread (`rtvis.runtime.shelf`).
"""

from collections.abc import Callable, Sequence
from typing import Final, assert_never

import torch
from torch import Tensor

from rtvis.data import Layer, Selection
from rtvis.render.learned_plan import NUM_TOPS
from rtvis.render.panes_plan import has_details
from rtvis.render.scene import JobShown, Known, Learned, PatternShown, TopShown
from rtvis.runtime.generate import Generate, ManyUnits
from rtvis.runtime.growth import Grower, Growth, SelectedGrowth
from rtvis.runtime.jobs import Jobs
from rtvis.runtime.known import MEMORY_BYTES, KnownUnit, KnownUnits, Name
from rtvis.runtime.learned_tiles import LearnedTiles, focused
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
from rtvis.session import TopInput, View

NO_GRADIENTS: Final = "this network cannot be asked for gradients"

_REDRAW_S: Final = 0.1
"""How often a picture that grows is drawn while nothing else changes."""
_SETTLE_S: Final = 10.0
"""How long a replay waits for a disk, for each of its pictures."""


class Learning:
    """Knows what is learned; says what the screen shows of it. Owned by the engine thread.

    Args:
        layers: Of the network.
        device: Where pictures are drawn.
        jobs: Steps what grows.
        grower: Makes pictures; None: nobody does.
        why_not: Why nobody does.
        shelf: Keeps them beyond the session; None: memory alone.
        say: Tells the user something; the second argument: whether it is a warning.
        start: The network's input that is shown now, to begin with; None before the first frame.
        now_s: The clock.
        max_bytes: Of pictures in memory.
    """

    def __init__(
        self,
        *,
        layers: Sequence[Layer],
        device: torch.device,
        jobs: Jobs,
        grower: Grower | None,
        shelf: Shelf | None,
        say: Callable[[str, bool], None],
        start: Callable[[], Tensor | None],
        now_s: Callable[[], float],
        max_bytes: int = MEMORY_BYTES,
        why_not: str = NO_GRADIENTS,
    ) -> None:
        self._why_not = why_not
        self._layers = {layer.name: layer for layer in layers}
        self._device = device
        self._jobs = jobs
        self._can_grow = grower is not None
        self._shelf = shelf
        self._loader = Loader(shelf, num_tops=NUM_TOPS) if shelf is not None else None
        self._say = say
        self._now_s = now_s
        self._known = KnownUnits(max_bytes, are_looked_up=shelf is None)
        self._growth = SelectedGrowth(
            jobs=jobs, grower=grower, known=self._known, listener=self, start=start
        )
        self._many = ManyUnits(
            layers=self._layers,
            jobs=jobs,
            grower=grower,
            listener=self,
            is_made=self._is_made,
            say=say,
            now_s=now_s,
        )
        self._wanted: Name | None = None
        """What the loader was asked for last."""
        self._tiles = LearnedTiles(self._layers, self._loader)
        self._input: tuple[TopInput, KeptInput | None] | None = None
        """The whole picture that was looked for last, if it was found."""
        self._version = 0
        self._drawn_version = 0
        self._drawn_s = float("-inf")
        self.num_grown = 0
        """Steps of pictures that grew so far."""

    # What the screen shows

    @property
    def state(self) -> tuple[object, ...]:
        """Changes when there is something new to draw."""
        if self._version != self._drawn_version and self._now_s() - self._drawn_s >= _REDRAW_S:
            self._drawn_version, self._drawn_s = self._version, self._now_s()
        jobs = tuple(
            (job.name, round(job.share, 3), job.is_paused, job.is_chosen) for job in self.jobs
        )
        return (self._drawn_version, jobs)

    @property
    def jobs(self) -> tuple[JobShown, ...]:
        """All but the one for the selected unit, which has a place of its own."""
        return self._many.jobs

    def shown(self, view: View, selection: Selection | None) -> Learned | None:
        """Of the selected unit, or of the one under the pointer where something is known of it."""
        if not in_sight(view) or selection is None:
            return None
        name = _name_of(selection)
        hovered = _hovered(view, selection)
        if hovered is not None:
            entry = self._known.get(hovered)
            if entry is not None and (entry.has_picture or entry.tops):
                return self._learned(hovered, entry, view, follows=True)
        return self._learned(name, self._known.get(name) or KnownUnit(), view)

    def pattern(self, view: View, selection: Selection | None) -> PatternShown | None:
        """For the tiles of the grid; None while they show maps."""
        if view.pattern in {"maps", "moments"} or selection is None or view.zoom != "grid":
            return None
        return self._tiles.shown(selection.layer or "", view.pattern)

    def image(self, selection: Selection) -> Tensor | None:
        """The optimised picture of the selected unit, as far as there is one."""
        entry = self._known.get(_name_of(selection))
        return entry.picture() if entry is not None else None

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

    def _learned(
        self, name: Name, entry: KnownUnit, view: View, *, follows: bool = False
    ) -> Learned:
        looks = self._loader is not None and not entry.is_looked_up
        state: Known = "missing"
        if entry.is_done:
            state = "done"
        elif self._growth.name == name:
            state = "growing"
        elif entry.has_picture:
            state = "held"
        elif looks:
            state = "loading"
        image_HW3 = entry.picture()
        top: Known = "done" if entry.tops else "loading" if looks else "missing"
        return Learned(
            layer=name[0],
            unit=name[1],
            optimized_HW3=None if image_HW3 is None else focused(self._layers[name[0]], image_HW3),
            optimized=state,
            share=entry.share,
            value=entry.value,
            tops=entry.tops,
            top=top,
            back_rule=self._shelf.back_rule if self._shelf is not None and entry.tops else "",
            note=entry.fault or self._note(view),
            follows=follows,
        )

    def _note(self, view: View) -> str:
        """What would make the picture of a unit."""
        if not self._can_grow:
            return self._why_not
        return "" if view.growing else "\\ lets it grow"

    # What goes on

    def follow(self, view: View, selection: Selection | None) -> None:
        """Look after what the user looks at now. Called once a turn; waits for nothing."""
        self._hear()
        if selection is None:
            return
        name = _name_of(selection)
        if not in_sight(view):
            self._growth.want(None)
            return
        self._look_for(name, _hovered(view, selection))
        if self._tiles.follow(name[0], view.pattern, self._known.done_of(name[0])):
            self._touch(at_once=True)
        entry = self._known.of(name)
        wanted: Growth | None = None
        if view.growing and not (entry.is_done or entry.fault):
            wanted = (name, view.beginning)
        self._growth.want(wanted)

    def settle(self, view: View, selection: Selection | None) -> None:
        """`follow` until all that the shelf has of what is in sight is there, so that each picture
        of a replay shows all of it."""
        until_s = self._now_s() + _SETTLE_S
        self.follow(view, selection)
        while self._waits(view, selection) and self._now_s() < until_s:
            self._hear(wait_s=0.1)
            self.follow(view, selection)

    def _waits(self, view: View, selection: Selection | None) -> bool:
        """Whether the shelf may have more of what is in sight."""
        if self._loader is None or selection is None or not in_sight(view):
            return False
        names = (_name_of(selection), _hovered(view, selection))
        is_known = all(self._known.of(name).is_looked_up for name in names if name is not None)
        return not is_known or self._tiles.is_loading

    def do(self, what: Generate, selection: Selection | None) -> None:
        """Carry out what the user asks for many units at once."""
        if selection is not None:
            self._many.do(what, selection.layer or "")
            self._touch(at_once=True)

    def stop(self) -> None:
        """Cancel what grows. On the engine's thread, which may be in the middle of a step else."""
        self._growth.close()
        self._jobs.close()

    def close(self) -> None:
        """Write what is done. From any thread, safe to call twice."""
        if self._loader is not None:
            self._loader.close()

    def _hear(self, *, wait_s: float = 0.0) -> None:
        """Take over what the loader has found."""
        for news in self._loader.news(wait_s=wait_s) if self._loader is not None else ():
            match news:
                case UnitFound():
                    self._found(news)
                case InputFound():
                    self._input = news.top, news.found
                case TilesFound():
                    if self._tiles.found(news):
                        self._touch()
                case Kept():
                    pass
                case Trouble():
                    self._say(news.text, True)
                case _:
                    assert_never(news)

    def _found(self, news: UnitFound) -> None:
        name = (news.layer, news.unit)
        entry = self._known.of(name)
        entry.is_looked_up = True
        entry.tops = tuple(self._top_shown(top) for top in news.tops)
        kept = news.optimized
        if kept is not None and not entry.is_done:
            entry.image_HW3, entry.draw = on_device(kept.image_HW3, self._device), None
            entry.value, entry.share, entry.is_done = kept.value, 1.0, True
            self._growth.forget(name)
        self._touch(at_once=True)
        self._trim()

    def _top_shown(self, top: KeptTop) -> TopShown:
        back_HW3 = None if top.back_HW3 is None else on_device(top.back_HW3, self._device)
        return TopShown(
            crop_HW3=on_device(top.crop_HW3, self._device),
            back_HW3=back_HW3,
            value=top.value,
            name=top.name,
        )

    def _look_for(self, name: Name, hovered: Name | None) -> None:
        """The selected unit first, then the one under the pointer."""
        if self._loader is None:
            return
        for each in (name, hovered):
            if each is None or self._known.of(each).is_looked_up:
                continue
            if self._wanted != each:
                self._wanted = each
                self._loader.want_unit(*each)
            return
        self._wanted = None

    # What grows (`growth.Listener`)

    def grew(self, *, first: bool) -> None:
        """A step was made."""
        self.num_grown += 1
        self._touch(at_once=first)

    def finished(self, name: Name, unit: KnownUnit, result: object) -> None:
        """A picture is done: it is kept, on the shelf too."""
        before = self._known.get(name)
        if before is not None and before is not unit:
            unit.tops, unit.is_looked_up = before.tops, before.is_looked_up
        unit.is_done, unit.share, unit.fault = True, 1.0, ""
        self._known.put(name, unit)
        if self._loader is not None:
            self._loader.keep(*name, result)
        image_HW3 = unit.picture()
        assert image_HW3 is not None, "the last step gives a picture"
        self._tiles.add(*name, image_HW3)
        self._touch(at_once=True)
        self._trim()

    def failed(self, name: Name, why: str) -> None:
        """A picture cannot be made."""
        self._say(f"{name[0]}:{name[1]}: {why}", True)
        self._touch(at_once=True)

    def _is_made(self, name: Name) -> bool:
        known = self._known.get(name)
        if known is not None and known.is_done:
            return True
        return self._shelf is not None and self._shelf.has(*name)

    def _trim(self) -> None:
        grows = self._growth.name
        for name in self._known.trim(needed=() if grows is None else (grows,)):
            self._growth.forget(name)

    def _touch(self, *, at_once: bool = False) -> None:
        self._version += 1
        if at_once:
            self._drawn_s = float("-inf")


def in_sight(view: View) -> bool:
    """Whether anything of what units have learned is shown."""
    on_page = view.page == "learned" and has_details(view)
    return on_page or (view.pattern in {"optimized", "top"} and view.zoom == "grid")


def _name_of(selection: Selection) -> Name:
    return selection.layer or "", selection.unit or 0


def _hovered(view: View, selection: Selection) -> Name | None:
    """The unit under the pointer, in the grid, where it is not the selected one."""
    hover = view.hover
    if hover.kind != "unit" or hover.pane != "grid" or hover.layer != selection.layer:
        return None
    name = (hover.layer or "", hover.unit or 0)
    return None if name == _name_of(selection) else name
