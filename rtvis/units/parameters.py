"""What is optimised: pixels, or the spectrum of a picture with colours that do not go together.

Fourier, with z the parameters, f the frequency of each (cycles per pixel), h x w the size::

    z = real and imaginary parts of the spectrum of c
    f' = max(f, 1 / max(h, w))
    c = irfft2(z (m / f')^steepness / m) / 4     (orthonormal; 4 keeps the sigmoid in its middle)
    p = sigmoid(M c)                             (0..1, at each pixel)

m is the middle of the frequencies, on a scale of octaves: with steepness 1 it has no effect.

M is the square root of the covariance of the colours of photographs: its columns are their
principal directions (light, orange against blue, green against magenta), each as long as colours
vary along it, over the length of the longest. So a step of equal size in every parameter is one
that changes a picture as pictures differ, and not a fine pattern in some odd colour (Olah et al.
2017, "Feature Visualization").
"""

import math
from typing import Final, Protocol

import torch
from torch import Tensor

from rtvis.engine.networks.preprocess import Preprocessing

_COLOUR_ROOT: Final = (
    (0.244, 0.085, 0.036),
    (0.234, 0.016, -0.057),
    (0.220, -0.111, 0.020),
)
"""Of this project's sample pictures and films (70 pictures; RGB in 0..1)."""
_SHRINK: Final = 4.0
_MARGIN: Final = 0.01
"""A picture that is taken as a start is cut to this much from black and white: a sigmoid never
gets there."""


class Parameters(Protocol):
    """Numbers that stand for a batch of the network's inputs."""

    def start(self, noise_BCHW: Tensor, sd: float) -> Tensor:
        """Parameters that are noise, from unit noise of the picture's size."""
        ...

    def encode(self, x_BCHW: Tensor) -> Tensor:
        """The parameters of preprocessed pictures."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """The network's input; differentiable."""
        ...


class Pixels:
    """Every value of the input, in bytes less the mean or as the network takes it.

    Args:
        preprocessing: Of the network.
        in_bytes: Whether one is a grey level of 255; else the unit is the network's own.
        device: Where.
    """

    def __init__(
        self, preprocessing: Preprocessing, *, in_bytes: bool, device: torch.device
    ) -> None:
        std_C = torch.tensor(preprocessing.std, device=device)
        mean_C = torch.tensor(preprocessing.mean, device=device)
        # input = (bytes / 255 - mean) / std, and z = bytes - 255 mean or the input itself
        unit_C = 255.0 * std_C if in_bytes else torch.ones_like(std_C)
        self._unit_C11 = unit_C[:, None, None]
        self.low_C11 = (-mean_C / std_C * unit_C)[:, None, None]
        """Black."""
        self.high_C11 = ((1 - mean_C) / std_C * unit_C)[:, None, None]
        """White."""

    def start(self, noise_BCHW: Tensor, sd: float) -> Tensor:
        """Noise in each value."""
        return noise_BCHW * sd

    def uniform(self, share_BCHW: Tensor) -> Tensor:
        """From black to white, by numbers in 0..1."""
        return self.low_C11 + share_BCHW * (self.high_C11 - self.low_C11)

    def encode(self, x_BCHW: Tensor) -> Tensor:
        """The parameters of preprocessed pictures."""
        return x_BCHW * self._unit_C11

    def decode(self, z: Tensor) -> Tensor:
        """The network's input."""
        return z / self._unit_C11


class Fourier:
    """The spectrum of a picture whose colours are decorrelated.

    Args:
        preprocessing: Of the network; with other than three channels these stay as they are.
        device: Where.
        steepness: How fast amplitudes fall with frequency.
    """

    def __init__(
        self, preprocessing: Preprocessing, *, device: torch.device, steepness: float = 1.0
    ) -> None:
        self._size = height, width = preprocessing.size
        rows_H1 = torch.fft.fftfreq(height)[:, None]
        columns_W = torch.fft.rfftfreq(width)
        frequency_HW = (rows_H1**2 + columns_W**2).sqrt()
        slowest = 1 / max(height, width)
        # As large as with steepness 1 in the middle of what there is, on a scale of octaves.
        middle = math.sqrt(slowest / 2)
        scale_HW = (middle / frequency_HW.clamp(min=slowest)) ** steepness / middle
        self._scale_HW = scale_HW.to(device)
        self._colours_CC = torch.eye(preprocessing.num_channels, device=device)
        if preprocessing.num_channels == 3:
            root_33 = torch.tensor(_COLOUR_ROOT, device=device)
            self._colours_CC = root_33 / root_33.norm(dim=0).max()
        self._back_CC = torch.linalg.inv(self._colours_CC)
        self._mean_C11 = torch.tensor(preprocessing.mean, device=device)[:, None, None]
        self._std_C11 = torch.tensor(preprocessing.std, device=device)[:, None, None]

    def start(self, noise_BCHW: Tensor, sd: float) -> Tensor:
        """Noise in each part of the spectrum."""
        # The transform of unit noise is unit noise, with the symmetry that a real picture has.
        return self._parts(torch.fft.rfft2(noise_BCHW, norm="ortho")) * sd

    def encode(self, x_BCHW: Tensor) -> Tensor:
        """The parameters of preprocessed pictures, but for what is nearly black or white."""
        share_BCHW = x_BCHW * self._std_C11 + self._mean_C11
        colour_BCHW = share_BCHW.clamp(_MARGIN, 1 - _MARGIN).logit()
        plain_BCHW = torch.einsum("cd,bdhw->bchw", self._back_CC, colour_BCHW)
        spectrum = torch.fft.rfft2(plain_BCHW * _SHRINK, norm="ortho")
        return self._parts(spectrum / self._scale_HW)

    def decode(self, z: Tensor) -> Tensor:
        """The network's input."""
        spectrum = torch.view_as_complex(z) * self._scale_HW
        plain_BCHW = torch.fft.irfft2(spectrum, s=self._size, norm="ortho") / _SHRINK
        colour_BCHW = torch.einsum("cd,bdhw->bchw", self._colours_CC, plain_BCHW)
        return (colour_BCHW.sigmoid() - self._mean_C11) / self._std_C11

    @staticmethod
    def _parts(spectrum: Tensor) -> Tensor:
        return torch.view_as_real(spectrum).contiguous()
