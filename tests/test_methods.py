"""CAM methods: hand-worked numbers, peers before their scaling, and properties."""

import math

import numpy as np
import pytest
import torch
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM
from torch import Tensor, nn

from rtvis.errors import SelectionError
from rtvis.methods import CAM_METHODS

NAMES = ["grad-cam", "grad-cam++", "layercam", "hirescam", "eigen-cam"]


def some_maps(seed: int = 0, *, shape: tuple[int, ...] = (2, 6, 5, 4)) -> tuple[Tensor, Tensor]:
    """Maps as a ReLU gives them, and gradients of both signs that are not small, in float64."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(shape, generator=generator, dtype=torch.float64).relu()
    grads = torch.randn(shape, generator=generator, dtype=torch.float64)
    return maps, grads + grads.sign()


def assert_close(ours: Tensor, reference: Tensor, *, tolerance: float) -> None:
    """Relative to the reference's largest value; refuses a reference that proves nothing."""
    assert ours.shape == reference.shape
    assert torch.isfinite(reference).all()
    assert reference.abs().max() > 0
    error = ((ours.double() - reference.double()).abs().max() / reference.abs().max()).item()
    assert error <= tolerance


def test_the_registry_lists_the_five_methods_and_names_the_nearest_to_a_misspelt_one() -> None:
    assert sorted(NAMES) == sorted(CAM_METHODS)
    with pytest.raises(SelectionError, match=r"'gradcam'; nearest is 'grad-cam'"):
        CAM_METHODS["gradcam"]


# Two units of two positions. Unit 0: A = (1, 3), g = (2, 4); unit 1: A = (2, 1), g = (-1, 0).
HAND_MAPS = torch.tensor([[[[1.0, 3.0]], [[2.0, 1.0]]]], dtype=torch.float64)
HAND_GRADS = torch.tensor([[[[2.0, 4.0]], [[-1.0, 0.0]]]], dtype=torch.float64)


def test_grad_cam_weights_each_map_by_its_mean_gradient() -> None:
    # Weights 3 and -0.5: (3 * 1 - 0.5 * 2, 3 * 3 - 0.5 * 1).
    cam = CAM_METHODS["grad-cam"](HAND_MAPS, HAND_GRADS)
    assert cam.tolist() == [[[2.0, 8.5]]]


def test_hires_cam_multiplies_gradient_and_activation_place_by_place() -> None:
    # (2 * 1 - 1 * 2, 4 * 3 + 0 * 1): the first place comes out as nothing.
    cam = CAM_METHODS["hirescam"](HAND_MAPS, HAND_GRADS)
    assert cam.tolist() == [[[0.0, 12.0]]]


def test_layer_cam_drops_negative_gradients() -> None:
    # (2 * 1 + 0, 4 * 3 + 0).
    cam = CAM_METHODS["layercam"](HAND_MAPS, HAND_GRADS)
    assert cam.tolist() == [[[2.0, 12.0]]]


def test_grad_cam_pp_weights_by_the_closed_form_of_alpha() -> None:
    # Unit 0, sum(A) = 4: alpha = 4 / (8 + 4 * 8) = 0.1 and 16 / (32 + 4 * 64) = 1 / 18, so the
    # weight is 0.1 * 2 + 4 / 18 = 19 / 45; unit 1 has no positive gradient: weight 0.
    cam = CAM_METHODS["grad-cam++"](HAND_MAPS, HAND_GRADS)
    torch.testing.assert_close(
        cam, torch.tensor([[[19 / 45, 3 * 19 / 45]]], dtype=torch.float64), rtol=1e-14, atol=0
    )


def test_grad_cam_pp_is_finite_where_gradients_are_zero_or_their_squares_underflow() -> None:
    zero = CAM_METHODS["grad-cam++"](HAND_MAPS.float(), torch.zeros(1, 2, 1, 2))
    assert zero.tolist() == [[[0.0, 0.0]]]
    # With tiny gradients alpha is 1/2: weight (2e-30 + 4e-30) / 2 = 3e-30.
    tiny = CAM_METHODS["grad-cam++"](HAND_MAPS.float(), HAND_GRADS.float() * 1e-30)
    torch.testing.assert_close(tiny, torch.tensor([[[3e-30, 9e-30]]]), rtol=1e-6, atol=0)


