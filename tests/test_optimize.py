"""Inputs that drive units up: each regulariser by hand, the whole order of a step, what is kept."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor, nn

from rtvis.data import Layer
from rtvis.engine.engine import Engine
from rtvis.engine.networks.models import Network
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.errors import ConfigError, RtvisError, SelectionError
from rtvis.units import regularise
from rtvis.units.ascent import Ascent
from rtvis.units.optimize import Progress, optimize
from rtvis.units.optimized import Optimized, files_of
from rtvis.units.parameters import Fourier, Pixels
from rtvis.units.presets import PRESETS, preset
from rtvis.units.recipe import Recipe
from rtvis.units.steps import Adam, step_lengths
from rtvis.units.targets import Targets
from rtvis.units.trace import Leader, Run, Trace
from tests.nets import CamNet, HandNet, engine_of, seeded

PLAIN = Recipe(
    parametrisation="pixels", space="bytes", start="mean", policy="constant", lr=1.0, iterations=3
)
CONV2 = Targets(layer="conv2", units=(1,), position=(0, 1))


def hand_engine() -> Engine:
    """HandNet on 2x2 pictures, whose input is bytes / 255: one byte is 1/255 of the input."""
    prep = Preprocessing(size=(2, 2), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    network = Network(
        model=seeded(HandNet), name="HandNet", preprocessing=prep, labels=None, weights_note=""
    )
    return Engine(network, device="cpu", compile="off")


def last_of(engine: Engine, targets: Targets, recipe: Recipe, **kwargs: object) -> Progress:
    *_, last = optimize(engine, targets, recipe, **kwargs)  # type: ignore[arg-type]
    return last


# Regularisers by hand


def test_small_values_are_those_below_the_percentile_of_each_picture() -> None:
    """Of |1 2 3 4| the median lies between 2 and 3; of the second picture all are equal."""
    x = torch.tensor([[1.0, -2.0, 3.0, -4.0], [5.0, 5.0, 5.0, 5.0]]).view(2, 1, 2, 2)
    expected = torch.tensor([[0.0, 0.0, 3.0, -4.0], [5.0, 5.0, 5.0, 5.0]]).view(2, 1, 2, 2)
    assert torch.equal(regularise.zero_small_values(x, 50.0), expected)


def test_small_norms_take_whole_pixels() -> None:
    """Norms of the four pixels: 5, 1, 13, 0; those below the median of 3 go, in all channels."""
    x = torch.tensor([[3.0, 1.0, 5.0, 0.0], [4.0, 0.0, 12.0, 0.0]]).view(1, 2, 2, 2)
    expected = torch.tensor([[3.0, 0.0, 5.0, 0.0], [4.0, 0.0, 12.0, 0.0]]).view(1, 2, 2, 2)
    assert torch.equal(regularise.zero_small_norms(x, 50.0), expected)


def test_benefits_are_what_zeroing_a_pixel_would_add() -> None:
    """x = 1 2 3 4, g = -1 0 1 -2: benefits g * -x are 1, 0, -3, 8."""
    x = torch.tensor([1.0, 2.0, 3.0, 4.0]).view(1, 1, 2, 2)
    g = torch.tensor([-1.0, 0.0, 1.0, -2.0]).view(1, 1, 2, 2)
    signed = regularise.zero_small_benefits(x, g, 50.0, by_magnitude=False)
    assert signed.flatten().tolist() == [1.0, 0.0, 0.0, 4.0]  # median 0.5
    absolute = regularise.zero_small_benefits(x, g, 50.0, by_magnitude=True)
    assert absolute.flatten().tolist() == [0.0, 0.0, 3.0, 4.0]  # of 1 0 3 8 the median is 2


@pytest.mark.parametrize("percentile", [0.0, 7.3, 50.0, 90.0, 100.0])
def test_percentiles_are_numpys(percentile: float) -> None:
    values = torch.randn(3, 101, dtype=torch.float64)
    expected = np.percentile(values.numpy(), percentile, axis=1)
    found = regularise.percentile_of(values, percentile)
    assert torch.allclose(found, torch.from_numpy(expected), rtol=1e-12)


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("size", [(9, 13), (3, 2)])
def test_a_blur_is_scipys_also_where_it_is_wider_than_the_picture(
    sigma: float, size: tuple[int, int]
) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    ours = regularise.gaussian_blur(x, sigma)
    theirs = np.stack(
        [[ndimage.gaussian_filter(channel, sigma) for channel in one] for one in x.numpy()]
    )
    assert torch.allclose(ours, torch.from_numpy(theirs), atol=1e-6)


def test_total_variation_by_finite_differences() -> None:
    def variation(x: Tensor) -> Tensor:
        squares = x.diff(dim=2).square().sum() + x.diff(dim=3).square().sum()
        return squares / (x.shape[2] * x.shape[3])

    x = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(variation(x), x)
    assert torch.allclose(regularise.total_variation_gradient(x.detach()), expected)


def test_each_picture_is_rolled_by_its_own_numbers() -> None:
    x = torch.arange(24.0).view(2, 1, 3, 4)
    found = regularise.rolled(x, torch.tensor([1, -1]), torch.tensor([0, 2]))
    assert torch.equal(found[0], x[0].roll((1, 0), dims=(1, 2)))
    assert torch.equal(found[1], x[1].roll((-1, 2), dims=(1, 2)))


def test_warps_by_hand() -> None:
    """A quarter turn counter-clockwise, a shift by whole pixels, and a zoom about the middle."""
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 1, 2, 2)
    one, zero = torch.ones(1), torch.zeros(1)
    turned = regularise.warped(x, angle_B=torch.tensor([math.pi / 2]), zoom_B=one)
    assert torch.allclose(turned[0, 0], torch.tensor([[2.0, 4.0], [1.0, 3.0]]), atol=1e-5)
    wide = torch.arange(12.0).view(1, 1, 3, 4) + 1
    shift = torch.tensor([[1.0, 2.0]])
    moved = regularise.warped(wide, angle_B=zero, zoom_B=one, shift_B2=shift)
    expected = torch.tensor([[0.0, 0, 0, 0], [0, 0, 1, 2], [0, 0, 5, 6]])
    assert torch.allclose(moved[0, 0], expected, atol=1e-5)
    # A row of 4 from the middle half of one of 4: 2 becomes 1.75, 2.25, and 3 the next two.
    row = torch.tensor([1.0, 2.0, 3.0, 4.0]).expand(1, 1, 4, 4)
    zoomed = regularise.warped(row, angle_B=zero, zoom_B=2 * one)
    assert torch.allclose(zoomed[0, 0, 1], torch.tensor([1.75, 2.25, 2.75, 3.25]), atol=1e-5)


def test_a_turn_keeps_the_proportions_of_a_wide_picture() -> None:
    x = torch.zeros(1, 1, 21, 41)
    x[0, 0, 10, 26] = 1.0  # six to the right of the middle
    turned = regularise.warped(x, angle_B=torch.tensor([math.pi / 2]), zoom_B=torch.ones(1))
    assert turned[0, 0].argmax() == 4 * 41 + 20  # six above it


def test_spreading_moves_towards_mean_0_and_deviation_1() -> None:
    x = torch.tensor([3.0, 5.0]).view(1, 1, 1, 2)  # mean 4, deviation sqrt 2
    found = regularise.spread(x, 0.25)
    expected = [0.75 * 3 - 0.25 / math.sqrt(2), 0.75 * 5 + 0.25 / math.sqrt(2)]
    assert torch.allclose(found.flatten(), torch.tensor(expected))


# Steps


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # ||g||^2 = 25, of two values: rms^2 = 12.5
        ({"policy": "constant", "lr": 7.0}, 7.0),
        ({"policy": "progress", "desired_progress": 2.0, "max_lr": 100.0}, 2 / 25),
        ({"policy": "progress", "desired_progress": 2.0, "max_lr": 0.01}, 0.01),
        # s = 0.8: late 0.1 * 0.2 = 0.02 is less than early 0.03
        ({"policy": "progress01", "early_progress": 0.03, "late_progress": 0.1}, 0.02 / 25),
        ({"policy": "progress01", "early_progress": 0.01, "late_progress": 0.1}, 0.01 / 25),
        # A share that is to go down ends at 0: late 0.01 * 0.8 = 0.008.
        (
            {"policy": "progress01", "late_progress": 0.01, "direction": "minimise"},
            0.008 / 25,
        ),
        ({"policy": "l2", "lr": 20.0}, 20 / (5 + 1e-6)),
        ({"policy": "rms", "lr": 0.15}, 0.15 / (math.sqrt(12.5) + 1e-6)),
    ],
)
def test_policies_by_hand(changes: dict[str, object], expected: float) -> None:
    recipe = replace(PLAIN, **changes)  # type: ignore[arg-type]
    grad = torch.tensor([[3.0, -4.0]])
    found = step_lengths(grad, torch.tensor([0.8]), recipe)
    assert found.item() == pytest.approx(expected, rel=1e-6)


def test_adam_is_torchs_and_forgets_one_picture() -> None:
    grads = torch.randn(5, 2, 3)
    ours = Adam(torch.zeros(2, 3), 0.05)
    weight = torch.zeros(2, 3, requires_grad=True)
    theirs = torch.optim.Adam([weight], lr=0.05, maximize=True)
    z = torch.zeros(2, 3)
    for grad in grads:
        z = z + ours.step(grad)
        weight.grad = grad
        theirs.step()
    assert torch.allclose(z, weight.detach(), atol=1e-6)
    ours.forget(torch.tensor([True, False]))
    first = ours.step(torch.full((2, 3), 0.5))
    assert torch.allclose(first[0], torch.full((3,), 0.05))  # as a first step
    assert not torch.allclose(first[1], torch.full((3,), 0.05))


# The whole order


def test_dvts_order_with_everything_on() -> None:
    """Six runs of every regulariser at once, against DVT's steps written out with numpy."""
    model = seeded(CamNet)
    engine = engine_of(model, size=(10, 12))
    recipe = replace(
        PLAIN,
        clip=True,
        lr=3000.0,
        decay=0.1,
        blur_radius=0.5,
        blur_every=2,
        small_val_percentile=20.0,
        small_norm_percentile=30.0,
        px_benefit_percentile=10.0,
        px_abs_benefit_percentile=25.0,
        iterations=6,
        keep="best",
    )
    mean, std = (
        np.reshape(each, (3, 1, 1))
        for each in (engine.preprocessing.mean, engine.preprocessing.std)
    )
    start = torch.randn(1, 3, 10, 12, generator=torch.Generator().manual_seed(1))
    unit, place = 3, (4, 7)
    targets = Targets(layer="last", units=(unit,), position=place)
    (found,) = last_of(engine, targets, recipe, start=start).results()

    z0 = z = start[0].double().numpy() * 255 * std
    wanted: dict[str, list[object]] = {}
    pictures = []
    for at in range(6):
        z = np.clip(z + 255 * mean, 0, 255) - 255 * mean
        pictures.append(z / (255 * std))
        x = torch.from_numpy(pictures[-1]).float()[None].requires_grad_()
        maps = model.last(model.stem(x).relu())[0]  # type: ignore[operator]
        (grad,) = torch.autograd.grad(maps[unit][place], x)
        g = grad[0].double().numpy() / (255 * std)
        assert g.any()
        numbers = {
            "value": maps[unit][place].item(),
            "leader": [int(i) for i in np.unravel_index(int(maps.argmax()), maps.shape)],
            "norm": np.linalg.norm(z),
            "distance": np.linalg.norm(z - z0),
            "std": z.std(),
        }
        for name, number in numbers.items():
            wanted.setdefault(name, []).append(number)
        if at == 5:
            break
        z = z + 3000 * g
        z = z * 0.9
        if at % 2 == 0:
            z = np.stack([ndimage.gaussian_filter(channel, 0.5) for channel in z])
        z = np.where(np.abs(z) < np.percentile(np.abs(z), 20), 0, z)
        norm = np.linalg.norm(z, axis=0)
        z = np.where(norm < np.percentile(norm, 30), 0, z)
        benefit = (g * -z).sum(0)
        z = np.where(benefit < np.percentile(benefit, 10), 0, z)
        benefit = np.abs((g * -z).sum(0))
        z = np.where(benefit < np.percentile(benefit, 25), 0, z)
    runs = found.record["runs"]
    assert runs["leader"] == wanted.pop("leader")
    for name, expected in wanted.items():
        assert runs[name] == pytest.approx(expected, rel=1e-4), name
    best = int(np.argmax(wanted["value"]))  # type: ignore[arg-type]
    assert found.record["moments"]["best"]["iteration"] == best
    assert np.allclose(found.x_CHW, pictures[best], atol=1e-4)
    assert np.allclose(found.moments["last"], pictures[-1], atol=1e-4)


