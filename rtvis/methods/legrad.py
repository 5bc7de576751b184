"""LeGrad."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rtvis.methods.precision import widened
from rtvis.registry import ATTENTION_METHODS, AttentionMethod


def legrad(
    attention_BCQT: Sequence[Tensor], grads_BCQT: Sequence[Tensor], query_BQ: Tensor
) -> Tensor:
    """To which tokens more attention would raise the score (Bousselham et al. 2024).

    `mean_layers mean_heads mean_queries relu(ds/dA)` (arXiv:2404.03214, eq. 4-6): how sensitive the
    score is to each attention map, positive parts only.

    The paper scores each layer's own tokens by the classifier; here `s` is the network's score,
    which is the same thing at the last layer. The attention itself is not multiplied in, and the
    paper's scaling to 0..1 is a matter of display.

    Args:
        attention_BCQT: Not used.
        grads_BCQT: Of every layer: plain gradient of the pre-softmax score with respect to the
            attention, heads as units.
        query_BQ: Not used.

    Returns:
        [B, T] float32 (float64 for float64 input), not negative, in units of the score; not
        scaled to a range.
    """
    del attention_BCQT, query_BQ
    by_layer_BT = [widened(each).relu().mean(dim=(1, 2)) for each in grads_BCQT]
    return torch.stack(by_layer_BT).mean(dim=0)


ATTENTION_METHODS.add("legrad")(
    AttentionMethod(explain=legrad, uses_gradients=True, needs_same_tokens=False)
)
