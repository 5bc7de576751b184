"""What is captured, when, and who owns what comes of it, with a capture that needs no GPU."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import pytest
import torch
from torch import Tensor

from rtvis.data import Rule, Selection
from rtvis.engine.compiled.graphs import CALLS_BEFORE_CAPTURE, Replays
from rtvis.engine.engine import Engine
from rtvis.engine.forms import Forms
from rtvis.engine.memory import within_memory
from rtvis.errors import DeviceError
from tests.nets import EverySpelling, engine_of, seeded

SIZE = (40, 48)


class FakeCapture:
    """Does what a CUDA graph does: computes nothing while it is captured, then all of it again
    into the same tensors, which hold nonsense before the first replay."""

    def __init__(self) -> None:
        self.num_tried = 0
        self.num_captured = 0
        self.num_replayed = 0
        self.error: Exception | None = None
        self._is_under_way = False

    def is_under_way(self) -> bool:
        return self._is_under_way

    def __call__(self, run: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
        assert not self._is_under_way, "a capture within a capture"
        self.num_tried += 1
        if self.error is not None:
            raise self.error
        outcome = self._run(run)
        outcome = outcome._make(
            None if each is None else torch.full_like(each, 77) for each in outcome
        )
        self.num_captured += 1

        def replay() -> None:
            self.num_replayed += 1
            with torch.inference_mode():
                for held, new in zip(outcome, self._run(run), strict=True):
                    if held is not None:
                        held.copy_(new)

        return outcome, replay

    def _run(self, run: Callable[[], Any]) -> Any:
        self._is_under_way = True
        try:
            return run()
        finally:
            self._is_under_way = False


class Pair(NamedTuple):
    total: Tensor
    other: Tensor | None


def add(x: Tensor, y: Tensor) -> Pair:
    return Pair(x + 10 * y, None)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values)


def warm_up(replays: Replays, key: str = "sum", call: Callable[..., Pair] = add) -> None:
    for _ in range(CALLS_BEFORE_CAPTURE):
        replays.run(key, call, numbers(1), numbers(2))
        assert not replays.replayed


def test_after_three_plain_calls_a_key_is_captured_once_and_replayed() -> None:
    capture = FakeCapture()
    replays = Replays(capture, most=2)
    warm_up(replays)
    assert capture.num_tried == 0
    for i in range(4):
        found = replays.run("sum", add, numbers(i), numbers(i + 1))
        assert found == Pair(numbers(i + 10 * (i + 1)), None)
        assert type(found) is Pair
        assert replays.replayed
    assert (capture.num_captured, capture.num_replayed) == (1, 4)


def test_what_is_handed_out_is_the_callers() -> None:
    replays = Replays(FakeCapture(), most=2)
    warm_up(replays)
    first = replays.run("sum", add, numbers(1), numbers(2))
    replays.run("sum", add, numbers(3), numbers(4))
    assert first.total.item() == 21
    given = numbers(5)
    replays.run("sum", add, given, numbers(0)).total.fill_(0)
    assert given.item() == 5
    assert replays.run("sum", add, given, numbers(0)).total.item() == 5


def test_inputs_of_another_shape_or_dtype_are_never_copied_into_the_buffers_of_a_capture() -> None:
    capture = FakeCapture()
    replays = Replays(capture, most=4)
    warm_up(replays)
    replays.run("sum", add, numbers(1), numbers(2))
    assert replays.run("sum", add, numbers(1, 2), numbers(3, 4)).total.tolist() == [31, 42]
    assert not replays.replayed
    assert replays.run("sum", add, numbers(1).double(), numbers(2)).total.dtype == torch.float64
    assert not replays.replayed
    for _ in range(CALLS_BEFORE_CAPTURE):
        found = replays.run("sum", add, numbers(1, 2), numbers(3, 4))
    assert replays.replayed
    assert found.total.tolist() == [31, 42]
    assert capture.num_captured == 2


@pytest.mark.parametrize(
    "error", [RuntimeError("operation not permitted when stream is capturing"), ValueError("other")]
)
def test_what_cannot_be_captured_runs_plainly_and_is_not_tried_again(error: Exception) -> None:
    capture = FakeCapture()
    replays = Replays(capture, most=2)
    capture.error = error
    for i in range(CALLS_BEFORE_CAPTURE + 4):
        assert replays.run("sum", add, numbers(i), numbers(1)).total.item() == i + 10
        assert not replays.replayed
    assert capture.num_tried == 1
    capture.error = None
    warm_up(replays, "other")
    replays.run("other", add, numbers(1), numbers(2))
    assert replays.replayed


def test_a_fault_of_the_call_itself_is_the_callers_to_see() -> None:
    replays = Replays(FakeCapture(), most=2)

    def broken(x: Tensor) -> Pair:
        raise ValueError("no such layer")

    for _ in range(CALLS_BEFORE_CAPTURE + 2):
        with pytest.raises(ValueError, match="no such layer"):
            replays.run("broken", broken, numbers(1))


def test_the_capture_used_longest_ago_is_let_go_and_has_to_be_called_as_often_again() -> None:
    capture = FakeCapture()
    replays = Replays(capture, most=2)
    for key in ("a", "b"):
        warm_up(replays, key)
        replays.run(key, add, numbers(1), numbers(2))
    replays.run("a", add, numbers(1), numbers(2))
    warm_up(replays, "c")
    replays.run("c", add, numbers(1), numbers(2))
    assert len(replays) == 2
    replays.run("a", add, numbers(1), numbers(2))
    assert replays.replayed, "b was used longest ago"
    warm_up(replays, "b")
    assert capture.num_captured == 3
    replays.run("b", add, numbers(1), numbers(2))
    assert replays.replayed
    assert len(replays) == 2


def test_a_call_within_a_capture_becomes_a_part_of_it() -> None:
    capture = FakeCapture()
    outer, inner = Replays(capture, most=2), Replays(capture, most=2)

    def call(x: Tensor, y: Tensor) -> Pair:
        return inner.run("inner", add, x, y)

    for i in range(2 * CALLS_BEFORE_CAPTURE + 4):
        assert outer.run("outer", call, numbers(i), numbers(1)).total.item() == i + 10
    assert outer.replayed
    assert len(outer) == 1
    assert len(inner) == 0


def test_a_capture_keeps_what_its_call_reads() -> None:
    class Weights:
        value = torch.tensor([3.0])

    def of(weights: Weights) -> Callable[[Tensor], Pair]:
        return lambda x: Pair(x * weights.value, None)

    weights = Weights()
    held = weakref.ref(weights)
    replays = Replays(FakeCapture(), most=1)
    for _ in range(CALLS_BEFORE_CAPTURE + 1):
        replays.run("product", of(weights), numbers(2))
    del weights
    gc.collect()
    assert held() is not None
    assert replays.run("product", of(Weights()), numbers(5)).total.item() == 15
    warm_up(replays)
    replays.run("sum", add, numbers(1), numbers(2))
    gc.collect()
    assert held() is None, "the capture was let go"


def test_somebody_who_clicks_for_a_week_makes_no_memory_grow() -> None:
    replays = Replays(FakeCapture(), most=2)
    for key in range(2000):
        replays.run(key, add, numbers(1), numbers(2))
    assert len(replays._calls) <= 512


def test_a_capture_serves_under_inference_mode_and_without() -> None:
    replays = Replays(FakeCapture(), most=2)
    with torch.inference_mode():
        warm_up(replays)
        replays.run("sum", add, numbers(1), numbers(2))
    assert replays.run("sum", add, numbers(3), numbers(4)).total.item() == 43
    assert replays.replayed
    with torch.inference_mode():
        assert replays.run("sum", add, numbers(5), numbers(6)).total.item() == 65


def test_too_little_memory_is_a_line_for_the_user_and_frees_what_the_call_took() -> None:
    held: list[weakref.ref[Tensor]] = []

    def call() -> Tensor:
        activation = torch.zeros(3)
        held.append(weakref.ref(activation))
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    with pytest.raises(DeviceError, match=r"^too small$") as fault:
        within_memory(call, "too small")
    assert held[0]() is None
    assert fault.value.__context__ is None
    assert within_memory(lambda: 5, "too small") == 5


def fake_engine() -> tuple[Engine, FakeCapture]:
    """An engine that replays on the CPU."""
    engine, capture = engine_of(seeded(EverySpelling), size=SIZE), FakeCapture()
    engine._forms.replays = Replays(capture, most=2)
    engine._gradients.replays = Replays(capture, most=2)
    return engine, capture


@pytest.fixture(scope="module")
def plain() -> Engine:
    return engine_of(seeded(EverySpelling), size=SIZE)


def picture(seed: int, batch: int = 1) -> Tensor:
    return torch.randn(batch, 3, *SIZE, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("batch", "objective"), [(1, "mean"), (1, "layer"), (2, "neuron")])
def test_gradients_of_units_are_captured_whole_and_equal_plain_ones(
    plain: Engine, batch: int, objective: Any
) -> None:
    """One picture goes by the pieces of a turn, two of them or the whole layer by their own way."""
    engine, capture = fake_engine()
    for seed in range(CALLS_BEFORE_CAPTURE + 4):
        unit_B = torch.tensor([seed % 3, 1][:batch])
        arguments = {"layer": "wide", "unit_B": unit_B, "objective": objective, "rule": "guided"}
        found = engine.neuron_gradients(picture(seed, batch), **arguments)
        expected = plain.neuron_gradients(picture(seed, batch), **arguments)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
        assert found.grad_BCHW.abs().max() > 0
    assert engine._gradients.replays is not None
    assert engine._gradients.replays.replayed
    assert (capture.num_captured, capture.num_replayed) == (1, 4)


def test_each_rule_layer_and_objective_has_a_capture_of_its_own(plain: Engine) -> None:
    engine, capture = fake_engine()
    x = picture(1)
    for rule in get_args(Rule)[:2]:
        for layer in ("wide", "stem"):
            for _ in range(CALLS_BEFORE_CAPTURE + 2):
                given = {"layer": layer, "unit_B": torch.tensor([2]), "rule": rule}
                found = engine.neuron_gradients(x, **given)
            expected = plain.neuron_gradients(x, **given)
            assert torch.equal(found.grad_BCHW, expected.grad_BCHW)
    assert capture.num_captured == 4


def test_gradients_that_cannot_be_captured_are_plain_ones(plain: Engine) -> None:
    engine, capture = fake_engine()
    capture.error = RuntimeError("operation not permitted when stream is capturing")
    for seed in range(CALLS_BEFORE_CAPTURE + 3):
        given = {"layer": "wide", "unit_B": torch.tensor([1])}
        found = engine.neuron_gradients(picture(seed), **given)
        expected = plain.neuron_gradients(picture(seed), **given)
        assert torch.equal(found.grad_BCHW, expected.grad_BCHW)
    assert capture.num_tried == 1


def test_a_way_to_a_layer_that_was_let_go_is_kept_for_its_capture(plain: Engine) -> None:
    engine, _ = fake_engine()
    given = {"layer": "wide", "unit_B": torch.tensor([1, 2])}
    for _ in range(CALLS_BEFORE_CAPTURE + 1):
        engine.neuron_gradients(picture(3, 2), **given)
    for layer in engine.layers[:9]:  # more than are kept
        engine.reach(picture(1, 2), layer=layer.name)
    found = engine.neuron_gradients(picture(4, 2), **given)
    assert engine._gradients.replays is not None
    assert engine._gradients.replays.replayed
    expected = plain.neuron_gradients(picture(4, 2), **given)
    assert torch.equal(found.grad_BCHW, expected.grad_BCHW)


def test_a_turn_is_captured_once_all_is_compiled_and_a_click_is_data(
    plain: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, capture = fake_engine()
    for _ in range(CALLS_BEFORE_CAPTURE + 2):
        engine.run(picture(0), Selection(layer="wide"))
    assert capture.num_tried == 0, "the eager kernels would be kept"
    monkeypatch.setattr(Forms, "is_complete", True)
    results = []
    for seed in range(CALLS_BEFORE_CAPTURE + 4):
        selection = Selection(
            layer="wide", unit=seed, class_index=seed % 6, position=(0, seed % 2), rule="guided"
        )
        ours, theirs = (each.run(picture(seed), selection) for each in (engine, plain))
        for name in ("scores_BK", "maps_BCHW", "cam_BHW", "backprop_B3HW", "position_B2"):
            assert torch.equal(getattr(ours, name), getattr(theirs, name)), name
        results.append((ours, ours.backprop_B3HW.clone()))
    assert [result.form for result, _ in results] == ["eager"] * 3 + ["graph"] * 4
    assert all(torch.equal(result.backprop_B3HW, copy) for result, copy in results)
    assert (capture.num_captured, capture.num_replayed) == (1, 4)
    two = engine.run(picture(1, 2), Selection(layer="wide"))
    assert two.scores_BK.shape[0] == 2, "another batch size has no captures"
    assert capture.num_captured == 1