def test_grad_cam_pp_takes_a_denominator_of_zero_as_one() -> None:
    # sum(A) = -2 and g = 1: 2 + (-2) * 1 = 0. Taken as 1 the weight is 1 * 1.
    maps = torch.tensor([[[[1.0, -3.0]]]])
    grads = torch.tensor([[[[1.0, 0.0]]]])
    assert CAM_METHODS["grad-cam++"](maps, grads).tolist() == [[[1.0, 0.0]]]


def test_eigen_cam_projects_onto_the_direction_in_which_the_maps_are_largest() -> None:
    # Rows (3, 4) at one position and its double at another lie on one line: the direction is
    # (0.6, 0.8) and the projections are 5 and 10.
    maps = torch.tensor([[[[3.0, 6.0]], [[4.0, 8.0]]]], dtype=torch.float64)
    cam = CAM_METHODS["eigen-cam"](maps, torch.zeros_like(maps))
    torch.testing.assert_close(cam, torch.tensor([[[5.0, 10.0]]], dtype=torch.float64))


def test_eigen_cam_takes_the_sign_with_the_larger_sum() -> None:
    maps = torch.tensor([[[[-3.0, -6.0, 1.5]], [[-4.0, -8.0, 2.0]]]], dtype=torch.float64)
    cam = CAM_METHODS["eigen-cam"](maps, torch.zeros_like(maps))
    torch.testing.assert_close(cam, torch.tensor([[[5.0, 10.0, 0.0]]], dtype=torch.float64))


