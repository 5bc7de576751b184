"""A scan against brute force; stopped, grown, divided and damaged data give what they should."""

import itertools
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import rtvis
import rtvis.cli
from rtvis import filing
from rtvis.cli.units.scan_options import ScanOptions
from rtvis.data import Selection
from rtvis.engine.engine import Engine
from rtvis.engine.networks.models import Network
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.engine.reduced.forward import Reduced, unit_slices
from rtvis.engine.reduced.step import ReducedStep, reduced_step
from rtvis.errors import NetworkError, SelectionError
from rtvis.sources.pixels import read_picture
from rtvis.units.data_set import find_files
from rtvis.units.growth import with_new_files
from rtvis.units.items import Files
from rtvis.units.reading import Sample
from rtvis.units.scan import Progress, ScanSettings, ScanState, scan
from rtvis.units.store import find_stores
from rtvis.units.tracker import merge
from tests.conftest import ROOT
from tests.nets import HAND_PICTURE, BranchingNet, EverySpelling, HandNet, seeded
from tests.workplace import write_workplace

CPU = torch.device("cpu")


def network_of(model: nn.Module, size: int = 32) -> Network:
    return Network(
        model=model.eval(),
        name=type(model).__name__,
        preprocessing=Preprocessing(size=(size, size), resize=size),
        labels=None,
        weights_note="",
    )


def step_of(network: Network, *, batch: int = 4, layers: Sequence[str] = ("*",)) -> ReducedStep:
    return reduced_step(network, layers=layers, device=CPU, batch=batch, compiled=False)


def write_pictures(folder: Path, count: int, *, first: int = 0, classes: int = 3) -> None:
    """Every fifth is the same as the one before: ties in every unit."""
    for index in range(first, first + count):
        random = np.random.default_rng(index - (index % 5 == 4))
        pixels = random.integers(0, 256, (40, 36 + 3 * (index % 2), 3), np.uint8)
        if index % 5 == 4:
            pixels = np.random.default_rng(index - 1).integers(0, 256, (40, 36, 3), np.uint8)
        elif index % 5 == 3:
            pixels = np.random.default_rng(index).integers(0, 256, (40, 36, 3), np.uint8)
        path = folder / f"class{index % classes}" / f"{index:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)


def ran(
    network: Network,
    files: Files,
    *,
    batch: int = 4,
    workers: int = 2,
    settings: ScanSettings = ScanSettings(),  # noqa: B008 - frozen
    layers: Sequence[str] = ("*",),
) -> tuple[ScanState, list[Progress]]:
    step = step_of(network, batch=batch, layers=layers)
    state = ScanState.empty(files, step, settings)
    told = list(scan(step, state, network.preprocessing, num_workers=workers))
    return state, told


def assert_same_arrays(found: ScanState, wanted: ScanState) -> None:
    found_arrays, wanted_arrays = found.to_arrays(), wanted.to_arrays()
    assert found_arrays.keys() == wanted_arrays.keys()
    for name, value in wanted_arrays.items():
        np.testing.assert_array_equal(found_arrays[name], value, err_msg=name)


@pytest.fixture
def every_spelling() -> Network:
    return network_of(seeded(EverySpelling))


def test_the_numbers_of_a_picture_are_worked_out_by_hand() -> None:
    step = step_of(network_of(HandNet(), 2), batch=1)
    found = step.run(HAND_PICTURE)
    # u0 = [[2, -1], [5, 0]], u1 = [[1, 3], [-1, 0]], v0 = [[1, -3], [5, 0]], v1 = [[1, 9], [-5, 0]]
    assert found.values_BT.tolist() == [[5.0, 3.0, 5.0, 9.0, -1.0, 5.5]]
    places = [(int(p) >> 16, int(p) & 0xFFFF) for p in found.place_BT[0]]
    assert places == [(1, 0), (0, 1), (1, 0), (0, 1), (0, 0), (0, 0)]
    assert found.mean_BT.tolist() == [[1.5, 0.75, 0.75, 1.25, -1.0, 5.5]]
    assert found.square_BT.tolist() == [[7.5, 2.75, 35 / 4, 107 / 4, 1.0, 30.25]]
    assert found.positive_BT.tolist() == [[2, 2, 2, 2, 0, 1]]


