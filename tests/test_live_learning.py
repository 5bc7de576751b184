"""The optimiser and the store beside the film: real pictures of a tiny network, grown and kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from rtvis.cli import learned as cli_learned
from rtvis.config import Config
from rtvis.data import ClosedEvent, Crop, KeyEvent, Selection
from rtvis.errors import ConfigError, StoreError
from rtvis.flags import parse_config
from rtvis.render.compositor import Compositor
from rtvis.render.focus import focus_of
from rtvis.runtime.grower import EngineGrower
from rtvis.runtime.growth import Grown
from rtvis.runtime.pipeline import Pipeline
from rtvis.runtime.store_shelf import StoreShelf
from rtvis.session import Session, View
from rtvis.sinks.memory import MemorySink
from rtvis.units import names
from rtvis.units.store import open_store
from rtvis.units.unit_inputs import UnitInput, as_json
from tests.nets import engine_of, seeded
from tests.nets_fake import FakeSource
from tests.waiting import wait_for


class SmallNet(nn.Module):
    """Three convolutions and a dense layer, for pictures of 32x32."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.third = nn.Conv2d(12, 16, 3, stride=2, padding=1)
        self.fc = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.third(self.second(self.first(x).relu()).relu()).relu()
        return self.fc(x.mean((2, 3)))


@pytest.fixture(scope="module")
def engine():
    with engine_of(seeded(SmallNet), 32) as engine:
        yield engine


@pytest.fixture(scope="module")
def grown(engine) -> list[Grown]:
    return list(EngineGrower(engine).grow(engine.layers[1].name, 2, start_13HW=None))


def test_pictures_take_as_much_memory_as_the_flag_says(engine, tmp_path: Path) -> None:
    """DVT-98: 2000 MiB unless the user says otherwise, and not less than ten; an eighth of it is
    for files as the store has them."""

    def config_of(*words: str) -> Config:
        return parse_config(
            Config, ["--store", str(tmp_path), *words], prog="rtvis", description=""
        )

    mib = 2**20
    config = config_of()
    assert cli_learned.known_bytes_of(config) == 1750 * mib
    ten = config_of("--learned-memory", "10")
    shelf = cli_learned.shelf_of(ten, engine)
    assert isinstance(shelf, StoreShelf)
    assert shelf._store().cache.max_bytes + cli_learned.known_bytes_of(ten) == 10 * mib
    assert shelf._store().cache.max_bytes == 10 * mib // 8
    with pytest.raises(ConfigError, match=r"--learned-memory: '9' cannot be used; give a whole"):
        config_of("--learned-memory", "9")


def shelf_of(engine, root: Path, preset: str = "default") -> StoreShelf:
    return StoreShelf(root, lambda: engine.identity, engine.layers, preset_name=preset)


