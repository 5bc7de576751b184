"""The dense layer's values beside the maps, driven by real clicks on a real layout."""

import inks
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rtvis.data import Origin, Selection, SourceStatus
from rtvis.engine.engine import Engine
from rtvis.errors import SelectionError
from rtvis.render import lut
from rtvis.render.compositor import Compositor
from rtvis.render.pages import PAGES
from rtvis.render.pages.dense import cells
from rtvis.render.scene import Scene
from rtvis.session import View
from tests.nets import engine_of, seeded


class TwoDense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.hidden, self.last = nn.Linear(4, 30), nn.Linear(30, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.hidden(self.conv(x).relu().mean(dim=(2, 3))).relu())


@pytest.fixture(scope="module")
def engine() -> Engine:
    return engine_of(seeded(TwoDense), size=16, labels=("ant", "bee", "cat", "dog", "elk"))


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def test_a_second_layer_comes_with_the_result(engine: Engine, image: np.ndarray) -> None:
    alone = engine.run(image, Selection(layer="hidden", unit=3, tap="post"))
    beside = engine.run(image, Selection(layer="conv", unit=1, tap="post", beside="hidden"))
    assert beside.beside_BCHW is not None
    assert torch.equal(beside.beside_BCHW, alone.maps_BCHW)
    assert beside.maps_BCHW.shape == (1, 4, 14, 14)
    assert alone.beside_BCHW is None
    with pytest.raises(SelectionError, match="no layer 'hiden'; nearest is 'hidden'"):
        engine.run(image, Selection(beside="hiden"))


def drawn(engine: Engine, image: np.ndarray, view: View) -> tuple[Compositor, Tensor]:
    compositor = Compositor(torch.device("cpu"))
    result = engine.run(image, view.selection)
    scene = Scene(
        view=view, layers=engine.layers, image_HW3=torch.from_numpy(image), result=result,
        labels=engine.labels, source=SourceStatus(state="live"),
    )  # fmt: skip
    return compositor, compositor.compose(scene).clone()


def test_the_page_shows_every_value_in_its_cell(engine: Engine, image: np.ndarray) -> None:
    selection = Selection(layer="conv", unit=1, beside="last")
    compositor, words_HW = drawn(engine, image, View(page="dense", selection=selection))
    assert compositor.layout is not None
    grid = cells(compositor.layout)
    assert grid is not None
    values_5 = engine.run(image, selection).scores_BK[0]
    low, high = values_5.min(), values_5.max()
    table = torch.tensor(lut.table_words("colour"))
    largest = torch.maximum(high, -low)
    for unit in range(5):
        tile = grid.tile(unit)
        assert tile is not None
        share = float(values_5[unit] / largest)
        zero = lut.DIVERGING_ZERO if low < 0 else lut.SEQUENTIAL_ZERO
        near = table[zero + round(255 * share) - 1 : zero + round(255 * share) + 2]
        assert int(words_HW[tile.top + 2, tile.left + 2]) in near.tolist()
    assert compositor.readout.page_numbers[:2] == pytest.approx((float(low), float(high)))


def test_a_cell_is_hit_as_the_start_of_the_backward_pass(engine: Engine, image: np.ndarray) -> None:
    start = Origin(layer="last", unit=2)
    selection = Selection(layer="conv", unit=1, beside="last", origin=start)
    compositor, words_HW = drawn(engine, image, View(page="dense", selection=selection))
    layout = compositor.layout
    assert layout is not None
    grid = cells(layout)
    assert grid is not None
    for unit in (0, 2, 4):
        tile = grid.tile(unit)
        assert tile is not None
        target = PAGES["dense"].hit(layout, compositor.readout, tile.left + 1, tile.top + 1)
        assert target is not None
        assert (target.kind, target.layer, target.unit) == ("start", "last", unit)
    tile = grid.tile(2)
    assert tile is not None
    assert int(words_HW[tile.top - 1, tile.left + 1]) & 0xFFFFFF == inks.SOURCE
    wanted = engine.run(image, Selection(layer="last", unit=2)).backprop_B3HW
    assert torch.equal(engine.run(image, selection).backprop_B3HW, wanted)
