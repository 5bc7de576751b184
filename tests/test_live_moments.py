"""Live moments: what is shown to the trackers, what the screen shows, and what a click does."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import inks
import numpy as np
import pytest
import torch

from rtvis.cli import learned as cli_learned
from rtvis.config import Config
from rtvis.data import (
    Frame,
    ImageU8,
    Intervention,
    Layer,
    Result,
    Selection,
)
from rtvis.engine.engine import Engine
from rtvis.errors import ConfigError
from rtvis.flags import parse_config
from rtvis.render.compositor import Compositor
from rtvis.render.grid import Rect
from rtvis.render.layout import layout
from rtvis.render.metrics import metrics_for
from rtvis.render.moment_numbers import moments_of, time_in
from rtvis.render.moment_pictures import mark_neuron, sees_all
from rtvis.render.moments_plan import NUM_MOMENTS, lay_moments
from rtvis.render.scene import Clip, Scene
from rtvis.runtime.moment_files import SavedMoments, read_moments_folder, write_moments
from rtvis.runtime.moment_keeping import copied_pictures, put_back, saved_moments, saved_others
from rtvis.runtime.moment_tiles import cut, narrowed
from rtvis.runtime.moments import MAX_LAYERS, LiveMoments
from rtvis.session import View
from rtvis.threads import cpu_threads
from tests.nets import EverySpelling, engine_of, seeded
from tests.nets_fake import LAYERS, make_layer

SIZE = (800, 1280)
STEM = Selection(layer="stem", unit=3, tap="pre")
PAGE = View(canvas_size=SIZE, page="moments", selection=STEM)


@pytest.fixture(autouse=True)
def one_thread() -> object:
    with cpu_threads(1):
        yield


class Watch:
    """Live moments of made-up results: each frame has one value in all of a layer's units."""

    def __init__(self, layers: tuple[Layer, ...] = LAYERS, **options: object) -> None:
        self.layers = {layer.name: layer for layer in layers}
        self.moments = LiveMoments(
            layers=layers,
            input_size=(6, 6),
            device=torch.device("cpu"),
            pictures=lambda x: x.permute(0, 2, 3, 1).to(torch.uint8),
            wall_s=lambda: 1000.0,
            now_ns=lambda: 5_000_000_000,
            **{"max_bytes": 2**16, **options},  # type: ignore[arg-type]
        )
        self.num_frames = 0

    def see(
        self,
        value: float,
        seconds: float | None = None,
        *,
        selection: Selection = STEM,
        path: str | None = None,
        source: str = "camera",
        frame: Frame | None = None,
    ) -> Frame:
        """A camera's frame at so many seconds, or one of a film, or a picture without a time."""
        if frame is None:
            frame = Frame(
                image_HW3=np.zeros((6, 6, 3), np.uint8),
                seq=self.num_frames,
                captured_ns=5_000_000_000 + round((seconds or 0) * 1e9),
                pts_seconds=seconds if path is not None else None,
                path=Path(path) if path is not None else None,
            )
        self.num_frames += 1
        self.moments.take(frame, source, self.result(value, selection))
        return frame

    def result(self, value: float, selection: Selection) -> Result:
        layer = self.layers[selection.layer or ""]
        maps_BCHW = torch.full((1, layer.num_units, *layer.map_size), value - 1)
        maps_BCHW[:, :, 0, -1] = value
        return Result(
            scores_BK=torch.zeros(1, 10),
            maps_BCHW=maps_BCHW,
            cam_BHW=torch.zeros(1, 2, 2),
            backprop_B3HW=torch.zeros(1, 3, 6, 6),
            class_index_B=torch.zeros(1, dtype=torch.int64),
            position_B2=torch.zeros(1, 2, dtype=torch.int64),
            value_B=torch.zeros(1),
            health_B=torch.zeros(1, dtype=torch.int64),
            selection=selection,
            form="eager",
            input_BCHW=torch.full((1, 3, 6, 6), float(self.num_frames % 250)),
        )

    def of(self, selection: Selection = STEM) -> list[tuple[float, int, float]]:
        """(value, clip, seconds) of the selected unit's moments, best first."""
        shown = self.moments.shown(replace(PAGE, selection=selection), selection)
        assert shown is not None
        if shown.moments_NF is None:
            return []
        rows = shown.moments_NF.tolist()
        return [(row[0], int(row[1]), row[2]) for row in rows if row[5] >= 0]