def maps_of(network: Network, x_BCHW: Tensor) -> dict[str, Tensor]:
    """Of every layer by the engine's own turn, in front of the activation."""
    with Engine(network, device="cpu", compile="off", batch_size=len(x_BCHW)) as engine:
        return {
            layer.name: engine.run(x_BCHW, Selection(layer=layer.name, tap="pre")).maps_BCHW
            for layer in engine.layers
            if layer.kind != "attention" and not layer.name.endswith(":tokens")
        }


def test_every_layer_is_reduced_as_the_engine_shows_it(every_spelling: Network) -> None:
    step = step_of(every_spelling, batch=3)
    x_BCHW = torch.randn(3, 3, 32, 32)
    found = step.run(x_BCHW)
    maps = maps_of(every_spelling, x_BCHW)
    slices = unit_slices(step.layers)
    assert set(slices) == set(maps)
    for name, units in slices.items():
        flat = maps[name].flatten(2)
        torch.testing.assert_close(found.values_BT[:, units], flat.amax(2), rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found.mean_BT[:, units], flat.mean(2), rtol=1e-5, atol=1e-5)
        place = found.place_BT[:, units]
        index = (place >> 16) * maps[name].shape[3] + (place & 0xFFFF)
        there = flat.gather(2, index.long()[:, :, None]).squeeze(2)
        torch.testing.assert_close(there, flat.amax(2), rtol=1e-6, atol=1e-6)


def test_a_unit_fires_where_something_gets_through_its_batch_norm_and_relu() -> None:
    network = network_of(seeded(EverySpelling))
    model, x_BCHW = network.model, torch.randn(2, 3, 32, 32)
    assert isinstance(model, EverySpelling)
    behind = torch.relu(model.norm(model.stem(x_BCHW)))
    step = step_of(network, batch=2, layers=("stem",))
    assert torch.equal(step.run(x_BCHW).positive_BT, (behind > 0).sum((2, 3), dtype=torch.int32))


@pytest.mark.parametrize(("batch", "workers"), [(1, 1), (4, 3), (7, 2), (32, 2)])
def test_a_scan_is_what_sorting_all_pictures_gives(
    tmp_path: Path, every_spelling: Network, batch: int, workers: int
) -> None:
    write_pictures(tmp_path, 23)
    files = find_files(tmp_path)
    state, told = ran(every_spelling, files, batch=batch, workers=workers)
    step = step_of(every_spelling, batch=batch)
    rows = []
    for index in range(len(files)):
        x_1CHW = every_spelling.preprocessing.apply(
            torch.from_numpy(read_picture(files.path(index)).image_HW3)
        )
        rows.append([part[0] for part in step.run(x_1CHW.expand(batch, -1, -1, -1))])
    wanted = Reduced(*(torch.stack(column) for column in zip(*rows, strict=True)))
    values_TN, item_TN = wanted.values_BT.T.sort(dim=1, descending=True, stable=True)
    top = state.findings.tracker.top()
    assert torch.equal(top.values_CN, values_TN[:, :9])
    assert torch.equal(top.item_CN, item_TN[:, :9])
    places = wanted.place_BT.T.gather(1, item_TN[:, :9])
    assert torch.equal((top.position_CN2[..., 0] << 16) + top.position_CN2[..., 1], places)
    assert (values_TN[:, :-1] == values_TN[:, 1:]).any(), "the ties are tested too"
    assert told[-1].num_files == told[-1].num_items == 23


def test_no_number_of_workers_changes_a_bit(tmp_path: Path, every_spelling: Network) -> None:
    write_pictures(tmp_path, 17)
    files = find_files(tmp_path)
    one, _ = ran(every_spelling, files, workers=1)
    for workers in (2, 5):
        assert_same_arrays(ran(every_spelling, files, workers=workers)[0], one)


