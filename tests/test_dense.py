"""Dense outputs: scores, gradients and CAMs of a pixel, a region and the whole picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rtvis.data import Intervention, Result, Selection
from rtvis.engine import steps as steps_module
from rtvis.engine.dense import corners, region_dtype, region_weights
from rtvis.engine.engine import Engine
from rtvis.engine.flat import trace
from rtvis.engine.joint import piece_builder
from rtvis.engine.joint.cam_site import deepest
from rtvis.engine.networks.outputs import wrap
from rtvis.errors import SelectionError
from tests.nets import DenseNet, engine_of, seeded
from tests.nets_hed import Hed
from tests.references import (
    one_thread,  # noqa: F401 - a fixture
    reference_backprop,
    relative_error,
    tapped,
)

SIZE = (20, 28)
REGIONS = [None, (0, 0, 20, 28), (3, 5, 1, 1), (19, 27, 1, 1), (4, 6, 7, 11), (0, 2, 20, 1)]
LAYERS = ["stem", "down", "bottom", "up", "head"]


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return seeded(DenseNet).double()


@pytest.fixture(scope="module")
def engine(model: nn.Module) -> Engine:
    return engine_of(model, SIZE, dtype="float64")


@pytest.fixture
def x() -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, 3, *SIZE, generator=generator, dtype=torch.float64)


def scores_by_hand(dense_BKHW: Tensor, region: tuple[int, int, int, int] | None) -> Tensor:
    """The mean over a region, by slicing."""
    top, left, height, width = region or (0, 0, *dense_BKHW.shape[2:])
    return dense_BKHW[:, :, top : top + height, left : left + width].mean(dim=(2, 3))


def test_the_weights_of_a_region_sum_to_one_and_are_equal_inside_it() -> None:
    corners_B4 = torch.tensor([corners((1, 0, 2, 3), (3, 4)), corners(None, (3, 4))])
    weights_BHW = region_weights(corners_B4, (3, 4), torch.float64).reshape(2, 3, 4)
    sixth, twelfth = 1 / 6, 1 / 12
    assert weights_BHW[0].tolist() == [[0] * 4, [sixth] * 3 + [0], [sixth] * 3 + [0]]
    assert weights_BHW[1].tolist() == [[twelfth] * 4] * 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_weights_of_a_million_pixels_sum_to_one_in_any_number_format(
    dtype: torch.dtype,
) -> None:
    corners_B4 = torch.tensor([corners(None, (1000, 1000))])
    weights = region_weights(corners_B4, (1000, 1000), region_dtype(dtype))
    assert float(weights.double().sum()) == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("region", REGIONS)
def test_scores_are_the_means_of_the_model_s_own_output_over_the_region(
    engine: Engine, model: nn.Module, x: Tensor, region: tuple[int, int, int, int] | None
) -> None:
    dense_BKHW = model(x)
    result = engine.run(x, Selection(region=region))
    assert result.dense_BKHW is not None
    assert result.labels_BHW is not None
    assert relative_error(result.dense_BKHW, dense_BKHW) < 1e-12
    expected_BK = scores_by_hand(dense_BKHW, region)
    # Scores are float32 whatever the network's number format is.
    assert relative_error(result.scores_BK.double(), expected_BK) < 1e-6
    assert torch.equal(result.labels_BHW, dense_BKHW.argmax(dim=1))
    assert torch.equal(result.class_index_B, expected_BK.argmax(dim=1))
    assert engine.output_size == SIZE


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("class_index", [None, 2])
def test_a_cam_reads_the_gradient_of_the_region_s_score_on_the_untouched_model(
    engine: Engine,
    model: nn.Module,
    x: Tensor,
    layer: str,
    region: tuple[int, int, int, int] | None,
    class_index: int | None,
) -> None:
    selection = Selection(region=region, class_index=class_index, cam_layer=layer, cam="layercam")
    result = engine.run(x, selection)
    with tapped(model, layer) as outputs:
        scores_BK = scores_by_hand(model(x.clone().requires_grad_()), region)
    class_B = scores_BK.argmax(dim=1) if class_index is None else torch.tensor([class_index] * 2)
    chosen = scores_BK.gather(1, class_B[:, None]).sum()
    (grads_BCHW,) = torch.autograd.grad(chosen, outputs[0])
    # LayerCAM keeps every gradient where it is: a wrong one at a single place shows.
    expected_BHW = (grads_BCHW.relu() * outputs[0].detach()).sum(dim=1).relu()
    if expected_BHW.any():
        assert relative_error(result.cam_BHW.double(), expected_BHW) < 1e-9
    else:
        assert not result.cam_BHW.any()


def test_a_pixel_s_cam_lies_in_what_that_pixel_sees_and_nowhere_else(
    engine: Engine, x: Tensor
) -> None:
    # `up` and `head` see one pixel around (10, 14) at `up`'s input and the pixel itself at `up`.
    cam_BHW = engine.run(
        x, Selection(region=(10, 14, 1, 1), cam_layer="up", cam="layercam")
    ).cam_BHW
    elsewhere = cam_BHW.clone()
    elsewhere[:, 10, 14] = 0
    assert not elsewhere.any()
    assert cam_BHW[:, 10, 14].any()


@pytest.mark.parametrize("rule", ["gradient", "guided", "deconvnet"])
@pytest.mark.parametrize("layer", LAYERS)
def test_units_of_every_layer_are_explained_as_in_any_network(
    engine: Engine, model: nn.Module, x: Tensor, layer: str, rule: str
) -> None:
    selection = Selection(layer=layer, unit=1, rule=rule, seed="map", region=(3, 5, 1, 1))  # type: ignore[arg-type]
    found = engine.run(x, selection)
    expected = reference_backprop(model, x, layer, 1, rule=rule, seed="map")  # type: ignore[arg-type]
    assert relative_error(found.backprop_B3HW, expected) < 1e-9


def test_the_output_layer_of_a_dense_network_can_be_selected(engine: Engine, x: Tensor) -> None:
    last = engine.layers[-1]
    assert (last.name, last.num_units, last.map_size) == ("head", 4, SIZE)
    result = engine.run(x, Selection(layer="head", unit=3))
    assert result.dense_BKHW is not None
    assert relative_error(result.maps_BCHW, result.dense_BKHW) < 1e-12


def test_a_cam_of_a_dense_output_is_taken_at_the_last_of_the_coarsest_maps(engine: Engine) -> None:
    assert engine.default_cam_layer.name == "bottom"
    assert engine.resolve(Selection()).cam_layer == "bottom"


def test_neither_scores_nor_a_single_place_are_the_coarsest_map() -> None:
    """As in FCN: scores of four classes at an eighth of the size, and a pooled branch."""

    def site(name: str, num_units: int, side: int) -> Any:
        layer = SimpleNamespace(name=name, num_units=num_units, map_size=(side, side))
        return SimpleNamespace(layer=layer)

    sites = [
        *(site("wide", 8, 8), site("deep", 8, 4), site("deeper", 8, 4)),
        *(site("pooled", 8, 1), site("scores", 4, 4)),
    ]
    assert [each.layer.name for each in deepest(sites, 4)] == ["deep", "deeper"]


def test_one_output_map_has_no_labels(x: Tensor) -> None:
    model = seeded(lambda: DenseNet(num_classes=1)).double()
    result = engine_of(model, SIZE, dtype="float64").run(x, Selection(region=(2, 3, 4, 5)))
    assert result.labels_BHW is None
    assert result.dense_BKHW is not None
    assert result.class_index_B.tolist() == [0, 0]
    assert relative_error(result.scores_BK, scores_by_hand(model(x), (2, 3, 4, 5))) < 1e-6


def test_changed_units_change_the_dense_output_as_a_hook_does(
    engine: Engine, model: nn.Module, x: Tensor
) -> None:
    change = Intervention(layer="bottom", unit=4, scale=0.0, offset=1.5)
    region = (4, 6, 7, 11)
    result = engine.run(x, Selection(region=region, interventions=(change,)))

    def hold(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        output = output.clone()
        output[:, 4] = 1.5
        return output

    with model.get_submodule("bottom").register_forward_hook(hold):
        changed_BKHW = model(x)
    assert result.dense_BKHW is not None
    assert result.untouched_scores_BK is not None
    assert relative_error(result.dense_BKHW, changed_BKHW) < 1e-12
    assert relative_error(result.scores_BK, scores_by_hand(changed_BKHW, region)) < 1e-6
    untouched_BK = scores_by_hand(model(x), region)
    assert relative_error(result.untouched_scores_BK, untouched_BK) < 1e-6
    assert relative_error(result.scores_BK, untouched_BK) > 1e-3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_keeps_the_scores_of_small_and_large_regions(dtype: str) -> None:
    model = seeded(DenseNet)
    x = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(4))
    half = engine_of(model, (64, 96), dtype=dtype)
    for region in (None, (3, 5, 1, 1)):
        result = half.run(x, Selection(region=region))
        assert relative_error(result.scores_BK, scores_by_hand(model(x), region)) < 0.03
        assert result.cam_BHW.any()


def test_a_region_outside_the_output_is_refused_and_so_is_one_without_a_dense_output(
    engine: Engine, x: Tensor
) -> None:
    for region in [(0, 0, 21, 1), (19, 28, 1, 1), (-1, 0, 1, 1), (0, 0, 0, 3)]:
        with pytest.raises(SelectionError, match="does not lie inside the 20x28 output"):
            engine.run(x, Selection(region=region))
    flat = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with pytest.raises(SelectionError, match="one score for each class, not one for each pixel"):
        engine_of(flat, 16).run(torch.zeros(1, 3, 16, 16), Selection(region=(0, 0, 1, 1)))


@pytest.mark.usefixtures("one_thread")
def test_200_clicked_pixels_trace_and_compile_nothing(
    engine: Engine, x: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = x[:1]
    engine.run(x)
    pieces = engine._steps.of(1).pieces.all_pieces()
    for module, name in [
        (steps_module, "flatten"),
        (steps_module, "build_pieces"),
        (trace, "make_fx"),
        (piece_builder, "record"),
        (torch, "compile"),
    ]:
        monkeypatch.setattr(module, name, _forbidden)
    tops = set()
    for click in range(200):
        region = (click % SIZE[0], click * 7 % SIZE[1], 1, 1)
        result = engine.run(x, Selection(layer="stem", region=region))
        tops.add(int(result.class_index_B[0]))
    assert engine._steps.of(1).pieces.all_pieces() == pieces
    assert not torch._dynamo.utils.counters["frames"]
    assert len(tops) > 1, "the clicks must make a difference"


def _forbidden(*_: object, **__: object) -> None:
    raise AssertionError("a click traced the network again")


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    cache: Path = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps_module, "NUM_SEGMENTS", 1)
        with engine_of(seeded(DenseNet), SIZE, compile="auto", cache_dir=cache) as engine:
            assert engine.wait_compiled(240), engine.compile_note
            yield engine


@pytest.mark.slow  # four pieces, most of a minute of C++
@pytest.mark.timeout(300)
def test_the_compiled_form_of_a_dense_network_computes_what_the_eager_one_does(
    compiled: Engine,
) -> None:
    x = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(5))
    eager = engine_of(seeded(DenseNet), SIZE)

    def both(selection: Selection) -> tuple[Result, Result]:
        return compiled.run(x, selection), eager.run(x, selection)

    for region in (None, (3, 5, 1, 1), (4, 6, 7, 11)):
        ours, reference = both(Selection(region=region, rule="gradient", layer="up", seed="map"))
        assert ours.form == "compiled"
        assert ours.dense_BKHW is not None
        assert reference.dense_BKHW is not None
        assert relative_error(ours.dense_BKHW, reference.dense_BKHW) < 1e-5
        assert relative_error(ours.scores_BK, reference.scores_BK) < 1e-5
        assert relative_error(ours.cam_BHW, reference.cam_BHW) < 1e-4
        assert relative_error(ours.backprop_B3HW, reference.backprop_B3HW) < 1e-4
    scores = [both(Selection(region=(row, 3, 1, 1)))[0].scores_BK for row in (0, 9)]
    assert not torch.equal(*scores)


def test_an_edge_detector_s_fused_map_and_its_side_outputs_can_be_chosen() -> None:
    model = seeded(lambda: Hed(divisor=16)).double()
    x = torch.randn(1, 3, 33, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(6))
    given = model(x)
    for output, expected in [(None, given["out"]), ("sides.3", given["sides"][3])]:
        engine = engine_of(wrap(model, output), (33, 48), dtype="float64")
        assert engine.default_cam_layer.name == f"blocks.{4 if output is None else 3}.2"
        result = engine.run(x, Selection(region=(16, 20, 4, 4), cam="layercam"))
        assert result.labels_BHW is None
        assert result.dense_BKHW is not None
        assert relative_error(result.dense_BKHW, expected) < 1e-12
        layer = engine.default_cam_layer.name
        with tapped(model, layer) as outputs:
            again = model(x.clone().requires_grad_())
        dense = again["out"] if output is None else again["sides"][3]
        score = scores_by_hand(dense, (16, 20, 4, 4)).sum()
        (grads,) = torch.autograd.grad(score, outputs[0])
        cam_BHW = (grads.relu() * outputs[0].detach()).sum(dim=1).relu()
        assert relative_error(result.cam_BHW, cam_BHW) < 1e-9
