"""Where values are taken, where the backward pass starts, and what it brings to other layers."""

from dataclasses import replace

from rtvis.data import Origin
from rtvis.runtime.commands.context import Context, select
from rtvis.session import View


def toggle_tap(view: View, context: Context) -> View:
    """Values before or behind the activation function that follows the layer (RT-07)."""
    tap = "pre" if view.selection.tap == "post" else "post"
    layer = context.layer(view)
    changed = select(view, tap=tap)
    if layer.activation:
        return changed
    return replace(changed, notice=f"no activation function directly follows {layer.name}")


def toggle_freeze(view: View, context: Context) -> View:
    """Let the backward pass start at this unit while others are looked at (DVT-39)."""
    if view.selection.origin is not None:
        return select(view, origin=None)
    origin = Origin(
        layer=context.layer(view).name,
        unit=view.selection.unit or 0,
        position=view.selection.position,
    )
    view = select(view, origin=origin, seed=context.unit_seed(view))
    return replace(view, backward_shown=True)


def toggle_start(view: View, context: Context, *, layer: str, unit: int) -> View:
    """Start the backward pass at a unit that is not the selected one; again: where one looks."""
    origin = Origin(layer=layer, unit=unit)
    again = view.selection.origin == origin
    view = select(view, origin=None if again else origin, seed=context.unit_seed(view))
    return replace(view, backward_shown=True)


def toggle_gradients(view: View, context: Context) -> View:
    """The grid shows activations, or the gradients that reach them (DVT-25); from tiles that show
    pictures it goes back to what it showed before these (DVT-35)."""
    del context
    if view.pattern != "maps":
        return replace(view, pattern="maps", zoom="grid")
    wanted = not view.selection.gradients
    return replace(
        select(view, gradients=wanted), backward_shown=view.backward_shown or wanted, zoom="grid"
    )
