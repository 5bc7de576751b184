"""The page of a network: its layers, with numbers and a few of their units."""

from collections.abc import Collection, Sequence
from html import escape

from rtvis.engine.networks.identity import Identity
from rtvis.units import names
from rtvis.units.pages.facts import LayerFacts
from rtvis.units.pages.sheets import kinds_of
from rtvis.units.pages.skeleton import page


def network_page(
    identity: Identity, layers: Sequence[LayerFacts], with_page: Collection[str]
) -> bytes:
    """The page of one network.

    Args:
        identity: The network.
        layers: All that its store knows of.
        with_page: Names of those that have a page.
    """
    prep = identity.preprocessing
    told = f"input {prep.size[0]}x{prep.size[1]} · weights {identity.weights}"
    heads = "".join(
        f"<th{' class=n' if is_right else ''}>{text}</th>"
        for text, is_right in (
            ("layer", False),
            ("kind", False),
            ("units", True),
            ("map", True),
            ("sees", True),
            ("dead", True),
            ("pictures", True),
            ("optimised", True),
            ("", False),
        )
    )
    rows = "".join(_row(facts, is_linked=facts.layer.name in with_page) for facts in layers)
    # Hidden without JavaScript, for it does nothing there.
    form = "<form hidden><label>layer <input type=search name=layer></label></form>"
    body = f'<p class="dim">{told}</p>{form}<table class="layers"><tr>{heads}</tr>{rows}</table>'
    return page(identity.network, body, title=identity.network, root="")


def _row(facts: LayerFacts, *, is_linked: bool) -> str:
    layer = facts.layer
    folder = names.folder_of(layer.name)
    dead = facts.statistics.get("is_dead_C")
    num_inputs = sum(names.INPUTS in found for found in facts.files.values())
    num_optimized = sum(bool(facts.optimized(unit)) for unit in facts.files)
    cells = (
        str(layer.num_units),
        "{}x{}".format(*layer.map_size),
        "{}x{}".format(*layer.receptive_field) if layer.field_start else "all",
        "" if dead is None else str(int(dead.sum())),
        str(num_inputs or ""),
        str(num_optimized or ""),
    )
    link, name, strip = f"{folder}/{names.PAGE}", escape(layer.name), ""
    if is_linked:
        name = f'<a href="{link}">{name}</a>'
    if is_linked and kinds_of(facts):
        image = f'<img loading=lazy src="{folder}/{names.STRIP}" alt="">'
        strip = f'<a class=strip href="{link}">{image}</a>'
    numbers = "".join(f"<td class=n>{text}</td>" for text in cells)
    return f'<tr><td>{name}</td><td class="dim">{layer.kind}</td>{numbers}<td>{strip}</td></tr>'
