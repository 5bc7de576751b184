"""The page of a unit: its ideal input, its strongest ones, and what is known of it in numbers."""

from html import escape
from typing import Final

from rtvis.units import names
from rtvis.units.pages.facts import LayerFacts
from rtvis.units.pages.skeleton import number, page, percent, table
from rtvis.units.unit_inputs import KINDS, UnitInput

_DRIVES: Final = {
    "": "The input that drives it most",
    names.DOWN: "The input that drives it down",
    names.WHOLE: "The input that drives the layer",
}
_HEADS: Final = ("what it sees", "the picture", "gradient", "guided", "deconvnet")


def unit_page(
    facts: LayerFacts,
    unit: int,
    inputs: tuple[UnitInput, ...],
    *,
    network: str,
    neighbours: tuple[int | None, int | None],
) -> bytes:
    """The page of one unit.

    Args:
        facts: Of its layer.
        unit: Of the layer.
        inputs: What `inputs.json` says.
        network: The network's name.
        neighbours: The units before and behind it that have pages.
    """
    ways = zip(("prev", "next"), neighbours, ("&larr; previous", "next &rarr;"), strict=True)
    links = [
        f'<a rel={rel} href="{names.unit_page(other)}">{text}</a> '
        for rel, other, text in ways
        if other is not None
    ]
    layer = facts.layer
    body = (
        f'<div class="unit"><aside>{_optimized(facts, unit)}{_numbers(facts, unit)}'
        f"{_classes(facts, unit)}</aside><main>{_inputs(facts, unit, inputs)}</main></div>"
    )
    return page(
        f"unit {unit}",
        body,
        title=f"unit {unit} · {layer.name} · {network}",
        root="../",
        crumbs=((network, f"../{names.PAGE}"), (layer.name, names.PAGE)),
        links=links,
    )


def _optimized(facts: LayerFacts, unit: int) -> str:
    found: dict[str, str] = dict.fromkeys(_DRIVES, "")
    for name in facts.optimized(unit):
        path = f"{names.unit(unit)}/{name}"
        record = f"{path.removesuffix('.png')}.json"
        what = name.removeprefix(f"{names.OPTIMIZED}_").removesuffix(".png").replace("_", ", seed ")
        found[names.mark_of(name)] += (
            f'<section><a href="{path}"><img loading=lazy src="{path}" alt="optimised input"></a>'
            f'<span class="dim">{escape(what)} · <a href="{record}">how</a></span></section>'
        )
    return "".join(f"<h2>{_DRIVES[mark]}</h2>{each}" for mark, each in found.items() if each)


def _numbers(facts: LayerFacts, unit: int) -> str:
    rows = [("largest value", number(facts.maximum(unit)))]
    mean, std = facts.of("mean_C", unit), facts.of("std_C", unit)
    if mean is not None:
        rows.append(("mean", f"{number(float(mean))} &plusmn; {number(float(std))}"))
        fires = percent(float(facts.of("firing_pictures_C", unit)))
        places = percent(float(facts.of("firing_places_C", unit)))
        rows.append(("fires in", f"{fires} of the pictures, at {places} of all places"))
        if facts.of("is_dead_C", unit):
            rows.append(("", '<span class="warn">dead: it never fires</span>'))
    selectivity = facts.selectivity_of(unit)
    if number(selectivity):
        rows.append(("class selectivity", f"{selectivity:.2f}"))
    rows = [(name, value) for name, value in rows if value]
    if not rows:
        return ""
    return f"<section><h2>In numbers</h2>{table(rows)}{_histogram(facts, unit)}</section>"


def _histogram(facts: LayerFacts, unit: int) -> str:
    """How often which largest value of a picture comes up, as a drawing."""
    counts = facts.of("histogram_CQ", unit)
    if counts is None or not counts.sum():
        return ""
    start = float(facts.of("histogram_from_C", unit))
    width = float(facts.of("histogram_width_C", unit))
    used = counts.nonzero()[0]
    first, last = int(used[0]), int(used[-1])
    bars = counts[first : last + 1]
    size, most = 240 / len(bars), int(bars.max())
    drawn = "".join(
        f'<rect x="{index * size:.1f}" y="{60 - 60 * int(count) / most:.1f}" '
        f'width="{max(size - 0.5, 0.5):.1f}" height="{60 * int(count) / most:.1f}"/>'
        for index, count in enumerate(bars.tolist())
        if count
    )
    low, high = number(start + first * width), number(start + (last + 1) * width)
    return (
        '<p class="dim">largest values of the pictures</p>'
        f'<svg viewBox="0 0 240 60" width="240" height="60" role="img">{drawn}</svg>'
        f'<span class="dim">{low} .. {high}</span>'
    )


def _classes(facts: LayerFacts, unit: int) -> str:
    found = facts.classes_of(unit)
    if not found:
        return ""
    rows = [(name, number(mean)) for name, mean in found]
    return f"<section><h2>Classes it answers to</h2>{table(rows)}</section>"


def _inputs(facts: LayerFacts, unit: int, inputs: tuple[UnitInput, ...]) -> str:
    if not inputs:
        told = "no pictures of its strongest inputs were made; rtvis units crops does"
        return f'<p class="dim">{told}</p>' if facts.top is not None else ""
    files = facts.files.get(unit, {})
    heads = "".join(f'<span class="head">{text}</span>' for text in ("", *_HEADS))
    rows = [heads]
    for rank, each in enumerate(inputs):
        rows.append(_said(each))
        for kind in KINDS:
            name = names.ranked(kind, rank)
            path = f"{names.unit(unit)}/{name}"
            rows.append(
                f'<a href="{path}"><img loading=lazy src="{path}" alt="{kind} {rank}"></a>'
                if name in files
                else "<span></span>"
            )
    return f'<h2>The inputs that excite it most</h2><div class="rows">{"".join(rows)}</div>'


def _said(each: UnitInput) -> str:
    parts = [f"<b>{number(each.value)}</b>", escape(each.name)]
    if each.label is not None:
        parts.append(f'<span class="dim">class</span> {escape(each.label)}')
    if each.pts_seconds is not None:
        parts.append(f'<span class="dim">at</span> {each.pts_seconds:.2f} s')
    parts.append(f'<span class="dim">place</span> {each.position[0]}, {each.position[1]}')
    if not each.is_reproduced and each.recomputed is not None:
        parts.append(f'<span class="warn">now {number(each.recomputed)}</span>')
    return f'<span class="say">{"<br>".join(parts)}</span>'
