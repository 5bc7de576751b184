"""The backward pass as data: one walk down the graph that any layer, unit and rule can use.

Nothing here decides what is explained. Seeds are added at every layer from tensors that say which
layer and unit is meant, and ReLU passes gradients through two thresholds, so a click changes
numbers and never the graph. Only gradients with respect to activations are computed: parameters
have none, ever.

Rules (tx is held against the ReLU's output y, tg against the gradient g that arrives; what passes
is `where(y > tx, max(g, tg), 0)`; y > 0 just where the input is, and y is in memory anyway):

| rule | tx | tg | source |
|---|---|---|---|
| gradient | 0 | -inf | the derivative; x == 0 does not pass, as in ATen |
| guided | 0 | 0 | Springenberg et al. 2015 |
| deconvnet | -inf | 0 | Zeiler and Fergus 2014; opens the upper clip of ReLU6 as well |

Smooth activations (GELU, SiLU, Hardswish ...) keep their true derivative; for guided and deconvnet
only what arrives is clamped, since those rules were defined for ReLU. A max-pool passes gradients
to its switches.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx

from rtvis.data import Rule
from rtvis.engine.flat.graph import is_getitem
from rtvis.engine.flat.vjps import Env, Thresholds, env_shape
from rtvis.engine.flat.vjps_linear import vjp_of
from rtvis.engine.joint.pieces import Sizes
from rtvis.engine.layers.site import Site

RULE_THRESHOLDS: dict[Rule, tuple[float, float]] = {
    "gradient": (0.0, -math.inf),
    "guided": (0.0, 0.0),
    "deconvnet": (-math.inf, 0.0),
}


class Seeds(NamedTuple):
    """Where gradients enter, as data."""

    site_B: Tensor
    """int64: index of the layer; -1 for none."""
    unit_BU: Tensor
    """1 at the selected unit, 0 elsewhere; U is the largest number of units. A number and not an
    index, as compares of float32 are the cheaper ones beside float32 data."""
    map_BS: Tensor
    """What to add to the unit's gradient, its rows laid end to end; S is the largest map's size.
    Counts at the node: already divided by a folded batch norm's scale."""
    query_BQ: Tensor | None = None
    """At attention, how much each query counts; None in a network without."""


def plain_pass(sizes: Sizes, *, like: Tensor) -> dict[str, Tensor]:
    """The data of a pass without a seed and by the true derivative, by name of the input.

    Args:
        sizes: Of the pieces.
        like: Its dtype and device are those of the data.
    """
    tx, tg = RULE_THRESHOLDS["gradient"]
    return {
        "site_B": torch.full((sizes.batch,), -1, device=like.device),
        "unit_BU": like.new_zeros(sizes.batch, sizes.most_units),
        "map_BS": like.new_zeros(sizes.batch, sizes.largest_map),
        "query_BQ": like.new_zeros(sizes.batch, sizes.most_queries),
        "tx": like.new_full((), tx),
        "tg": like.new_full((), tg),
    }


def walk_down(
    order: Sequence[fx.Node],
    env: Env,
    cotangents: dict[fx.Node, Tensor],
    live: set[fx.Node],
    sites: Mapping[fx.Node, Sequence[Site]],
    seeds: Seeds | None,
    gain_BT: Tensor,
    thresholds: Thresholds,
    batch: int,
) -> dict[fx.Node, Tensor]:
    """Pass cotangents from the last node of `order` to the first, adding seeds on the way.

    Args:
        order: Nodes of one segment in order of execution.
        env: Values of the nodes that the backward pass reads.
        cotangents: What arrives from above, by node.
        live: Nodes that depend on the input; others get no gradient.
        sites: Layers by node, the first of each owning its units; those in `order` are seeded.
        seeds: None for a pass that only starts from `cotangents`.
        gain_BT: What interventions multiply each unit of each layer by; T counts all units.
        thresholds: The rule.
        batch: B.

    Returns:
        Cotangents of every node that got one, at and below the segment: what leaves it, and the
        gradients at its layers, as they are after an intervention.
    """
    cotangents = dict(cotangents)
    for node in reversed(order):
        if node in sites and seeds is not None:
            for site in sites[node]:
                seed = _seed_at(site, env_shape(node), seeds, batch)
                arriving = cotangents.get(node)
                cotangents[node] = seed if arriving is None else arriving + seed
        arriving = cotangents.get(node)
        if arriving is None or node.op != "call_function":
            continue
        if node in sites:
            arriving = arriving * sites[node][0].per_unit(gain_BT, batch)
        for parent, grad in vjp_of(node.target)(node, env, arriving, thresholds):
            if parent not in live:
                continue
            if is_getitem(node):
                _add_to_list(cotangents, node, grad)
            elif parent in cotangents:
                cotangents[parent] = cotangents[parent] + grad
            else:
                cotangents[parent] = grad
    return cotangents


def _seed_at(site: Site, shape: tuple[int, ...], seeds: Seeds, batch: int) -> Tensor:
    """The seed that this layer's node gets: zero everywhere unless it is the selected one."""
    height, width = site.layer.map_size
    here_B = (seeds.site_B == site.layer.index).to(seeds.unit_BU.dtype)
    chosen_BC = seeds.unit_BU[:, : site.layer.num_units] * here_B[:, None] > 0
    map_BS = seeds.map_BS[:, : height * width]
    if site.layer.kind == "conv":
        map_B1HW = map_BS.reshape(batch, 1, height, width)
        return torch.where(chosen_BC[:, :, None, None], map_B1HW, 0.0)
    if site.attention is not None:
        assert seeds.query_BQ is not None, "what attention shows depends on who asks"
        query_BQ = seeds.query_BQ[:, : site.attention.all_queries]
        unit_BC = chosen_BC.to(map_BS.dtype)
        seed = site.attention.spread(unit_BC, query_BQ, site.by_token(map_BS))
        return seed.to(site.node.meta["val"].dtype)
    by_token_BT = site.by_token(map_BS)
    seed_BTC = torch.where(chosen_BC[:, None, :], by_token_BT[:, :, None], 0.0)
    rows: Tensor = site.in_rows(seed_BTC).reshape(shape)
    return rows


def _add_to_list(cotangents: dict[fx.Node, Any], getitem: fx.Node, grad: Tensor) -> None:
    """Collect the gradients of an operation's several outputs in one list."""
    source, index = getitem.args
    assert isinstance(source, fx.Node)
    assert isinstance(index, int)
    parts = list(cotangents.get(source) or [None] * len(source.meta["val"]))
    parts[index] = grad if parts[index] is None else parts[index] + grad
    cotangents[source] = parts
