"""A Scene becomes a picture in host memory."""

from dataclasses import dataclass

from rtvis.data import Frame, Picture, Result
from rtvis.render.layout import Layout
from rtvis.render.scene import Half, Memory, Scene
from rtvis.runtime.composed import Composed
from rtvis.runtime.computing import Computed
from rtvis.runtime.drawn import Drawn
from rtvis.runtime.faults import IN_LOOP, Faults
from rtvis.runtime.turn_parts import CompositorLike, Travelling
from rtvis.session import View
from rtvis.timing import StageClock


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Of:
    """What a picture is made of, as it was computed: two that are compared are shown as one."""

    view: View
    frame: Frame | None
    result: Result | None
    second: Half | None
    older: Computed | None
    """As `Composed.older`."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Submitted:
    """A picture whose download has begun."""

    of: Of
    travelling: Travelling
    layout: Layout
    memory: Memory | None
    stale_s: float


class Drawing:
    """Draws, and brings pictures home. Owned by the engine thread.

    Args:
        compositor: Draws.
        clock: Measures the stages.
    """

    def __init__(self, compositor: CompositorLike, clock: StageClock) -> None:
        self._compositor = compositor
        self._clock = clock
        self._num_pictures = 0
        self.faults = Faults()
        self.composed: Composed | None = None
        """The last picture, and what it shows."""

    @property
    def units_in_sight(self) -> range:
        """Whose tiles the last picture had."""
        layout = self._compositor.layout
        grid = layout.grid if layout is not None else None
        return range(grid.first, grid.last) if grid is not None else range(0)

    def begin(self, scene: Scene, of: Of) -> Submitted | None:
        """Draw, and let the picture travel; None where it cannot be drawn, which is a fault."""
        try:
            with self._clock.stage("draw"):
                self._compositor.compose(scene)
                travelling = self._compositor.download()
        except IN_LOOP as error:
            self.faults.add(error)
            return None
        layout = self._compositor.layout
        assert layout is not None, "a compositor has a layout once it has composed"
        return Submitted(
            of=of,
            travelling=travelling,
            layout=layout,
            memory=self._compositor.memory,
            stale_s=(scene.now_ns - since_ns) / 1e9 if (since_ns := scene.stale_since_ns) else 0.0,
        )

    def finish(self, submitted: Submitted) -> Composed | None:
        """Wait for a picture; None where it did not come, which is a fault."""
        try:
            with self._clock.stage("download"):
                canvas_HW3 = submitted.travelling.wait()
                self._compositor.receive(submitted.travelling.readout())
        except IN_LOOP as error:
            self.faults.add(error)
            return None
        of, readout = submitted.of, self._compositor.readout
        picture = Picture(
            canvas_HW3=canvas_HW3,
            seq=self._num_pictures,
            frame_seq=of.frame.seq if of.frame is not None else -1,
            captured_ns=of.frame.captured_ns if of.frame is not None else 0,
        )
        self._num_pictures += 1
        top = tuple(class_index for class_index, _ in readout.top)
        self.composed = Composed(
            picture=picture,
            drawn=Drawn(submitted.layout, top, readout),
            view=of.view,
            frame=of.frame,
            result=of.result,
            second=of.second if of.second is not None and of.second.result is not None else None,
            readout=readout,
            memory=submitted.memory,
            stale_s=submitted.stale_s,
            older=of.older,
        )
        return self.composed
