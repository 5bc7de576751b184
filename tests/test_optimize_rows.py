"""How optimised inputs begin and are moved about, in the numbers of the programs they come from."""

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rtvis.engine.engine import Engine
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.sources.pixels import read_image
from rtvis.units import regularise
from rtvis.units.ascent import Ascent
from rtvis.units.chance import Draw
from rtvis.units.optimized import results_of
from rtvis.units.parameters import Fourier
from rtvis.units.presets import preset
from rtvis.units.recipe import Recipe
from rtvis.units.targets import Targets
from tests.nets import CamNet, engine_of, seeded

SAMPLES = Path(__file__).parents[1] / "sample_images"
LAST = Targets(layer="last", units=(1,))


@pytest.fixture(scope="module")
def engine() -> Engine:
    return engine_of(seeded(CamNet), size=64)


def begun(engine: Engine, recipe: Recipe, *, seed: int = 0) -> Tensor:
    """In bytes, less the mean, as DVT counts: float32 [3, H, W]."""
    x_3HW = Ascent(engine, LAST, recipe, seed=seed).inputs()[0]
    return x_3HW * 255 * torch.tensor(engine.preprocessing.std)[:, None, None]


def test_dvts_noise_has_deviation_10_around_the_mean_and_follows_from_the_seed(
    engine: Engine,
) -> None:
    """DVT-60: of 12,288 values the deviation is 10 but for 1 %, and their mean 0 but for 0.1."""
    noise = begun(engine, preset("dvt"))
    assert float(noise.std()) == pytest.approx(10, rel=0.03)
    assert float(noise.mean()) == pytest.approx(0, abs=0.4)
    assert torch.equal(noise, begun(engine, preset("dvt")))
    assert not torch.equal(noise, begun(engine, preset("dvt"), seed=1))


def test_dvts_other_starts_are_any_grey_level_and_the_mean(engine: Engine) -> None:
    mean = 255 * torch.tensor(engine.preprocessing.mean)[:, None, None]
    levels = begun(engine, replace(preset("dvt"), start="uniform")) + mean
    assert float(levels.min()) >= -1e-3
    assert float(levels.max()) <= 255.001
    assert float(levels.mean()) == pytest.approx(127.5, abs=3)
    assert float(levels.std()) == pytest.approx(255 / math.sqrt(12), rel=0.03)
    assert not begun(engine, replace(preset("dvt"), start="mean")).any()


def test_dvts_two_defaults_are_those_of_its_program_and_of_its_class() -> None:
    """DVT-62, -68 and -71."""
    program, of_class = preset("dvt"), preset("dvt-class")
    assert (program.iterations, program.policy, program.lr, program.decay) == (
        500,
        "constant",
        1,
        0,
    )
    assert (of_class.iterations, of_class.lr, of_class.decay) == (300, 10, 0.01)
    assert (program.blur_radius, program.blur_every, program.start) == (0, 0, "noise")


def test_dvs_preset_has_its_numbers() -> None:
    """DV-20, -22 and -23; the last of 201 runs is followed by no step."""
    dv = preset("dv")
    assert (dv.objective, dv.policy, dv.lr, dv.iterations) == ("mean", "l2", 20, 201)
    assert (dv.parametrisation, dv.space, dv.clip, dv.shown) == (
        "pixels",
        "input",
        False,
        "min-max",
    )
    assert dv.plain_last == 11, "the last ten steps and the run behind them"
    assert (dv.robust, dv.robust_degrees, dv.robust_rotate_chance) == (True, 10, 0.3)
    assert (dv.robust_scale, dv.robust_scale_chance) == (0.05, 0.05)
    assert (dv.robust_blur, dv.robust_roll, dv.robust_roll_chance) == (0.5, 5, 0.3)
    assert dv.robust_spread == 0.05


