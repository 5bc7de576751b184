"""What stands in the list of classes: the best ones, or the legend of a label picture."""

from collections.abc import Iterator
from dataclasses import dataclass

from rtvis.render import wording
from rtvis.render.class_colours import class_colour
from rtvis.render.label_picture import background_classes
from rtvis.render.readout import Readout
from rtvis.render.scene import Scene
from rtvis.render.text import Colour
from rtvis.theme import Ink


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassRow:
    """One row: a name, a number, and a bar below."""

    name: str = ""
    text: str = ""
    share: float = 0.0
    """How much of the bar is filled, 0..1."""
    words: Ink = Ink.DIM
    """Colour of the words."""
    bold: bool = False
    track: Ink | None = None
    """Colour of the empty bar; None for no bar."""
    bar: Ink = Ink.FAINT
    """Colour of the filled one."""
    swatch: Colour | None = None
    """Colour of the class in the label picture, before the name."""
    is_score: bool = False
    """The bar is a probability, and shows where it was before changes to units."""
    is_number: bool = False
    """`text` is any number, and no share."""
    is_heat: bool = False
    """The bar shows the colours of a heat, from its smallest to its largest value."""


def class_rows(scene: Scene, readout: Readout, num: int) -> Iterator[ClassRow]:
    """Rows for the best classes; `num` in all, the last of them empty where there are fewer."""
    result = scene.result
    if result is not None and result.dense_BKHW is not None and result.labels_BHW is None:
        rows = [*_heat_rows(scene, readout)]
    else:
        is_legend = result is not None and result.labels_BHW is not None
        rows = [_row(scene, readout, *shown, is_legend=is_legend) for shown in readout.top]
    yield from (rows + [ClassRow()] * num)[:num]


def _row(scene: Scene, readout: Readout, index: int, share: float, *, is_legend: bool) -> ClassRow:
    hover = scene.view.hover
    lit = hover.kind == "class" and hover.class_index == index
    chosen = index == readout.class_index
    swatch = None
    if is_legend:
        # Where nothing is recognised the photograph is left as it is: an empty frame.
        hidden = index in background_classes(scene.labels)
        swatch = Ink.PANEL if hidden else class_colour(index)
    return ClassRow(
        name=wording.class_name(scene.labels, index),
        text=wording.share(share),
        share=share,
        words=Ink.TEXT if chosen or lit else Ink.DIM,
        bold=chosen and scene.view.selection.class_index is not None,
        track=Ink.LIT if lit else Ink.RAISED,
        bar=Ink.TEXT if chosen else Ink.FAINT,
        swatch=swatch,
        is_score=not is_legend,
    )


def _heat_rows(scene: Scene, readout: Readout) -> Iterator[ClassRow]:
    """The one class with its score, and the ends of the heat's scale."""
    if readout.seq < 0:
        return
    name = wording.class_name(scene.labels, 0) if scene.labels is not None else "its one output"
    yield ClassRow(
        name=name,
        text=wording.number(readout.score),
        words=Ink.TEXT,
        is_number=True,
        is_heat=True,
    )
    yield ClassRow(
        name=wording.number(readout.dense_low),
        text=wording.number(readout.dense_high),
        is_number=True,
    )
