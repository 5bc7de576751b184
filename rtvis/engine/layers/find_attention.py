"""Find attention in a flat graph: matrix products that weigh tokens by a softmax."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from rtvis.engine.flat.graph import SOFTMAXES
from rtvis.engine.flat.places import Grid, as_grid
from rtvis.engine.layers.attention import Attention

aten = torch.ops.aten

_PASSED = {
    aten.reshape.default,
    aten.expand.default,
    aten.permute.default,
    aten.transpose.int,
    aten.unsqueeze.default,
    aten.squeeze.dim,
    aten._to_copy.default,
    aten.clone.default,
    # Heads that are mixed after the softmax.
    aten.addmm.default,
    aten.mm.default,
    aten.add.Tensor,
    aten.mul.Tensor,
}
"""What may stand between a softmax and the product that it weighs tokens in."""

_MOST_PASSED = 12

_SAME_PLACE = 1e-2
"""Input pixels."""

_MOST_DISTANCES = 2**22
"""That are held at a time: 50 MB with what they are computed from."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A matrix product one of whose operands comes from a softmax."""

    product: fx.Node
    weights: fx.Node
    """[B * N, Q, T], or [B * N, T, Q] where `keys_first`."""
    tokens: fx.Node
    """What is weighed: [B * N, T, D], or [B * N, D, T] where `keys_first`."""
    keys_first: bool


def find_candidates(graph: fx.Graph) -> list[Candidate]:
    """Every product of something that comes from a softmax, in order of execution."""
    found = []
    for node in graph.nodes:
        if node.op != "call_function" or node.target is not aten.bmm.default:
            continue
        left, right = node.args
        if _is_from_softmax(left):
            found.append(Candidate(product=node, weights=left, tokens=right, keys_first=False))
        elif _is_from_softmax(right):
            found.append(Candidate(product=node, weights=right, tokens=left, keys_first=True))
    return found


def _is_from_softmax(node: Any) -> bool:
    """Whether a softmax over the last axis is what a value is, moved and mixed but no more."""
    seen: set[fx.Node] = set()
    front = [node]
    for _ in range(_MOST_PASSED):
        front = [n for n in dict.fromkeys(front) if isinstance(n, fx.Node) and n not in seen]
        for each in front:
            if each.target in SOFTMAXES:
                dim: Any = each.args[1]
                return bool(dim % each.meta["val"].ndim == each.meta["val"].ndim - 1)
        seen.update(front)
        front = [p for n in front if n.target in _PASSED for p in n.all_input_nodes]
    return False


def coordinates_wanted(candidates: Iterable[Candidate]) -> dict[fx.Node, int]:
    """Whose places must be known, and the axis of each that is no token's: see `find_places`."""
    wanted = {}
    for each in candidates:
        wanted[each.weights] = 1 if each.keys_first else 2
        wanted[each.tokens] = 1 if each.keys_first else 2
    return wanted


def attention_of(
    candidate: Candidate, places: Mapping[fx.Node, Tensor], batch: int
) -> tuple[Attention, Grid] | None:
    """How a candidate's matrices are laid out, and the map that its keys form.

    Args:
        candidate: Of `find_candidates`.
        places: Coordinates of its two operands' tokens.
        batch: B.

    Returns:
        None where the keys form no map, or windows and heads are interleaved in some other way.
    """
    num_matrices = candidate.weights.meta["val"].shape[0] // batch
    if batch * num_matrices != candidate.weights.meta["val"].shape[0]:
        return None
    # Of the first picture; they are all alike.
    query_NQ = places[candidate.weights][:num_matrices]
    key_NT = places[candidate.tokens][:num_matrices]
    layout = _layout(torch.cat((query_NQ, key_NT), dim=1))
    if layout is None:
        return None
    windows, heads_first = layout
    grid = as_grid(key_NT[windows].flatten())
    if grid is None:
        return None
    query_N, key_N = query_NQ[windows].flatten(), key_NT[windows].flatten()
    same_tokens = query_N.shape == key_N.shape and _are_same(query_N, key_N)
    attention = Attention(
        num_heads=num_matrices // len(windows),
        num_windows=len(windows),
        num_queries=query_NQ.shape[1],
        num_keys=key_NT.shape[1],
        heads_first=heads_first,
        keys_first=candidate.keys_first,
        same_tokens=same_tokens,
        query_of=grid.rows if same_tokens else _nearest(query_N, key_N[list(grid.rows)]),
        nowhere=tuple(query_N.real.isnan().nonzero().flatten().tolist()),
    )
    return attention, grid