def test_a_picture_grows_to_excite_its_unit_and_the_last_step_brings_the_result(grown) -> None:
    assert [step.share for step in grown] == pytest.approx(
        [(index + 1) / len(grown) for index in range(len(grown))]
    )
    assert all(step.result is None for step in grown[:-1])
    assert grown[-1].result is not None
    values = [step.value for step in grown]
    assert values[-1] > values[0] + 1.0, values[:: len(values) // 8]
    image_HW3 = grown[-1].draw()
    assert (image_HW3.dtype, tuple(image_HW3.shape)) == (torch.uint8, (32, 32, 3))


def test_another_unit_grows_another_picture_and_a_start_is_begun_at(engine, grown) -> None:
    grower, layer = EngineGrower(engine), engine.layers[1].name
    other = next(grower.grow(layer, 3, start_13HW=None)).draw()
    assert not torch.equal(other, grown[0].draw())
    at_black = next(grower.grow(layer, 2, start_13HW=torch.full((1, 3, 32, 32), -1.0)))
    at_white = next(grower.grow(layer, 2, start_13HW=torch.full((1, 3, 32, 32), 1.0)))
    assert at_white.draw().float().mean() > at_black.draw().float().mean() + 50


def test_growing_compiles_and_traces_nothing(engine, grown) -> None:
    del grown  # any unit before
    before = engine._gradients._reaches
    next(EngineGrower(engine).grow(engine.layers[2].name, 1, start_13HW=None))
    assert engine._gradients._reaches is before


def test_an_unknown_preset_is_told_at_the_start(engine) -> None:
    with pytest.raises(ConfigError, match=r"there is no preset 'defalt'.*default"):
        EngineGrower(engine, preset_name="defalt")


def test_what_is_kept_is_found_again_by_another_session(engine, grown, tmp_path: Path) -> None:
    layer = engine.layers[1].name
    shelf = shelf_of(engine, tmp_path)
    assert shelf.optimized(layer, 2) is None
    assert not shelf.has(layer, 2)
    shelf.keep(layer, 2, grown[-1].result)
    again = shelf_of(engine, tmp_path)
    found = again.optimized(layer, 2)
    assert found is not None
    assert again.has(layer, 2)
    assert not again.has(layer, 3)
    assert np.array_equal(found.image_HW3, grown[-1].result.image_HW3), "PNG loses nothing"
    assert found.value == pytest.approx(grown[-1].value, rel=1e-6)
    assert shelf_of(engine, tmp_path, "dvt-a").optimized(layer, 2) is None, "another way to make it"
    store = open_store(tmp_path, engine.identity)
    assert [each.name for each in store.layers()] == [layer]
    assert store.unit_files(layer, 2) == tuple(
        f"optimized_default_0{suffix}" for suffix in (".json", ".npz", ".png")
    )


def unit_input(rank: int) -> UnitInput:
    whole = Crop(top=0, left=0, height=10, width=10)
    return UnitInput(
        item=rank,
        name=f"{rank}.png",
        label=None,
        pts_seconds=1.5 if rank == 1 else None,
        value=9.0 - rank,
        position=(0, 0),
        recomputed=None,
        field=whole,
        source=whole,
        picture_size=(10, 10),
    )


def test_crops_of_a_scan_are_shown_small_with_their_backward_pictures(engine, tmp_path) -> None:
    layer = engine.layers[1]
    store = open_store(tmp_path, engine.identity)
    with store.writing("a scan") as writer:
        writer.write_layer(layer)
        crops = {
            names.ranked("crop", rank): np.full((300, 150, 3), 20 * rank, np.uint8)
            for rank in range(3)
        }
        backs = {
            names.ranked("guided", rank): np.full((10, 10, 3), 200, np.uint8) for rank in range(3)
        }
        writer.write_pictures(layer.name, 4, crops | backs)
        inputs = [unit_input(rank) for rank in range(3)]
        writer.write_unit(layer.name, 4, {names.INPUTS: json.dumps(as_json(inputs)).encode()})
    shelf = shelf_of(engine, tmp_path)
    tops = shelf.tops(layer.name, 4, 9)
    assert shelf.back_rule == "guided"
    assert [top.crop_HW3.shape for top in tops] == [(128, 64, 3)] * 3
    assert [abs(int(top.crop_HW3[60, 30, 0]) - 20 * rank) <= 2 for rank, top in enumerate(tops)]
    assert tops[0].back_HW3 is not None
    assert [(top.value, top.name) for top in tops] == [
        (9.0, "0.png"),
        (8.0, "1.png at 1.5 s"),
        (7.0, "2.png"),
    ]
    assert shelf.tops(layer.name, 5, 9) == ()
    tiles = dict(shelf.sheet(layer.name, "top"))
    assert [unit for unit, image in tiles.items() if image is not None] == [4]
    assert list(tiles) == [4]


def test_a_store_that_somebody_else_writes_to_says_so(engine, grown, tmp_path: Path) -> None:
    layer = engine.layers[1].name
    store = open_store(tmp_path, engine.identity)
    with store.writing("rtvis units scan"), pytest.raises(StoreError, match="rtvis units scan"):
        shelf_of(engine, tmp_path).keep(layer, 2, grown[-1].result)


def test_the_focus_is_the_field_of_the_middle_neuron_and_a_margin(engine) -> None:
    deep = next(layer for layer in engine.layers if layer.map_size == (1, 1))
    assert focus_of(deep, (32, 32)) == (slice(0, 32), slice(0, 32)), "it sees everything"
    first = engine.layers[0]
    rows, columns = focus_of(first, (32, 32))
    field = first.field_at((first.map_size[0] // 2, first.map_size[1] // 2), (32, 32))
    # A quarter of a field of 3 is less than the least margin of 4.
    assert first.receptive_field == (3, 3)
    assert (rows.start, rows.stop) == (int(field.top - 4), int(field.top + 3 + 4))
    assert (columns.start, columns.stop) == (int(field.left - 4), int(field.left + 3 + 4))


def test_beside_a_film_the_clicked_unit_s_picture_grows_is_kept_and_comes_back(
    engine, tmp_path: Path
) -> None:
    layer = engine.layers[1].name
    view = View(canvas_size=(800, 1280), page="learned", selection=Selection(layer=layer, unit=1))
    source, sink = FakeSource(), MemorySink(max_pictures=2)
    shelf = shelf_of(engine, tmp_path)
    session = Session(view)
    with Pipeline(
        engine=engine,
        source=source,
        compositor=Compositor(engine.device),
        session=session,
        window=sink,
        grower=EngineGrower(engine),
        shelf=shelf,
        known_bytes=12_345_678,
    ) as pipeline:
        assert pipeline.loop.units.learning._known.max_bytes == 12_345_678
        user = _User(source, session, layer)
        import threading

        thread = threading.Thread(target=user.play, args=(pipeline, sink, shelf))
        thread.start()
        summary = pipeline.run()
        thread.join(10)
    assert user.fault is None
    assert summary.num_faults == 0
    assert shelf_of(engine, tmp_path).has(layer, 1)


class _User:
    """Waits for the picture of a unit, clicks another one, and comes back."""

    def __init__(self, source: FakeSource, session: Session, layer: str) -> None:
        self._source, self._session, self._layer = source, session, layer
        self.fault: BaseException | None = None

    def play(self, pipeline: Pipeline, sink: MemorySink, shelf: StoreShelf) -> None:
        try:
            assert self._source.started.wait(10)
            self._source.put()
            wait_for(lambda: self._state(pipeline) == (1, "done"))
            wait_for(lambda: shelf.has(self._layer, 1))
            self._look_at_it(pipeline, sink)
            self._session.update(selection=Selection(layer=self._layer, unit=2))
            wait_for(lambda: self._state(pipeline) == (2, "growing"))
            self._session.update(selection=Selection(layer=self._layer, unit=1))
            wait_for(lambda: self._state(pipeline) == (1, "done"))
        except BaseException as fault:  # noqa: BLE001 - told to the test's thread
            self.fault = fault
        finally:
            sink.send(ClosedEvent())

    def _look_at_it(self, pipeline: Pipeline, sink: MemorySink) -> None:
        """The optimised picture becomes the network's input, and then the frame comes back."""
        frame = pipeline.loop.turn.frame
        sink.send(KeyEvent(key="insert"))
        wait_for(lambda: pipeline.loop.turn.frame is not frame)
        assert pipeline.loop.turn.frame is not None
        assert pipeline.loop.turn.frame.name == f"optimised {self._layer}:1"
        wait_for(lambda: pipeline.loop.turn.selection.fit == "stretch")
        result = pipeline.loop.turn.composed.result
        wait_for(lambda: pipeline.loop.turn.composed.result is not result)
        # As at the last step of the optimiser, which saw a picture that was not rounded to bytes.
        value = float(pipeline.loop.turn.composed.result.maps_BCHW[0, 1].max())
        assert (
            value
            > 0.8
            * pipeline.loop.units.learning.shown(
                self._session.read()[0], pipeline.loop.turn.selection
            ).value
        )
        sink.send(KeyEvent(key="insert"))
        wait_for(lambda: pipeline.loop.turn.frame is frame)
        wait_for(lambda: pipeline.loop.turn.selection.fit == "crop")

    def _state(self, pipeline: Pipeline) -> tuple[int, str] | None:
        learning = pipeline.loop.units.learning
        assert learning is not None
        shown = learning.shown(self._session.read()[0], pipeline.loop.turn.selection)
        return None if shown is None else (shown.unit, shown.optimized)