def test_a_camera_s_time_begins_with_its_first_frame_and_has_the_clock_on_the_wall() -> None:
    watch = Watch()
    watch.see(3.0, 10.0)
    watch.see(4.0, 12.5)
    assert watch.of() == [(4.0, 0, 2.5), (3.0, 0, 0.0)]
    clip = watch.moments.times.seen[0]
    assert (clip.kind, clip.name) == ("camera", "camera")
    assert clip.begun_wall_s == 1010.0  # captured ten seconds from now, as this clock has it


def test_a_camera_s_frame_that_is_shown_again_counts_at_the_time_that_it_had() -> None:
    watch = Watch()
    for value, wall_s in ((3.0, 500.0), (4.0, 500.5), (5.0, 502.5)):
        frame = Frame(image_HW3=np.zeros((6, 6, 3), np.uint8), seq=0, captured_ns=0, wall_s=wall_s)
        watch.see(value, frame=frame)
    assert watch.of() == [(5.0, 0, 2.5), (4.0, 0, 0.5)]
    assert watch.moments.times.seen[0].begun_wall_s == 500.0


def test_a_film_in_a_loop_counts_each_time_once() -> None:
    watch = Watch()
    for _ in range(3):
        for index, value in enumerate([1.0, 5.0, 2.0, 7.0, 3.0]):
            watch.see(value, index * 1.5, path="film.mp4")
    assert watch.of() == [(v, 0, t) for v, t in [(7, 4.5), (5, 1.5), (3, 6), (2, 3), (1, 0)]]


def test_the_same_time_of_two_films_is_two_moments() -> None:
    watch = Watch()
    watch.see(3.0, 2.0, path="a.mp4")
    watch.see(4.0, 2.1, path="b.mp4")
    assert watch.of() == [(4.0, 1, 2.1), (3.0, 0, 2.0)]
    assert [clip.name for clip in watch.moments.times.seen] == ["a.mp4", "b.mp4"]


def test_each_picture_of_a_folder_is_one_moment_however_often_it_is_shown() -> None:
    watch = Watch()
    for _ in range(2):
        for name, value in (("a.png", 1.0), ("b.png", 2.0)):
            watch.see(value, path=name)
    assert watch.of() == [(2.0, 1, 0.0), (1.0, 0, 0.0)]


def test_layers_taps_and_queries_gather_by_themselves_and_keep_what_they_have() -> None:
    layers = (*LAYERS, make_layer(4, "attention", 3, 2, kind="attention"))
    layers = tuple(replace(layer, activation="relu") for layer in layers)
    watch = Watch(layers)
    behind, middle = replace(STEM, tap="post"), Selection(layer="middle", unit=0)
    first = Selection(layer="attention", unit=0, position=(0, 0))
    second = replace(first, position=(0, 1))
    chosen = (STEM, behind, middle, first, second)
    for index, selection in enumerate(chosen):
        watch.see(float(index), 2.0 * index, selection=selection)
    for index, selection in enumerate(chosen):
        assert watch.of(selection) == [(float(index), 0, 2.0 * index)]
    # Where nothing follows the layer, before and behind are the same.
    plain = Watch()
    plain.see(1.0, 0.0, selection=STEM)
    plain.see(2.0, 2.0, selection=behind)
    assert len(plain.of(STEM)) == len(plain.of(behind)) == 2


