"""Class activation maps of whole networks equal pytorch-grad-cam's before its scaling.

In float64, on a network's last convolution and on one in the middle. Where the peer departs from
the paper, the paper's formula is written out here from maps and gradients that hooks and autograd
give: its Grad-CAM++ adds 1e-6 to a denominator of squared gradients, which are often smaller than
that, and its Eigen-CAM subtracts the mean of each unit.
"""

import copy
import functools
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torchvision
from torch import Tensor, nn

from rtvis.data import Selection
from rtvis.engine.engine import Engine
from rtvis.engine.networks.models import load_network
from tests.nets import CamNet, EverySpelling, engine_of, seeded
from tests.references import (
    one_thread,  # noqa: F401 - a fixture
    peer_cam,
    reference_cam_inputs,
    relative_error,
)

pytestmark = pytest.mark.apart

models = torchvision.models

NETS = {
    "resnet18": (lambda: seeded(models.resnet18), ["layer4.1.conv2", "layer3.0.conv1"]),
    "vgg11": (lambda: seeded(models.vgg11), ["features.18", "features.8"]),
    "squeezenet1_1": (
        lambda: seeded(models.squeezenet1_1),
        ["classifier.1", "features.9.expand1x1"],
    ),
    "efficientnet_lite0": (
        lambda: load_network("tf_efficientnet_lite0").model,
        ["conv_head", "blocks.4.0.conv_dw"],
    ),
    "every spelling": (lambda: seeded(EverySpelling), ["wide", "grouped"]),
}
SIZE = 96
AS_THE_PEER = ["grad-cam", "layercam", "hirescam"]


@functools.lru_cache(maxsize=1)
def net_of(name: str) -> tuple[nn.Module, Engine, list[str]]:
    """(the model in float64, an engine for it, its layers)."""
    make, layers = NETS[name]
    model = make().requires_grad_(False)
    return copy.deepcopy(model).double(), engine_of(model, SIZE, dtype="float64"), layers


@pytest.fixture(scope="module")
def net(request: pytest.FixtureRequest) -> tuple[nn.Module, Engine, list[str]]:
    return net_of(request.param)


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn(
        1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(5), dtype=torch.float64
    )


every_net = pytest.mark.parametrize("net", list(NETS), indirect=True, scope="module")
at_both_layers = pytest.mark.parametrize("at", [0, 1], ids=["last", "middle"])


def cam_of(engine: Engine, x: Tensor, layer: str, cam: str, class_index: int) -> Tensor:
    selection = Selection(cam=cam, cam_layer=layer, class_index=class_index)
    result = engine.run(x, selection)
    assert result.class_index_B.tolist() == [class_index]
    return result.cam_BHW


@every_net
@at_both_layers
@pytest.mark.parametrize("method", AS_THE_PEER)
def test_a_cam_equals_pytorch_grad_cam_before_its_scaling(
    net: tuple[nn.Module, Engine, list[str]], x: Tensor, at: int, method: str
) -> None:
    model, engine, layers = net
    peer_of = functools.partial(peer_cam, model, x, layers[at], method=method)
    peer, chosen, other = two_classes(lambda class_index: peer_of(class_index=class_index))
    cam = cam_of(engine, x, layers[at], method, chosen)
    assert relative_error(cam, peer) < 1e-5
    other_method = AS_THE_PEER[(AS_THE_PEER.index(method) + 1) % 3]
    if not (at == 0 and is_linear_after(model)):
        assert relative_error(cam_of(engine, x, layers[at], other_method, chosen), peer) > 1e-3
    assert relative_error(cam_of(engine, x, layers[at], method, other), peer) > 1e-2


def two_classes(expected_of: Callable[[int], Tensor]) -> tuple[Tensor, int, int]:
    """(the map of the first class that has any evidence, that class, another class).

    A class that nothing speaks for has a map of zeros, which compares equal to every mistake.
    """
    for class_index in range(6):
        expected = expected_of(class_index)
        if expected.max() > 0:
            return expected, class_index, (class_index + 1) % 6
    pytest.fail("none of six classes has evidence at this layer")


def is_linear_after(model: nn.Module) -> bool:
    """Whether two methods may agree at the last layer: a mean follows, but for one ReLU."""
    return isinstance(model, torchvision.models.SqueezeNet)