def test_the_last_run_is_followed_by_no_step() -> None:
    """One run of the network: the picture is the start, cut to 0..255, and its value that of it."""
    start = torch.tensor([1.5, -0.5, 0.75]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    last = last_of(hand_engine(), CONV2, replace(PLAIN, iterations=1, clip=True), start=start)
    (found,) = last.results()
    assert found.x_CHW[:, 0, 0].tolist() == [1.0, 0.0, 0.75]
    assert found.value == pytest.approx(3 * 0.5 - 1.0)  # h1 = 2 * 0.75 - 1, h0 = 1 - 0


def test_bytes_and_input_are_the_same_picture_in_other_units() -> None:
    """One byte is 1 / (255 std) of the input: a step of lr in bytes is one of lr / (255 std)^2."""
    prep = Preprocessing(size=(8, 8), mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.5))
    network = Network(
        model=seeded(CamNet), name="net", preprocessing=prep, labels=None, weights_note=""
    )
    engine = Engine(network, device="cpu", compile="off")
    targets = Targets(layer="stem", units=(2,))
    x0 = torch.randn(1, 3, 8, 8)
    recipe = replace(PLAIN, lr=50.0, iterations=2)
    (found,) = last_of(engine, targets, recipe, start=x0).results()
    leaf = x0.clone().requires_grad_()
    value = network.model.stem(leaf)[0, 2, 4, 4]  # type: ignore[operator,union-attr]
    (grad,) = torch.autograd.grad(value, leaf)
    unit = 255 * torch.tensor(prep.std).view(3, 1, 1)
    expected = x0[0] + 50.0 * grad[0] / unit**2
    assert np.allclose(found.x_CHW, expected.numpy(), atol=1e-6)


