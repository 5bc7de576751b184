"""How numbers become colours."""

from dataclasses import replace
from typing import Final, get_args

from rtvis.runtime.commands.context import Context, after
from rtvis.session import MapPalette, View

GAMMAS: Final = (1.0, 0.7, 0.5, 0.3)
"""DVT-40."""
UNIT_BOOSTS: Final = (0.0, 0.3, 0.5, 0.8, 1.0)
"""DVT-41."""


def cycle_palette(view: View, context: Context) -> View:
    """Maps in perceptual colours, in grey, in JET (RT-11, RT-12)."""
    del context
    palettes: tuple[MapPalette, ...] = get_args(MapPalette)
    return replace(view, palette=after(view.palette, palettes))


def cycle_gamma(view: View, context: Context) -> View:
    """Dim values brighter (DVT-40)."""
    del context
    return replace(view, gamma=after(view.gamma, GAMMAS))


def cycle_unit_boost(view: View, context: Context) -> View:
    """Weak units brought up to the others (DVT-41)."""
    del context
    return replace(view, unit_boost=after(view.unit_boost, UNIT_BOOSTS))


def toggle_smoothing(view: View, context: Context) -> View:
    """Whether colour ranges follow a running mean or each frame's own."""
    del context
    smoothed = not view.range_smoothed
    words = "are steady" if smoothed else "follow each frame"  # a still picture looks the same
    return replace(
        view, range_smoothed=smoothed, notice=f"colour ranges {words}", notice_is_warning=False
    )


def cycle_cam(view: View, context: Context) -> View:
    """The CAM over the input by its strength, blended as RT does it (RT-23), or off."""
    if context.is_dense and view.labels_shown:  # from under the label picture
        return replace(view, cam_shown=True, labels_shown=False)
    if not view.cam_shown:
        return replace(view, cam_shown=True, cam_style="alpha")
    if view.cam_style == "alpha":
        return replace(view, cam_style="blend")
    return replace(view, cam_shown=False)