def test_a_state_holds_the_moments_of_every_layer_with_their_pictures(tmp_path: Path) -> None:
    layers = tuple(replace(layer, activation="relu") for layer in LAYERS)
    watch, middle = Watch(layers), Selection(layer="middle", unit=0)
    behind = replace(STEM, tap="post")
    for index, selection in enumerate((behind, middle, STEM, middle, STEM)):
        watch.see(float(index), 2.0 * index, selection=selection, path="/film.mp4")
    found = saved_moments(watch.moments, STEM)
    assert found is not None
    others: list[SavedMoments] = []
    pictures: dict[int, ImageU8] = {}
    shares = [*saved_others(watch.moments, STEM, others)]
    shares += copied_pictures(watch.moments, pictures)
    assert [other.about.layer for other in others] == ["stem", "middle"]
    assert set(pictures) == set(range(5))
    write_moments(tmp_path / "moments", replace(found, pictures=pictures, others=tuple(others)))
    again = Watch(layers)
    put_back(again.moments, read_moments_folder(tmp_path / "moments"), where=tmp_path)
    for selection in (STEM, middle, behind):
        assert again.of(selection) == watch.of(selection) != []
        gathered, pool = again.moments.of(selection), again.moments.pool
        assert gathered is not None
        assert pool is not None
        ranks = gathered.tracker.ranks
        assert torch.equal(pool.holds(ranks), ranks.frame_NU >= 0)
        for slot, number in zip(ranks.slot_NU[:, 0], ranks.frame_NU[:, 0].tolist(), strict=True):
            assert number < 0 or (pool.picture_PHW3[slot] == number + 1).all(), "its picture"
    assert list(again.moments.gathered) == list(watch.moments.gathered)
    # It begins with the frame that was saved, which is not counted a second time.
    again.see(5.0, 8.0, selection=STEM, path="/film.mp4")
    assert again.of(STEM) == watch.of(STEM)
    gathered = again.moments.of(STEM)
    assert gathered is not None
    assert gathered.tracker.num_frames == 2
    counted = again.moments.shown(PAGE, STEM)
    assert counted is not None
    assert counted.pool_2 is not None
    assert counted.pool_2.tolist() == [5, 0], "the other layers' pictures are kept, too"
    # The film goes on in the layer that was not selected, and no number is given twice.
    again.see(9.0, 20.0, selection=middle, path="/film.mp4")
    assert again.of(middle)[0] == (9.0, 0, 20.0)
    assert len(again.of(middle)) == 3


@pytest.mark.parametrize(
    ("path", "seconds", "num_frames"),
    [("/frame.png", 0.0, 1), ("/film.mp4", 3.0, 2)],
    ids=["the copy of a camera's frame", "another place in the film"],
)
def test_the_first_frame_of_a_state_counts_if_it_is_another_than_the_saved_one(
    tmp_path: Path, path: str, seconds: float, num_frames: int
) -> None:
    watch = Watch()
    watch.see(1.0, 2.0, path="/film.mp4")
    found = saved_moments(watch.moments, STEM)
    assert found is not None
    again = Watch()
    put_back(again.moments, found, where=tmp_path)
    again.see(7.0, seconds, path=path)
    gathered = again.moments.of(STEM)
    assert gathered is not None
    assert gathered.tracker.num_frames == num_frames
    again.see(8.0, 9.0, path=path)
    assert gathered.tracker.num_frames == num_frames + 1


def test_of_too_many_layers_the_one_looked_at_longest_ago_is_forgotten() -> None:
    layers = tuple(make_layer(i, f"l{i}", 2, 2) for i in range(MAX_LAYERS + 1))
    watch = Watch(layers)
    for layer in layers:
        watch.see(1.0, 0.0, selection=Selection(layer=layer.name, unit=0))
    assert len(watch.moments.gathered) == MAX_LAYERS
    assert watch.of(Selection(layer="l0", unit=0)) == []
    assert len(watch.of(Selection(layer="l1", unit=0))) == 1


