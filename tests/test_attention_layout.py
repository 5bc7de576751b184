"""How the matrices of attention lie in memory: heads before windows, keys before queries."""

import itertools

import pytest
import torch
from torch import Tensor

from rtvis.engine.layers.attention import Attention

BATCH, WINDOWS, HEADS, QUERIES, KEYS = 2, 3, 2, 4, 5


def laid_out(*, heads_first: bool, keys_first: bool) -> tuple[Attention, Tensor, Tensor]:
    """Attention, the value of its node, and its matrices: [B, windows, heads, Q, T]."""
    attention = Attention(
        num_heads=HEADS,
        num_windows=WINDOWS,
        num_queries=QUERIES,
        num_keys=KEYS,
        heads_first=heads_first,
        keys_first=keys_first,
        same_tokens=False,
        query_of=None,
        nowhere=(),
    )
    generator = torch.Generator().manual_seed(0)
    shape = (BATCH, WINDOWS, HEADS, QUERIES, KEYS)
    matrices = torch.randn(shape, generator=generator, dtype=torch.float64)
    one_by_one = []
    for picture in matrices:
        outer, inner = (HEADS, WINDOWS) if heads_first else (WINDOWS, HEADS)
        for first, second in itertools.product(range(outer), range(inner)):
            window, head = (second, first) if heads_first else (first, second)
            matrix = picture[window, head]
            one_by_one.append(matrix.T if keys_first else matrix)
    return attention, torch.stack(one_by_one), matrices


@pytest.mark.parametrize("keys_first", [False, True])
@pytest.mark.parametrize("heads_first", [False, True])
def test_what_heads_show_and_its_gradient_are_found_however_they_lie(
    heads_first: bool, keys_first: bool
) -> None:
    attention, value, matrices = laid_out(heads_first=heads_first, keys_first=keys_first)
    assert torch.equal(attention.matrices(value, BATCH), matrices)
    generator = torch.Generator().manual_seed(1)
    query_BQ = torch.rand(BATCH, WINDOWS * QUERIES, generator=generator, dtype=torch.float64)
    by_window = query_BQ.reshape(BATCH, WINDOWS, QUERIES)
    expected = torch.einsum("bwq,bwhqt->bwth", by_window, matrices).flatten(1, 2)
    shown = attention.attended(value, query_BQ, BATCH)
    torch.testing.assert_close(shown, expected)
    grads = torch.rand(shown.shape, generator=generator, dtype=torch.float64)
    at_value = attention.unattended(grads, query_BQ)
    assert at_value.shape == value.shape
    leaf = value.clone().requires_grad_()
    (wanted,) = torch.autograd.grad((attention.attended(leaf, query_BQ, BATCH) * grads).sum(), leaf)
    torch.testing.assert_close(at_value, wanted)


@pytest.mark.parametrize("heads_first", [False, True])
def test_a_number_for_each_head_goes_to_all_of_its_windows(heads_first: bool) -> None:
    attention, value, matrices = laid_out(heads_first=heads_first, keys_first=False)
    scale_BC = torch.tensor([[2.0, 3.0], [5.0, 7.0]], dtype=torch.float64)
    scaled = attention.matrices(value * attention.per_head(scale_BC), BATCH)
    torch.testing.assert_close(scaled, matrices * scale_BC[:, None, :, None, None])
