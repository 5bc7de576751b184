"""The few numbers that the text shows, packed on the device and downloaded with the canvas.

Text needs numbers in host memory, and reading one back waits for the device. So a turn packs them
into one small tensor. On a CPU it is read at once; on CUDA it travels with the canvas, and the
text of the next picture uses it.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from rtvis.data import Result, Tap, Target
from rtvis.render.display import extremes
from rtvis.render.label_picture import class_shares
from rtvis.render.moved import Moved, pack_moved, padded, unpack_moved
from rtvis.session import Compared, PageName

NUM_TOP = 10
"""Of the best classes, whose probabilities travel; how many are listed is the view's choice."""
_HEAD = 19
_TOP_END = _HEAD + 2 * NUM_TOP


@dataclass(frozen=True, kw_only=True, slots=True)
class Readout:
    """Numbers of one picture, for its text."""

    top: tuple[tuple[int, float], ...] = ()
    """(class index, probability) of the best classes, best first; of a dense output the share of
    its pixels that have the class for their best one."""
    class_index: int = -1
    """Class that the CAM explains; -1 before the first result."""
    class_probability: float = 0.0
    value: float = 0.0
    """The selected unit's value at `position`."""
    position: tuple[int, int] = (0, 0)
    """(row, column) of the seed."""
    health: int = 0
    """Bit set of `rtvis.data.Health`."""
    low: float = 0.0
    """Smallest value of the layer's maps."""
    high: float = 0.0
    range_low: float = 0.0
    """Lower end of the grid's colour scale: 0 unless the layer has negative values."""
    range_high: float = 1.0
    range_ends: tuple[float, float] = (0.0, 1.0)
    """Smallest and largest value as the colour scale follows them (`ColourRange.ends`)."""
    unit_low: float = 0.0
    """Smallest value of the selected unit's map."""
    unit_high: float = 0.0
    hover_value: float = 0.0
    """Of what is under the pointer: the maximum of a unit's map, one neuron, or the class of a
    pixel of the dense output (with one class its value)."""
    gradient_max: float = 0.0
    """Largest magnitude of the backward picture."""
    score: float = 0.0
    """Of the class that the CAM explains."""
    dense_low: float = 0.0
    """Smallest value of a dense output with one class."""
    dense_high: float = 0.0
    top_pair: tuple[tuple[float, float], ...] = ()
    """Probabilities in the first and the second of two, for each class in `top`."""
    page: PageName = "unit"
    """The page of the details pane that was in sight."""
    page_numbers: tuple[float, ...] = ()
    """What it asked for (`Measured.page_numbers`); its module knows their meaning."""
    num_page_numbers: int = 0
    moved: Moved | None = None
    """What the changes to units did to the classes; None without changes."""
    has_pair: bool = False
    layer: str = ""
    tap: Tap = "pre"
    unit: int = 0
    seq: int = -1
    """Of the frame; -1 before the first result."""


class Ranked(NamedTuple):
    """The classes that a comparison lists."""

    classes_T: Tensor
    """int64."""
    top_T: Tensor
    """float64: probability in the one that is shown."""
    pair_2T: Tensor
    """float64: probability in the first and in the second."""


def rank(first_K: Tensor, second_K: Tensor, compared: Compared) -> Ranked:
    """The best classes of the one that is shown, or those whose probabilities differ most.

    Args:
        first_K: Scores of the first.
        second_K: Of the second.
        compared: What is shown.
    """
    one_K, other_K = (scores_K.double().softmax(dim=0) for scores_K in (first_K, second_K))
    shown_K = other_K if compared == "second" else one_K
    by_K = (one_K - other_K).abs() if compared == "difference" else shown_K
    classes_T = by_K.topk(min(NUM_TOP, by_K.numel())).indices
    pair_2T = torch.stack([one_K, other_K]).index_select(1, classes_T)
    return Ranked(classes_T, shown_K.index_select(0, classes_T), pair_2T)