def test_shards_merge_to_the_whole(tmp_path: Path, every_spelling: Network) -> None:
    write_pictures(tmp_path, 20)
    files = find_files(tmp_path)
    whole, _ = ran(every_spelling, files)
    first, _ = ran(every_spelling, files.take(np.arange(8)))
    second, _ = ran(every_spelling, files.take(np.arange(8, 20)))
    tops = [state.findings.tracker.top() for state in (first, second)]
    tops[1].item_CN[tops[1].item_CN >= 0] += 8  # its own numbers begin at 0
    merged = merge(tops[1], tops[0])
    wanted = whole.findings.tracker.top()
    assert torch.equal(merged.values_CN, wanted.values_CN)
    assert torch.equal(merged.item_CN, wanted.item_CN)


def stopped_and_gone_on(
    network: Network, files: Files, settings: ScanSettings, *, after: int, folder: Path
) -> ScanState:
    """A scan that is stopped after some batches, stored, loaded and ended by another process."""
    step = step_of(network)
    state = ScanState.empty(files, step, settings)
    passing = scan(step, state, network.preprocessing, num_workers=2)
    for _ in itertools.islice(passing, after):
        pass
    close(passing)
    np.savez(folder / "state.npz", allow_pickle=False, **state.to_arrays())
    with np.load(folder / "state.npz") as stored:
        state = ScanState.from_arrays(dict(stored), files, step, settings)
    for _ in scan(step, state, network.preprocessing, num_workers=2):
        pass
    return state


def close(passing: Iterator[Progress]) -> None:
    passing.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_scan_that_was_stopped_ends_as_if_it_had_not_been(
    tmp_path: Path, every_spelling: Network, after: int
) -> None:
    write_pictures(tmp_path / "data", 21)
    (tmp_path / "data" / "class0" / "005x.png").write_bytes(b"no picture")
    files, settings = find_files(tmp_path / "data"), ScanSettings()
    whole, _ = ran(every_spelling, files)
    found = stopped_and_gone_on(every_spelling, files, settings, after=after, folder=tmp_path)
    assert_same_arrays(found, whole)


def test_a_grown_data_set_is_scanned_from_where_it_grew(
    tmp_path: Path, every_spelling: Network
) -> None:
    write_pictures(tmp_path, 9)
    settings, step = ScanSettings(), step_of(every_spelling)
    before, _ = ran(every_spelling, find_files(tmp_path))
    write_pictures(tmp_path, 8, first=9, classes=4)  # one class more
    grown = with_new_files(before.ledger.items(), find_files(tmp_path))
    state = ScanState.from_arrays(before.to_arrays(), grown, step, settings)
    for _ in scan(step, state, every_spelling.preprocessing, num_workers=2):
        pass
    assert state.ledger.num_items == 17
    assert_same_arrays(state, ran(every_spelling, grown)[0])


def test_an_unreadable_picture_keeps_its_number_and_is_reported(
    tmp_path: Path, every_spelling: Network
) -> None:
    write_pictures(tmp_path, 6, classes=1)
    (tmp_path / "class0" / "002.png").write_bytes(b"\x89PNG and no more")
    state, told = ran(every_spelling, find_files(tmp_path), batch=2)
    assert told[-1].num_errors == 1
    assert [text for each in told for text in each.errors if "002.png: cannot be" in text]
    items = state.ledger.items()
    assert len(items) == 6
    assert items[3].name == "class0/003.png"
    assert list(items.errors) == [2]
    assert 2 not in state.findings.tracker.top().item_CN


