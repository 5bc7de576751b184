"""The scripted tour: main.py in a window under Xvfb, every key pressed and every pane clicked.

`make tour` takes all stops and the pictures that README and docs/ show, from the window itself.
Fails where the program does: on a lost key, a pane that does not answer, a turn with a fault, a
picture on the screen that is not the one drawn, or an exit that is not clean.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.xvfb import Screen

ROOT: Final = Path(__file__).resolve().parent.parent
SAMPLES: Final = ROOT / "sample_images"
CANVAS: Final = (800, 1280)
"""(height, width) of the pictures."""
LIMIT_S: Final = 900
MOST_BYTES: Final = {"window.png": 600_000}
"""Of a picture that README or docs/ load, where it may have more than 300,000."""
SHOWN: Final = frozenset(
    {
        *("window", "maps", "histogram", "correlation", "gradients", "score", "learned"),
        *("changes", "compare", "dense"),
    }
)
"""Screenshots that README and docs/ use; the others are for whoever looks at the tour."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stop:
    """One run of the program."""

    script: str
    """Name of the function of `tools.toured` that plays the user."""
    flags: tuple[str, ...]
    """For main.py; {folder} is the run's own folder."""
    files: Mapping[str, str]
    """Written into that folder first."""
    before: tuple[tuple[str, ...], ...] = ()
    """What main.py is called with first, run after run: it fills the store."""
    compiles: bool = False
    """Whether the compiled form may take over; it takes a minute or two where it is not cached."""


_PAIRS: Final = f"{SAMPLES / 'chelsea.png'} {SAMPLES / 'flower.jpg'}\n"

_COLOURS: Final = '''"""A network with an answer for each pixel: which of six colours it is like."""

import torch
from torch import nn

# red, green and blue of each, from -1 to 1
COLOURS = [[-1, -1, -1], [1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, -1]]


class Colours(nn.Module):
    """Blurs, compares with each colour, and blurs again."""

    def __init__(self) -> None:
        super().__init__()
        self.blur = nn.Conv2d(3, 3, 5, padding=2, groups=3, bias=False)
        self.features = nn.Conv2d(3, 6, 1)
        self.smooth = nn.Conv2d(6, 6, 9, padding=4, stride=2, groups=6, bias=False)
        self.head = nn.Conv2d(6, 6, 1)
        colours = torch.tensor(COLOURS, dtype=torch.float32)
        with torch.no_grad():
            self.blur.weight.fill_(1 / 25)
            self.features.weight.copy_(colours[:, :, None, None])
            self.features.bias.copy_(1 - colours.square().sum(dim=1) / 2)
            self.smooth.weight.fill_(1 / 81)
            self.head.weight.copy_(torch.eye(6)[:, :, None, None])
            self.head.bias.zero_()

    def forward(self, x):
        return self.head(self.smooth(self.features(self.blur(x)).relu()))


def colours():
    return Colours()
'''

_COLOURS_YAML: Final = """labels: [shadow, cloud, rust, grass, sky, straw]
size: 224
mean: 0.5
std: 0.5
"""

_FILES: Final = {"pictures.txt": "".join(f"{SAMPLES / n}\n" for n in ("chelsea.png", "coffee.jpg"))}
_SAMPLE: Final = ("--stream", "demo", "--files", "{folder}/pictures.txt")
_MIDDLE: Final = ("--layer", "blocks.3.0.conv_pw", "--unit", "140")
_EYES: Final = ("--layer", "blocks.4.2.conv_pw", "--unit", "376")
"""The clip begins with a cat, and this unit finds eyes."""

STOPS: Final[dict[str, Stop]] = {
    "keys": Stop(script="keys", flags=(*_SAMPLE, *_MIDDLE), files=_FILES),
    "clicks": Stop(script="clicks", flags=(*_SAMPLE, *_MIDDLE), files=_FILES),
    "pictures": Stop(
        script="pictures",
        flags=("--stream", "demo", *_EYES),
        files={},
        before=(
            (
                *("units", "scan", "--data", "demo", "--every", "0.2", "--min-distance", "0.5"),
                *("--layers", _EYES[1], "--compile", "off"),
            ),
            ("units", "crops", "--layers", _EYES[1], "--unit", _EYES[3], "--no-pages"),
        ),
        compiles=True,
    ),
    "compare": Stop(
        script="compared",
        flags=("--stream", "{folder}/pairs.txt", "--compare-stream", "second", *_MIDDLE),
        files={"pairs.txt": _PAIRS},
    ),
    "dense": Stop(
        script="dense",
        flags=(
            "--stream",
            str(SAMPLES / "flower.jpg"),
            "--network",
            "{folder}/net.py:colours",
            "--layer",
            "smooth",
        ),
        files={"net.py": _COLOURS, "net.yaml": _COLOURS_YAML},
    ),
    "tokens": Stop(
        script="tokens",
        flags=(
            *("--stream", str(SAMPLES / "chelsea.png")),
            *("--network", "deit_tiny_patch16_224", "--weights", "random"),
        ),
        files={},
    ),
}


