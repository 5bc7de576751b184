"""Around models that want their channels in another order, or a mean picture subtracted."""

from typing import Any, Final

import torch
from torch import Tensor, nn

from rtvis.engine.networks.outputs import Borrowing

_MEAN: Final = "rtvis_mean_picture"


class MeanPicture(nn.Module):
    """Holds what is added to the input, as a buffer: tracing refuses plain tensors."""

    offset_1CHW: Tensor

    def __init__(self, offset_1CHW: Tensor) -> None:
        super().__init__()
        self.register_buffer("offset_1CHW", offset_1CHW, persistent=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The input with it."""
        return x_BCHW + self.offset_1CHW


class AdaptedInput(Borrowing):
    """`model` behind a change of its input, so that what rtvis shows stays RGB around one mean."""

    def __init__(self, model: nn.Module, *, is_bgr: bool, offset_1CHW: Tensor | None) -> None:
        super().__init__(model)
        self._is_bgr = is_bgr
        if isinstance(model, Borrowing):
            self.cam_layer = model.cam_layer
        if offset_1CHW is not None:
            self._modules = dict(model._modules)  # the model itself gets no child
            self.add_module(_MEAN, MeanPicture(offset_1CHW).train(model.training))

    def forward(self, x_BCHW: Tensor) -> Any:
        """What the model returns for the changed input."""
        if (mean := self._modules.get(_MEAN)) is not None:
            x_BCHW = mean(x_BCHW)
        if self._is_bgr:
            # Not `flip`: places and receptive fields pass through slices.
            x_BCHW = torch.cat([x_BCHW[:, 2:3], x_BCHW[:, 1:2], x_BCHW[:, 0:1]], dim=1)
        return self.inner(x_BCHW)