def pack_readout(
    result: Result,
    maps_CHW: Tensor,
    *,
    batch_index: int,
    hover: Target,
    low: Tensor,
    high: Tensor,
    range_low: Tensor,
    range_high: Tensor,
    range_ends: tuple[Tensor, Tensor] | None = None,
    page_N: Tensor | None = None,
    ranked: Ranked | None = None,
) -> Tensor:
    """One float64 vector on the device, which `unpack_readout` turns into a Readout.

    Args:
        result: What is shown.
        maps_CHW: What the grid shows of it: `low` to `hover_value` are about these.
        batch_index: Picture of the batch that is shown.
        hover: What is under the pointer; its value is packed too.
        low: Smallest value of the layer's maps, a scalar on the device.
        high: Largest one.
        range_low: Lower end of the grid's colour scale.
        range_high: Upper end.
        range_ends: `ColourRange.ends`; default: the ends of the scale.
        page_N: float64, what the page in sight wants to know.
        ranked: The classes of two that are compared; default: those of the result.
    """
    # float64 holds every index and every float32 exactly.
    scores_K = result.scores_BK[batch_index].double()
    if result.labels_BHW is None:
        probabilities_K = scores_K.softmax(dim=0)
    else:
        probabilities_K = class_shares(result.labels_BHW[batch_index], scores_K.numel())
    if ranked is None:
        top_T, classes_T = probabilities_K.topk(min(NUM_TOP, probabilities_K.numel()))
        pair_2T = None
    else:
        classes_T, top_T, pair_2T = ranked
    class_index = result.class_index_B[batch_index]
    unit_HW = maps_CHW[min(result.selection.unit or 0, maps_CHW.shape[0] - 1)]
    unit_low, unit_high = extremes(unit_HW)
    backprop_3HW = result.backprop_B3HW[batch_index]
    gradient_low, gradient_high = extremes(backprop_3HW)
    head = [
        class_index,
        probabilities_K.index_select(0, class_index.reshape(1))[0],
        result.value_B[batch_index],
        result.position_B2[batch_index, 0],
        result.position_B2[batch_index, 1],
        result.health_B[batch_index],
        low,
        high,
        range_low,
        range_high,
        *(range_ends or (range_low, range_high)),
        unit_low,
        unit_high,
        _hovered(maps_CHW, hover, result, batch_index),
        torch.maximum(-gradient_low, gradient_high),
        scores_K.index_select(0, class_index.reshape(1))[0],
        *_heat_range(result, batch_index),
    ]
    assert len(head) == _HEAD
    parts = [padded(classes_T.double(), NUM_TOP), padded(top_T, NUM_TOP)]
    if result.untouched_scores_BK is not None:
        untouched_K = result.untouched_scores_BK[batch_index]
        scores_K = result.scores_BK[batch_index]
        parts.append(pack_moved(scores_K, untouched_K, classes_T, num_top=NUM_TOP))
    if pair_2T is not None:
        parts += [padded(each_T, NUM_TOP) for each_T in pair_2T]
    if page_N is not None:
        parts.append(page_N)
    if probabilities_K.device.type == "cpu":  # nothing to wait for: half the time
        head_N = torch.tensor([float(x) for x in head], dtype=torch.float64)
    else:
        head_N = torch.stack([x.double() for x in head])
    return torch.cat([head_N, *parts])


def subject_of(
    result: Result,
    *,
    page: PageName = "unit",
    page_N: Tensor | None = None,
    ranked: Ranked | None = None,
) -> Readout:
    """A readout that says only what it is about: layer, unit, frame, and the page's numbers."""
    chosen = result.selection
    return Readout(
        layer=chosen.layer or "",
        tap=chosen.tap,
        unit=chosen.unit or 0,
        seq=result.seq,
        page=page,
        num_page_numbers=page_N.numel() if page_N is not None else 0,
        has_pair=ranked is not None,
    )


def unpack_readout(numbers: list[float], subject: Readout) -> Readout:
    """The numbers of a packed vector, once they are in host memory (`tensor.tolist()`)."""
    (class_index, class_probability, value, row, column, health, *rest) = numbers[:_HEAD]
    low, high, range_low, range_high, end_low, end_high, unit_low, unit_high, *rest = rest
    hover_value, gradient_max, *rest = rest
    score, dense_low, dense_high = rest
    indices, values = numbers[_HEAD : _HEAD + NUM_TOP], numbers[_HEAD + NUM_TOP : _TOP_END]
    last = len(numbers) - subject.num_page_numbers
    after_pair = last - (2 * NUM_TOP if subject.has_pair else 0)
    moved, pair = numbers[_TOP_END:after_pair], numbers[after_pair:last]
    return replace(
        subject,
        top=tuple((int(i), p) for i, p in zip(indices, values, strict=True) if i >= 0),
        moved=unpack_moved(moved) if moved else None,
        class_index=int(class_index),
        class_probability=class_probability,
        value=value,
        position=(int(row), int(column)),
        health=int(health),
        low=low,
        high=high,
        range_low=range_low,
        range_high=range_high,
        range_ends=(end_low, end_high),
        unit_low=unit_low,
        unit_high=unit_high,
        hover_value=hover_value,
        gradient_max=gradient_max,
        score=score,
        dense_low=dense_low,
        dense_high=dense_high,
        top_pair=tuple(zip(pair[:NUM_TOP], pair[NUM_TOP:], strict=True)),
        page_numbers=tuple(numbers[last:]),
    )


def _heat_range(result: Result, batch_index: int) -> tuple[Tensor, Tensor]:
    """Smallest and largest value of a dense output with one class; 0 for any other."""
    if result.dense_BKHW is None or result.labels_BHW is not None:
        nothing = result.value_B.new_zeros(())
        return nothing, nothing
    return extremes(result.dense_BKHW[batch_index])


def _hovered(maps_CHW: Tensor, hover: Target, result: Result, batch_index: int) -> Tensor:
    """The value under the pointer; 0 where there is none. The indices are host numbers."""
    if hover.kind == "pixel" and hover.position is not None and result.dense_BKHW is not None:
        row, column = hover.position
        height, width = result.dense_BKHW.shape[2:]
        if row < height and column < width:
            if result.labels_BHW is not None:
                return result.labels_BHW[batch_index, row, column]
            return result.dense_BKHW[batch_index, 0, row, column]
    num_units, height, width = maps_CHW.shape
    if hover.layer == result.selection.layer and hover.unit is not None and hover.unit < num_units:
        if hover.kind == "unit":
            return maps_CHW[hover.unit].amax()
        if hover.kind == "position" and hover.position is not None:
            row, column = hover.position
            if row < height and column < width:
                return maps_CHW[hover.unit, row, column]
    return maps_CHW.new_zeros(())