def test_in_a_film_two_hits_of_a_unit_are_a_second_apart_and_stopping_changes_nothing(
    tmp_path: Path, every_spelling: Network
) -> None:
    (tmp_path / "place").mkdir()
    write_workplace(tmp_path / "place")  # 30 frames, 25 a second
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "place" / "film.avi").rename(data / "b.avi")
    write_pictures(data / "a", 3)
    write_pictures(data / "c", 3)
    files, settings = find_files(data), ScanSettings(min_distance_s=0.4)
    whole, told = ran(every_spelling, files, settings=settings)
    assert told[-1].num_items == 36
    items, top = whole.ledger.items(), whole.findings.tracker.top()
    assert items[5].pts_seconds == pytest.approx(0.08)
    seen = 0
    for unit in top.item_CN.tolist():
        times = [items[i].pts_seconds for i in unit if i >= 0 and items[i].frame is not None]
        gaps = [abs(a - b) for a, b in itertools.combinations(times, 2)]
        assert all(gap >= 0.4 - 1e-9 for gap in gaps)
        seen += len(gaps)
    assert seen > 0
    for after in (2, 4):
        found = stopped_and_gone_on(every_spelling, files, settings, after=after, folder=tmp_path)
        assert_same_arrays(found, whole)


def test_each_film_of_a_scan_has_hits_of_its_own_a_second_apart_if_nothing_else_is_said() -> None:
    assert ScanOptions().min_distance == ScanSettings().min_distance_s == 1.0
    # 15/16 s is nearer than a second; from there to the last frame it is just a second.
    times, values = (0.0, 0.9375, 1.9375), ((1.0, 2.0, 3.0), (2.5, 1.0, 0.5))
    files = Files(
        root=Path(),
        names=("a.avi", "b.avi"),
        size_bytes_F=np.ones(2, np.int64),
        modified_ns_F=np.ones(2, np.int64),
        label_F=np.full(2, -1),
        is_film_F=np.ones(2, np.bool_),
    )
    step = step_of(network_of(nn.Conv2d(3, 1, 1)))
    state = ScanState.empty(files, step, ScanSettings())
    for film, value_F in enumerate(values):
        frames = [
            Sample(file=film, image=torch.zeros(1), pts_seconds=at, is_last=False) for at in times
        ]
        value_F1 = torch.tensor(value_F)[:, None]
        zero_F1 = torch.zeros(3, 1, dtype=torch.int32)
        reduced = Reduced(value_F1, zero_F1, value_F1, value_F1, zero_F1)
        state.commit([*frames, Sample(file=film, image=None)], reduced)
    top = state.findings.tracker.top()
    assert top.item_CN[0, :5].tolist() == [2, 3, 1, 5, -1]
    assert top.values_CN[0, :4].tolist() == [3.0, 2.5, 2.0, 0.5]


def test_a_network_that_cannot_be_traced_is_scanned_picture_by_picture(tmp_path: Path) -> None:
    write_pictures(tmp_path, 5)
    files = find_files(tmp_path)
    found, _ = ran(network_of(BranchingNet()), files)
    plain, _ = ran(network_of(HandNet()), files)
    step = step_of(network_of(BranchingNet()))
    assert step.form == "untraced"
    top, wanted = found.findings.tracker.top(), plain.findings.tracker.top()
    assert torch.equal(top.item_CN[:4], wanted.item_CN[:4])  # of the convolutions
    torch.testing.assert_close(top.values_CN[:4], wanted.values_CN[:4])


def test_a_pattern_that_fits_nothing_names_the_nearest_layer(every_spelling: Network) -> None:
    with pytest.raises(SelectionError, match="fits 'grupped'; nearest is 'grouped'"):
        step_of(every_spelling, layers=("grupped",))
    with pytest.raises(SelectionError, match="hides all"):
        step_of(every_spelling, layers=("!*",))
    names = [layer.name for layer in step_of(every_spelling, layers=("*d", "!up")).layers]
    assert names == ["grouped", "dilated", "shared", "shared#2"]
    with pytest.raises(SelectionError, match=r"it has 9, such as stem, grouped, dilated$"):
        step_of(every_spelling, layers=("x*",))