def test_total_variation_is_taken_off_and_grey_takes_the_mean_of_the_channels() -> None:
    """DV-27, one step in the network's own space: x + lr * (g - share * slope of the variation)."""
    model = seeded(CamNet)
    engine = engine_of(model, size=8)
    x0 = torch.randn(1, 3, 8, 8)
    recipe = replace(PLAIN, space="input", lr=0.5, total_variation=3.0, iterations=2)
    targets = Targets(layer="stem", units=(2,))
    leaf = x0.clone().requires_grad_()
    (grad,) = torch.autograd.grad(model.stem(leaf)[0, 2, 4, 4], leaf)  # type: ignore[operator]
    slope = regularise.total_variation_gradient(x0)
    expected = (x0 + 0.5 * (grad - 3.0 * slope))[0]
    (found,) = last_of(engine, targets, recipe, start=x0).results()
    assert np.allclose(found.x_CHW, expected.numpy(), atol=1e-5)
    (grey,) = last_of(engine, targets, replace(recipe, grey=True), start=x0).results()
    assert np.allclose(grey.x_CHW, expected.mean(dim=0).expand(3, -1, -1).numpy(), atol=1e-5)


def test_minimising_goes_down_and_keeps_the_lowest() -> None:
    engine = engine_of(seeded(CamNet), size=8)
    recipe = replace(PLAIN, lr=1000.0, iterations=5, direction="minimise", keep="best")
    (found,) = last_of(engine, Targets(layer="last", units=(1,)), recipe).results()
    values = found.record["runs"]["value"]
    assert values[-1] < values[0] - 0.01
    assert found.value == min(values)


