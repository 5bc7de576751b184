"""A layer in a flat graph: where its units are, and how its value becomes maps."""

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from rtvis.data import Layer
from rtvis.engine.layers.activations import Activation
from rtvis.engine.layers.attention import Attention


@dataclass(frozen=True, kw_only=True, slots=True)
class Site:
    """Where a layer lives in the flat graph."""

    layer: Layer
    node: fx.Node
    """Its value is the layer's output, times `scale_C` plus `shift_C` where those are set."""
    first: int
    """Where its units begin when those of all layers are laid end to end."""
    parameter: str = ""
    """The model's parameter that holds the layer's weights, as in `model.named_parameters()`;
    attention has none."""
    rows: tuple[int, ...] | None = None
    """The tokens that are its places, row by row; None: all of them, in their order."""
    is_token_major: bool = False
    """Whether the rows of the value go through all pictures for one token after the other."""
    activation: Activation | None = None
    """What alone reads the value, if it is an activation function."""
    is_rest: bool = False
    """The class and register tokens of a layer whose other tokens form a map. Its units are those
    of that layer."""
    attention: Attention | None = None
    """Set for attention: how its matrices lie in the value. Its tokens are the keys."""
    scale_C: Tensor | None
    """float64, of the batch norm folded into the node; None where there is none."""
    shift_C: Tensor | None

    @property
    def units(self) -> slice:
        """Its part of a tensor that holds one value for each unit of each layer."""
        return slice(self.first, self.first + self.layer.num_units)

    def per_unit(self, vector_BT: Any, batch: int) -> Any:
        """Its units' part of a vector in a shape that goes with the node's value.

        Args:
            vector_BT: One value for each unit of each layer: a tensor, or an `fx.Proxy` of one,
                and the same comes back.
            batch: B.
        """
        vector_BC = vector_BT[:, self.units]
        if self.layer.kind == "conv":
            return vector_BC[:, :, None, None]
        if self.attention is not None:
            return self.attention.per_head(vector_BC).to(self.node.meta["val"].dtype)
        rows = int(self.node.meta["val"].shape[0])
        tokens_BTC = vector_BC[:, None, :].expand(-1, rows // batch, -1)
        return self.in_rows(tokens_BTC).reshape(rows, -1)

    def in_rows(self, tokens_BTC: Any) -> Any:
        """Values of a dense layer's tokens, to be reshaped to rows in the node's own order."""
        return tokens_BTC.transpose(0, 1) if self.is_token_major else tokens_BTC

    def as_maps(
        self,
        value: Tensor,
        batch: int,
        query_BQ: Tensor | None = None,
        *,
        rows_S: Tensor | None = None,
    ) -> Tensor:
        """A node's value (or gradient) as [B, C, H, W]; T tokens without a grid are one row.

        Args:
            value: [B, C, H, W] of a convolution, [B * T, C] of a dense layer; of attention see
                `Attention`.
            batch: B.
            query_BQ: The weight of each query of attention; other kinds have none.
            rows_S: `rows`, where they are an input of the graph that is traced.
        """
        if self.layer.kind == "conv":
            return value
        if self.attention is not None:
            assert query_BQ is not None, "what attention shows depends on who asks"
            tokens_BTC = self.attention.attended(value, query_BQ, batch)
        elif self.is_token_major:
            tokens_BTC = value.reshape(-1, batch, value.shape[-1]).transpose(0, 1)
        else:
            tokens_BTC = value.reshape(batch, -1, value.shape[-1])
        if self.rows is not None and rows_S is None:
            rows_S = _index(value.device, self.rows)
        return on_map(tokens_BTC, rows_S, self.layer.map_size)

    def from_maps(self, grads_BCHW: Tensor, batch: int, query_BQ: Tensor | None = None) -> Tensor:
        """The gradient at the node's value (to be reshaped to it) of one at what `as_maps` gave.

        Args:
            grads_BCHW: The gradient at the maps.
            batch: B.
            query_BQ: As `as_maps` was given.
        """
        if self.layer.kind == "conv":
            return grads_BCHW
        tokens_BTC = grads_BCHW.permute(0, 2, 3, 1).flatten(1, 2)
        if self.rows is not None:
            size = (batch, self._num_tokens(batch), tokens_BTC.shape[2])
            rows = _index(tokens_BTC.device, self.rows)
            tokens_BTC = tokens_BTC.new_zeros(size).index_copy(1, rows, tokens_BTC)
        if self.attention is not None:
            assert query_BQ is not None, "what attention shows depends on who asks"
            return self.attention.unattended(tokens_BTC, query_BQ)
        rows_NC: Tensor = self.in_rows(tokens_BTC).flatten(0, 1)
        return rows_NC

    def _num_tokens(self, batch: int) -> int:
        """Of one picture."""
        if self.attention is not None:
            return self.attention.all_keys
        return int(self.node.meta["val"].shape[0]) // batch

    def on_grid(self, tokens_BT: Tensor) -> Tensor:
        """[B, H, W]: one number for each of the layer's tokens as a map."""
        assert self.rows is not None, "the layer has a grid"
        places_BS = tokens_BT.index_select(1, _index(tokens_BT.device, self.rows))
        return places_BS.reshape(tokens_BT.shape[0], *self.layer.map_size)

    def by_token(self, map_BS: Tensor) -> Tensor:
        """[B, T]: a map of the unit, its places end to end, in the order of the layer's tokens.

        Tokens that are not in the map get zero.
        """
        if self.rows is None:
            return map_BS
        tokens = self._num_tokens(map_BS.shape[0])
        place_of = {token: place for place, token in enumerate(self.rows)}
        # One more place, which holds zero, for the other tokens.
        places = tuple(place_of.get(token, len(self.rows)) for token in range(tokens))
        padded = torch.nn.functional.pad(map_BS, (0, 1))
        # Not the kept index: under tracing this becomes a constant of the graph.
        return padded.index_select(1, torch.tensor(places))


def on_map(tokens_BTC: Tensor, rows_S: Tensor | None, map_size: tuple[int, int]) -> Tensor:
    """[B, C, H, W] of tokens, of those of some places alone unless that is None."""
    if rows_S is not None:
        tokens_BTC = tokens_BTC.index_select(1, rows_S)
    return tokens_BTC.reshape(tokens_BTC.shape[0], *map_size, -1).permute(0, 3, 1, 2)


@functools.lru_cache(maxsize=1024)
def _index(device: torch.device, index: tuple[int, ...]) -> Tensor:
    """Kept: a new tensor on a GPU would wait for it."""
    with torch.inference_mode(mode=False):
        return torch.tensor(index, device=device)
