"""What units have learned, beside the film: pictures that grow, and those that are on the shelf.

The engine thread calls `follow` once a turn. Growing is a job (`rtvis.runtime.jobs`), reading and
writing is done by a thread (`rtvis.runtime.shelf`).
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeAlias, assert_never

import torch
from torch import Tensor

from rtvis.data import ImageU8, Layer, Selection
from rtvis.render.focus import focus_of
from rtvis.render.layout import has_details
from rtvis.render.learned_plan import NUM_TOPS
from rtvis.render.scene import JobShown, Known, Learned, PatternShown, TopShown
from rtvis.runtime.jobs import Ending, Jobs
from rtvis.runtime.shelf import (
    Kept,
    KeptTop,
    Loader,
    Shelf,
    TileFound,
    Trouble,
    UnitFound,
)
from rtvis.session import Beginning, View

Generate: TypeAlias = Literal["generate layer", "generate all", "pause jobs", "cancel jobs"]
"""What is done with many units at once."""

MEMORY_BYTES: Final = 256 * 2**20
"""Of pictures that the session keeps: 1,700 of 224x224."""
_MAX_SUSPENDED: Final = 16
"""Half-grown pictures that go on where they were left."""
_REDRAW_S: Final = 0.1
"""How often a picture that grows is drawn while nothing else changes."""
CONFIRM_S: Final = 5.0
"""How soon a key must come again to mean yes."""

Name: TypeAlias = tuple[str, int]
"""Layer and unit."""

Growth: TypeAlias = tuple[Name, Beginning]
"""A picture that grows, and where it began."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Grown:
    """A picture on its way."""

    draw: Callable[[], Tensor]
    """Gives the newest picture, uint8 RGB [H, W, 3] on the engine's device; asked only when it is
    to be seen."""
    share: float
    """How much is done, 0..1."""
    value: float | None = None
    """What the unit says to it, where the host knows that without waiting for the device."""
    result: object | None = None
    """With the last one: what the shelf keeps."""


class Grower(Protocol):
    """Makes pictures that excite units, step by step, and compiles nothing for it."""

    def grow(self, layer: str, unit: int, *, start_13HW: Tensor | None) -> Iterator[Grown]:
        """Steps of a few milliseconds each; the first one gives a picture.

        Args:
            layer: Its name.
            unit: Of the layer.
            start_13HW: Preprocessed input to begin with; None: noise.
        """
        ...


@dataclass(slots=True)
class _Entry:
    """What is known of one unit."""

    image_HW3: Tensor | None = None
    draw: Callable[[], Tensor] | None = None
    """Gives a newer picture; None where that is the newest."""
    share: float = 0.0
    value: float | None = None
    is_done: bool = False
    is_looked_up: bool = False
    fault: str = ""
    """Why it does not grow."""
    tops: tuple[TopShown, ...] = ()

    @property
    def has_picture(self) -> bool:
        """Whether there is anything to see of the optimised picture."""
        return self.image_HW3 is not None or self.draw is not None

    def picture(self) -> Tensor | None:
        """The newest picture, uint8 RGB [H, W, 3]."""
        if self.draw is not None:
            self.image_HW3, self.draw = self.draw(), None
        return self.image_HW3

    @property
    def num_bytes(self) -> int:
        """Of its pictures."""
        images = [self.image_HW3, *(top.crop_HW3 for top in self.tops)]
        images += [top.back_HW3 for top in self.tops]
        return sum(image.numel() for image in images if image is not None)


@dataclass(slots=True)
class _Pattern:
    """The pictures in the grid's tiles."""

    key: tuple[str, str] = ("", "maps")
    tiles: dict[int, ImageU8] = field(default_factory=dict)
    is_loading: bool = False


