"""Attention rollout."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rtvis.methods.precision import widened
from rtvis.registry import ATTENTION_METHODS, AttentionMethod


def rollout(
    attention_BCQT: Sequence[Tensor], grads_BCQT: Sequence[Tensor], query_BQ: Tensor
) -> Tensor:
    """How attention carries tokens to the scores (Abnar & Zuidema 2020, arXiv:2005.00928).

    `r = q A'_L ... A'_2 A'_1` with `A' = 0.5 mean_heads(A) + 0.5 I`, each row divided by its sum:
    the identity stands for the residual connection. `q` is one at the class token, or a mean over
    the tokens that the scores are the mean of.

    It uses no gradient and does not depend on the class. It takes what attention moves for all
    that happens: the values' sizes, the perceptrons and the heads' different parts are left out.
    Every token keeps some relevance; what is shown is how far it lies above the least.

    Args:
        attention_BCQT: Of every layer, heads as units; query i and token i are one token.
        grads_BCQT: Not used.
        query_BQ: The weight of each token of the last layer in the scores.

    Returns:
        [B, T] float32 (float64 for float64 input), not negative, the sum 1 over all tokens.
    """
    del grads_BCQT
    rolled_B1T = widened(query_BQ)[:, None, :]
    for each_BCTT in reversed(attention_BCQT):
        mean_BTT = widened(each_BCTT).mean(dim=1)
        size = mean_BTT.shape[-1]
        mixed_BTT = 0.5 * mean_BTT + 0.5 * torch.eye(
            size, dtype=mean_BTT.dtype, device=mean_BTT.device
        )
        # Rows add up to one already, unless heads were scaled or knocked out.
        rolled_B1T = rolled_B1T / mixed_BTT.sum(dim=2)[:, None, :] @ mixed_BTT
    return rolled_B1T.squeeze(1)


ATTENTION_METHODS.add("rollout")(
    AttentionMethod(explain=rollout, uses_gradients=False, needs_same_tokens=True, has_floor=True)
)