def test_a_zero_gradient_ends_one_picture_and_leaves_the_other() -> None:
    """Black is where h0 and h1 are zero: nothing leads up. The other picture goes on."""
    start = torch.zeros(2, 3, 2, 2)
    start[1, 2] = 0.9
    targets = Targets(layer="conv2", units=(1, 1), position=(0, 0))
    recipe = replace(PLAIN, lr=1000.0, iterations=4)
    flat, other = last_of(hand_engine(), targets, recipe, start=start, batch=2).results()
    assert flat.record["result"] == "grad 0 failure"
    assert len(flat.record["runs"]["value"]) == 1
    assert not flat.x_CHW.any()
    assert len(other.record["runs"]["value"]) == 4
    assert other.record["runs"]["value"][3] > other.record["runs"]["value"][0]


def test_behind_shut_relus_the_first_runs_take_the_gradient_of_a_deconvnet() -> None:
    """Of v1 = 3 h1 - h0 it lets 3 pass and not -1, and u1 = 2 b - 1: b's gradient is 6 / 255."""
    recipe = replace(PLAIN, lr=255.0**2 / 6, iterations=3, redirect=1)  # one step: b = 1
    start = torch.zeros(2, 3, 2, 2)
    start[1, 2, 0, 1] = 0.6  # v1 is 0.6: what has a gradient keeps it
    targets = replace(CONV2, units=(1, 1))
    shut, other = last_of(hand_engine(), targets, recipe, start=start, batch=2).results()
    assert shut.record["runs"]["value"] == pytest.approx([0.0, 3.0, 9.0])
    expected_3HW = torch.zeros(3, 2, 2)
    expected_3HW[2, 0, 1] = 2.0
    assert torch.allclose(torch.from_numpy(shut.x_CHW), expected_3HW, atol=1e-5)
    assert other.record["runs"]["value"] == pytest.approx([0.6, 6.6, 12.6])
    plain = last_of(hand_engine(), targets, replace(recipe, redirect=0), start=start, batch=2)
    assert plain.results()[0].record["result"] == "grad 0 failure"
    assert plain.results()[1].record["runs"]["value"] == other.record["runs"]["value"]


