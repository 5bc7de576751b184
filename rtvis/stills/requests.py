"""What the still-image scripts are asked for, and what became of each picture."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rtvis.choices import BackpropDisplay
from rtvis.data import Rule, Seed, Selection
from rtvis.engine.engine import Engine
from rtvis.engine.networks.labels import class_index

CamStyle = Literal["overlay", "blend", "heat"]
"""Over the picture, as opaque as it is strong; RT-23's even blend with JET; without the picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CamRequest:
    """What `gradcam.py` is asked for."""

    method: str = "grad-cam"
    layer: str | None = None
    """By name; overrides `conv_index`."""
    conv_index: int = -1
    """-1 is the last convolution, -2 the one before, 0 the first."""
    num_top: int = 2
    classes: tuple[str, ...] = ()
    """Numbers or names; empty: the `num_top` classes with the highest scores of each picture."""
    region: tuple[int, int, int, int] | None = None
    """As of a Selection."""
    style: CamStyle = "overlay"


@dataclass(frozen=True, kw_only=True, slots=True)
class BackpropRequest:
    """What `guided_backprop.py` is asked for."""

    layer: str | None = None
    unit: int | None = None
    """None: the unit with the strongest answer to each picture."""
    class_name: str | None = None
    """Number or name: explain this class instead of a unit."""
    region: tuple[int, int, int, int] | None = None
    """As of a Selection: explain its class, by default the top-scoring one, instead of a unit."""
    rule: Rule = "guided"
    seed: Seed | None = None
    position: tuple[int, int] | None = None
    display: BackpropDisplay = "clipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of one picture."""

    source: Path
    written: tuple[Path, ...] = ()
    lines: tuple[str, ...] = ()
    """One for each of `written`: what it shows."""
    warnings: tuple[str, ...] = ()
    error: str | None = None
    """Why there is nothing; the other pictures go on."""


def class_of(name: str, engine: Engine) -> int:
    """The index of a class from its number or its name, in any case.

    Raises:
        SelectionError: There is none, with the nearest.
    """
    index = class_index(name, engine.labels, network=engine.network)
    engine.resolve(Selection(class_index=index))
    return index


def class_text(index: int, engine: Engine) -> str:
    """`tabby (281)`, or `class 281` where there are no names."""
    return f"{engine.labels[index]} ({index})" if engine.labels is not None else f"class {index}"
