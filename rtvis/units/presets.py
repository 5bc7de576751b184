"""Recipes with a name: our own, those of the Deep Visualization Toolbox, and those of DV.

`dvt-a` to `dvt-d` are the four of Yosinski et al. 2015 (`dvt-c` made most of their pictures),
`dvt` and `dvt-class` the defaults of the toolbox's command line and of its class. `dv` is the
feature visualisation of DV, `dv-1` and `dv-0` two earlier ones of it.
"""

from dataclasses import replace
from typing import Final

from rtvis.errors import ConfigError, did_you_mean
from rtvis.units.recipe import Recipe

DEFAULT: Final = "default"

_DVT = Recipe(
    parametrisation="pixels",
    space="bytes",
    start="noise",
    start_sd=10.0,
    clip=True,
    keep="best",
    shown="min-max",  # as their best_Xpm.jpg
    policy="constant",
    lr=1.0,
    iterations=500,
)
_DV = Recipe(
    objective="mean",
    parametrisation="pixels",
    space="input",
    start="noise",
    start_sd=1.0,
    policy="l2",
    lr=20.0,
    iterations=201,  # 200 steps: none follows the last run
    robust=True,
    plain_last=11,
    shown="min-max",
)

PRESETS: Final[dict[str, Recipe]] = {
    # Tuned by eye on EfficientNet-Lite0: steepness 1.5 leaves out the fine pattern that covers
    # everything at 1 and costs 5 % of the value; views that move more give larger shapes. Noise
    # that is nearly grey shuts the ReLU in front of 4,559 of its 22,008 units, most depthwise ones
    # of the deeper half: without `redirect` their pictures stay noise.
    DEFAULT: Recipe(
        objective="neuron",
        iterations=192,
        steepness=1.5,
        start_sd=0.005,
        lr=0.05,
        redirect=16,
        jitter=14,
        rotation=12.0,
        zoom=0.12,
        plain_last=16,
    ),
    "dvt": _DVT,
    "dvt-class": replace(_DVT, decay=0.01, lr=10.0, iterations=300),
    "dvt-a": replace(
        _DVT,
        blur_radius=0.5,
        blur_every=4,
        small_norm_percentile=50.0,
        policy="progress",
        max_lr=100.0,
        desired_progress=2.0,
    ),
    "dvt-b": replace(_DVT, decay=0.3, small_norm_percentile=20.0, iterations=750, lr=100.0),
    "dvt-c": replace(_DVT, decay=0.0001, blur_radius=1.0, blur_every=4, iterations=1000, lr=100.0),
    "dvt-d": replace(
        _DVT,
        blur_radius=0.5,
        blur_every=4,
        px_abs_benefit_percentile=90.0,
        iterations=1000,
        policy="progress",
        max_lr=1e8,
        desired_progress=2.0,
    ),
    "dv": _DV,
    "dv-1": replace(_DV, policy="rms", lr=0.15, plain_last=6, grey=True, shown="clip"),
    "dv-0": replace(
        _DV,
        policy="rms",
        lr=0.2,
        total_variation=0.005,
        plain_last=0,
        shown="clip",
        robust_rotate_chance=0.0,
        robust_scale_chance=0.0,
        robust_blur=0.0,
        robust_roll_chance=0.0,
    ),
}


def preset(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ConfigError: There is none, with the nearest name.
    """
    if name not in PRESETS:
        near, known = did_you_mean(name, PRESETS), ", ".join(PRESETS)
        raise ConfigError(f"there is no preset '{name}'{near}; there are: {known}")
    return PRESETS[name]