def eq_19(maps: Tensor, grads: Tensor) -> Tensor:
    """Grad-CAM++ as the paper writes it, with 0/0 = 0."""
    maps_BCHW, grads_BCHW = maps.numpy(), grads.numpy()
    second, third = grads_BCHW**2, grads_BCHW**3
    denominator = 2 * second + maps_BCHW.sum(axis=(2, 3), keepdims=True) * third
    alpha = np.divide(second, denominator, out=np.zeros_like(second), where=grads_BCHW != 0)
    weight = (alpha * np.maximum(grads_BCHW, 0)).sum(axis=(2, 3), keepdims=True)
    return torch.from_numpy(np.maximum((weight * maps_BCHW).sum(axis=1), 0))


@every_net
@at_both_layers
def test_grad_cam_pp_equals_the_papers_equation(
    net: tuple[nn.Module, Engine, list[str]], x: Tensor, at: int
) -> None:
    model, engine, layers = net
    expected, chosen, other = two_classes(
        lambda class_index: eq_19(*reference_cam_inputs(model, x, layers[at], class_index))
    )
    assert relative_error(cam_of(engine, x, layers[at], "grad-cam++", chosen), expected) < 1e-5
    assert relative_error(cam_of(engine, x, layers[at], "grad-cam++", other), expected) > 1e-2


def test_grad_cam_pp_equals_pytorch_grad_cam_where_gradients_are_large(x: Tensor) -> None:
    # Scores a million times as large: the peer's 1e-6 beside the squared gradients vanishes.
    model = seeded(EverySpelling)
    assert isinstance(model, EverySpelling)
    model.fc.weight.mul_(1e6)
    engine = engine_of(model, SIZE, dtype="float64")
    for layer in ["wide", "grouped"]:
        peer = peer_cam(copy.deepcopy(model).double(), x, layer, 3, "grad-cam++")
        assert relative_error(cam_of(engine, x, layer, "grad-cam++", 3), peer) < 1e-5


@every_net
@at_both_layers
def test_eigen_cam_equals_the_singular_value_decomposition_of_what_a_hook_sees(
    net: tuple[nn.Module, Engine, list[str]], x: Tensor, at: int
) -> None:
    model, engine, layers = net
    maps, _grads = reference_cam_inputs(model, x, layers[at], 0)
    positions_NC = maps[0].flatten(1).T.numpy()
    projection = positions_NC @ np.linalg.svd(positions_NC)[2][0]
    expected = np.maximum(projection * np.sign(projection.sum()), 0)
    cam = cam_of(engine, x, layers[at], "eigen-cam", 0)
    assert relative_error(cam.flatten()[None], torch.from_numpy(expected)[None]) < 1e-5


def test_grad_cam_equals_cam_on_a_net_of_pool_and_linear_layer(x: Tensor) -> None:
    # CAM (Zhou et al. 2016): relu(sum_c w_kc A_c). Its gradient is w_kc / (H W) at every place,
    # so all methods that average or multiply gradients agree.
    model = seeded(CamNet)
    assert isinstance(model, CamNet)
    engine = engine_of(model, SIZE, dtype="float64")
    maps = engine.run(x, Selection(layer="last")).maps_BCHW
    for class_index in range(4):
        weight_C = model.fc.weight[class_index].double()
        expected = torch.einsum("c,bchw->bhw", weight_C, maps).relu() / (SIZE * SIZE)
        for method in ["grad-cam", "hirescam"]:
            assert relative_error(cam_of(engine, x, "last", method, class_index), expected) < 1e-12


def test_the_cam_does_not_depend_on_the_rule_of_the_backward_picture(x: Tensor) -> None:
    # One system before this one let guided gradients into its Grad-CAM.
    engine = engine_of(seeded(EverySpelling), SIZE, dtype="float64")
    cams = [
        engine.run(x, Selection(rule=rule, layer="hidden", cam_layer="grouped")).cam_BHW
        for rule in ["gradient", "guided", "deconvnet"]
    ]
    assert cams[0].max() > 0
    assert torch.equal(cams[0], cams[1])
    assert torch.equal(cams[0], cams[2])


def test_float32_cams_are_close_to_float64_ones(x: Tensor) -> None:
    model = seeded(models.resnet18)
    engines = [engine_of(model, SIZE, dtype=dtype) for dtype in ["float32", "float64"]]
    for method in ["grad-cam", "layercam", "hirescam", "eigen-cam"]:
        ours, truth = (
            cam_of(engine, x.to(engine.dtype), "layer4.1.conv2", method, 3) for engine in engines
        )
        assert ours.dtype == torch.float32
        assert relative_error(ours, truth) < 1e-4
