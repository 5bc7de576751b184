"""Everything that examining a network needs, imported and used once.

The process that forks one child for each network imports this module, so that no child pays for
imports and for the first trace. A process in which autograd has gone backward cannot be forked:
the first backward pass is every child's own.
"""

import timm  # noqa: F401
import torch
import torchvision  # noqa: F401
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

import benchmarks.zoo_case  # noqa: F401 - registers what the engine needs
from rtvis.engine.flat.trace import flatten
from rtvis.engine.networks.models import load_network


def _warm() -> None:
    torch.set_num_threads(1)
    for network in ("timm/test_resnet", "timm/test_vit"):
        loaded = load_network(network, weights="random", size=64)
        flatten(loaded.model, torch.empty(1, 3, 64, 64))
    with FakeTensorMode():
        make_fx(lambda x: torch.where(x > 0, x.reshape(8), 0.0) * 2 + 1)(torch.empty(8))


_warm()
