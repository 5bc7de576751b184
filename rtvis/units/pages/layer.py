"""The page of a layer: all its units as small pictures, to be sorted by what is known of them."""

import math
from html import escape
from typing import Final

from rtvis.units import names
from rtvis.units.pages.facts import LayerFacts
from rtvis.units.pages.sheets import PER_SHEET, TILE, kinds_of, sheet_of, tile_source
from rtvis.units.pages.skeleton import number, page, percent

_KINDS: Final = {names.OPTIMIZED: "optimised inputs", "crop": "crops of the strongest inputs"}


def layer_page(facts: LayerFacts, *, network: str) -> bytes:
    """The page of one layer."""
    layer, kinds = facts.layer, kinds_of(facts)
    style = "".join(_sheet_rules(facts, kind) for kind in kinds)
    parts = []
    units = facts.units
    for first in range(0, len(units), PER_SHEET):
        tiles = "".join(_tile(facts, unit) for unit in units[first : first + PER_SHEET])
        parts.append(f"<div>{tiles}</div>")
    told = f'<p class="dim">{_told(facts)}</p>'
    return page(
        layer.name,
        f'{told}{_form(facts, kinds)}<main class="tiles">{"".join(parts)}</main>',
        title=f"{layer.name} · {network}",
        root="../",
        crumbs=((network, f"../{names.PAGE}"),),
        style=style,
        shown=kinds[0] if kinds else "",
    )


def _told(facts: LayerFacts) -> str:
    layer = facts.layer
    size, stride = layer.map_size, layer.stride
    field = "{}x{}".format(*layer.receptive_field) if layer.field_start else "the whole input"
    parts = [
        f"{layer.kind}, {layer.num_units} units, maps {size[0]}x{size[1]}",
        f"stride {stride[0]:g}x{stride[1]:g}, each neuron sees {field}",
    ]
    dead = facts.statistics.get("is_dead_C")
    if dead is not None:
        parts.append(f"{int(dead.sum())} dead")
    return escape(" · ".join(parts))


def _sheet_rules(facts: LayerFacts, kind: str) -> str:
    """One rule for each sheet: a tile says where in its sheet it lies."""
    found = {sheet_of(unit)[0] for unit in facts.files if tile_source(facts, kind, unit)}
    return "".join(
        f".{kind} .s{sheet}{{background-image:url({names.sheet(kind, sheet)})}}"
        for sheet in sorted(found)
    )


def _form(facts: LayerFacts, kinds: tuple[str, ...]) -> str:
    """Hidden without JavaScript, for it does nothing there."""
    shown = "".join(f"<option value={kind}>{_KINDS[kind]}</option>" for kind in kinds)
    choice = f"<label>show <select name=show>{shown}</select></label>" if len(kinds) > 1 else ""
    orders = "".join(
        f"<option>{text}</option>"
        for text in ("number", "largest value", "how often it fires", "class selectivity")
    )
    classes = ""
    if facts.selectivity:
        classes = "<label>class <input type=search name=class></label><output class=dim></output>"
    return (
        f"<form hidden>{choice}<label>by <select name=sort>{orders}</select></label>"
        f"<label>unit <input name=unit inputmode=numeric></label>{classes}</form>"
    )


def _tile(facts: LayerFacts, unit: int) -> str:
    sheet, row, column = sheet_of(unit)
    firing = facts.of("firing_pictures_C", unit)
    share = math.nan if firing is None else float(firing)
    values = (facts.maximum(unit), share, facts.selectivity_of(unit))
    said = [f"unit {unit}"]
    if number(values[0]):
        said.append(f"largest value {number(values[0])}")
    if percent(share):
        said.append(f"fires in {percent(share)} of the pictures")
    classes = facts.classes_of(unit)
    if classes:
        said.append(f"answers most to {classes[0][0]}")  # the script reads that
    dead = " dead" if facts.of("is_dead_C", unit) else ""
    return (
        f'<a id=u{unit} class="t{dead}" href="{names.unit_page(unit)}" '
        f'data-v="{" ".join(f"{value:.6g}" for value in values)}" '
        f'title="{escape(", ".join(said))}"><i class="s{sheet}" '
        f'style="background-position:-{column * TILE}px -{row * TILE}px"></i>{unit}</a>'
    )
