"""Why a pane is empty."""

from rtvis.data import NO_GRADIENT_PATH, Health, Selection
from rtvis.render.readout import Readout
from rtvis.render.scene import Scene
from rtvis.render.wording import change_words


def input_message(scene: Scene) -> str:
    """Why there is no picture."""
    if (scene.image_HW3 if scene.pair is None else scene.pair.first.image_HW3) is not None:
        return ""
    return scene.source.message or {
        "opening": "opening the source",
        "reconnecting": "waiting for the source",
        "failed": "the source failed",
    }.get(scene.source.state, "no picture yet")


def network_message(scene: Scene) -> str:
    """Why there are no maps."""
    if scene.result is not None:
        return scene.maps_note
    return scene.error_note or "waiting for the first result"


def grid_message(scene: Scene, readout: Readout) -> str:
    """Why there are no maps, or no gradients at the layer."""
    result = scene.result
    gradients = result is not None and result.grads_BCHW is not None and scene.pattern is None
    if result is None or not gradients or not readout.health & Health.GRADS_ZERO:
        return network_message(scene)
    text = Health.TEXTS[Health.GRADS_ZERO]
    order = [layer.name for layer in scene.layers]
    origin = result.selection.origin
    shown = result.selection.layer
    if origin is not None and shown is not None and order.index(shown) > order.index(origin.layer):
        return f"{text}: it comes after {origin.layer}, where the backward pass starts"
    if readout.health & Health.ORIGIN_ZERO:
        return f"{text}: {Health.TEXTS[Health.ORIGIN_ZERO]}"
    return text


def backward_message(scene: Scene, readout: Readout) -> str:
    """Why there is no backward picture, or that it would be empty."""
    if scene.result is None:
        return network_message(scene)
    if not (scene.view.backward_shown and scene.result.selection.backward):
        return "off"
    if scene.maps_note or scene.backward_note:
        return scene.maps_note or scene.backward_note
    reasons = Health.GRADIENT_ZERO | Health.GRADIENT_NAN | Health.GRADIENT_INF
    bits = readout.health & reasons
    if bits & Health.GRADIENT_ZERO:
        return _why_zero(scene, scene.result.selection, readout.health)
    return Health.texts(bits)[0] if bits else ""


def _why_zero(scene: Scene, chosen: Selection, health: int) -> str:
    """Why the gradient at the input is zero, as far as that is known."""
    start = chosen.origin or chosen
    layer = next((each for each in scene.layers if each.name == start.layer), None)
    if layer is not None and chosen.starts_at_score(layer.kind):
        return Health.TEXTS[Health.GRADIENT_ZERO]
    change = chosen.change_of(start.layer or "", start.unit or 0)
    if change is not None and change.scale == 0:
        return f"the unit is {change_words(change)}: it depends on no input"
    if layer is not None and not layer.reaches_input:
        return NO_GRADIENT_PATH
    text = Health.TEXTS[Health.GRADIENT_ZERO]
    if health & Health.ORIGIN_ZERO:
        frozen = chosen.origin is not None
        text += ": " + Health.TEXTS[Health.ORIGIN_ZERO if frozen else Health.UNIT_ZERO]
    return text