def test_a_lead_that_is_lost_again_counts_and_the_first_run_that_had_it() -> None:
    """DVT-75: the first of two pictures leads in runs 0 and 1, the second one never."""
    x = torch.zeros(2, 1, 1, 1)
    trace = Trace(x, 1.0)
    for at, leads in enumerate((True, True, False)):
        numbers = torch.full((2,), float(at))
        leader = Leader(torch.tensor([3, 0]), torch.tensor([leads, False]))
        run = Run(value_B=numbers, leader=leader, norm_B=numbers, distance_B=numbers, std_B=numbers)
        trace.add(run, x + at, torch.tensor([True, True]))
    first, second = (trace.plain(lane, (1, 1), "neuron") for lane in (0, 1))
    assert first["result"] == "majority success"
    assert first["moments"]["majority"] == {"iteration": 0, "value": 0.0}
    assert first["runs"]["is_leader"] == [True, True, False]
    assert trace.majority.x_BCHW[0].item() == 0.0
    assert second["result"] == "majority failure"
    assert second["moments"]["majority"] is None


def test_majority_is_the_first_run_at_which_the_unit_leads_its_layer() -> None:
    """b rises until v1 = 3 (2 b - 1) - h0 exceeds the lead of (r - g) elsewhere."""
    start = torch.zeros(1, 3, 2, 2)
    start[0, 0, 1, 1] = 1.0  # v0 at (1, 1) is 1
    start[0, 2, 0, 1] = 0.55  # v1 at (0, 1) is 0.3, and b gains 6 lr / 255^2 a step
    recipe = replace(PLAIN, lr=255.0**2 * 0.01, iterations=6)
    (found,) = last_of(hand_engine(), CONV2, recipe, start=start).results()
    # 3 (2 b - 1) = 0.3, 0.66, 1.02: it leads at the third run.
    assert found.record["runs"]["value"] == pytest.approx([0.3 + 0.36 * i for i in range(6)])
    assert found.record["runs"]["is_leader"] == [False, False, True, True, True, True]
    assert found.record["moments"]["majority"]["iteration"] == 2
    assert found.record["result"] == "majority success"


