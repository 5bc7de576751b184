"""What lies where on the picture that the user sees."""

from dataclasses import dataclass, field

from rtvis.data import Target
from rtvis.render.layout import Layout
from rtvis.render.pages import PAGES
from rtvis.render.readout import Readout


@dataclass(frozen=True, slots=True)
class Drawn:
    """What the user sees: needed to tell what lies under the pointer."""

    layout: Layout
    top: tuple[int, ...] = ()
    """Class indices in the rows of the list of classes."""
    readout: Readout = field(default_factory=Readout)
    """The numbers in the text."""

    def hit(self, x: int, y: int) -> Target:
        """What lies under a pixel."""
        target = self.layout.hit(x, y, classes=self.top)
        if target.kind == "pane" and target.pane == "details":
            return PAGES[self.layout.page].hit(self.layout, self.readout, x, y) or target
        return target
