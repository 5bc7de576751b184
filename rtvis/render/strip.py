"""The list of layers as a wrapped strip: names in order of execution, grouped by map size."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise
from typing import Final

from rtvis.data import Layer
from rtvis.render.grid import Rect

_TOKENS: Final = ":tokens"
"""How the name ends of a layer's class and register tokens."""


@dataclass(frozen=True, slots=True)
class Chip:
    """One word of the strip: a layer, or (with `layer` None) the heading of a group."""

    text: str
    row: int
    left: int
    """From the left end of the strip."""
    width: int
    layer: str | None


@dataclass(frozen=True, slots=True)
class Strip:
    """Chips in rows, of which those from `first_row` on are in sight."""

    area: Rect
    chips: tuple[Chip, ...]
    row_height: int
    chip_height: int
    num_rows: int
    rows_in_sight: int
    first_row: int

    @property
    def max_scroll(self) -> int:
        """Largest `first_row`."""
        return max(self.num_rows - self.rows_in_sight, 0)

    def rect(self, chip: Chip) -> Rect | None:
        """Where a chip is drawn; None if it is scrolled out of sight."""
        row = chip.row - self.first_row
        if not 0 <= row < self.rows_in_sight:
            return None
        top = self.area.top + row * self.row_height
        return Rect(top, self.area.left + chip.left, self.chip_height, chip.width)

    def at(self, x: int, y: int) -> Chip | None:
        """The chip that holds the pixel."""
        for chip in self.chips:
            rect = self.rect(chip)
            if rect is not None and rect.contains(x, y):
                return chip
        return None

    def scroll_to(self, layer: str) -> int:
        """The `first_row` nearest to the present one that brings a layer into sight."""
        for chip in self.chips:
            if chip.layer == layer:
                lowest = max(chip.row - self.rows_in_sight + 1, 0)
                return min(max(self.first_row, lowest), chip.row, self.max_scroll)
        return self.first_row


@lru_cache(maxsize=8)
def short_names(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names without the words that most of them share, still different from each other.

    `blocks.2.0.conv_dw` becomes `2.0.dw` where most layers live in `blocks`; a name whose short
    form would be ambiguous stays whole.
    """
    first_words = Counter(name.split(".")[0] for name in names if "." in name)
    common = {word for word, count in first_words.items() if 2 * count > len(names)}

    def shorten(name: str) -> str:
        words = name.split(".")
        if len(words) > 1 and words[0] in common:
            words = words[1:]
        if len(words) > 1 and words[-1].startswith("conv_"):
            words[-1] = words[-1].removeprefix("conv_")
        return ".".join(words)

    shorts = [shorten(name) for name in names]
    uses = Counter(shorts) + Counter(names)
    return tuple(
        short if short == name or uses[short] == 1 else name
        for short, name in zip(shorts, names, strict=True)
    )


def group_title(layers: Sequence[Layer]) -> str:
    """What the heading of neighbouring layers says: their group, map size, receptive fields."""
    height, width = layers[0].map_size
    if layers[0].group:
        same_size = all(layer.map_size == (height, width) for layer in layers)
        return layers[0].group + (f"  {height}×{width}" if same_size else "")
    if layers[0].kind != "conv" and (height, width) == (1, 1):
        return "tokens" if all(each.name.endswith(_TOKENS) for each in layers) else "dense"
    # The larger side of each, and a range where it grows within the group.
    fields = [max(each.receptive_field) for each in layers if each.map_size == (height, width)]
    span = f"{fields[0]}" if fields[0] == fields[-1] else f"{fields[0]}–{fields[-1]}"
    return f"{height}×{width}  rf {span}"


def in_groups(layers: Sequence[Layer]) -> list[list[int]]:
    """Indices of neighbouring layers that have a heading together: those of one map size.

    What has no map and stands between layers that have one, such as tokens or the two layers of a
    squeeze-and-excite block, would break each stage into pieces: it belongs to those before it.
    """
    own = _own_tokens(layers)
    last_map = max((i for i, each in enumerate(layers) if each.map_size != (1, 1)), default=-1)
    keys: list[object] = []
    for index, layer in enumerate(layers):
        has_map = layer.map_size != (1, 1)
        joins = index and not has_map and (index < last_map or index in own)
        if layer.group:
            keys.append(layer.group)
        elif joins and not layers[index - 1].group:
            keys.append(keys[-1])
        else:
            keys.append(layer.map_size if has_map else (layer.map_size, layer.kind))
    return [list(group) for _, group in groupby(range(len(layers)), key=keys.__getitem__)]


def _own_tokens(layers: Sequence[Layer]) -> frozenset[int]:
    """Indices of those that are the tokens of the layer directly before them."""
    pairs = enumerate(pairwise(layers), 1)
    return frozenset(i for i, (before, layer) in pairs if layer.name == before.name + _TOKENS)


def lay_strip(
    layers: Sequence[Layer],
    area: Rect,
    *,
    measure: Callable[[str], int],
    row_height: int,
    pad: int,
    gap: int,
    scroll: int,
    group_rows: bool = False,
) -> Strip:
    """Set the layers left to right in rows, each group (`in_groups`) after its heading.

    Args:
        layers: In order of execution.
        area: Where the strip may go; as many rows are in sight as fit.
        measure: Width of a text in pixels.
        row_height: Rows from one line of chips to the next.
        pad: Room left and right of a chip's text.
        gap: Room between chips.
        scroll: Wanted first row; clipped to what there is.
        group_rows: Give each group rows of its own, with the headings in a column at the left.
            Takes more rows, and shows the stages of the network at a glance.
    """
    own = _own_tokens(layers)  # which need not say whose they are
    names = short_names(tuple(layer.name for layer in layers))
    words = tuple(_TOKENS if index in own else name for index, name in enumerate(names))
    groups = in_groups(layers)
    titles = [group_title([layers[index] for index in group]) for group in groups]
    indent = max((measure(title) for title in titles), default=0) + 2 * pad if group_rows else 0
    chips: list[Chip] = []
    row = left = 0

    def put(text: str, layer: str | None, *, width: int, keep_with: int = 0) -> None:
        nonlocal row, left
        width = min(width, area.width)
        if left > indent and left + width + keep_with > area.width:
            row, left = row + 1, indent
        chips.append(Chip(text, row, left, width, layer))
        left += width + gap

    for group, title in zip(groups, titles, strict=True):
        if left and group_rows:
            row, left = row + 1, 0
        elif left:
            left += 2 * gap
        # A heading never stands at the end of a row without its first layer.
        first_width = gap + measure(words[group[0]]) + 2 * pad
        put(title, None, width=measure(title) + pad, keep_with=first_width)
        left = max(left, indent)
        for index in group:
            # Tokens never stand at the beginning of a row without their layer.
            behind = gap + measure(_TOKENS) + 2 * pad if index + 1 in own else 0
            width = measure(words[index]) + 2 * pad
            put(words[index], layers[index].name, width=width, keep_with=behind)
    num_rows = row + 1 if chips else 0
    chip_height = row_height - max(gap // 2, 1)
    fitting = max((area.height + row_height - chip_height) // row_height, 1)
    rows_in_sight = min(fitting, num_rows)
    return Strip(
        area=area,
        chips=tuple(chips),
        row_height=row_height,
        chip_height=chip_height,
        num_rows=num_rows,
        rows_in_sight=rows_in_sight,
        first_row=min(max(scroll, 0), max(num_rows - rows_in_sight, 0)),
    )