class NanNet(nn.Module):
    """The logarithm of a pixel's blue: no number where that is negative."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1, bias=False)
        nn.init.ones_(self.conv.weight)
        self.fc = nn.Conv2d(1, 2, 1, bias=False)
        nn.init.ones_(self.fc.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv(x).log()).mean(dim=(2, 3))


def test_what_is_no_number_begins_anew() -> None:
    """Going down from 1 in steps that pass zero: the logarithm is NaN, and the start comes back."""
    engine = engine_of(NanNet().eval(), size=2)
    start = torch.full((1, 3, 2, 2), 1 / 3)
    recipe = replace(PLAIN, space="input", lr=0.5, iterations=5, direction="minimise")
    (found,) = last_of(
        engine, Targets(layer="fc", units=(0,), position=(0, 0)), recipe, start=start
    ).results()
    assert found.record["resets"] == 2
    values = found.record["runs"]["value"]
    assert values[1::2] == [None, None]
    assert values[::2] == pytest.approx([0, 0, 0], abs=1e-6)


def test_units_do_not_depend_on_what_is_optimised_beside_them() -> None:
    engine = engine_of(seeded(CamNet), size=16)
    recipe = replace(preset("default"), iterations=5, jitter=3, plain_last=1)
    alone = last_of(engine, Targets(layer="last", units=(3,)), recipe, seed=7).results()[0]
    several: list[Optimized] = []
    for progress in optimize(
        engine, Targets(layer="last", units=(0, 1, 3)), recipe, seed=7, batch=2
    ):
        several += progress.finished
    assert [each.unit for each in several] == [0, 1, 3]
    assert np.allclose(several[2].x_CHW, alone.x_CHW, atol=1e-4)
    other = last_of(engine, Targets(layer="last", units=(3,)), recipe, seed=8).results()[0]
    assert not np.allclose(other.x_CHW, alone.x_CHW, atol=1e-2)


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_goes_up(name: str) -> None:
    """The default start of each, a few steps, on a net of two convolutions."""
    engine = engine_of(seeded(CamNet), size=24)
    recipe = replace(preset(name), iterations=8, plain_last=min(2, preset(name).plain_last))
    (found,) = last_of(engine, Targets(layer="last", units=(2,)), recipe).results()
    values = found.record["runs"]["value"]
    assert max(values[1:]) > values[0]
    assert found.image_HW3.shape == (24, 24, 3)
    assert found.image_HW3.std() > 0


def test_classes_whole_layers_and_probabilities() -> None:
    engine = engine_of(seeded(CamNet), size=12)
    classes = Targets(layer="fc", units=(1, 3))
    recipe = replace(PLAIN, policy="l2", lr=200.0, iterations=30)
    share = replace(recipe, objective="probability", policy="progress01", max_lr=1e9, iterations=60)
    for each in last_of(engine, classes, share, batch=2).results():
        values = each.record["runs"]["value"]
        assert values[-1] > 0.5 > values[0]
    whole = replace(recipe, objective="layer", start="noise", start_sd=5.0)
    (found,) = last_of(engine, Targets(layer="stem", units=(0, 1)), whole).results()
    values = found.record["runs"]["value"]
    assert values[-1] > 2 * values[0]


def test_pictures_get_larger_on_the_way() -> None:
    engine = engine_of(seeded(CamNet), size=16)
    recipe = replace(PLAIN, start="noise", start_sd=10.0, iterations=4, sizes=((0, 4), (2, 8)))
    ascent = Ascent(engine, Targets(layer="last", units=(0,)), recipe)
    sides = []
    while not ascent.is_done:
        ascent.step()
        sides.append(tuple(ascent._z.shape[2:]))
        assert ascent.inputs().shape == (1, 3, 16, 16)
    assert sides == [(4, 4), (4, 4), (8, 8), (8, 8)]


def test_a_view_is_not_moved_to_the_next_neuron() -> None:
    """Of a layer with one pixel between neurons, at most half of it, whatever the recipe says."""
    engine = engine_of(seeded(CamNet), size=16)
    recipe = replace(preset("default"), rotation=0.0, zoom=0.0, jitter=5, iterations=6)
    ascent = Ascent(engine, Targets(layer="stem", units=(0,)), replace(recipe, plain_last=0))
    x = torch.randn(1, 3, 16, 16)
    assert torch.equal(ascent._view(x), x)  # no whole pixel is left
    dense = Ascent(engine, Targets(layer="fc", units=(0,)), replace(recipe, plain_last=0))
    assert not torch.equal(dense._view(x), x)  # it sees all of the picture


# Parametrisations


@pytest.mark.parametrize("size", [(16, 16), (15, 17)])
def test_a_picture_survives_the_way_into_a_spectrum_and_back(size: tuple[int, int]) -> None:
    prep = Preprocessing(size=size)
    share = 0.1 + 0.8 * torch.rand(2, 3, *size)
    std, mean = (torch.tensor(each).view(3, 1, 1) for each in (prep.std, prep.mean))
    x = (share - mean) / std
    parameters = Fourier(prep, device=torch.device("cpu"))
    assert torch.allclose(parameters.decode(parameters.encode(x)), x, atol=1e-4)
    pixels = Pixels(prep, in_bytes=True, device=torch.device("cpu"))
    assert torch.allclose(pixels.decode(pixels.encode(x)), x, atol=1e-6)
    assert torch.allclose(pixels.encode(x), 255 * (share - mean), atol=1e-3)


def test_a_spectrum_is_never_beyond_black_and_white() -> None:
    prep = Preprocessing(size=(8, 8))
    parameters = Fourier(prep, device=torch.device("cpu"))
    z = parameters.start(torch.randn(1, 3, 8, 8), 50.0)
    share = parameters.decode(z) * torch.tensor(prep.std).view(3, 1, 1)
    share = share + torch.tensor(prep.mean).view(3, 1, 1)
    assert share.min() >= -1e-6
    assert share.max() <= 1 + 1e-6
    assert share.std() > 0.1


def test_equal_steps_in_a_spectrum_change_coarse_structure_most() -> None:
    """The reason for it: amplitude falls with frequency, as in photographs."""
    parameters = Fourier(Preprocessing(size=(32, 32)), device=torch.device("cpu"))
    x = parameters.decode(parameters.start(torch.randn(4, 3, 32, 32), 0.01))
    power = torch.fft.rfft2(x).abs().square().mean(dim=(0, 1))
    assert power[0, 1] + power[1, 0] > 20 * (power[0, 8] + power[8, 0])


# Going on, and results


def test_what_is_closed_in_the_middle_is_kept_and_goes_on() -> None:
    engine = engine_of(seeded(CamNet), size=16)
    targets = Targets(layer="last", units=(1,))
    recipe = replace(preset("default"), iterations=40, plain_last=40)
    steps = optimize(engine, targets, recipe)
    for _ in range(15):
        progress = next(steps)
    steps.close()
    assert progress.share == 15 / 40
    (partial,) = progress.results()
    assert progress.images().shape == (1, 16, 16, 3)
    assert np.array_equal(progress.results()[0].image_HW3, partial.image_HW3)
    again = last_of(engine, targets, recipe, start=partial.start).results()[0]
    first = again.record["runs"]["value"][0]
    assert first == pytest.approx(partial.record["runs"]["value"][-1], rel=0.05)
    assert again.value > partial.value
    assert again.record["start"] == "picture"


def test_the_record_is_json_and_the_arrays_need_no_pickle(tmp_path: object) -> None:
    import io

    engine = engine_of(seeded(CamNet), size=12)
    (found,) = last_of(engine, Targets(layer="last", units=(1,)), preset("dvt-a")).results()
    files = files_of(found)
    record = json.loads(files[".json"])
    assert record["recipe"]["small_norm_percentile"] == 50.0
    assert record["layer"] == "last"
    assert len(record["runs"]["value"]) == len(record["runs"]["norm"]) <= 500
    arrays = np.load(io.BytesIO(files[".npz"]), allow_pickle=False)
    assert np.array_equal(arrays["x"], found.x_CHW)
    assert {"x", "best", "last"} <= set(arrays.files)


def test_dvts_presets_are_its_papers() -> None:
    a, b, c, d = (preset(f"dvt-{each}") for each in "abcd")
    assert (a.decay, a.blur_radius, a.blur_every, a.small_norm_percentile) == (0, 0.5, 4, 50)
    assert (a.iterations, a.policy, a.max_lr, a.desired_progress) == (500, "progress", 100, 2)
    assert (b.decay, b.blur_every, b.small_norm_percentile) == (0.3, 0, 20)
    assert (b.iterations, b.policy, b.lr) == (750, "constant", 100)
    assert (c.decay, c.blur_radius, c.blur_every, c.iterations, c.lr) == (0.0001, 1, 4, 1000, 100)
    assert (d.decay, d.blur_radius, d.px_abs_benefit_percentile) == (0, 0.5, 90)
    assert (d.iterations, d.max_lr, d.desired_progress) == (1000, 1e8, 2)
    assert all(each.space == "bytes" and each.start_sd == 10 and each.clip for each in (a, b, c, d))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"policy": "adm"}, "nearest is 'adam'"),
        ({"decay": -1.0}, "decay -1.0"),
        ({"small_val_percentile": 101.0}, "at most 100"),
        ({"iterations": 0}, "once at least"),
        ({"parametrisation": "fourier", "blur_radius": 1.0}, "blur_radius acts on pixels"),
        ({"objective": "layer", "direction": "minimise"}, "is a square"),
        ({"jitter": 4, "keep": "best"}, "no two values"),
        ({"sizes": ((2, 8),)}, "rise from 0"),
    ],
)
def test_recipes_that_make_no_sense_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(PLAIN, **changes)  # type: ignore[arg-type]


def test_targets_that_are_not_there_are_refused() -> None:
    engine = engine_of(seeded(CamNet), size=8)
    for targets, message in (
        (Targets(layer="lst", units=(0,)), "nearest is 'last'"),
        (Targets(layer="last", units=(5,)), "has no unit 5"),
        (Targets(layer="last", units=()), "no unit"),
        (Targets(layer="last", units=(0,), position=(8, 0)), "outside the 8x8"),
    ):
        with pytest.raises(SelectionError, match=message):
            optimize(engine, targets)
    with pytest.raises(SelectionError, match="has maps"):
        optimize(engine, Targets(layer="last", units=(0,)), replace(PLAIN, objective="probability"))
    with pytest.raises(ConfigError, match="nearest is 'dvt-a'"):
        preset("dvta")
    with pytest.raises(RtvisError, match="a start of shape"):
        next(optimize(engine, Targets(layer="last", units=(0,)), start=torch.zeros(1, 3, 9, 9)))


def test_the_middle_neuron_is_the_default() -> None:
    engine = engine_of(seeded(CamNet), size=9)
    (found,) = last_of(engine, Targets(layer="last", units=(0,)), PLAIN).results()
    assert found.position == (4, 4)
    assert isinstance(found.layer, Layer)
