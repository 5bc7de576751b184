"""How an input is optimised: every number of it, checked, as one frozen value."""

import math
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias, get_args

from rtvis.engine.turn.objectives import Objective
from rtvis.errors import ConfigError, did_you_mean

Parametrisation: TypeAlias = Literal["pixels", "fourier"]
Space: TypeAlias = Literal["bytes", "input"]
"""What a step of pixels is taken in: 0..255 less the network's mean, or the network's input."""
StartKind: TypeAlias = Literal["noise", "uniform", "mean"]
Policy: TypeAlias = Literal["constant", "progress", "progress01", "l2", "rms", "adam"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """Everything that decides an optimised input, but for the network, the target and the seed.

    The order of a step is in `rtvis.units.optimize`. What is 0 is off.
    """

    objective: Objective = "neuron"
    direction: Literal["maximise", "minimise"] = "maximise"
    iterations: int = 256
    """Runs of the network; the last one is followed by no step."""
    keep: Literal["best", "last"] = "last"
    """Which picture is the result: the one of the best value, or that of the last run."""
    shown: Literal["clip", "min-max"] = "clip"
    """How the result becomes a picture: as it is, or its smallest and largest value black and
    white, which a picture without limits needs."""

    parametrisation: Parametrisation = "fourier"
    steepness: float = 1.0
    """Fourier: how fast amplitudes fall with frequency; 1 as those of photographs do."""
    space: Space = "bytes"
    start: StartKind = "noise"
    start_sd: float = 0.01
    """Of the noise, in units of the parametrisation."""
    clip: bool = False
    """Pixels: whether values are cut to 0..255 before each run."""
    sizes: tuple[tuple[int, int], ...] = ()
    """(iteration, length of the shorter side) from which on the picture has that many pixels; it
    is enlarged to the network's input before each run. Empty: the network's size."""

    policy: Policy = "adam"
    lr: float = 0.05
    max_lr: float = math.inf
    desired_progress: float = 2.0
    early_progress: float = 0.03
    late_progress: float = 0.1
    redirect: int = 0
    """Of the first so many runs: where the gradient is exactly zero, that of a deconvnet is taken.
    Behind ReLUs that are all shut nothing else leads anywhere."""

    decay: float = 0.0
    blur_radius: float = 0.0
    blur_every: int = 0
    small_val_percentile: float = 0.0
    small_norm_percentile: float = 0.0
    px_benefit_percentile: float = 0.0
    px_abs_benefit_percentile: float = 0.0
    total_variation: float = 0.0
    """Times the mean of the squared differences of neighbours is taken off the objective."""
    grey: bool = False
    """Whether the channels are replaced by their mean after each step."""

    robust: bool = False
    """Whether the picture itself is rotated, scaled, blurred, rolled and spread before each step;
    the next fields say how."""
    robust_degrees: float = 10.0
    robust_rotate_chance: float = 0.3
    robust_scale: float = 0.05
    robust_scale_chance: float = 0.05
    robust_blur: float = 0.5
    robust_roll: int = 5
    robust_roll_chance: float = 0.3
    robust_spread: float = 0.05

    jitter: int = 0
    """The network sees the picture shifted by up to so many pixels, and not by more than half of
    what lies between two neurons: next to them another one would be meant ..."""
    rotation: float = 0.0
    """... rotated by up to so many degrees ..."""
    zoom: float = 0.0
    """... and enlarged or made smaller by up to this share."""
    plain_last: int = 0
    """Runs at the end without any of that."""

    def __post_init__(self) -> None:
        for name, kinds in _CHOICES.items():
            _check_choice(name, getattr(self, name), get_args(kinds))
        for one in fields(self):
            value = getattr(self, one.name)
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if is_number and (math.isnan(value) or value < 0):
                raise ConfigError(f"{one.name} {value}: give a number from 0")
        for name in _PERCENTILES:
            if getattr(self, name) > 100:
                raise ConfigError(f"{name} {getattr(self, name)}: a percentile is at most 100")
        if self.iterations < 1:
            raise ConfigError("iterations 0: the network must run once at least")
        self._check_together()

    def _check_together(self) -> None:
        """What one field demands of another."""
        if self.parametrisation == "fourier":
            given = [name for name in _PIXELS_ONLY if getattr(self, name)]
            if given:
                raise ConfigError(
                    f"{given[0]} acts on pixels, and the parametrisation is fourier; give "
                    "parametrisation pixels"
                )
        if self.direction == "minimise" and self.objective in {"map", "layer"}:
            raise ConfigError(f"objective {self.objective} is a square: it can only be maximised")
        if self.zoom >= 1 or self.decay > 1:
            raise ConfigError("zoom must be below 1, and decay at most 1")
        if self.keep == "best" and self.sees_views:
            raise ConfigError(
                "keep best: with jitter, rotation or zoom no two values are of the same view; give "
                "keep last"
            )
        starts = [iteration for iteration, _ in self.sizes]
        if starts and (starts[0] != 0 or starts != sorted(set(starts))):
            raise ConfigError(f"sizes {self.sizes}: iterations rise from 0")
        if any(side < 1 for _, side in self.sizes):
            raise ConfigError(f"sizes {self.sizes}: a picture has at least one pixel")

    @property
    def doubts(self) -> tuple[str, ...]:
        """What is allowed and seldom meant, in words."""
        found = []
        if self.blur_every and 0 < self.blur_radius < 0.3:
            found.append(f"blur_radius {self.blur_radius}: below 0.3 a blur does next to nothing")
        if bool(self.blur_every) != bool(self.blur_radius):
            found.append("blur_radius and blur_every: one without the other blurs nothing")
        return tuple(found)

    @property
    def sees_views(self) -> bool:
        """Whether the network sees the picture moved about."""
        return bool(self.jitter or self.rotation or self.zoom)

    @property
    def sign(self) -> float:
        """1 to maximise, -1 to minimise."""
        return 1.0 if self.direction == "maximise" else -1.0


_CHOICES = {
    "objective": Objective,
    "direction": Literal["maximise", "minimise"],
    "keep": Literal["best", "last"],
    "shown": Literal["clip", "min-max"],
    "parametrisation": Parametrisation,
    "space": Space,
    "start": StartKind,
    "policy": Policy,
}
_PERCENTILES = (
    "small_val_percentile",
    "small_norm_percentile",
    "px_benefit_percentile",
    "px_abs_benefit_percentile",
)
_PIXELS_ONLY = (
    *("clip", "sizes", "decay", "blur_radius", "total_variation", "grey", "robust"),
    *_PERCENTILES,
)


def _check_choice(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        near = did_you_mean(str(value), known)
        raise ConfigError(f"{name} '{value}' is unknown{near}; use one of {', '.join(known)}")