@pytest.mark.parametrize("shape", [(3, 4, 6, 5), (3, 40, 3, 5)], ids=["few units", "many units"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_eigen_cam_equals_the_singular_value_decomposition(
    shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    cams = CAM_METHODS["eigen-cam"](maps.to(dtype), maps.to(dtype))
    for map_CHW, cam in zip(maps, cams, strict=True):
        positions_NC = map_CHW.flatten(1).T.numpy()
        _, _, right = np.linalg.svd(positions_NC)
        projection = positions_NC @ right[0]
        expected = np.maximum(projection * np.sign(projection.sum()), 0)
        assert_close(
            cam.flatten(),
            torch.from_numpy(expected),
            tolerance=1e-9 if dtype == torch.float64 else 1e-5,
        )


def test_eigen_cam_of_maps_that_are_all_zero_or_very_large_is_finite() -> None:
    zero = CAM_METHODS["eigen-cam"](torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2))
    assert zero.tolist() == [[[0.0, 0.0], [0.0, 0.0]]]
    maps, grads = some_maps()
    large = CAM_METHODS["eigen-cam"](maps.float() * 1e30, grads.float())
    assert_close(large / 1e30, CAM_METHODS["eigen-cam"](maps, grads), tolerance=1e-5)


def test_eigen_cam_is_the_same_when_two_directions_are_equally_strong() -> None:
    maps = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    cams = [CAM_METHODS["eigen-cam"](maps, maps) for _ in range(3)]
    assert cams[0].norm() > 0
    assert all(torch.equal(cam, cams[0]) for cam in cams)


PEERS = {
    "grad-cam": GradCAM,
    "grad-cam++": GradCAMPlusPlus,
    "layercam": LayerCAM,
    "hirescam": HiResCAM,
    "eigen-cam": EigenCAM,
}


@pytest.mark.parametrize("name", NAMES)
def test_each_method_equals_pytorch_grad_cam_before_its_scaling(name: str) -> None:
    maps, grads = some_maps(3)
    if name == "eigen-cam":
        # The peer subtracts each unit's mean, which the paper does not: give both centred maps,
        # whose sum is zero, so that the sign is left open and both are tried.
        maps = maps - maps.mean(dim=(2, 3), keepdim=True)
    model = nn.Conv2d(1, 1, 1)
    with PEERS[name](model=model, target_layers=[model]) as peer:
        peer_cam = torch.from_numpy(
            peer.get_cam_image(None, model, None, maps.numpy(), grads.numpy(), False)
        )
    cam = CAM_METHODS[name](maps, grads)
    if name == "eigen-cam":
        for one, reference in zip(cam, peer_cam, strict=True):
            sign = 1 if (one - reference.relu()).norm() < (one - (-reference).relu()).norm() else -1
            assert_close(one, (sign * reference).relu(), tolerance=1e-5)
        return
    assert_close(cam, peer_cam.relu(), tolerance=1e-5)
    other = CAM_METHODS["layercam" if name != "layercam" else "hirescam"](maps, grads)
    assert (other - peer_cam.relu()).abs().max() > 0.01 * peer_cam.max()


@pytest.mark.parametrize("name", NAMES)
def test_a_flipped_picture_gives_the_flipped_cam(name: str) -> None:
    maps, grads = some_maps(4)
    cam = CAM_METHODS[name](maps, grads)
    flipped = CAM_METHODS[name](maps.flip(-1), grads.flip(-1))
    assert_close(flipped, cam.flip(-1), tolerance=1e-12)
    assert (cam - cam.flip(-1)).abs().max() > 0.01 * cam.max()


@pytest.mark.parametrize("name", NAMES)
def test_each_picture_of_a_batch_is_explained_by_itself(name: str) -> None:
    maps, grads = some_maps(5, shape=(3, 6, 4, 4))
    together = CAM_METHODS[name](maps, grads)
    alone = torch.cat([CAM_METHODS[name](maps[i : i + 1], grads[i : i + 1]) for i in range(3)])
    assert_close(together, alone, tolerance=1e-12)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_maps_give_the_float32_cam_of_the_same_numbers(
    name: str, dtype: torch.dtype
) -> None:
    maps, grads = some_maps(6)
    maps, grads = maps.to(dtype), grads.to(dtype)
    cam = CAM_METHODS[name](maps, grads)
    assert cam.dtype == torch.float32
    assert_close(cam, CAM_METHODS[name](maps.double(), grads.double()), tolerance=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_values_are_not_negative_and_scale_as_the_docstring_says(name: str) -> None:
    maps, grads = some_maps(7)
    maps = maps - 0.3
    cam = CAM_METHODS[name](maps, grads)
    assert cam.dtype == torch.float64
    assert cam.min() >= 0
    factor = {"eigen-cam": 1.0}.get(name, 2.0)
    if name != "grad-cam++":
        assert_close(CAM_METHODS[name](maps, 2 * grads), factor * cam, tolerance=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_a_method_is_one_graph_without_a_look_at_the_numbers(name: str) -> None:
    # A graph traced on one input holds for another: nothing of the first one was frozen into it.
    maps, grads = some_maps(8)
    graph = torch.fx.experimental.proxy_tensor.make_fx(CAM_METHODS[name])(maps, grads)
    targets = {str(node.target) for node in graph.graph.nodes}
    assert not any("local_scalar_dense" in target or "nonzero" in target for target in targets)
    other_maps, other_grads = some_maps(9)
    if name == "eigen-cam":
        other_maps = -other_maps  # the other sign of its vector
    assert_close(
        graph(other_maps, other_grads), CAM_METHODS[name](other_maps, other_grads), tolerance=1e-12
    )


@pytest.mark.cuda
@pytest.mark.parametrize("name", NAMES)
def test_a_method_can_be_captured_in_a_cuda_graph(name: str) -> None:
    maps, grads = (x.float().cuda() for x in some_maps(8))
    CAM_METHODS[name](maps, grads)  # cuBLAS makes its workspace outside the capture
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        cam = CAM_METHODS[name](maps, grads)
    other_maps, other_grads = some_maps(9)
    maps.copy_(other_maps)
    grads.copy_(other_grads)
    graph.replay()
    assert_close(cam.cpu(), CAM_METHODS[name](other_maps, other_grads), tolerance=1e-4)


def test_grad_cam_equals_cam_behind_a_global_average_pool_and_a_linear_layer() -> None:
    # CAM (Zhou et al. 2016) is relu(sum_c w_kc A_c); the mean gradient is w_kc / (H W).
    maps, _ = some_maps(10, shape=(1, 3, 4, 4))
    weight_KC = torch.tensor([[1.0, -2.0, 0.5], [-1.0, 1.0, 2.0]], dtype=torch.float64)
    maps.requires_grad_()
    score = (weight_KC @ maps.mean(dim=(2, 3)).T)[1, 0]
    (grads,) = torch.autograd.grad(score, maps)
    expected = torch.einsum("c,bchw->bhw", weight_KC[1], maps.detach()).relu() / 16
    for name in ["grad-cam", "hirescam"]:
        assert_close(CAM_METHODS[name](maps.detach(), grads), expected, tolerance=1e-12)
    assert not math.isclose(expected.max().item(), 0)
