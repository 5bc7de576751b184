"""What units have learned, beside the film: pictures that grow, and those that are on the shelf.

The engine thread calls `follow` once a turn. Growing is a job (`rtvis.runtime.jobs`); what is on
the shelf is found by `rtvis.runtime.looking_up`.
"""

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from rtvis.data import Layer, Selection
from rtvis.render.panes_plan import has_details
from rtvis.render.scene import JobShown, Known, Learned, PatternShown
from rtvis.runtime.generate import Generate, ManyUnits
from rtvis.runtime.growth import Grower, Growth, SelectedGrowth
from rtvis.runtime.jobs import Jobs
from rtvis.runtime.known import MEMORY_BYTES, KnownUnit, KnownUnits, Name
from rtvis.runtime.learned_tiles import focused
from rtvis.runtime.looking_up import LookUp
from rtvis.runtime.shelf import (
    Shelf,
)
from rtvis.session import View

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
        self._jobs = jobs
        self._can_grow = grower is not None
        self._say = say
        self._now_s = now_s
        self._known = KnownUnits(max_bytes, are_looked_up=shelf is None)
        self.look_up = LookUp(shelf, layers=self._layers, known=self._known, device=device, say=say)
        """Finds what is on the shelf."""
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
        return self.look_up.tiles.shown(selection.layer or "", view.pattern)

    def image(self, selection: Selection) -> Tensor | None:
        """The optimised picture of the selected unit, as far as there is one."""
        entry = self._known.get(_name_of(selection))
        return entry.picture() if entry is not None else None

    def _learned(
        self, name: Name, entry: KnownUnit, view: View, *, follows: bool = False
    ) -> Learned:
        looks = self.look_up.may_find(name)
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
            back_rule=self.look_up.back_rule if entry.tops else "",
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
        self.look_up.want(name, _hovered(view, selection))
        if self.look_up.tiles.follow(name[0], view.pattern, self._known.done_of(name[0])):
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
        if selection is None or not in_sight(view):
            return False
        names = (_name_of(selection), _hovered(view, selection))
        may_find = any(self.look_up.may_find(name) for name in names if name is not None)
        return may_find or self.look_up.tiles.is_loading

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
        self.look_up.close()

    def _hear(self, *, wait_s: float = 0.0) -> None:
        """Take over what is on the shelf."""
        heard = self.look_up.hear(wait_s=wait_s)
        for name in heard.done:
            self._growth.forget(name)
        if heard.units:
            self._touch(at_once=True)
            self._trim()
        elif heard.tiles:
            self._touch()

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
        self.look_up.keep(name, result)
        image_HW3 = unit.picture()
        assert image_HW3 is not None, "the last step gives a picture"
        self.look_up.tiles.add(*name, image_HW3)
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
        return self.look_up.has(name)

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