def _layout(places_NT: Tensor) -> tuple[list[int], bool] | None:
    """The first matrix of each window, and whether heads are counted before windows.

    Matrices over the same tokens are heads of one window.
    """
    pairs = (torch.view_as_real(places_NT.contiguous()) * 64).round().nan_to_num(-1e9)
    window_N = torch.unique(pairs.flatten(1), dim=0, return_inverse=True)[1]
    num_windows = int(window_N.max()) + 1
    if len(window_N) % num_windows:
        return None
    by_window = window_N.reshape(num_windows, -1)
    if bool((by_window == by_window[:, :1]).all()) and len(by_window[:, 0].unique()) == num_windows:
        return [i * by_window.shape[1] for i in range(num_windows)], False
    by_head = window_N.reshape(-1, num_windows)
    if bool((by_head == by_head[:1]).all()) and len(by_head[0].unique()) == num_windows:
        return list(range(num_windows)), True
    return None


def _are_same(left_N: Tensor, right_N: Tensor) -> bool:
    """Whether two lists of tokens lie at the same places."""
    nowhere = left_N.real.isnan()
    if not torch.equal(nowhere, right_N.real.isnan()):
        return False
    return bool(((left_N - right_N)[~nowhere].abs() < _SAME_PLACE).all())


def _nearest(query_N: Tensor, place_S: Tensor) -> tuple[int, ...] | None:
    """For each place the query that stands nearest to it."""
    placed = (~query_N.real.isnan()).nonzero().flatten()
    if len(placed) < 2:  # one query that gathers everything stands nowhere
        return None
    # A few places at a time: the distances of SAM 2's 50,000 from all queries are 9 GB.
    some = max(1, _MOST_DISTANCES // len(placed))
    parts = torch.split(place_S, some)
    nearest = [(part[:, None] - query_N[placed][None, :]).abs().argmin(dim=1) for part in parts]
    return tuple(placed[torch.cat(nearest)].tolist())


def name_of(candidate: Candidate, named: Mapping[fx.Node, str]) -> str:
    """The module that computes an attention: what the layers around it have in common.

    Args:
        candidate: Of `find_candidates`.
        named: Names of the layers with weights.
    """
    above = _nearest_named(candidate.product.all_input_nodes, named, lambda n: n.all_input_nodes)
    below = _nearest_named(candidate.product.users, named, lambda n: n.users)
    inner = _common(above)
    if len(above) == 1:  # one projection for queries, keys and values
        inner = inner[:-1]
    outer = _common(above | below)
    # A projection may be a module of several parts (LeViT: attn.qkv.linear), but the attention of
    # a block that projects nothing back is not the block.
    if outer and len(outer) == len(inner) - 1 and not outer[-1].isdigit():
        inner = outer
    return ".".join(inner) or "attention"


def _nearest_named(
    start: Iterable[fx.Node],
    named: Mapping[fx.Node, str],
    onward: Callable[[fx.Node], Collection[fx.Node]],
) -> set[str]:
    """Names of the first layers that are met on each way onward."""
    names: set[str] = set()
    seen: set[fx.Node] = set()
    front = list(start)
    while front:
        node = front.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in named:
            names.add(named[node].partition("#")[0])
        else:
            front += onward(node)
    return names


def _common(names: Collection[str]) -> list[str]:
    """The components that all dotted names begin with."""
    if not names:
        return []
    split = [name.split(".") for name in names]
    common = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        common.append(parts[0])
    return common
