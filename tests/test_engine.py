"""The Python API: what goes in, what comes out, and what is refused in which words."""

import re

import numpy as np
import pytest
import torch

from rtvis.data import Health, Selection
from rtvis.engine.joint.placed import place_constants
from rtvis.engine.turn.step import Step
from rtvis.errors import DeviceError, NetworkError, RtvisError, SelectionError
from tests.nets import CamNet, NoConvNet, engine_of, seeded

SIZE = (20, 24)


@pytest.fixture(scope="module")
def engine():
    return engine_of(seeded(CamNet), size=SIZE)


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (31, 47, 3), dtype=np.uint8)


def test_a_numpy_picture_a_tensor_and_its_preprocessed_form_give_the_same(engine, picture) -> None:
    as_array = engine.run(picture)
    as_tensor = engine.run(torch.from_numpy(picture))
    preprocessed = engine.run(engine.preprocess(picture))
    for other in (as_tensor, preprocessed):
        assert torch.equal(as_array.scores_BK, other.scores_BK)
        assert torch.equal(as_array.backprop_B3HW, other.backprop_B3HW)
    assert as_array.crop is not None
    assert preprocessed.crop is None


def test_several_pictures_are_one_batch(engine, picture) -> None:
    mirrored = np.ascontiguousarray(picture[:, ::-1])
    both = engine.run([picture, mirrored])
    assert both.scores_BK.shape == (2, 4)
    assert torch.allclose(both.scores_BK[1:], engine.run(mirrored).scores_BK, atol=1e-5)


def test_what_a_selection_leaves_open_is_filled_in_and_told(engine, picture) -> None:
    told = engine.run(picture).selection
    assert told == Selection(
        layer="last", unit=0, position=None, seed="max", rule="guided", cam_layer="last"
    )


def test_the_class_is_the_top_scoring_one_unless_chosen(engine, picture) -> None:
    result = engine.run(picture)
    assert int(result.class_index_B) == int(result.scores_BK.argmax())
    assert int(engine.run(picture, Selection(class_index=3)).class_index_B) == 3


def test_seq_revision_and_time_travel_with_the_result(engine, picture) -> None:
    result = engine.run(picture, seq=7, revision=3, captured_ns=99)
    assert (result.seq, result.revision, result.captured_ns) == (7, 3, 99)


def test_value_and_position_are_those_of_the_map(engine, picture) -> None:
    result = engine.run(picture, Selection(unit=2))
    map_HW = result.maps_BCHW[0, 2]
    row, column = result.position_B2[0].tolist()
    assert float(result.value_B) == float(map_HW.max()) == float(map_HW[row, column])
    chosen = engine.run(picture, Selection(unit=2, position=(3, 5)))
    assert chosen.position_B2.tolist() == [[3, 5]]
    assert float(chosen.value_B) == float(map_HW[3, 5])


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(layer="lasst"), "there is no layer 'lasst'; nearest is 'last'"),
        (Selection(unit=5), "layer 'last' has no unit 5; its units are 0 to 4"),
        (Selection(unit=-1), "layer 'last' has no unit -1"),
        (Selection(position=(20, 0)), r"position \(20, 0\) is outside the 20x24 maps"),
        (Selection(class_index=4), "there is no class 4; classes are 0 to 3"),
        (Selection(rule="guidet"), "unknown rule 'guidet'; nearest is 'guided'"),
        (Selection(seed="maps"), "unknown seed 'maps'; nearest is 'map'"),
        (Selection(cam="gradcam"), "unknown CAM method 'gradcam'; nearest is 'grad-cam'"),
        (Selection(cam_layer="fc"), "layer 'fc' is dense and has no map for a CAM"),
    ],
)
def test_what_the_network_does_not_have_is_refused_with_the_nearest(
    engine, picture, selection: Selection, words: str
) -> None:
    with pytest.raises(SelectionError, match=words):
        engine.run(picture, selection)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((8, 8, 5), dtype=np.uint8),
        np.zeros((8, 8, 3), dtype=np.int16),
        np.full((8, 8, 3), 200, dtype=np.float32),
        torch.zeros(1, 3, 5, 5),
        [],
    ],
    ids=["five channels", "int16", "float in 0..255", "wrong size", "nothing"],
)
def test_a_picture_of_another_form_is_refused_in_one_line(engine, wrong: object) -> None:
    with pytest.raises(RtvisError) as caught:
        engine.run(wrong)
    assert "\n" not in str(caught.value)