def test_a_frame_that_is_computed_again_is_one_frame() -> None:
    watch = Watch()
    frame = watch.see(3.0, 0.0)
    watch.see(3.0, frame=frame, selection=replace(STEM, unit=5))
    gathered = watch.moments.of(STEM)
    assert gathered is not None
    assert gathered.tracker.num_frames == 1
    # Held, and seen otherwise: the same moment, if it is a better one.
    watch.see(4.0, frame=frame, selection=replace(STEM, fit="stretch"))
    assert watch.of() == [(4.0, 0, 0.0)]


def test_nothing_counts_while_units_are_changed_and_the_page_says_so() -> None:
    watch = Watch()
    watch.see(3.0, 0.0)
    changed = replace(STEM, interventions=(Intervention(layer="stem", unit=1, scale=0.0),))
    watch.see(9.0, 5.0, selection=changed)
    assert watch.of(changed) == [(3.0, 0, 0.0)]
    shown = watch.moments.shown(PAGE, changed)
    assert shown is not None
    assert shown.note == "not counted while units are changed"


def test_forgetting_begins_anew_and_is_drawn() -> None:
    watch = Watch()
    watch.see(3.0, 0.0)
    before = watch.moments.state
    watch.moments.clear()
    assert watch.moments.state != before
    assert watch.of() == []
    watch.see(1.0, 5.0)
    assert watch.of() == [(1.0, 0, 5.0)]
    assert watch.moments.pool is not None
    assert int((watch.moments.pool.frame_P >= 0).sum()) == 1


def test_pictures_of_other_layers_stay_until_there_is_no_room() -> None:
    watch = Watch(max_bytes=4 * 6 * 6 * 3)
    middle = Selection(layer="middle", unit=0)
    for index in range(2):
        watch.see(1.0 + index, 2.0 * index)
    for index in range(2, 4):
        watch.see(1.0 + index, 2.0 * index, selection=middle)
    pool = watch.moments.pool
    assert pool is not None
    assert sorted(pool.frame_P.tolist()) == [0, 1, 2, 3]
    # 20 units of "middle" need each of its pictures, 8 of "stem" each of the others.
    watch.see(9.0, 20.0, selection=middle)
    assert sorted(pool.frame_P.tolist()) == [1, 2, 3, 4]
    shown = watch.moments.shown(PAGE, STEM)
    assert shown is not None
    assert shown.moments_NF is not None
    assert shown.moments_NF[:2, 5:].tolist() == [[1.0, 1.0], [0.0, 0.0]]
    assert int(pool.num_given_up) == 1


@pytest.mark.parametrize(
    ("clip", "seconds", "text"),
    [
        (Clip(kind="film", name="f"), 0.0, "0:00.0"),
        (Clip(kind="film", name="f"), 13.2, "0:13.2"),
        (Clip(kind="film", name="f"), 59.99, "0:59.9"),
        (Clip(kind="film", name="f"), 3725.5, "1:02:05"),
        (Clip(kind="picture", name="p"), 0.0, ""),
    ],
)
def test_times_as_people_write_them(clip: Clip, seconds: float, text: str) -> None:
    assert time_in(clip, seconds) == text


def test_the_time_of_a_camera_is_that_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    clip = Clip(kind="camera", name="c", begun_wall_s=3600.0)
    assert time_in(clip, 65.9) == "01:01:05"
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("size", [(800, 1280), (1080, 1920), (2160, 3840), (700, 1200)])
def test_everything_of_the_page_lies_beside_each_other(size: tuple[int, int]) -> None:
    plan = layout(replace(PAGE, canvas_size=size), LAYERS)
    area, metrics = plan.contents["details"], metrics_for(size)
    page = lay_moments(area, metrics)
    rects = list(page.facts)
    if page.grid is not None:
        for place in range(NUM_MOMENTS):
            tile = page.grid.tile(place)
            assert tile is not None
            rects.append(tile.inset(-metrics.line))
            for line in range(page.num_lines):
                caption = page.caption(place, line, metrics)
                assert caption is not None
                rects.append(caption)
    assert all(rect.height > 0 and rect.width > 0 for rect in rects)
    assert all(area.inset(-metrics.line).contains(r.left, r.top) for r in rects)
    assert all(r.bottom <= area.bottom for r in rects)
    for index, one in enumerate(rects):
        assert not any(one.overlaps(other) for other in rects[index + 1 :])