@pytest.fixture(autouse=True)
def few_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a scan of a few pictures can be stopped in between."""
    monkeypatch.setattr("rtvis.units.scan.TOGETHER", 4)


class Command:
    """`rtvis units scan` in a folder of the test."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys

    def __call__(self, *more: str) -> tuple[int, str]:
        words = ["units", "scan", "--network", f"{self.folder / 'net.py'}:Net", "--device", "cpu"]
        words += ["--store", str(self.folder / "store"), "--compile", "off", "--size", "32"]
        code = rtvis.cli.main([*words, *more])
        return code, self._capsys.readouterr().err

    def on_pictures(self, *more: str) -> tuple[int, str]:
        return self("--data", str(self.folder / "pictures"), *more)


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    write_workplace(tmp_path)
    return Command(tmp_path, capsys)


def test_the_command_leaves_a_store_that_anybody_can_read(command: Command) -> None:
    code, text = command.on_pictures("--layers", "f*,second", "--top", "2")
    assert code == 0, text
    assert "3 files, 3 items" in text
    (store,) = find_stores(command.folder / "store")
    assert [layer.name for layer in store.layers()] == ["first", "second", "fc"]
    top = store.read_top("second")
    assert top is not None
    assert top.item_CN.shape == (6, 2)
    statistics = store.read_arrays("second", "statistics.npz")
    assert statistics is not None
    assert statistics["high_C"].tolist() == top.values_CN[:, 0].tolist()
    assert store.read_json(None, "items.json")["num_items"] == 3


def test_the_command_goes_on_where_it_ended(command: Command) -> None:
    assert command.on_pictures()[0] == 0
    code, text = command.on_pictures()
    assert code == 0
    assert "3 of 3 files are done" in text
    film = command.folder / "film.avi"
    code, text = command("--data", str(film))
    assert code == 1
    assert "is of other data" in text
    code, text = command("--data", str(film), "--restart")
    assert code == 0, text
    assert "1 file, 30 items" in text


def test_the_command_says_what_is_wrong_with_data(command: Command) -> None:
    (command.folder / "empty").mkdir()
    code, text = command("--data", str(command.folder / "empty"))
    assert code == 1
    assert "hold a picture or a film" in text
    for path in (command.folder / "pictures").iterdir():
        path.write_bytes(b"broken")
    code, text = command.on_pictures()
    assert code == 1
    assert "none of 3 files can be read; the last: " in text
    assert not list((command.folder / "store").rglob("items*")), "names that bar the way to others"
    write_pictures(command.folder / "others", 3)
    assert command("--data", str(command.folder / "others"))[0] == 0
    code, text = command.on_pictures()
    assert code == 1
    assert "is of other data" in text
    assert "name another --store" in text
    assert command()[0] == 2  # --data is missing


def test_a_disk_that_fills_up_in_the_middle_loses_nothing(command: Command) -> None:
    """No file may grow over 32 KiB: the system refuses as on a full disk, when the state does."""
    write_pictures(command.folder / "pictures", 400, first=10)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (32768, before[1]))
    try:
        code, text = command.on_pictures("--batch", "32", "--save-every", "0")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert code == 1, text
    assert "cannot be written (File too large" in text
    assert "what was written before is whole" in text
    (store,) = find_stores(command.folder / "store")
    assert not [path for path in store.folder.rglob("*") if path.name.endswith(".part")]
    code, text = command.on_pictures()
    assert code == 0, text
    done = re.search(r"(\d+) of 403 files are done", text)
    assert done is not None, "it goes on"
    assert 0 < int(done[1]) < 403
    code, text = command.on_pictures("--batch", "32", "--store", str(command.folder / "whole"))
    assert code == 0, text
    (whole,) = find_stores(command.folder / "whole")
    for layer in ("first", "second", "fc"):
        for name in ("top.npz", "statistics.npz"):
            assert store.read_bytes(layer, name) == whole.read_bytes(layer, name)


def test_two_scans_into_one_store_are_refused_and_nothing_is_lost(command: Command) -> None:
    assert command.on_pictures()[0] == 0
    (store,) = find_stores(command.folder / "store")
    before = store.read_bytes("first", "top.npz")
    with store.writing("another scan"):
        code, text = command.on_pictures("--top", "3")
    assert code == 1
    assert "another scan" in text
    assert store.read_bytes("first", "top.npz") == before