class Learning:
    """Knows what is learned; says what the screen shows of it. Owned by the engine thread.

    Args:
        layers: Of the network.
        device: Where pictures are drawn.
        jobs: Steps what grows.
        grower: Makes pictures; None where the network cannot be asked for gradients.
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
    ) -> None:
        self._layers = {layer.name: layer for layer in layers}
        self._device = device
        self._jobs = jobs
        self._grower = grower
        self._shelf = shelf
        self._loader = Loader(shelf, num_tops=NUM_TOPS) if shelf is not None else None
        self._say = say
        self._start = start
        self._now_s = now_s
        self._max_bytes = max_bytes
        self._known: OrderedDict[Name, _Entry] = OrderedDict()
        self._suspended: OrderedDict[Growth, Iterator[Grown]] = OrderedDict()
        self._grows: Growth | None = None
        """Whose picture grows, and where it began."""
        self._wanted: Name | None = None
        """What the loader was asked for last."""
        self._pattern = _Pattern()
        self._asked: tuple[str, float] | None = None
        """What was asked once, and when: a second time means yes."""
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
        jobs = tuple((job.name, round(job.share, 3), job.is_paused) for job in self.jobs)
        return (self._drawn_version, jobs)

    @property
    def jobs(self) -> tuple[JobShown, ...]:
        """All but the one for the selected unit, which has a place of its own."""
        return tuple(job for job in self._jobs.shown if job.key != _UNIT)

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
        return self._learned(name, self._known.get(name) or _Entry(), view)

    def pattern(self, view: View, selection: Selection | None) -> PatternShown | None:
        """For the tiles of the grid; None while they show maps."""
        if view.pattern == "maps" or selection is None or view.zoom != "grid":
            return None
        layer = selection.layer or ""
        own = self._pattern
        is_it = own.key == (layer, view.pattern)
        return PatternShown(
            layer=layer,
            tiles=own.tiles if is_it else {},
            is_loading=not is_it or own.is_loading,
            note=self._pattern_note(view),
        )

    def image(self, selection: Selection) -> Tensor | None:
        """The optimised picture of the selected unit, as far as there is one."""
        entry = self._known.get(_name_of(selection))
        return entry.picture() if entry is not None else None

    def _learned(self, name: Name, entry: _Entry, view: View, *, follows: bool = False) -> Learned:
        looks = self._loader is not None and not entry.is_looked_up
        grows = self._grows is not None and self._grows[0] == name
        state: Known = "missing"
        if entry.is_done:
            state = "done"
        elif grows:
            state = "growing"
        elif entry.has_picture:
            state = "held"
        elif looks:
            state = "loading"
        top: Known = "done" if entry.tops else "loading" if looks else "missing"
        return Learned(
            layer=name[0],
            unit=name[1],
            optimized_HW3=self._focused(name[0], entry.picture()),
            optimized=state,
            share=entry.share,
            value=entry.value,
            tops=entry.tops,
            top=top,
            back_rule=self._shelf.back_rule if self._shelf is not None and entry.tops else "",
            note=entry.fault or self._note(view),
            follows=follows,
        )

    def _focused(self, layer: str, image_HW3: Tensor | None) -> Tensor | None:
        """What the unit can see of its picture."""
        if image_HW3 is None:
            return None
        height, width = image_HW3.shape[:2]
        return image_HW3[focus_of(self._layers[layer], (height, width))]

    def _note(self, view: View) -> str:
        """What would make the picture of a unit."""
        if self._grower is None:
            return "this network cannot be asked for gradients"
        return "" if view.growing else "\\ lets it grow"

    def _pattern_note(self, view: View) -> str:
        if view.pattern == "top":
            return "rtvis units scan makes them"
        return "F3 makes them"

    # What goes on

    def follow(self, view: View, selection: Selection | None) -> None:
        """Look after what the user looks at now. Called once a turn; waits for nothing."""
        self._hear()
        if selection is None:
            return
        name = _name_of(selection)
        if not in_sight(view):
            self._stop_growing()
            return
        self._look_for(name, _hovered(view, selection))
        self._follow_pattern(view, name[0])
        entry = self._entry(name)
        wanted: Growth | None = None
        if view.growing and not (entry.is_done or entry.fault) and self._grower is not None:
            wanted = (name, view.beginning)
        if wanted != self._grows:
            self._stop_growing()
            if wanted is not None:
                self._begin_growing(wanted)

    def do(self, what: Generate, selection: Selection | None) -> None:
        """Carry out what the user asks for many units at once."""
        match what:
            case "generate layer":
                if selection is not None:
                    self._generate((selection.layer or "",), what)
            case "generate all":
                self._generate(tuple(self._layers), what)
            case "pause jobs":
                self._pause_jobs()
            case "cancel jobs":
                self._cancel_jobs()
            case _:
                assert_never(what)

    def begin_anew(self, selection: Selection) -> None:
        """Forget the picture of the selected unit, in memory alone: it grows again."""
        name = _name_of(selection)
        self._stop_growing()
        self._forget_growth(name)
        entry = self._entry(name)
        entry.image_HW3, entry.draw, entry.share, entry.value = None, None, 0.0, None
        entry.is_done, entry.fault = False, ""
        self._touch()

    def close(self) -> None:
        """Cancel what grows, write what is done. Safe to call twice."""
        self._jobs.close()
        self._suspended.clear()
        if self._loader is not None:
            self._loader.close()

    def _hear(self) -> None:
        """Take over what the loader has found."""
        for news in self._loader.news() if self._loader is not None else ():
            match news:
                case UnitFound():
                    self._found(news)
                case TileFound():
                    self._found_tile(news)
                case Kept():
                    pass
                case Trouble():
                    self._say(news.text, True)
                case _:
                    assert_never(news)

    def _found(self, news: UnitFound) -> None:
        name = (news.layer, news.unit)
        entry = self._entry(name)
        entry.is_looked_up = True
        entry.tops = tuple(self._top_shown(top) for top in news.tops)
        kept = news.optimized
        if kept is not None and not entry.is_done:
            entry.image_HW3, entry.draw = self._on_device(kept.image_HW3), None
            entry.value, entry.share, entry.is_done = kept.value, 1.0, True
            self._forget_growth(name)
        self._touch(at_once=True)
        self._trim()

    def _found_tile(self, news: TileFound) -> None:
        own = self._pattern
        if own.key != (news.layer, news.kind):
            return
        if news.unit is None:
            own.is_loading = False
        elif news.image_HW3 is not None:
            own.tiles.setdefault(news.unit, news.image_HW3)  # of this session: newer
        self._touch()

    def _top_shown(self, top: KeptTop) -> TopShown:
        back_HW3 = None if top.back_HW3 is None else self._on_device(top.back_HW3)
        return TopShown(
            crop_HW3=self._on_device(top.crop_HW3),
            back_HW3=back_HW3,
            value=top.value,
            name=top.name,
        )

    def _on_device(self, image_HW3: ImageU8) -> Tensor:
        image_HW3 = image_HW3 if image_HW3.flags.writeable else image_HW3.copy()
        image = torch.from_numpy(image_HW3)
        if self._device.type != "cuda":
            return image
        return image.pin_memory().to(self._device, non_blocking=True)

    def _look_for(self, name: Name, hovered: Name | None) -> None:
        """The selected unit first, then the one under the pointer."""
        if self._loader is None:
            return
        for each in (name, hovered):
            if each is None or self._entry(each).is_looked_up:
                continue
            if self._wanted != each:
                self._wanted = each
                self._loader.want_unit(*each)
            return
        self._wanted = None

    def _follow_pattern(self, view: View, layer: str) -> None:
        key = (layer, view.pattern)
        if view.pattern == "maps" or self._pattern.key == key:
            return
        self._pattern = _Pattern(key, is_loading=self._loader is not None)
        if view.pattern == "optimized":
            for (known, unit), entry in self._known.items():
                image_HW3 = entry.picture() if known == layer and entry.is_done else None
                if image_HW3 is not None:
                    self._add_tile(known, unit, image_HW3)
        if self._loader is not None:
            self._loader.want_sheet(layer, view.pattern)
        self._touch(at_once=True)

    def _add_tile(self, layer: str, unit: int, image_HW3: Tensor) -> None:
        """A picture of this session; from a GPU it comes when the layer is looked at again."""
        own = self._pattern
        if own.key == (layer, "optimized") and image_HW3.device.type == "cpu":
            focused_HW3 = self._focused(layer, image_HW3)
            assert focused_HW3 is not None, "of a picture"
            own.tiles[unit] = focused_HW3.numpy()

    # What grows

    def _begin_growing(self, growth: Growth) -> None:
        assert self._grower is not None
        name, beginning = growth
        steps, entry = self._suspended.pop(growth, None), self._entry(name)
        if steps is None:
            start_13HW = self._start() if beginning == "frame" else None
            steps, entry.share = self._grower.grow(*name, start_13HW=start_13HW), 0.0
        self._grows = growth
        self._jobs.add(
            _UNIT,
            f"{name[0]}:{name[1]}",
            self._growing(name, entry, steps),
            is_urgent=True,
            share=entry.share,
            on_end=lambda how: self._ended(name, how),
        )
        self._suspended[growth] = steps
        while len(self._suspended) > _MAX_SUSPENDED:
            self._suspended.popitem(last=False)

    def _forget_growth(self, name: Name) -> None:
        """Nothing of it goes on where it was left."""
        for growth in [each for each in self._suspended if each[0] == name]:
            del self._suspended[growth]

    def _growing(self, name: Name, entry: _Entry, steps: Iterator[Grown]) -> Iterator[float]:
        """The job: cancelled halfway it leaves `steps` where they are, to go on later."""
        for grown in steps:
            self._take(entry, grown)
            if grown.result is not None:
                self._finish(name, entry, grown.result)
            yield grown.share

    def _take(self, entry: _Entry, grown: Grown) -> None:
        first = not entry.has_picture
        entry.draw, entry.share, entry.value = grown.draw, grown.share, grown.value
        self.num_grown += 1
        self._touch(at_once=first)

    def _finish(self, name: Name, entry: _Entry, result: object) -> None:
        entry.is_done, entry.share = True, 1.0
        self._known[name] = entry
        if self._loader is not None:
            self._loader.keep(*name, result)
        image_HW3 = entry.picture()
        assert image_HW3 is not None, "the last step gives a picture"
        self._add_tile(*name, image_HW3)
        self._touch(at_once=True)
        self._trim()

    def _ended(self, name: Name, how: Ending) -> None:
        if how != "cancelled":
            self._forget_growth(name)
            self._grows = None
        if how == "failed":
            self._entry(name).fault = self._jobs.faults.note  # not begun again by the next turn
            self._say(f"{name[0]}:{name[1]}: {self._jobs.faults.note}", True)
        self._touch(at_once=True)

    def _stop_growing(self) -> None:
        """Leave the picture as it is; it goes on from there the next time."""
        if self._grows is not None:
            self._entry(self._grows[0]).picture()  # as it is left
            self._grows = None
            self._jobs.cancel(_UNIT)

    # Many units

    def _generate(self, layers: tuple[str, ...], what: Generate) -> None:
        if self._grower is None:
            self._say(self._note(View()), True)
            return
        key = (what, layers)
        if key in [job.key for job in self._jobs.shown]:
            self._say(f"{_job_name(layers)}: is being made", False)
            return
        names = [(each, unit) for each in layers for unit in range(self._layers[each].num_units)]
        missing = [name for name in names if not self._is_made(name)]
        if not missing and not self._is_confirmed(what):
            self._say(
                f"all {len(names)} pictures of {_job_name(layers)} are made; the same again within "
                f"{CONFIRM_S:.0f} s makes them anew",
                False,
            )
            return
        if missing and what == "generate all" and not self._is_confirmed(what):
            self._say(
                f"{len(missing)} pictures of {len(layers)} layers take long; the same again within "
                f"{CONFIRM_S:.0f} s begins",
                False,
            )
            return
        overwrite = not missing
        self._jobs.add(
            key,
            _job_name(layers),
            self._many(names if overwrite else missing, overwrite=overwrite),
            on_end=lambda how: self._many_ended(_job_name(layers), how),
        )
        self._say(f"making {len(names if overwrite else missing)} pictures", False)

    def _is_confirmed(self, what: str) -> bool:
        """Whether the same was asked a moment ago."""
        asked, self._asked = self._asked, (what, self._now_s())
        if asked is None or asked[0] != what or self._now_s() - asked[1] > CONFIRM_S:
            return False
        self._asked = None
        return True

    def _is_made(self, name: Name) -> bool:
        entry = self._known.get(name)
        if entry is not None and entry.is_done:
            return True
        return self._shelf is not None and self._shelf.has(*name)

    def _many(self, names: Sequence[Name], *, overwrite: bool) -> Iterator[float]:
        assert self._grower is not None
        for index, name in enumerate(names):
            if not overwrite and self._is_made(name):  # meanwhile, by a click
                continue
            entry = _Entry()
            for grown in self._grower.grow(*name, start_13HW=None):
                self._take(entry, grown)
                yield (index + grown.share) / len(names)
                if grown.result is not None:
                    before = self._known.get(name)
                    if before is not None:
                        entry.tops, entry.is_looked_up = before.tops, before.is_looked_up
                    self._finish(name, entry, grown.result)

    def _many_ended(self, name: str, how: Ending) -> None:
        self._touch(at_once=True)
        if how == "failed":
            self._say(f"{name}: {self._jobs.faults.note}", True)
        elif how == "done":
            self._say(f"{name}: all pictures are made", False)

    def _pause_jobs(self) -> None:
        jobs = self.jobs
        if not jobs:
            self._say("nothing is being made but the selected unit's picture", False)
            return
        paused = not all(job.is_paused for job in jobs)
        for job in jobs:
            self._jobs.pause(job.key, paused=paused)
        self._say("held" if paused else "going on", False)

    def _cancel_jobs(self) -> None:
        jobs = self.jobs
        for job in jobs:
            self._jobs.cancel(job.key)
        made = "cancelled; what is made stays" if jobs else "nothing to cancel"
        self._say(made, False)

    # Memory

    def _entry(self, name: Name) -> _Entry:
        entry = self._known.get(name)
        if entry is None:
            entry = self._known[name] = _Entry(is_looked_up=self._loader is None)
        self._known.move_to_end(name)
        return entry

    def _trim(self) -> None:
        """Forget what was looked at longest ago; what is on the shelf comes back from there."""
        total = sum(entry.num_bytes for entry in self._known.values())
        for name in list(self._known)[:-1]:
            if total <= self._max_bytes:
                return
            if self._grows is not None and self._grows[0] == name:
                continue
            total -= self._known.pop(name).num_bytes
            self._forget_growth(name)

    def _touch(self, *, at_once: bool = False) -> None:
        self._version += 1
        if at_once:
            self._drawn_s = float("-inf")


_UNIT: Final = "unit"
"""Key of the job for the selected unit."""


def in_sight(view: View) -> bool:
    """Whether anything of what units have learned is shown."""
    on_page = view.page == "learned" and has_details(view)
    return on_page or (view.pattern != "maps" and view.zoom == "grid")


def _name_of(selection: Selection) -> Name:
    return selection.layer or "", selection.unit or 0


def _hovered(view: View, selection: Selection) -> Name | None:
    """The unit under the pointer, in the grid, where it is not the selected one."""
    hover = view.hover
    if hover.kind != "unit" or hover.pane != "grid" or hover.layer != selection.layer:
        return None
    name = (hover.layer or "", hover.unit or 0)
    return None if name == _name_of(selection) else name


def _job_name(layers: tuple[str, ...]) -> str:
    return layers[0] if len(layers) == 1 else f"{len(layers)} layers"