def take(name: str, folder: Path, *, brief: bool = False) -> dict[str, list[str]]:
    """Play one stop.

    Args:
        name: Of the stop.
        folder: For what the program writes, and for screenshots; made if it is not there.
        brief: One key of each command, no buttons twice.

    Returns:
        What was done: "keys", "buttons", "panes", "pages", "lines" of the help, and "pictures",
        by name.

    Raises:
        RuntimeError: Something went wrong; says what.
    """
    stop = STOPS[name]
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in stop.files.items():
        (folder / file).write_text(text)
    flags = [flag.format(folder=folder) for flag in stop.flags]
    size = "x".join(map(str, CANVAS))
    with Screen((CANVAS[0], CANVAS[1])) as screen:
        environment = {**os.environ, "DISPLAY": screen.name, "PYTHONPATH": str(ROOT)}
        environment["XDG_DATA_HOME"] = str(folder / "data")  # not the user's store
        for command in stop.before:
            _call([str(ROOT / "main.py"), *command], folder, environment)
        told = _call(
            [
                *("-m", "tools.toured", stop.script, *(["--brief"] if brief else [])),
                *("--", *flags, "--compile", "auto" if stop.compiles else "off"),
                *("--canvas", size, "--debug"),
            ],
            folder,
            environment,
        )
    report = folder / f"{stop.script}.json"
    trouble = [line for line in told.splitlines() if "could not be computed" in line]
    if trouble or not report.is_file():
        raise RuntimeError(f"{name}: {told[-4000:]}")
    found: dict[str, list[str]] = json.loads(report.read_text())
    return found


def _call(arguments: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    """Run Python in a folder and return what it told on standard error.

    Raises:
        RuntimeError: It failed.
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{arguments[:3]}: exit code {done.returncode}\n{done.stderr[-4000:]}")
    return done.stderr


def keep(picture: Path, to: Path) -> None:
    """A screenshot as a PNG without loss, or in 256 colours where that is too large: photos have
    bands then, but JPEG would blur the text."""
    to.parent.mkdir(exist_ok=True)
    # With its own filter off, PNG packs the flat parts in two thirds of the size.
    packed = ("-define", "png:compression-level=9", "-define", "png:compression-filter=0")
    subprocess.run(["convert", picture, "-strip", *packed, f"PNG24:{to}"], check=True)
    if to.stat().st_size > MOST_BYTES.get(to.name, 300_000):
        few = ("-dither", "None", "-colors", "256")
        subprocess.run(["convert", picture, *few, "-strip", f"PNG8:{to}"], check=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Take the stops that are named, or all; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.tour", description=__doc__)
    parser.add_argument("stops", nargs="*", metavar="STOP", help=f"of {', '.join(STOPS)}")
    parser.add_argument("--docs", action="store_true", help="put the pictures into docs/")
    wanted = parser.parse_args(argv)
    if unknown := set(wanted.stops) - set(STOPS):
        parser.error(f"there is no stop {', '.join(sorted(unknown))}")
    folder = ROOT / "build" / "tour" if wanted.docs else Path(tempfile.mkdtemp(prefix="tour-"))
    for name in wanted.stops or STOPS:
        try:
            found = take(name, folder / name)
        except RuntimeError as fault:
            print(fault, file=sys.stderr)
            return 1
        print(f"{name}: " + ", ".join(f"{len(done)} {what}" for what, done in found.items()))
        for picture in found["pictures"]:
            if wanted.docs and picture in SHOWN:
                place = "window.png" if picture == "window" else f"images/{picture}.png"
                keep(folder / name / f"{picture}.png", ROOT / "docs" / place)
    return 0


if __name__ == "__main__":
    sys.exit(main())
