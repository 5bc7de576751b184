"""Small networks for tests: some with weights that can be worked out by hand, some with a trap."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import rtvis.methods  # noqa: F401 - registers the CAM methods
from rtvis.engine.engine import Engine
from rtvis.engine.networks.models import Network
from rtvis.engine.networks.preprocess import Preprocessing


class HandNet(nn.Module):
    """Small enough for paper: 1x1 convolutions, two units each, two classes.

    With the input channels r, g, b of one pixel::

        conv1:  u0 = r - g      u1 = 2 b - 1
        relu:   h0, h1
        conv2:  v0 = h0 - h1    v1 = 3 h1 - h0
        relu, mean over the picture: p0, p1
        fc:     s0 = p0 - p1    s1 = 2 p1 + 0.5

    For `HAND_PICTURE` the maps are::

        u0 = [[2, -1], [5, 0]]    u1 = [[1, 3], [-1, 0]]
        v0 = [[1, -3], [5, 0]]    v1 = [[1, 9], [-5, 0]]
        p = (1.5, 2.5)            s = (-1, 5.5)
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 2, 1)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(2, 2, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(2, 2)
        with torch.no_grad():
            self.conv1.weight.copy_(tensor_of([[1, -1, 0], [0, 0, 2]])[:, :, None, None])
            self.conv1.bias.copy_(tensor_of([0, -1]))
            self.conv2.weight.copy_(tensor_of([[1, -1], [-1, 3]])[:, :, None, None])
            self.conv2.bias.zero_()
            self.fc.weight.copy_(tensor_of([[1, -1], [0, 2]]))
            self.fc.bias.copy_(tensor_of([0, 0.5]))

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))  # the same module twice, as many networks do
        return self.fc(self.pool(x).flatten(1))


def tensor_of(values: list[float] | list[list[float]]) -> Tensor:
    """float32 tensor of Python numbers."""
    return torch.tensor(values, dtype=torch.float32)


HAND_PICTURE = torch.tensor(
    [
        [[3.0, 1.0], [5.0, 0.0]],
        [[1.0, 2.0], [0.0, 0.0]],
        [[1.0, 2.0], [0.0, 0.5]],
    ]
)[None]
"""[1, 3, 2, 2]: the pixels (3, 1, 1), (1, 2, 2); (5, 0, 0), (0, 0, 0.5)."""


class CamNet(nn.Module):
    """Convolutions, a global average pool, one linear layer: the net on which CAM is exact."""

    def __init__(self, *, num_classes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.last = nn.Conv2d(6, 5, 3, padding=1)
        self.fc = nn.Linear(5, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.last(F.relu(self.stem(x))).mean(dim=(2, 3)))


class EverySpelling(nn.Module):
    """ReLU spelled in every way that models spell it, with strides, groups, residuals, batch norm.

    Every ReLU has another effect on the result, so that one which misses the rule shows.
    """

    def __init__(self, *, num_classes: int = 6) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.dilated = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.relu6 = nn.ReLU6(inplace=True)
        self.wide = nn.Conv2d(8, 12, 5, stride=2, padding=2)
        self.shared = nn.Conv2d(12, 12, 3, padding=1)
        self.up = nn.ConvTranspose2d(12, 8, 2, stride=2)
        self.drop = nn.Dropout(0.5)
        self.hidden = nn.Linear(8, 10)
        self.fc = nn.Linear(10, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.stem(x)))
        x = x + F.relu(self.grouped(x))
        x = self.relu6(4 * self.dilated(x))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        x = torch.relu(self.wide(x))
        x = x + self.shared(x).clamp(min=0)
        x = F.relu6(3 * self.shared(x)) + x  # one layer used twice
        x = F.hardtanh(self.up(x), 0.0, 6.0)
        x = F.adaptive_avg_pool2d(x, 2).mean(dim=(2, 3))
        x = self.drop(self.hidden(x).relu_())
        return self.fc(x)


class DictNet(nn.Module):
    """Returns a dict, as segmentation and Hugging Face models do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = HandNet()

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"logits": self.inner(x)}


class TupleNet(DictNet):
    """Returns a tuple, as Inception and GoogLeNet do in training mode."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        scores = self.inner(x)
        return scores, 2 * scores


class NoConvNet(nn.Module):
    """Has nothing with maps: dense layers only."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(3, 4)
        self.fc2 = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.relu(self.fc1(x.mean(dim=(2, 3)))))


class BranchingNet(nn.Module):
    """Takes another way for bright pictures: control flow that depends on data."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = HandNet()

    def forward(self, x: Tensor) -> Tensor:
        scores = self.inner(x)
        return scores if x.mean() > 0 else -scores


def engine_of(
    model: nn.Module,
    size: int | tuple[int, int],
    *,
    dtype: str = "float32",
    batch: int = 1,
    labels: tuple[str, ...] | None = None,
    device: str = "cpu",
    compile: Literal["auto", "off"] = "off",  # noqa: A002 - the engine's own word
    cache_dir: Path | None = None,
) -> Engine:
    """An engine, eager and on the CPU unless asked otherwise, for a model of the test."""
    network = Network(
        model=model,
        name=type(model).__name__,
        preprocessing=Preprocessing(size=(size, size) if isinstance(size, int) else size),
        labels=labels,
        weights_note="",
    )
    return Engine(
        network,
        device=device,
        dtype=dtype,
        compile=compile,
        batch_size=batch,
        cache_dir=cache_dir,
    )


def seeded(make: Callable[[], nn.Module], *, seed: int = 0) -> nn.Module:
    """`make()` with weights that depend on `seed` alone, in eval mode.

    Batch norms get statistics as training leaves them, and harder ones: means and variances that
    are not 0 and 1, scales of both signs, and one in eight scales exactly zero.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = make()
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            with torch.no_grad():
                size = norm.num_features
                scale = torch.empty(size).uniform_(0.5, 1.5) * (torch.rand(size) - 0.3).sign()
                scale[torch.randperm(size)[: max(1, size // 8)]] = 0.0
                norm.weight.copy_(scale)
                norm.bias.uniform_(-0.5, 0.5)
        if norms:
            _set_statistics(model, norms)
    return model.eval().requires_grad_(False)


def _set_statistics(model: nn.Module, norms: list[nn.BatchNorm2d]) -> None:
    """Running means and variances near those of noise pictures, so that activations keep a size."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    model.train()
    with torch.no_grad():
        model(torch.randn(2, 3, 96, 96))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            running_mean, running_var = norm.running_mean, norm.running_var
            assert running_mean is not None
            assert running_var is not None
            running_var.mul_(torch.empty_like(running_var).uniform_(0.5, 2.0))
            running_mean.add_(torch.empty_like(running_mean).uniform_(-0.3, 0.3))


class DenseNet(nn.Module):
    """Scores of each class at each pixel, by way of a bottleneck, a skip and an upsampling."""

    def __init__(self, *, num_classes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(6)
        self.down = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.bottom = nn.Conv2d(8, 10, 3, padding=1)
        self.up = nn.Conv2d(16, 6, 3, padding=1)
        self.head = nn.Conv2d(6, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        stem = F.relu(self.norm(self.stem(x)))
        bottom = F.relu(self.bottom(F.relu(self.down(stem))))
        large = F.interpolate(bottom, size=stem.shape[2:], mode="bilinear", align_corners=False)
        return self.head(F.relu(self.up(torch.cat([large, stem], dim=1))))
