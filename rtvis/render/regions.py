"""Panels, titles, lists and lines of text: everything on the canvas that is drawn on the host."""

from rtvis.render.bars import Bars
from rtvis.render.chrome import Chrome
from rtvis.render.compared import ComparedFigures
from rtvis.render.figures import Figures
from rtvis.render.layout import Layout
from rtvis.render.pages import PAGES
from rtvis.render.readout import Readout
from rtvis.render.scene import Scene


def draw_regions(
    chrome: Chrome, scene: Scene, layout: Layout, readout: Readout, *, fresh: bool
) -> None:
    """Bring every slot up to date; `fresh` draws the panels behind them first."""
    bars = Bars(chrome, scene, layout, readout)
    figures = Figures(chrome, scene, layout, readout)
    compared = ComparedFigures(chrome, scene, layout, readout)
    if fresh:
        bars.panels()
    bars.header()
    bars.strip()
    figures.messages()  # before what stands in the same content
    bars.titles()
    compared.halves()
    figures.scales()
    figures.grid_scrollbar()
    if "classes" in layout.panes and not compared.classes():
        figures.classes()
    if "details" in layout.panes:
        PAGES[scene.view.page].write(figures)
    bars.status()
