"""The live program as its users start it: what it prints, what it leaves, its exit codes."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rtvis import cli
from rtvis.cli import root
from rtvis.engine.networks.labels import class_index
from rtvis.errors import SelectionError
from tests.waiting import wait_for
from tests.workplace import num_frames
from tests.xvfb import Screen

ROOT = Path(__file__).parents[1]

NET = """
import torch
from torch import nn

class Net(nn.Module):
    labels = ["cat", "dog", "Egyptian cat"]

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, stride=2, padding=1)
        self.second = nn.Conv2d(4, 6, 3, stride=2, padding=1)
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        x = self.second(self.first(x).relu()).relu()
        return self.fc(x.mean((2, 3)))

class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, x):
        return self.fc(x.mean((2, 3)))
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a net and a few pictures, which is the working one."""
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "pictures").mkdir()
    for index in range(3):
        pixels = np.full((40, 60, 3), 60 * index, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SMALL = ("--network", "net.py:Net", "--size", "32", "--compile", "off", "--device", "cpu")
HEADLESS = (*SMALL, "--view", "none", "--stream", "pictures", "--pace", "fast")


# What it does


def test_a_headless_run_records_every_picture_and_prints_where(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*HEADLESS, "--record", "out.mp4", "--canvas", "480x800"]) == 0
    assert capsys.readouterr().out == "out.mp4\n"
    assert num_frames(here / "out.mp4") == 3
    left = {path.name for path in here.iterdir()}
    assert left - {"__pycache__"} == {"net.py", "out.mp4", "out.rtvis.jsonl", "pictures"}


@pytest.mark.parametrize(("stream", "count"), [("pictures", 3), ("pictures/1.png", 1)])
def test_without_a_window_pictures_follow_one_another_and_the_run_ends(
    here: Path, stream: str, count: int
) -> None:
    """Nobody is there to go from one to the next, which pace "live" waits for."""
    argv = [*SMALL, "--view", "none", "--stream", stream, "--record", "out.mp4"]
    assert cli.main(argv) == 0
    assert num_frames(here / "out.mp4") == count


def test_the_run_ends_after_so_many_frames(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*HEADLESS, "--record", "out.mp4", "--loop", "--frames", "5"]) == 0
    assert num_frames(here / "out.mp4") == 5


def test_files_are_shown_although_the_camera_is_missing_and_the_run_says_why(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """DVT-01. The list holds two of the three pictures; its folder is that of the list."""
    (here / "list.txt").write_text("pictures/2.png\npictures/0.png\n")
    argv = [*SMALL, "--view", "none", "--pace", "fast", "--stream", "9999", "--files", "list.txt"]
    assert cli.main([*argv, "--record", "out.mp4"]) == 0
    assert num_frames(here / "out.mp4") == 2
    assert "rtvis: camera 9999: there is no /dev/video9999" in capsys.readouterr().err


def test_without_a_display_it_says_so_and_records_a_film(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [*SMALL, "--stream", "pictures", "--pace", "fast"]
    assert cli.main(argv) == 0
    out, err = capsys.readouterr()
    film = Path(out.strip())
    assert num_frames(here / film) == 3
    assert "there is no display" in err
    assert f"recording to {film} instead" in err


def test_without_a_display_a_named_film_is_the_only_one(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = [*SMALL, "--stream", "pictures", "--pace", "fast", "--record", "mine.avi"]
    assert cli.main(argv) == 0
    assert capsys.readouterr().out == "mine.avi\n"
    assert num_frames(here / "mine.avi") == 3


@pytest.mark.parametrize("size", [(1, 1), (2, 40)])
def test_an_image_smaller_than_the_receptive_field_is_enlarged_and_looked_at(
    here: Path, size: tuple[int, int]
) -> None:
    """The second layer's neurons see 7x7 pixels, of an input of 4x4 so, too, more than there is."""
    Image.fromarray(np.full((*size, 3), 200, np.uint8)).save(here / "small.png")
    for side in ("32", "4"):
        flags = (*SMALL, "--size", side, "--layer", "second", "--unit", "1", "--tap", "pre")
        flags = (*flags, "--rule", "deconvnet", "--seed", "map")  # no ReLU shuts that off
        argv = [*flags, "--view", "none", "--stream", "small.png", "--save", f"of-{side}"]
        assert cli.main(argv) == 0
        (folder,) = (here / f"of-{side}").iterdir()
        with np.load(folder / "raw.npz") as raw:
            assert raw["maps_BCHW"].shape == (1, 6, int(side) // 4, int(side) // 4)
            assert np.isfinite(raw["backprop_B3HW"]).all()
            assert (raw["backprop_B3HW"] != 0).any()


def test_an_input_too_small_for_a_layer_is_one_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["--network", "alexnet", "--weights", "random", "--size", "16", "--view", "none"]
    assert cli.main([*argv, "--device", "cpu"]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "alexnet fails on a 1x3x16x16 input" in line
    assert line.endswith("its own size is 224x224")


def test_a_config_file_starts_the_same_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "run.yaml").write_text(
        "network: net.py:Net\nsize: 32\ncompile: off\nview: none\nstream: pictures\n"
        "pace: fast\nrecord: out.mp4\nclass: dog\nlayer: first\nunit: 2\nrule: gradient\n"
    )
    assert cli.main(["--config", "run.yaml", "--device", "cpu"]) == 0
    assert num_frames(here / "out.mp4") == 3


def test_layers_are_listed_with_size_and_receptive_field(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*SMALL, "--list", "layers"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["first", "conv", "4", "16x16", "2x2", "3x3"]
    # stride 2 twice; 3 + (3 - 1) * 2 = 7
    assert lines[2] == ["second", "conv", "6", "8x8", "4x4", "7x7"]
    assert lines[3][:4] == ["fc", "dense", "3", "1x1"]


def test_networks_and_methods_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--list", "networks"]) == 0
    names = capsys.readouterr().out.splitlines()
    assert {"tf_efficientnet_lite0", "NASNetMobile", "resnet50", "vit_b_16"} <= set(names)
    assert cli.main(["--list", "methods"]) == 0
    methods = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert {"grad-cam", "grad-cam++", "layercam", "hirescam", "eigen-cam"} <= set(methods)


def test_a_class_is_named_in_any_case_or_numbered() -> None:
    labels = ("cat", "dog", "Egyptian cat")
    assert class_index("2", labels, network="net") == 2
    assert class_index("egyptian CAT", labels, network="net") == 2
    # Each of a label's names; of equal ones a whole label goes first, then the earlier one.
    birds = ("crane, bird", "heron, bird", "crane")
    assert [class_index(name, birds, network="net") for name in ("bird", "crane")] == [0, 2]
    with pytest.raises(SelectionError, match=r"no class 'dogg'; nearest is 'dog'"):
        class_index("dogg", labels, network="net")
    with pytest.raises(SelectionError, match="names of net's classes are not known; give its num"):
        class_index("dog", None, network="net")


# What can go wrong


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["--netwrk", "x"], 2, "--netwrk: unknown flag; nearest is '--network'"),
        (["--rule", "gided"], 2, "--rule: unknown value 'gided'; nearest is 'guided'"),
        (["--config", "no.yaml"], 2, "no.yaml: cannot read it"),
        (["--stream", "no.mp4"], 1, "no.mp4: there is no such file"),
        (["--stream", "text.mp4"], 1, "text.mp4: is a text file"),
        (["--stream", "empty.mp4"], 1, "empty.mp4: the file is empty"),
        (["--stream", "gopher://a"], 1, "gopher"),
        (["--stream", "99"], 1, "camera 99"),
        (["--network", "restnet50"], 1, "unknown network 'restnet50'; nearest is 'resnet50'"),
        (["--network", "net.py:Nett"], 1, "net.py has no 'Nett'; nearest is 'Net'"),
        (["--network", "net.py:Dense"], 1, "has no convolution"),
        (["--network", "resnet18"], 1, "--weights FILE"),
        (["--weights", "no.pt"], 1, "no.pt: cannot read weights"),
        (["--weights", "text.mp4"], 1, "text.mp4: not a weights file (it begins with 'Hello"),
        (["--labels", "text.mp4"], 1, "text.mp4: has 1 labels, but net.py:Net has 3 classes"),
        (["--layer", "frist"], 2, "there is no layer 'frist'; nearest is 'first'"),
        (["--unit", "6"], 2, "layer 'second' has no unit 6; its units are 0 to 5"),
        (["--position", "8,0"], 2, "position (8, 0) is outside the 8x8 maps"),
        (["--class", "dogg"], 2, "has no class 'dogg'; nearest is 'dog'"),
        (["--class", "3"], 2, "there is no class 3; classes are 0 to 2"),
        (["--cam", "gradcam"], 2, "unknown CAM method 'gradcam'; nearest is 'grad-cam'"),
        (["--cam-layer", "fc"], 2, "layer 'fc' is dense"),
        (["--device", "gpu"], 1, "unknown device 'gpu'"),
        (["--record", "out.txt"], 1, "out.txt: films cannot be written as '.txt'"),
        (["--record", "film"], 1, "film: films cannot be written to a name without an ending;"),
        (["--record", "no/out.mp4"], 1, "cannot be written to"),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(
    argv: list[str], code: int, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "text.mp4").write_text("Hello, I am a text file that is called a film.\n")
    (here / "empty.mp4").write_bytes(b"")
    before = {path.name for path in here.iterdir()} | {"__pycache__"}
    assert cli.main([*HEADLESS, *argv]) == code
    out, err = capsys.readouterr()
    # The spinner is drawn by a terminal only; what is left is the message.
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    assert lines[0].startswith("rtvis: ")
    assert message in lines[0]
    assert not out
    assert {path.name for path in here.iterdir()} <= before, "no file may be left behind"


def test_weights_of_another_network_are_one_line(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    torch.save({"other.weight": torch.zeros(3)}, here / "other.pt")
    assert cli.main([*HEADLESS, "--weights", "other.pt"]) == 1
    assert (
        "other.pt: not the weights of net.py:Net: 0 of 6 tensors fit; 6 missing "
        "(first.weight, first.bias, second.weight, ...), 1 unexpected (other.weight)"
    ) in capsys.readouterr().err


def test_debug_shows_the_traceback_and_nothing_else_does(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["--network", "nope", "--stream", "pictures"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert cli.main(["--network", "nope", "--stream", "pictures", "--debug"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("rtvis: unknown network 'nope'")


def test_a_fault_of_ours_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> int:
        raise IndexError("list index out of range")

    monkeypatch.setattr(root, "_run", broken)
    assert cli.main([]) == 1
    assert capsys.readouterr().err == (
        "rtvis: a fault in rtvis itself: IndexError: list index out of range; --debug shows where\n"
    )


def test_ctrl_c_while_loading_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(root, "_run", interrupted)
    assert cli.main([]) == 130


def test_logging_and_signals_are_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root, "_run", lambda _: 0)
    before = logging.getLogger().handlers[:], logging.getLogger().level
    handler = signal.getsignal(signal.SIGTERM)
    assert cli.main(["--debug"]) == 0
    assert (logging.getLogger().handlers, logging.getLogger().level) == before
    assert signal.getsignal(signal.SIGTERM) is handler


# As a process of its own


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(here: Path) -> Iterator[Start]:
    """Starts the program; what is left of it after the test, its children too, is killed."""

    def start(*argv: str, display: str = "") -> subprocess.Popen[str]:
        process = processes.enter_context(
            subprocess.Popen(
                [sys.executable, str(ROOT / "main.py"), *argv],
                cwd=here,
                env=os.environ
                | {"PYTHONPATH": str(ROOT)}
                | ({"DISPLAY": display} if display else {}),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        processes.callback(kill_group, process.pid)
        return process

    with contextlib.ExitStack() as processes:
        yield start


def kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def test_help_comes_at_once(start: Start) -> None:
    started_s = time.monotonic()
    process = start("--help")
    out, err = process.communicate(timeout=20)
    # 0.25 s alone; the machine that tests run on may be busy.
    assert time.monotonic() - started_s < 3
    assert (process.returncode, err) == (0, "")
    assert "--network NAME" in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_at_once_and_finishes_the_film(
    here: Path, start: Start, number: signal.Signals
) -> None:
    process = start(
        *SMALL, "--view", "none", "--stream", "pictures", "--pace", "fast", "--loop",
        "--record", "out.mp4",
    )  # fmt: skip
    wait_while_running(lambda: any(here.glob(".out.part-*.mp4")) and size_of(here) > 0, process)
    process.send_signal(number)
    sent_s = time.monotonic()
    out, err = process.communicate(timeout=20)
    took_s = time.monotonic() - sent_s
    assert process.returncode == 130, err
    assert took_s < 2  # 0.1 s on a machine with nothing else to do
    assert "Traceback" not in err
    assert out == "out.mp4\n"
    assert num_frames(here / "out.mp4") > 0
    assert not list(here.glob(".out.part-*"))


@pytest.mark.parametrize("delay_s", [0.05, 0.5, 1.5])
def test_ctrl_c_leaves_without_a_word_while_it_still_starts(start: Start, delay_s: float) -> None:
    process = start("--view", "none", "--loop")
    time.sleep(delay_s)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    # Python itself takes some milliseconds until it can be asked for anything.
    assert process.returncode == 130 or (delay_s < 0.1 and process.returncode == -signal.SIGINT)
    assert "rtvis" not in err
    assert out == ""


@pytest.mark.window
def test_with_a_display_there_is_a_window_which_q_closes(here: Path, start: Start) -> None:
    with Screen() as screen:
        process = start(*SMALL, "--stream", "pictures", display=screen.name)
        # White text: the first canvas. Before it the window is smaller than that and not yet under
        # the pointer, where keys go.
        wait_while_running(lambda: screen.photograph(here / "screen.png").max() > 200, process)
        screen.do("key", "q")
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.window
def test_a_display_that_cannot_be_reached_is_told_and_recorded_instead(
    here: Path, start: Start
) -> None:
    process = start(*SMALL, "--stream", "pictures", "--pace", "fast", display=":9999")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "rtvis: window: " in err
    assert num_frames(here / out.strip()) == 3


def wait_while_running(is_true: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    def is_so() -> bool:
        assert process.poll() is None, process.communicate()
        return is_true()

    wait_for(is_so)


def size_of(here: Path) -> int:
    return max((path.stat().st_size for path in here.glob(".out.part-*.mp4")), default=0)


def test_a_reader_that_leaves_early_is_no_fault(here: Path) -> None:
    command = f"{sys.executable} {ROOT / 'main.py'} --list networks | head -n 2"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=here,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "# default\ntf_efficientnet_lite0\n"
    assert (done.returncode, done.stderr) == (0, "")