def test_a_model_without_a_convolution_is_refused() -> None:
    with pytest.raises(NetworkError, match="has no convolution"):
        engine_of(NoConvNet().eval(), size=SIZE)


def test_a_model_in_training_mode_is_refused() -> None:
    with pytest.raises(NetworkError, match=re.escape("call .eval()")):
        engine_of(CamNet().train(), size=SIZE)


@pytest.mark.parametrize(
    ("device", "words"), [("gpu", "unknown device 'gpu'"), ("meta", "not supported")]
)
def test_unknown_devices_are_refused(device: str, words: str) -> None:
    with pytest.raises(DeviceError, match=words):
        engine_of(seeded(CamNet), size=SIZE, device=device)


def test_a_gpu_that_is_not_there_is_refused() -> None:
    device = f"cuda:{torch.cuda.device_count()}" if torch.cuda.is_available() else "cuda"
    with pytest.raises(DeviceError, match=r"use cpu or auto|numbered from 0"):
        engine_of(seeded(CamNet), size=SIZE, device=device)


def test_half_precision_keeps_scores_and_cam_in_float32(picture) -> None:
    engine = engine_of(seeded(CamNet), size=SIZE, dtype="bfloat16")
    reference = engine_of(seeded(CamNet), size=SIZE).run(picture)
    result = engine.run(picture)
    assert result.scores_BK.dtype == result.cam_BHW.dtype == torch.float32
    assert result.maps_BCHW.dtype == torch.bfloat16
    # 8 bits of mantissa through two convolutions
    assert torch.allclose(result.scores_BK, reference.scores_BK, atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("value", "bit"), [(torch.nan, Health.MAPS_NAN), (torch.inf, Health.MAPS_INF)]
)
def test_numbers_that_are_none_are_reported(value: float, bit: int) -> None:
    model = seeded(CamNet)
    with torch.no_grad():
        model.last.bias[1] = value
    result = engine_of(model, size=SIZE).run(torch.zeros(1, 3, *SIZE))
    assert int(result.health_B) & bit
    assert Health.texts(int(result.health_B))[0].startswith("the layer's activations hold")


def test_a_dead_unit_and_a_class_that_nothing_speaks_for_are_reported() -> None:
    model = seeded(CamNet)
    with torch.no_grad():
        model.last.weight[3].zero_()
        model.last.bias[3] = 0
        model.fc.weight[1].zero_()
    bits = int(
        engine_of(model, size=SIZE)
        .run(torch.ones(1, 3, *SIZE), Selection(unit=3, class_index=1))
        .health_B
    )
    assert bits & Health.UNIT_ZERO
    assert bits & Health.GRADIENT_ZERO
    assert bits & Health.CAM_ZERO
    assert not bits & (Health.MAPS_NAN | Health.MAPS_INF | Health.GRADIENT_NAN)


def test_constants_that_pieces_share_are_placed_once() -> None:
    pieces = engine_of(seeded(CamNet), size=SIZE)._steps.of(1).pieces
    modules = [piece.module for piece in pieces.all_pieces()]
    before = {id(buffer) for module in modules for buffer in module.buffers()}
    place_constants(modules, torch.device("meta"))
    placed = [buffer for module in modules for buffer in module.buffers()]
    assert all(buffer.is_meta for buffer in placed)
    assert len({id(buffer) for buffer in placed}) == len(before) < len(placed)


def test_too_little_memory_is_said_in_words_at_the_start_and_in_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    words = "cpu has not enough memory for CamNet at batch 1; use --dtype float16"
    engine = engine_of(seeded(CamNet), size=SIZE)
    monkeypatch.setattr(Step, "run", full)
    with pytest.raises(DeviceError, match=words):
        engine.run(torch.zeros(1, 3, *SIZE))
    monkeypatch.setattr(Step, "reach", full)
    with pytest.raises(DeviceError, match=words):
        engine.neuron_gradients(
            torch.zeros(1, 3, *SIZE), layer=engine.layers[0].name, unit_B=torch.tensor([0])
        )
    monkeypatch.setattr(Step, "__init__", full)
    with pytest.raises(DeviceError, match=words):
        engine_of(seeded(CamNet), size=SIZE)