# With a real network


def engine() -> Engine:
    return engine_of(seeded(EverySpelling, seed=2), 32)


def film(num: int, seed: int = 0) -> list[Frame]:
    random = np.random.default_rng(seed)
    return [
        Frame(
            image_HW3=random.integers(0, 256, (40, 56, 3), dtype=np.uint8),
            seq=index,
            captured_ns=index,
            pts_seconds=1.5 * index,
            path=Path("film.mp4"),
        )
        for index in range(num)
    ]


def watched(one: Engine, frames: list[Frame], selection: Selection) -> LiveMoments:
    moments = LiveMoments(
        layers=one.layers, input_size=one.input_size, device=one.device, pictures=one.input_pictures
    )
    for frame in frames:
        moments.take(frame, "film", one.run(torch.from_numpy(frame.image_HW3), selection))
    return moments


def scene_of(one: Engine, moments: LiveMoments, view: View, result: Result) -> Scene:
    return Scene(
        view=view,
        layers=one.layers,
        image_HW3=torch.zeros(40, 56, 3, dtype=torch.uint8),
        result=result,
        moments=moments.shown(view, result.selection),
        pattern=moments.pattern(view, result.selection),
    )


@pytest.mark.parametrize("layer", ["stem", "grouped", "wide"])
def test_a_moment_s_picture_shown_again_gives_the_value_to_the_bit(layer: str) -> None:
    one, selection = engine(), Selection(layer=layer, unit=2, tap="pre")
    frames = film(12)
    moments = watched(one, frames, selection)
    view = replace(PAGE, selection=selection)
    shown = moments.shown(view, one.resolve(selection))
    assert shown is not None
    assert shown.moments_NF is not None
    rows = shown.moments_NF.tolist()
    highest = sorted(
        (float(one.run(torch.from_numpy(f.image_HW3), selection).value_B) for f in frames),
        reverse=True,
    )
    assert [row[0] for row in rows] == highest[:9]
    for value, _, seconds, row, column, number, _ in rows:
        frame = moments.frame_of(int(number), one.resolve(selection))
        assert frame is not None
        assert f"0:{int(seconds):02}" in frame.name
        again = one.run(torch.from_numpy(frame.image_HW3), replace(selection, fit="stretch"))
        assert float(again.value_B) == value
        assert again.position_B2[0].tolist() == [row, column]


