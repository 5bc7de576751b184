"""The unit that is seen first: the one that answers most to the first picture."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor

from rtvis.data import Selection
from rtvis.runtime.first_unit import FirstUnit
from rtvis.session import Session, View


class Scrolls:
    """A controller that counts what it was asked for."""

    def __init__(self) -> None:
        self.num_asked = 0

    def show_selected(self) -> None:
        self.num_asked += 1


def composed(maps_CHW: Tensor | None) -> Any:
    result = None
    if maps_CHW is not None:
        result = SimpleNamespace(maps_BCHW=maps_CHW[None], selection=Selection(layer="a"))
    return SimpleNamespace(result=result)


def after(*pictures: Tensor | None, view: View | None = None) -> tuple[View, int]:
    """The view behind these pictures, and how often the lists were scrolled."""
    session, scrolls = Session(view), Scrolls()
    first = FirstUnit(session, cast("Any", scrolls))
    for each in pictures:
        first.look_at(composed(each))
    return session.read()[0], scrolls.num_asked


def maps(*tops: float, floor: float = 0.0) -> Tensor:
    """A 2x2 map a unit, `floor` but for one place."""
    maps_CHW = torch.full((len(tops), 2, 2), floor)
    maps_CHW[:, 1, 0] = torch.tensor(tops)
    return maps_CHW


def test_the_unit_that_stands_out_most_is_selected_once_and_brought_into_sight() -> None:
    # Nothing was computed for the first picture; the third one's strongest unit comes too late.
    view, num_scrolled = after(None, maps(0.0, 1.0, 3.0, 2.0), maps(9.0, 0.0, 0.0, 0.0))
    assert view.selection == Selection(unit=2)
    assert num_scrolled == 1


def test_a_unit_that_is_the_same_everywhere_tells_nothing_of_the_picture() -> None:
    flat = maps(0.0, 1.0)
    flat[0] = 7.0
    assert after(flat)[0].selection.unit == 1
    # Values of a dense layer have no place: there the largest counts, and NaN counts for nothing.
    values = torch.tensor([1.0, 4.0, float("nan")]).view(3, 1, 1)
    assert after(values)[0].selection.unit == 1


def test_what_somebody_has_chosen_stays() -> None:
    for chosen in (Selection(layer="a", unit=0), Selection(layer="b")):
        view, num_scrolled = after(maps(0.0, 5.0), view=View(selection=chosen))
        assert (view.selection, num_scrolled) == (chosen, 0)
