"""On an NVIDIA GPU: the same numbers in every form, one replay a turn, and no waiting for it."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from rtvis.data import Selection
from rtvis.engine.compiled.graphs import CALLS_BEFORE_CAPTURE
from rtvis.engine.engine import Engine
from rtvis.registry import CAM_METHODS
from tests.nets import CamNet, EverySpelling, engine_of, seeded
from tests.references import relative_error

pytestmark = pytest.mark.cuda

SIZE = (40, 48)


@pytest.fixture(scope="module")
def on_cpu() -> Engine:
    return engine_of(seeded(EverySpelling), size=SIZE)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with engine_of(
        seeded(EverySpelling),
        size=SIZE,
        device="cuda",
        compile="auto",
        cache_dir=tmp_path_factory.mktemp("cache"),
    ) as engine:
        assert engine.wait_compiled(280), engine.compile_note
        yield engine


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def _full_precision() -> Iterator[None]:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("rule", ["gradient", "guided", "deconvnet"])
def test_the_eager_form_equals_the_one_on_the_cpu(on_cpu: Engine, picture, rule: str) -> None:
    engine = engine_of(seeded(EverySpelling), size=SIZE, device="cuda")
    x = on_cpu.preprocess(picture)
    for name in ("grouped", "wide", "fc"):
        selection = Selection(layer=name, unit=3, rule=rule, seed="map")
        ours, reference = engine.run(x, selection), on_cpu.run(x, selection)
        assert relative_error(ours.scores_BK.cpu(), reference.scores_BK) < 1e-4
        assert relative_error(ours.backprop_B3HW.cpu(), reference.backprop_B3HW) < 1e-3


@pytest.mark.timeout(400)
def test_a_route_that_stays_becomes_one_replay_with_the_same_numbers(
    compiled: Engine, on_cpu: Engine, picture
) -> None:
    x = on_cpu.preprocess(picture)
    selection = Selection(layer="wide", unit=3, seed="map")
    reference = on_cpu.run(x, selection)
    forms = []
    for _ in range(CALLS_BEFORE_CAPTURE + 3):
        result = compiled.run(x, selection)
        forms.append(result.form)
        assert relative_error(result.backprop_B3HW.cpu(), reference.backprop_B3HW) < 1e-3
        assert relative_error(result.cam_BHW.cpu(), reference.cam_BHW) < 1e-3
    assert forms[0] == "compiled"
    assert forms[-1] == "graph"


def test_a_click_reaches_a_captured_route_as_data(
    compiled: Engine, on_cpu: Engine, picture
) -> None:
    x = on_cpu.preprocess(picture)
    for unit in range(8):
        selection = Selection(layer="wide", unit=unit, rule="gradient", class_index=unit % 6)
        ours, reference = compiled.run(x, selection), on_cpu.run(x, selection)
        assert ours.position_B2.cpu().tolist() == reference.position_B2.tolist()
        assert relative_error(ours.backprop_B3HW.cpu(), reference.backprop_B3HW) < 1e-3
    assert compiled.run(x, selection).form == "graph"


def test_a_result_is_not_overwritten_by_the_next_replay(compiled: Engine, picture) -> None:
    selection = Selection(layer="wide", unit=1)
    for _ in range(CALLS_BEFORE_CAPTURE + 2):
        first = compiled.run(picture, selection)
    kept = first.maps_BCHW.clone()
    second = compiled.run(255 - picture, selection)
    assert torch.equal(first.maps_BCHW, kept)
    assert not torch.equal(first.maps_BCHW, second.maps_BCHW)


def test_a_turn_never_waits_for_the_device(compiled: Engine, picture) -> None:
    on_device = torch.from_numpy(picture).cuda()
    selections = [Selection(layer="wide", unit=2), Selection(layer="grouped", unit=1)]
    for selection in selections * (CALLS_BEFORE_CAPTURE + 2):
        compiled.run(on_device, selection)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for selection in selections:
            compiled.run(on_device, selection)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("method", ["grad-cam", "eigen-cam"])
def test_every_method_is_captured(compiled: Engine, picture, method: str) -> None:
    selection = Selection(layer="wide", unit=2, cam=method)
    for _ in range(CALLS_BEFORE_CAPTURE + 1):
        result = compiled.run(picture, selection)
    assert result.form == "graph"
    assert bool(result.cam_BHW.isfinite().all())


def test_a_method_that_waits_for_the_device_runs_without_a_graph_and_breaks_nothing(
    compiled: Engine, on_cpu: Engine, picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def waiting(maps_BCHW: torch.Tensor, grads_BCHW: torch.Tensor) -> torch.Tensor:
        return maps_BCHW.mean(dim=1).abs() * float(maps_BCHW.max())

    monkeypatch.setitem(CAM_METHODS._things, "waiting", waiting)
    selection = Selection(layer="wide", unit=2, cam="waiting")
    x = on_cpu.preprocess(picture)
    reference = on_cpu.run(x, selection)
    for _ in range(CALLS_BEFORE_CAPTURE + 3):
        result = compiled.run(x, selection)
        assert result.form == "compiled"
        assert relative_error(result.cam_BHW.cpu(), reference.cam_BHW) < 1e-3
    # The stream of the capture that failed is not the current one, another capture works ...
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    for _ in range(CALLS_BEFORE_CAPTURE + 1):
        result = compiled.run(picture, Selection(layer="wide", unit=2, cam="layercam"))
    assert result.form == "graph"
    # ... and memory that a second stream has used is given back, which it is not in a capture.
    side = torch.cuda.Stream()
    before = torch.cuda.memory_stats()["active_bytes.all.current"]
    for _ in range(16):
        torch.empty(2**22, dtype=torch.uint8, device="cuda").record_stream(side)
        torch.cuda.synchronize()
    after = torch.cuda.memory_stats()["active_bytes.all.current"]
    assert after - before < 3 * 2**22


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_finds_the_same_evidence(picture, dtype: str) -> None:
    reference = engine_of(seeded(CamNet), size=SIZE).run(picture)
    result = engine_of(seeded(CamNet), size=SIZE, device="cuda", dtype=dtype).run(picture)
    assert result.scores_BK.dtype == torch.float32
    assert relative_error(result.cam_BHW.cpu(), reference.cam_BHW) < 0.05


def test_an_optimisation_becomes_replays_with_the_same_numbers_and_never_waits(
    compiled: Engine, on_cpu: Engine, picture
) -> None:
    x = on_cpu.preprocess(picture)
    units = [torch.tensor([unit]) for unit in range(6)]
    expected = [
        on_cpu.neuron_gradients(x + i, layer="wide", unit_B=unit) for i, unit in enumerate(units)
    ]
    on_device = [(x + i).cuda() for i in range(6)]
    on_units = [unit.cuda() for unit in units]
    for one, unit, reference in zip(on_device, on_units, expected, strict=True):
        found = compiled.neuron_gradients(one, layer="wide", unit_B=unit)
        assert found.position_B2.cpu().tolist() == reference.position_B2.tolist()
        assert relative_error(found.grad_BCHW.cpu(), reference.grad_BCHW) < 1e-3
    graphs = compiled._gradients.replays
    assert graphs is not None
    assert graphs.replayed
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        compiled.neuron_gradients(on_device[0], layer="wide", unit_B=on_units[0])
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_step_of_an_ascent_never_waits_for_the_device(compiled: Engine) -> None:
    from rtvis.units.ascent import Ascent
    from rtvis.units.presets import preset
    from rtvis.units.targets import Targets

    for name in ("default", "dvt-d", "dv"):
        ascent = Ascent(compiled, Targets(layer="wide", units=(3,)), preset(name))
        for _ in range(6):
            ascent.step()
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in range(6):
                ascent.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert ascent.record(0)["runs"]["value"][-1] is not None


def test_gradients_by_graphs_equal_plain_ones_and_wait_for_nothing(compiled: Engine) -> None:
    layer = compiled.layers[2].name
    step = compiled._steps.of(1)
    for seed in range(CALLS_BEFORE_CAPTURE + 4):
        x = torch.randn(1, 3, *SIZE, generator=torch.Generator().manual_seed(seed)).cuda()
        unit_B = torch.tensor([seed % 3], device="cuda")
        if seed == CALLS_BEFORE_CAPTURE + 2:  # captured by then
            torch.cuda.set_sync_debug_mode("error")
        try:
            found = compiled.neuron_gradients(x, layer=layer, unit_B=unit_B, objective="mean")
        finally:
            torch.cuda.set_sync_debug_mode("default")
        with torch.no_grad():
            plain = step.reach(
                x.contiguous(memory_format=torch.channels_last), step.pieces.sites[2]
            ).gradients(unit_B=unit_B, objective="mean")
        assert relative_error(found.grad_BCHW, plain.grad_BCHW) < 1e-5
        assert torch.equal(found.position_B2, plain.position_B2)
    assert compiled._gradients.replays is not None
    assert compiled._gradients.replays.replayed
