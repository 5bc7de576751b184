"""Which part of an optimised picture is worth looking at."""

from rtvis.data import Layer

_MARGIN_SHARE = 4
"""One part in so many of the field on each side: what a neuron looks for begins at its edge."""
_LEAST_MARGIN = 4


def focus_of(layer: Layer, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns that the neuron in the middle of the map can depend on, and some around.

    What lies beyond has no influence on a single neuron's picture and stays grey.

    Args:
        layer: The neuron's.
        size: (height, width) of a picture that was made for the network's input.
    """
    middle = (layer.map_size[0] // 2, layer.map_size[1] // 2)
    field = layer.field_at(middle, size)
    parts = []
    for start, length, whole in (
        (field.top, field.height, size[0]),
        (field.left, field.width, size[1]),
    ):
        margin = max(length / _MARGIN_SHARE, _LEAST_MARGIN)
        first, end = max(int(start - margin), 0), min(int(start + length + margin), whole)
        # A field in the padding, or a picture of another size, leaves nothing: then all of it.
        parts.append(slice(first, end) if end - first >= min(whole, 2) else slice(0, whole))
    return parts[0], parts[1]