def test_a_full_disk_ends_the_scan_with_one_line_and_it_goes_on_when_there_is_room(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_all = filing.write_all

    def full(files: dict[Path, bytes], **more: object) -> None:
        if any(path.name.startswith("items_scan") for path in files):
            raise OSError(28, "No space left on device", str(next(iter(files))))
        write_all(files, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(filing, "write_all", full)
        code, text = command.on_pictures("--save-every", "0")
    assert code == 1
    assert "No space left on device" in text
    assert "Traceback" not in text
    code, text = command.on_pictures()
    assert code == 0, text


def test_ctrl_c_keeps_what_is_done(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    write_pictures(command.folder / "pictures", 10, first=10)
    commit, calls = ScanState.commit, itertools.count()

    def interrupted(state: ScanState, *arguments: object) -> None:
        if next(calls) == 2:
            raise KeyboardInterrupt
        commit(state, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(ScanState, "commit", interrupted)
        code, text = command.on_pictures("--batch", "3")
    assert code == 130
    assert "the same command goes on from here" in text
    code, text = command.on_pictures("--batch", "3")
    assert code == 0
    assert "6 of 13 files are done" in text


def test_maps_that_change_their_size_are_refused() -> None:
    class Growing(BranchingNet):
        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x if x.mean() < 0.5 else x.repeat(1, 1, 2, 2))

    step = step_of(network_of(Growing(), 8))
    with pytest.raises(NetworkError, match="maps must keep their size"):
        step.run(torch.ones(1, 3, 8, 8))


def test_a_layer_is_dumped_for_the_first_pictures(command: Command) -> None:
    (command.folder / "pictures" / "1.png").write_bytes(b"broken")
    out = command.folder / "first.npy"
    code, text = command.on_pictures("--layers", "first", "--dump", str(out), "--pictures", "2")
    assert code == 0, text
    array = np.load(out)
    assert array.shape == (2, 4, 16, 16)
    assert np.isnan(array[1]).all()
    network = rtvis.load(f"{command.folder / 'net.py'}:Net", size=(32, 32), compile="off")
    picture = read_picture(command.folder / "pictures" / "0.png").image_HW3
    wanted = network.run(picture, Selection(layer="first", tap="pre")).maps_BCHW[0]
    np.testing.assert_array_equal(array[0], wanted.numpy())
    code, text = command.on_pictures("--layers", "frist", "--dump", str(out))
    assert code == 2
    assert "no layer 'frist'; nearest is 'first'" in text
    assert command.on_pictures("--dump", str(out))[0] == 2


@pytest.mark.slow
def test_a_scan_that_was_killed_goes_on_and_ends_as_if_it_had_not_been(command: Command) -> None:
    write_pictures(command.folder / "pictures", 400, first=10)
    script = str(ROOT / "main.py")
    flags = ["--network", f"{command.folder / 'net.py'}:Net", "--size", "32", "--device", "cpu"]
    flags += ["--data", str(command.folder / "pictures"), "--compile", "off", "--batch", "2"]

    def start(store: str) -> "subprocess.Popen[bytes]":
        words = ["units", "scan", *flags, "--save-every", "0", "--store"]
        return subprocess.Popen([sys.executable, script, *words, str(command.folder / store)])

    assert start("whole").wait() == 0
    process = start("killed")
    while not list((command.folder / "killed").glob("*/items_scan_*.npz")):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.kill()
    process.wait()
    (store,) = find_stores(command.folder / "killed")
    state = next(path for path in store.folder.glob("items_scan_*.npz"))
    with np.load(state) as arrays:
        assert 0 < len(arrays["items/num_items"]) < 403
    assert start("killed").wait() == 0
    (whole,) = find_stores(command.folder / "whole")
    for layer in ("first", "second", "fc"):
        for name in ("top.npz", "statistics.npz"):
            found, wanted = store.read_arrays(layer, name), whole.read_arrays(layer, name)
            assert found is not None
            assert wanted is not None
            for key, value in wanted.items():
                np.testing.assert_array_equal(found[key], value, err_msg=f"{layer} {key}")
