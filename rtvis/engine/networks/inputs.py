"""Pictures that people hold in memory, as a network's input."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from rtvis.data import Crop, Fit
from rtvis.engine.networks.network import Network
from rtvis.engine.networks.pictures import Image, as_picture, check_takes_pictures, is_preprocessed
from rtvis.errors import RtvisError


class Inputs:
    """Makes the inputs of one network.

    Args:
        network: Whose.
        device: Where they are wanted.
    """

    def __init__(self, network: Network, device: torch.device) -> None:
        self._prep, self._name = network.preprocessing, network.name
        self._device = device

    def check_takes_pictures(self) -> None:
        """See `Engine.check_takes_pictures`."""
        check_takes_pictures(self._prep, name=self._name)

    def preprocess(self, image: Image, fit: Fit) -> Tensor:
        """See `Engine.preprocess`."""
        return self._prep.apply(as_picture(image, self._prep, self._device, name=self._name), fit)

    def crop_of(self, image: Image, fit: Fit) -> Crop:
        """The part of a picture that the network sees."""
        return self._prep.crop_of(image.shape[0], image.shape[1], fit)

    @property
    def mean_rgb(self) -> tuple[int, int, int]:
        """The colour that letterboxing puts around a picture, 0..255."""
        mean = self._prep.mean
        red, green, blue = (round(255 * mean[min(axis, len(mean) - 1)]) for axis in range(3))
        return red, green, blue

    def of(self, image: Image | Sequence[Image], fit: Fit) -> tuple[Tensor, Crop | None]:
        """The input for what `Engine.run` is given, and which part of a picture it shows.

        Returns:
            float [B, C, H, W] on the device; None for what was preprocessed already.

        Raises:
            RtvisError: It is of none of the forms that `Engine.run` takes.
        """
        if is_preprocessed(image):
            x_BCHW = torch.as_tensor(image)
            self.check(x_BCHW)
            return x_BCHW.to(self._device), None
        if isinstance(image, Tensor | np.ndarray):
            return self.preprocess(image, fit), self.crop_of(image, fit)
        if not image:
            raise RtvisError("no picture given: the sequence is empty")
        inputs = [self.preprocess(each, fit) for each in image]
        return torch.cat(inputs), self.crop_of(image[0], fit)

    def check(self, x_BCHW: Tensor) -> None:
        """Make sure that preprocessed pictures are of the network's size.

        Raises:
            RtvisError: They are not.
        """
        wanted = (self._prep.num_channels, *self._prep.size)
        if tuple(x_BCHW.shape[1:]) != wanted:
            raise RtvisError(
                f"preprocessed input has shape {tuple(x_BCHW.shape)}; "
                f"{self._name} takes [batch, {', '.join(map(str, wanted))}]"
            )