def test_the_page_shows_what_the_neurons_saw() -> None:
    one, selection = engine(), Selection(layer="stem", unit=2, tap="pre")
    moments = watched(one, film(4), selection)
    view, compositor = replace(PAGE, selection=selection), Compositor(torch.device("cpu"))
    result = one.run(torch.from_numpy(film(1)[0].image_HW3), selection)
    canvas_HW = compositor.compose(scene_of(one, moments, view, result)).clone()
    found = moments_of(compositor.readout)
    assert len(found) == 4
    plan = compositor.layout
    assert plan is not None
    page = lay_moments(plan.contents["details"], plan.metrics)
    assert page.grid is not None
    pool = moments.pool
    assert pool is not None
    for place, moment in enumerate(found):
        picture_HW3 = pool.picture_PHW3[int((pool.frame_P == moment.frame).nonzero())]
        # The field of 3 by 3 pixels around (2 row, 2 column), moved inside.
        top, left = max(2 * moment.row - 1, 0), max(2 * moment.column - 1, 0)
        crop_HW3 = picture_HW3[top : top + 3, left : left + 3]
        tile = page.grid.tile(place)
        assert tile is not None
        inner = tile.fit(3, 3)
        words_HW = canvas_HW[inner.rows, inner.columns]
        side = inner.height
        for y in range(3):
            for x in range(3):
                word = int(words_HW[(2 * y + 1) * side // 6, (2 * x + 1) * side // 6]) & 0xFFFFFF
                red, green, blue = crop_HW3[y, x].tolist()
                assert word == red << 16 | green << 8 | blue
    # Places that are still free are all alike.
    tiles = [page.grid.tile(place) for place in range(4, NUM_MOMENTS)]
    assert len({canvas_HW[t.rows, t.columns].sum().item() for t in tiles if t is not None}) == 1


def test_tiles_of_the_grid_are_the_crops_of_the_best_moments() -> None:
    one, selection = engine(), Selection(layer="wide", unit=0, tap="pre")
    moments = watched(one, film(8), selection)
    resolved = one.resolve(selection)
    view = replace(PAGE, selection=selection, pattern="moments")
    for _ in range(2):
        pattern = moments.pattern(view, resolved)
    assert pattern is not None
    assert sorted(pattern.tiles) == list(range(12))
    gathered, pool = moments.of(resolved), moments.pool
    assert gathered is not None
    assert pool is not None
    best = gathered.tracker.ranks.sorted()
    layer = narrowed(next(each for each in one.layers if each.name == "wide"), (32, 32))
    field = min(layer.receptive_field[0], 32)
    for unit, image_HW3 in pattern.tiles.items():
        picture_HW3 = pool.picture_PHW3[int(best.slot_NU[0, unit])].numpy()
        assert image_HW3.shape == (field, field, 3)
        start = layer.field_at((int(best.row_NU[0, unit]), int(best.column_NU[0, unit])), (32, 32))
        top = min(max(math.floor(start.top + 0.5), 0), 32 - field)
        left = min(max(math.floor(start.left + 0.5), 0), 32 - field)
        wanted = picture_HW3[top : top + field, left : left + field]
        np.testing.assert_array_equal(image_HW3, wanted)
    before = dict(pattern.tiles)
    again = moments.pattern(view, resolved)
    assert again is not None
    assert all(again.tiles[unit] is image for unit, image in before.items())


def test_tiles_in_sight_come_first() -> None:
    layers = (make_layer(0, "many", 90, 2),)
    watch, selection = Watch(layers), Selection(layer="many", unit=0, tap="pre")
    watch.see(1.0, 0.0, selection=selection)
    view = replace(PAGE, selection=selection, pattern="moments")
    seen = [
        sorted(watch.moments.pattern(view, selection, range(40, 70)).tiles)  # type: ignore[union-attr]
        for _ in range(4)
    ]
    assert seen[0] == list(range(40, 64))
    assert set(range(40, 70)) <= set(seen[1])
    assert seen[3] == list(range(90))


def test_tiles_go_on_coming_while_no_frame_does() -> None:
    layers = (make_layer(0, "many", 90, 2),)
    watch, selection = Watch(layers), Selection(layer="many", unit=0, tap="pre")
    watch.see(1.0, 0.0, selection=selection)
    view = replace(PAGE, selection=selection, pattern="moments")
    drawn, num_draws = None, 0
    while watch.moments.state != drawn:  # as a turn does of a held picture
        pattern = watch.moments.pattern(view, selection)
        assert pattern is not None
        drawn, num_draws = watch.moments.state, num_draws + 1
        assert num_draws < 10
    assert sorted(pattern.tiles) == list(range(90))
    other = Watch(layers)
    other.see(1.0, 0.0, selection=selection)
    at_once = other.moments.pattern(view, selection, whole=True)
    assert at_once is not None
    assert sorted(at_once.tiles) == list(range(90)), "for a picture that nobody waits for"


def test_of_neurons_that_see_all_tiles_show_the_half_around_each_and_the_page_marks_it() -> None:
    layer = replace(
        make_layer(0, "deep", 2, 4), stride=(8.0, 8.0), receptive_field=(41, 41),
        field_start=(-16.5, -16.5),
    )  # fmt: skip
    size = (32, 32)
    assert sees_all(layer, size)
    assert not sees_all(replace(layer, receptive_field=(41, 31)), size)
    assert not sees_all(replace(layer, map_size=(1, 1)), size)
    half = narrowed(layer, size)
    picture_1HW3 = torch.arange(32)[None, :, None, None].expand(1, 32, 32, 3).to(torch.uint8)
    # Rows of neurons lie at 4, 12, 20 and 28.
    rows = [cut(picture_1HW3, 0, half, (row, 0))[:, 0, 0].tolist() for row in range(4)]
    assert [(row[0], row[-1]) for row in rows] == [(0, 15), (4, 19), (12, 27), (16, 31)]
    assert narrowed(LAYERS[0], size) is LAYERS[0]
    # The page: twice as large, the neuron of row 2 and column 1 at (40, 24) with 8 on each side.
    canvas_HW = torch.zeros(70, 70, dtype=torch.int32)
    numbers_F = torch.tensor([1.0, 0, 0, 2, 1, 5, 1], dtype=torch.float64)
    mark_neuron(canvas_HW, Rect(3, 5, 64, 64), numbers_F, layer, size, 1, inks.SOURCE)
    rows_M, columns_M = canvas_HW.nonzero().unbind(1)
    assert (int(rows_M.min()), int(rows_M.max())) == (3 + 32, 3 + 47)
    assert (int(columns_M.min()), int(columns_M.max())) == (5 + 16, 5 + 31)
    assert int((canvas_HW != 0).sum()) == 4 * 16 - 4, "an outline"
    none_HW = torch.zeros(70, 70, dtype=torch.int32)
    numbers_F[6] = 0
    mark_neuron(none_HW, Rect(3, 5, 64, 64), numbers_F, layer, size, 1, inks.SOURCE)
    assert not none_HW.any(), "no picture, no mark"


def test_watching_changes_nothing_that_the_engine_computes() -> None:
    one, selection = engine(), Selection(layer="grouped", unit=1)
    image_HW3 = torch.from_numpy(film(1)[0].image_HW3)
    before = one.run(image_HW3, selection)
    watched(one, film(5), selection)
    after = one.run(image_HW3, selection)
    for name in ("scores_BK", "maps_BCHW", "backprop_B3HW", "cam_BHW"):
        assert torch.equal(getattr(before, name), getattr(after, name))


def test_distance_and_memory_are_what_the_flags_say() -> None:
    words = ["--moments-distance", "0.25", "--moments-memory", "1"]
    config = parse_config(Config, words, prog="rtvis", description="")
    moments = cli_learned.moments_of(config, engine(), "")
    assert moments.apart_s == 0.25
    assert moments.the_pool().num_slots == 2**20 // (32 * 32 * 3)
    with pytest.raises(ConfigError, match=r"--moments-memory: '0' cannot be used; give a whole"):
        parse_config(Config, ["--moments-memory", "0"], prog="rtvis", description="")
    with pytest.raises(ConfigError, match=r"--moments-distance: '-1' cannot be used; give seconds"):
        parse_config(Config, ["--moments-distance=-1"], prog="rtvis", description="")


def test_who_referred_to_a_picture_whose_place_was_taken_counts_no_more() -> None:
    few, many = make_layer(0, "few", 3, 2), make_layer(1, "many", 4, 2)
    watch = Watch((few, many), max_bytes=6 * 6 * 3, apart_s=1.0)  # one picture
    pool = watch.moments.the_pool()
    for frame, name in enumerate(("few", "many", "many")):
        watch.see(1.0 + frame, 10.0 * frame, selection=Selection(layer=name, unit=0, tap="pre"))
        # Three units, four in their place, four others: none less than what is there.
        assert pool.frame_P.tolist() == [frame]
