"""How the attention matrices of a layer lie in memory, and what of them makes a map."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """The value is [B * N, Q, T]: N matrices a picture, one for each window and head, in which
    each of Q queries weighs T keys.

    A network without windows has one, which holds all tokens. A picture's keys are counted window
    by window, as are its queries.
    """

    num_heads: int
    num_windows: int
    num_queries: int
    """Q, of one window."""
    num_keys: int
    """T, of one window."""
    heads_first: bool
    """N runs over heads, then windows; else over windows, then heads."""
    keys_first: bool
    """The value is [B * N, T, Q]."""
    same_tokens: bool
    """Query i and key i are one token."""
    query_of: tuple[int, ...] | None
    """For each place of the layer's map the query that stands there; None: that is not known."""
    nowhere: tuple[int, ...]
    """Queries that stand at no place of the picture: class and register tokens."""

    @property
    def all_queries(self) -> int:
        """Of a picture."""
        return self.num_windows * self.num_queries

    @property
    def all_keys(self) -> int:
        """Of a picture."""
        return self.num_windows * self.num_keys

    def matrices(self, value: Tensor, batch: int) -> Tensor:
        """[B, windows, heads, Q, T], a view of the value."""
        if self.keys_first:
            value = value.transpose(1, 2)
        size = value.shape[1:]
        if self.heads_first:
            by_head = value.reshape(batch, self.num_heads, self.num_windows, *size)
            return by_head.transpose(1, 2)
        return value.reshape(batch, self.num_windows, self.num_heads, *size)

    def attended(self, value: Tensor, query_BQ: Tensor, batch: int) -> Tensor:
        """How much each key is attended to, [B, all keys, heads].

        Args:
            value: Of the layer's node.
            query_BQ: The weight of each query of the picture.
            batch: B.
        """
        matrices = self.matrices(value, batch)
        shape = (batch, self.num_windows, 1, 1, self.num_queries)
        keys = query_BQ.to(value.dtype).reshape(shape) @ matrices
        return keys.squeeze(3).transpose(2, 3).reshape(batch, self.all_keys, self.num_heads)

    def unattended(self, grads_BTC: Tensor, query_BQ: Tensor) -> Tensor:
        """The gradient at the value, of one at what `attended` gave for these queries."""
        batch = grads_BTC.shape[0]
        size = (batch, self.num_windows, self.num_keys, self.num_heads)
        keys = grads_BTC.reshape(size).transpose(2, 3)[:, :, :, None, :]
        shape = (batch, self.num_windows, 1, self.num_queries, 1)
        grads = query_BQ.to(keys.dtype).reshape(shape) * keys
        if self.heads_first:
            grads = grads.transpose(1, 2)
        grads = grads.reshape(-1, self.num_queries, self.num_keys)
        return grads.transpose(1, 2) if self.keys_first else grads

    def spread(self, unit_BC: Tensor, query_BQ: Tensor, key_BT: Tensor) -> Tensor:
        """The product of three vectors in the shape of the value: what `attended` reads, undone."""
        batch = unit_BC.shape[0]
        query = query_BQ.reshape(batch, self.num_windows, 1, self.num_queries, 1)
        key = key_BT.reshape(batch, self.num_windows, 1, 1, self.num_keys)
        product = unit_BC[:, None, :, None, None] * query * key
        if self.heads_first:
            product = product.transpose(1, 2)
        product = product.reshape(-1, self.num_queries, self.num_keys)
        return product.transpose(1, 2) if self.keys_first else product

    def per_head(self, vector_BC: Any) -> Any:
        """One number for each head, in a shape that goes with the value; also of an `fx.Proxy`."""
        if self.heads_first:
            return vector_BC[:, :, None].expand(-1, -1, self.num_windows).reshape(-1, 1, 1)
        return vector_BC[:, None, :].expand(-1, self.num_windows, -1).reshape(-1, 1, 1)
