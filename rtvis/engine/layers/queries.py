"""Who asks: the queries whose attention is shown, as data."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from rtvis.data import Layer
from rtvis.engine.layers.attention import Attention
from rtvis.engine.layers.site import Site


def default_queries(
    sites: Sequence[Site], gradients: Mapping[str, Tensor], batch: int
) -> dict[str, tuple[int, ...]]:
    """The queries that each attention shows unless a position is chosen, by node.

    Those whose tokens the scores are read from: the class token where they are, the patches where
    the scores are read from their mean. That is found at the last attention, and holds for all
    with the same tokens; elsewhere it is the token that lies nowhere, or all.

    Args:
        sites: All layers.
        gradients: Of some mix of scores at the nodes of the last layers at least.
        batch: B.
    """
    found: dict[str, tuple[int, ...]] = {}
    read: tuple[int, ...] = ()
    last: Attention | None = None
    for site in reversed(stack_of(sites)):
        attention = site.attention
        assert attention is not None
        if last is None:
            last = attention
            read = _read_queries(attention, gradients.get(site.node.name), batch)
        if read and _have_same_queries(attention, last):
            found[site.node.name] = read
        elif len(attention.nowhere) == 1:
            found[site.node.name] = attention.nowhere
        else:
            found[site.node.name] = tuple(range(attention.all_queries))
    return found


def stack_of(sites: Sequence[Site]) -> list[Site]:
    """Every attention once, in order of execution."""
    return [site for site in sites if site.attention is not None and not site.is_rest]


def _read_queries(attention: Attention, grad: Tensor | None, batch: int) -> tuple[int, ...]:
    if grad is None:
        return ()
    by_query = attention.matrices(grad, batch)[0].abs().amax(dim=(1, 3))
    return tuple(by_query.flatten().nonzero().flatten().tolist())


def _have_same_queries(left: Attention, right: Attention) -> bool:
    sizes = [(each.num_windows, each.num_queries, each.nowhere) for each in (left, right)]
    return sizes[0] == sizes[1]


def described(sites: Sequence[Site], queries: Mapping[str, tuple[int, ...]]) -> tuple[Layer, ...]:
    """The layers, with who asks by default."""
    return tuple(
        replace(site.layer, query=_words_for(site.attention, queries[site.node.name]))
        if site.attention is not None
        else site.layer
        for site in sites
    )


def _words_for(attention: Attention, default: Sequence[int]) -> str:
    """Who asks by default, in words for the screen."""
    if attention.all_queries == 1:
        return "the one there is"
    if len(default) == 1:
        return "class token"
    whole = len(default) == attention.all_queries
    return f"mean of {'all' if whole else len(default)}"


class Queries:
    """The weight of each query of one attention, for a position as data.

    Args:
        site: An attention.
        default: Its queries that count where no position is chosen.
        dtype: Of the weights.
        device: Where they are made.
    """

    def __init__(
        self, site: Site, default: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> None:
        attention = site.attention
        assert attention is not None
        weights_Q = torch.zeros(attention.all_queries, dtype=dtype)
        # A mean over the queries that can see a key: those of its own window.
        weights_Q[list(default)] = attention.num_windows / len(default)
        self.default_Q = weights_Q.to(device)
        self._queries_Q = torch.arange(attention.all_queries, device=device)
        self._width = site.layer.map_size[1]
        self._query_of_S: Tensor | None = None
        if attention.query_of is not None:
            self._query_of_S = torch.tensor(attention.query_of, device=device)

    def weights(self, row_B: Tensor, column_B: Tensor) -> Tensor:
        """[B, all queries]: one at the query of a position, or the default where that is -1."""
        default_BQ = self.default_Q.expand(row_B.shape[0], -1)
        if self._query_of_S is None:
            return default_BQ
        chosen_B = self._query_of_S[(row_B * self._width + column_B).clamp(min=0)]
        one_BQ = (self._queries_Q == chosen_B[:, None]).to(default_BQ.dtype)
        return torch.where(row_B[:, None] >= 0, one_BQ, default_BQ)