def test_dvs_earlier_presets_have_their_numbers() -> None:
    """DV-27: the first with steps of one RMS, grey, and five plain epochs, the second with total
    variation and no move but the spreading."""
    dv_1, dv_0 = preset("dv-1"), preset("dv-0")
    assert (dv_1.policy, dv_1.lr, dv_1.plain_last, dv_1.shown) == ("rms", 0.15, 6, "clip")
    assert (dv_1.robust_degrees, dv_1.robust_roll, dv_1.robust_blur) == (10, 5, 0.5)
    assert (dv_1.grey, dv_0.grey, preset("dv").grey) == (True, False, False)
    assert (dv_0.policy, dv_0.lr, dv_0.total_variation, dv_0.shown) == ("rms", 0.2, 0.005, "clip")
    assert (dv_0.robust, dv_0.robust_spread, dv_0.plain_last) == (True, 0.05, 0)
    moves = (dv_0.robust_rotate_chance, dv_0.robust_scale_chance, dv_0.robust_roll_chance)
    assert (*moves, dv_0.robust_blur) == (0, 0, 0, 0)
    assert dv_0.objective == dv_1.objective == "mean"


def drawn(ascent: Ascent, **shares: float) -> None:
    """Have these numbers drawn, in 0..1, in each run."""
    for name, share in shares.items():
        ascent._chance._draws_IB7[:, :, Draw[name.upper()]] = share


def test_dvs_picture_is_padded_turned_enlarged_blurred_cut_rolled_and_spread(
    engine: Engine,
) -> None:
    """DV-23, all of it in its order: 10 degrees, 1.05 times, 5 down and 5 to the left."""
    ascent = Ascent(engine, LAST, preset("dv"))
    # Below 0.3, 0.05 and 0.3: all three happen.
    drawn(ascent, rotate=0.0, scale=0.0, roll=0.0, angle=1.0, zoom=1.0, down=0.999, right=0.0)
    before = ascent._z.clone()
    ascent._prepare()
    x = F.pad(before, (10, 10, 10, 10), mode="replicate")
    one = torch.ones(1)
    x = regularise.warped(x, angle_B=one * math.radians(10), zoom_B=one, mode="nearest")
    x = regularise.warped(x, angle_B=0 * one, zoom_B=one * 1.05)
    x = regularise.gaussian_blur(x, 0.5, truncate=4)  # two pixels on each side: 5x5
    x = x[:, :, 10:74, 10:74].roll((5, -5), dims=(2, 3))
    expected = 0.95 * x + 0.05 * (x - x.mean()) / x.std()
    torch.testing.assert_close(ascent._z, expected)


def test_dvs_picture_stays_where_nothing_is_drawn_but_for_blur_and_spreading(
    engine: Engine,
) -> None:
    ascent = Ascent(engine, LAST, preset("dv"))
    drawn(ascent, rotate=0.3, scale=0.05, roll=0.3, angle=1.0, zoom=1.0, down=1.0, right=1.0)
    before = ascent._z.clone()
    ascent._prepare()
    padded = F.pad(before, (10, 10, 10, 10), mode="replicate")
    x = regularise.gaussian_blur(padded, 0.5, truncate=4)[:, :, 10:74, 10:74]
    expected = 0.95 * x + 0.05 * (x - x.mean()) / x.std()
    torch.testing.assert_close(ascent._z, expected, atol=1e-4, rtol=0)  # turned by 0 and rounded


def test_the_last_runs_move_nothing_about(engine: Engine) -> None:
    """Of five runs the last two: steps of 1e-9 leave the picture as it was but for the moves."""
    recipe = replace(preset("dv"), iterations=5, plain_last=2, lr=1e-9)
    ascent = Ascent(engine, LAST, recipe)
    moved = []
    while not ascent.is_done:
        before = ascent._z.clone()
        ascent.step()
        moved.append(float((ascent._z - before).abs().max()) > 1e-6)
    assert moved == [True, True, True, False, False]


@pytest.mark.parametrize(("drawn_as", "sign"), [(1.0, 1), (0.0, -1)])
def test_our_own_preset_turns_by_12_degrees_zooms_by_12_hundredths_and_shifts_by_14_pixels(
    engine: Engine, drawn_as: float, sign: int
) -> None:
    """At both ends of what is drawn, to the right the other way."""
    ascent = Ascent(engine, Targets(layer="fc", units=(0,)), preset("default"))
    drawn(ascent, angle=drawn_as, zoom=drawn_as, down=drawn_as, right=1 - drawn_as)
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    one = torch.ones(1)
    expected = regularise.warped(
        x,
        angle_B=one * sign * math.radians(12),
        zoom_B=one + sign * 0.12,
        shift_B2=torch.tensor([[14.0, -14.0]]) * sign,
    )
    torch.testing.assert_close(ascent._view(x), expected)


