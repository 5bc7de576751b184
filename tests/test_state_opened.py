"""What is saved opens again as it was, to the pixel and with all that was gathered."""

import json
import subprocess
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from rtvis import cli
from rtvis.api import load
from rtvis.data import Frame, KeyEvent, Selection
from rtvis.render.compositor import Compositor
from rtvis.runtime.pipeline import Pipeline
from rtvis.session import Session, View
from rtvis.sinks import window as window_module
from rtvis.sinks.memory import MemorySink
from rtvis.sources.base import Source
from tests.nets_fake import FakeSource
from tests.waiting import wait_for
from tests.workplace import write_workplace

PANES = ("input", "unit", "backprop", "layers", "grid", "classes", "details")
"""What the network shows: header and status line tell the time and the rates of a run."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with nets, pictures and a film."""
    write_workplace(tmp_path)
    (tmp_path / "stream.yaml").write_text("display: {side: stream}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SMALL = ("--compile", "off", "--device", "cpu", "--view", "none", "--pace", "fast")
NET_FLAGS = ("--network", "net.py:Net", "--size", "32", "--canvas", "700x1200")


def saved(capsys: pytest.CaptureFixture[str], *argv: str) -> Path:
    """Run the program and return the folder that it saved."""
    assert cli.main([*SMALL, "--save", "out", *argv]) == 0
    return Path(capsys.readouterr().out.strip())


def differences(first: Path, second: Path) -> dict[str, int]:
    """The largest difference of a pixel, of each pane."""
    largest = {}
    for pane in PANES:
        a, b = (cv2.imread(str(folder / f"{pane}.png")) for folder in (first, second))
        assert a.shape == b.shape, pane
        largest[pane] = int(np.abs(a.astype(int) - b).max())
    return largest


SAME = dict.fromkeys(PANES, 0)


@pytest.mark.parametrize(
    ("source", "frames", "choice"),
    [
        (("--stream", "pictures"), 2, ("--layer", "first", "--unit", "2", "--class", "dog")),
        (("--stream", "film.avi"), 14, ("--seed", "activation", "--rule", "gradient")),
        (("--stream", "film.avi", "--start", "0.4"), 5, ("--fit", "letterbox")),
        (("--stream", "film.avi", "--files", "pictures"), 2, ("--fit", "stretch")),
        (("--config", "stream.yaml", "--stream", "film.avi", "--files", "pictures"), 5, ()),
        (("--stream", "film.avi", "--mirror", "on", "--stretch-contrast"), 5, ()),
    ],
    ids=["picture", "film", "later in a film", "files", "film beside files", "mirrored film"],
)
def test_the_saved_file_shows_the_same_picture_to_the_pixel(
    here: Path,
    capsys: pytest.CaptureFixture[str],
    source: tuple[str, ...],
    frames: int,
    choice: tuple[str, ...],
) -> None:
    first = saved(capsys, *NET_FLAGS, *source, "--frames", str(frames), *choice)
    named = ("--config", f"{first}/state.yaml") if frames == 2 else ("--state", str(first))
    second = saved(capsys, *named, "--frames", "1")
    assert differences(first, second) == SAME
    # The test can fail: one frame on, the panes show something else.
    with (first / "state.yaml").open("a") as file:
        file.write("frames: 2\n")
    other = saved(capsys, "--state", f"{first}/state.yaml")
    changed = {pane for pane, most in differences(first, other).items() if most}
    assert {"input", "unit", "grid"} <= changed


def test_a_run_begins_with_the_selected_unit_in_sight_and_a_state_where_it_was(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "wide.py").write_text(
        "from torch import nn\n"
        "def wide():\n"
        "    return nn.Sequential(nn.Conv2d(3, 1500, 5, 2), nn.AdaptiveAvgPool2d(1),"
        " nn.Flatten(), nn.Linear(1500, 3))\n"
    )
    flags = ("--network", "wide.py:wide", "--size", "32", "--stream", "pictures", "--frames", "1")
    first = saved(capsys, *flags, "--canvas", "700x1200", "--layer", "0", "--unit", "1499")
    state = first / "state.yaml"
    display = yaml.safe_load(state.read_text())["display"]
    assert display["grid_scroll"] > 5
    text = state.read_text()
    assert f"grid_scroll: {display['grid_scroll']}" in text
    state.write_text(text.replace(f"grid_scroll: {display['grid_scroll']}", "grid_scroll: 1"))
    second = saved(capsys, "--state", str(first), "--frames", "1")
    assert yaml.safe_load((second / "state.yaml").read_text())["display"]["grid_scroll"] == 1


@pytest.mark.parametrize("mirror", ["auto", "on"])
def test_two_inputs_that_are_compared_meet_again(
    here: Path, capsys: pytest.CaptureFixture[str], mirror: str
) -> None:
    (here / "both.yaml").write_text("display: {compared: difference}")
    flags = ("--stream", "film.avi", "--compare-stream", "pictures", "--mirror", mirror)
    both = ("--config", "both.yaml", "--frames", "3")
    first = saved(capsys, *NET_FLAGS, *flags, *both)
    assert (first / "second.png").exists()
    second = saved(capsys, "--state", f"{first}/state.yaml", "--frames", "1")
    assert differences(first, second) == SAME, "the copy is called what the picture was"
    with np.load(first / "raw.npz") as ours, np.load(second / "raw.npz") as theirs:
        np.testing.assert_array_equal(ours["second.maps_BCHW"], theirs["second.maps_BCHW"])
        assert not np.array_equal(ours["second.maps_BCHW"], ours["maps_BCHW"])


def test_the_steady_colour_range_of_a_film_is_part_of_its_picture(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = saved(capsys, *NET_FLAGS, "--stream", "film.avi", "--frames", "20")
    state = (first / "state.yaml").read_text()
    low, high = yaml.safe_load(state)["resume"]["colour_range"]
    with np.load(first / "raw.npz") as raw:
        most = float(np.abs(raw["maps_BCHW"]).max())
        assert raw["shown.range_ends"].tolist() == [low, high]
        assert float(raw["shown.range_high"]) == max(high, -low)
    assert abs(max(high, -low) - most) > 0.01 * most, (
        "the range lags behind a film that grows brighter"
    )
    without = {key: value for key, value in yaml.safe_load(state).items() if key != "resume"}
    (first / "state.yaml").write_text(yaml.safe_dump(without))
    second = saved(capsys, "--state", f"{first}/state.yaml", "--frames", "1")
    assert differences(first, second)["grid"] > 0


@pytest.mark.parametrize(
    ("page", "layer"),
    [("correlation", "first"), ("correlation", "fc"), ("histogram", "second")],
    ids=["means over positions", "the last pictures of a dense layer", "scale of the counts"],
)
def test_what_a_page_has_gathered_is_part_of_its_picture(
    here: Path, capsys: pytest.CaptureFixture[str], page: str, layer: str
) -> None:
    (here / "page.yaml").write_text(f"display: {{page: {page}}}\n")
    chosen = ("--config", "page.yaml", "--layer", layer, "--unit", "1")
    first = saved(capsys, *NET_FLAGS, *chosen, "--stream", "film.avi", "--frames", "17")
    assert (first / "means.npz").exists()
    moved = first.rename(here / "elsewhere")
    again = saved(capsys, "--state", str(moved), "--frames", "1")
    assert differences(moved, again) == SAME
    # And it goes on from there: two frames later it is what 19 frames at once are.
    straight = saved(capsys, *NET_FLAGS, *chosen, "--stream", "film.avi", "--frames", "19")
    onwards = saved(capsys, "--state", str(moved), "--frames", "3")
    assert differences(straight, onwards)["details"] == 0
    # Another unit, or no file: one picture alone, which is another one.
    text = (moved / "state.yaml").read_text()
    assert "means: means.npz" in text
    (moved / "state.yaml").write_text(text.replace("means: means.npz", "means: ''"))
    without = saved(capsys, "--state", str(moved), "--frames", "1")
    assert differences(moved, without)["details"] > 0
    (moved / "state.yaml").write_text(text)
    other = saved(capsys, "--state", str(moved), "--frames", "1", "--unit", "2")
    alone = saved(
        capsys, *NET_FLAGS, "--config", "page.yaml", "--layer", layer, "--unit", "2",
        "--stream", "film.avi", "--start", "0.64", "--frames", "1",
    )  # fmt: skip
    if page == "histogram":  # whose colour range stays that of the film
        return
    assert (differences(other, alone)["details"] == 0) == (layer != "fc")


def moments_in(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "moments" / "moments.npz") as arrays:
        return dict(arrays)


def test_moments_in_sight_are_saved_with_their_pictures_and_go_on_where_they_were(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "page.yaml").write_text(
        "display: {page: moments}\nlayer: second\nunit: 3\nmoments-distance: 0.1\n"
    )
    flags = (*NET_FLAGS, "--config", "page.yaml", "--stream", "film.avi")
    first = saved(capsys, *flags, "--frames", "12")
    before = moments_in(first)
    numbers = {int(number) for number in before["frame_CN"].ravel() if number >= 0}
    pictures = {int(path.stem) for path in (first / "moments" / "pictures").iterdir()}
    assert pictures == numbers
    assert len(numbers) > 2
    # Any crop can be cut out of its picture by the numbers alone.
    about = json.loads((first / "moments" / "moments.json").read_text())
    row, column = before["position_CN2"][3, 0]
    top, left = before["top_H"][row], before["left_W"][column]
    name = f"pictures/{before['frame_CN'][3, 0]:08d}.png"
    picture_HW3 = cv2.imread(str(first / "moments" / name))
    crop_HW3 = picture_HW3[top : top + about["field"][0], left : left + about["field"][1]]
    np.testing.assert_array_equal(crop_HW3, cv2.imread(str(first / "moments/unit-0003-1.png")))

    moved = first.rename(here / "elsewhere")
    again = saved(capsys, "--state", str(moved), "--frames", "1")
    kept = {key for key in before if not key.startswith("past_")}
    for key in kept:
        np.testing.assert_array_equal(moments_in(again)[key], before[key], err_msg=key)
    told = json.loads((again / "moments" / "moments.json").read_text())
    assert told["since"] == about["since"], "from when it counts"
    assert told["frames_seen"] == about["frames_seen"], "the first one was counted before"
    assert differences(moved, again) == SAME
    # Nine frames later it is what 20 frames at once are; numbers of frames are its own.
    straight = moments_in(saved(capsys, *flags, "--frames", "20"))
    onwards = moments_in(saved(capsys, "--state", str(moved), "--frames", "9"))
    for key in kept - {"frame_CN"}:
        np.testing.assert_array_equal(straight[key], onwards[key], err_msg=key)
    assert not np.array_equal(straight["values_CN"], before["values_CN"])


def test_moments_out_of_sight_are_saved_as_numbers_and_do_not_come_back(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = saved(capsys, *NET_FLAGS, "--stream", "film.avi", "--frames", "5")
    assert not (first / "moments" / "pictures").exists()
    assert "moments: ''" in (first / "state.yaml").read_text()
    again = saved(capsys, "--state", str(first), "--frames", "1")
    assert json.loads((again / "moments" / "moments.json").read_text())["frames_seen"] == 1


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("rm -r moments", "moments: cannot read it: No such file"),
        ("echo > moments/moments.npz", "moments: is damaged; take the line"),
        ("echo '{' > moments/moments.json", "moments: is damaged"),
        ("for f in moments/pictures/*; do echo > $f; done", "moments: is damaged"),
        ('sed -i \'s/"layer": "[a-z]*"/"layer": "x"/\' moments/moments.json', "no layer x"),
        ('sed -i \'s/"clips": \\[/"clips": [],"x": [/\' moments/moments.json', "unknown key"),
        (
            "sed -i 's/moments_distance: .*/moments_distance: 2.0/' state.yaml",
            "--moments-distance 1",
        ),
    ],
)
def test_moments_that_cannot_be_gone_on_with_are_named_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], damage: str, said: str
) -> None:
    (here / "page.yaml").write_text("display: {page: moments}\nmoments-distance: 1.5\n")
    first = saved(capsys, *NET_FLAGS, "--config", "page.yaml", "--stream", "film.avi")
    subprocess.run(["bash", "-c", damage], cwd=first, check=True)
    assert cli.main([*SMALL, "--state", str(first)]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("content", [None, b"no npz", b"PK\x03\x04 cut off"])
def test_gathered_means_that_cannot_be_read_are_named_in_one_line(
    here: Path, capsys: pytest.CaptureFixture[str], content: bytes | None
) -> None:
    (here / "page.yaml").write_text("display: {page: correlation}\n")
    first = saved(capsys, *NET_FLAGS, "--config", "page.yaml", "--stream", "film.avi")
    (first / "means.npz").unlink()
    if content is not None:
        (first / "means.npz").write_bytes(content)
    assert cli.main([*SMALL, "--state", str(first)]) == 2
    told = capsys.readouterr().err
    assert "means.npz: " in told
    assert ("cannot read it: No such file" in told) == (content is None)
    assert len(told.splitlines()) == 1


def test_a_folder_of_a_saved_view_can_be_moved_and_a_camera_s_frame_moves_with_it(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Camera(FakeSource):
        def put(self) -> None:
            random = np.random.default_rng(5)
            image_HW3 = random.integers(0, 256, (40, 60, 3), np.uint8)
            assert self.slot is not None
            self.slot.put(Frame(image_HW3=image_HW3, seq=0, captured_ns=0, pts_seconds=99.0))

    source: Source = Camera(loose=1)
    setup = {"stream": "rtsp://camera", "network": f"{here}/net.py:Net", "size": [32, 32]}
    view = View(selection=Selection(layer="second", unit=3), canvas_size=(700, 1200))
    with load("net.py:Net", size=(32, 32), device="cpu", compile="off") as engine:
        pipeline = Pipeline(
            engine=engine,
            source=source,
            compositor=Compositor(engine.device),
            session=Session(view),
            num_frames=1,
            setup=setup,
        )
        with pipeline:
            pipeline.run()
        folder = pipeline.save_now(here)
    moved = here / "elsewhere"
    folder.rename(moved)
    (moved / "state.yaml").rename(moved / "renamed.yaml")
    again = saved(capsys, "--state", str(moved / "renamed.yaml"), "--frames", "1")
    assert differences(moved, again) == SAME
    assert "rtsp" not in (moved / "renamed.yaml").read_text()


def test_everything_that_is_computed_is_in_the_numbers(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "change.yaml").write_text(
        "selection: {interventions: [{layer: first, unit: 1, scale: 0.0}]}"
    )
    flags = ("--stream", "pictures", "--frames", "1", "--config", "change.yaml")
    folder = saved(capsys, *NET_FLAGS, *flags)
    state = yaml.safe_load((folder / "state.yaml").read_text())
    assert state["selection"]["interventions"] == [
        {"layer": "first", "unit": 1, "scale": 0.0, "offset": 0.0}
    ]
    with np.load(folder / "raw.npz") as raw:
        names = set(raw.files)
        assert raw["maps_BCHW"].shape == (1, 6, 8, 8)
        assert raw["shown.top"].shape == (3, 2)
        top = raw["scores_BK"].argmax()
        assert int(raw["shown.top"][0, 0]) == top
        assert not np.allclose(raw["scores_BK"], raw["untouched_scores_BK"])
    wanted = {"cam_BHW", "backprop_B3HW", "class_index_B", "position_B2", "crop.top", "seq"}
    assert wanted <= names


def test_a_state_of_another_network_names_the_missing_layer_and_the_nearest(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = saved(capsys, *NET_FLAGS, "--stream", "pictures", "--frames", "1")
    state = f"{first}/state.yaml"
    argv = [*SMALL, "--state", state, "--network", "net.py:Other", "--size", "32"]
    assert cli.main(argv) == 2
    told = [line for line in capsys.readouterr().err.splitlines() if line.strip()]
    assert len(told) == 1
    assert told[0].startswith(
        f"rtvis: {state}: selection: there is no layer 'second'; nearest is 'seconds'"
    )
    # What a flag asks for is not the state's fault.
    assert cli.main([*SMALL, "--state", state, "--layer", "secnd"]) == 2
    assert "rtvis: there is no layer 'secnd'; nearest is 'second'" in capsys.readouterr().err


def test_in_a_window_a_film_opens_held_and_goes_on_when_asked(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = saved(capsys, *NET_FLAGS, "--stream", "film.avi", "--frames", "12")
    screens: list[tuple[MemorySink, tuple[int, int]]] = []

    def open_window(*, title: str, size: tuple[int, int]) -> MemorySink:
        screens.append((MemorySink(), size))
        return screens[-1][0]

    monkeypatch.setattr(window_module, "WindowSink", open_window)
    monkeypatch.setattr(window_module, "why_no_window", lambda: "")

    def use() -> None:
        wait_for(lambda: bool(screens) and bool(screens[0][0].pictures))
        screen = screens[0][0]
        wait_for(lambda: screen.pictures[-1].frame_seq == 0)
        time.sleep(0.3)
        held.append(screen.pictures[-1].frame_seq)
        screen.send(KeyEvent(key="space"))
        wait_for(lambda: screen.pictures[-1].frame_seq > 3)
        screen.send(KeyEvent(key="q"))

    held: list[int] = []
    user = threading.Thread(target=use)
    user.start()
    argv = ["--compile", "off", "--device", "cpu", "--state", f"{first}/state.yaml"]
    assert cli.main(argv) == 0
    user.join()
    assert held == [0]
    assert screens[0][1] == (700, 1200)


def test_save_on_a_full_disk_asks_for_room_not_for_another_folder(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("rtvis.runtime.saving.write_snapshot", full)
    argv = [*SMALL, *NET_FLAGS, "--stream", "pictures", "--frames", "1", "--save", "out"]
    assert cli.main(argv) == 1
    said = capsys.readouterr().err
    assert "out: cannot be saved to (No space left on device); free some space" in said


def test_save_says_what_is_in_the_way(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "file").write_text("x")
    argv = [*SMALL, *NET_FLAGS, "--stream", "pictures", "--frames", "1", "--save", "file"]
    assert cli.main(argv) == 1
    assert "rtvis: file: cannot be saved to (Not a directory)" in capsys.readouterr().err