def test_our_own_preset_has_the_numbers_that_the_docs_give() -> None:
    own = preset("default")
    assert (own.iterations, own.plain_last, own.redirect) == (192, 16, 16)
    assert (own.objective, own.parametrisation, own.steepness) == ("neuron", "fourier", 1.5)
    assert (own.policy, own.lr, own.start, own.keep, own.shown) == (
        "adam",
        0.05,
        "noise",
        "last",
        "clip",
    )


@pytest.mark.parametrize(("name", "sd"), [("default", 0.005), ("dv", 1.0), ("dv-1", 1.0)])
def test_noise_at_first_has_the_deviation_of_its_preset(
    engine: Engine, name: str, sd: float
) -> None:
    """Of 12,288 values or more it is known to 1 %: of DVT's see above."""
    z = Ascent(engine, LAST, preset(name))._z
    if name == "default":  # a spectrum: unit noise has a half of its power in either part
        z = z * math.sqrt(2)
    assert float(z.std()) == pytest.approx(sd, rel=0.03)


@pytest.mark.parametrize("name", ["dvt", "dvt-class", "dvt-a", "dvt-b", "dvt-c", "dvt-d"])
def test_dvts_result_is_the_best_picture_between_black_and_white(engine: Engine, name: str) -> None:
    """DVT-76: `best_Xpm.jpg`, whatever the last run came to."""
    recipe = replace(preset(name), iterations=3)
    ascent = Ascent(engine, LAST, recipe)
    for _ in range(3):
        ascent.step()
    # As if the second run had been the best of the three.
    best, other = ascent._trace.best, 0.5 + 0.01 * torch.rand(1, 3, 64, 64)
    ascent._trace.best = best._replace(x_BCHW=other, iteration_B=torch.ones_like(best.iteration_B))
    (found,) = results_of(ascent, network="net", preset=name)
    assert np.array_equal(found.x_CHW, other[0].numpy())
    assert (found.image_HW3.min(), found.image_HW3.max()) == (0, 255)


@pytest.mark.parametrize(("name", "is_stretched"), [("dv", True), ("dv-1", False), ("dv-0", False)])
def test_dvs_result_is_the_last_picture(engine: Engine, name: str, is_stretched: bool) -> None:
    """DV-25 and -27: the later one stretched between black and white, the earlier ones cut."""
    ascent = Ascent(engine, LAST, replace(preset(name), iterations=1))
    ascent.step()
    last, grey = ascent._trace.last, torch.zeros(1, 3, 64, 64)
    grey[..., :32] = 0.1
    ascent._trace.last = last._replace(x_BCHW=grey)
    (found,) = results_of(ascent, network="net", preset=name)
    assert np.array_equal(found.x_CHW, grey[0].numpy())
    assert (found.image_HW3.max() == 255) == is_stretched


def test_colours_of_pictures_are_correlated_and_those_of_the_spectrum_are_not() -> None:
    """Red, green and blue of photographs rise and fall together: a step that takes each for itself
    makes rainbows (Olah et al. 2017)."""
    pictures = [read_image(path) for path in sorted(SAMPLES.glob("*.jpg"))]
    film = cv2.VideoCapture(str(SAMPLES / "bunny.mp4"))
    frames = [film.read()[1][:, :, ::-1] for _ in range(120)][::20]
    film.release()
    pixels = [
        cv2.resize(each, (64, 64), interpolation=cv2.INTER_AREA).reshape(-1, 3) / 255
        for each in (*pictures, *frames)
    ]
    plain_NC = np.concatenate(pixels)
    spectrum = Fourier(Preprocessing(size=(8, 8)), device=torch.device("cpu"))
    colour_NC = plain_NC @ spectrum._back_CC.numpy().T
    before, after = (np.corrcoef(each.T)[np.triu_indices(3, 1)] for each in (plain_NC, colour_NC))
    assert before.mean() > 0.7
    assert np.abs(after).mean() < 0.25
