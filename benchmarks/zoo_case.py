"""One network of the zoo: does it trace, run and explain, and as plain autograd says?

Plain autograd means: forward hooks on the untouched model, and `torch.autograd.grad`. It shares no
line with the engine. Compared are the maps and the gradient pictures of a shallow and a middle
layer and of the default CAM layer, a CAM, and the scores.
"""

import gc
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

import rtvis.methods  # noqa: F401 - registers the CAM methods
from rtvis.data import Layer, Result, Selection
from rtvis.engine.engine import Engine
from rtvis.engine.networks.models import Network, load_network
from rtvis.errors import RtvisError

Outcome: TypeAlias = Literal["ok", "autograd", "wrong", "failed", "refused", "skipped"]
"""`ok`: traced, and right. `autograd`: not traceable, explained by autograd, and right. `wrong`:
differs from plain autograd. `failed`: an error, a crash, or over a limit. `refused`: the program
says why not. `skipped`: more parameters than asked for."""

Proof: TypeAlias = Literal["float32", "float64", "slopes", ""]
"""How the gradients were found right: at once; in float64, where float32 flips ReLUs near zero;
or by finite differences, where torch's own gradient is wrong in float64."""

# In float32, of the largest value (maps, scores) or of the length (gradients, CAM).
_TOLERANCE = {torch.float32: 2e-3, torch.float64: 1e-6}
_GRADIENT_TOLERANCE = {torch.float32: 2e-2, torch.float64: 1e-6}
_SLOPE_TOLERANCE = 1e-3
_TRIES = 4
"""Layers from one on that are tried until one has a gradient: a unit may be switched off."""
_MAX_TOKENS = 256
"""Of a token layer, so many rows are looked up in the reference."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What came out for one network."""

    network: str
    family: str
    outcome: Outcome
    reason: str = ""
    millions: float = 0.0
    """Parameters."""
    size: tuple[int, int] = (0, 0)
    num_layers: int = 0
    proof: Proof = ""
    maps_error: float = 0.0
    gradient_error: float = 0.0
    cam_error: float = 0.0
    load_s: float = 0.0
    """Of computing, as all times here: other programs do not count."""
    start_s: float = 0.0
    """Tracing, or looking for layers by running."""
    proof_s: float = 0.0
    """Plain autograd and the engine's turns, in all number formats that it took."""
    turn_ms: float = 0.0
    """An eager turn at the default CAM layer, one thread, float32."""

    def as_dict(self) -> dict[str, Any]:
        """For a line of JSON."""
        return asdict(self)


def examine(network: str, family: str, *, size: int | None = None) -> Verdict:
    """The verdict on one network with random weights, at its native or another size, on the CPU."""
    verdict = Verdict(network=network, family=family, outcome="ok")
    started = time.process_time()
    try:
        loaded = load_network(network, weights="random", size=size)
    except RtvisError as fault:
        return replace(verdict, outcome="refused", reason=str(fault))
    # Where weights want a gradient too, autograd keeps the inputs of all layers for it.
    millions = sum(p.numel() for p in loaded.model.requires_grad_(False).parameters()) / 1e6
    x = torch.randn(1, loaded.preprocessing.num_channels, *loaded.preprocessing.size)
    with torch.no_grad():
        called = randomise(loaded.model, x)
    verdict = replace(
        verdict,
        millions=round(millions, 2),
        size=loaded.preprocessing.size,
        load_s=time.process_time() - started,
    )
    started = time.process_time()
    try:
        engine = Engine(loaded, device="cpu", compile="off")
    except RtvisError as fault:
        return replace(verdict, outcome="refused", reason=str(fault))
    verdict = replace(
        verdict,
        outcome="autograd" if "autograd" in engine.compile_note else "ok",
        reason=engine.compile_note,
        num_layers=len(engine.layers),
        start_s=time.process_time() - started,
    )
    started = time.process_time()
    with engine:
        errors = _compare(loaded.model, engine, called, x, slopes=False)
    del engine
    gc.collect()  # its copy of the weights, to which parts of it lead in circles
    verdict = _proved(verdict, loaded, errors, called, x)
    return replace(verdict, proof_s=time.process_time() - started)


def randomise(model: nn.Module, x: Tensor) -> set[str]:
    """Weights with which every layer and token matters and nothing grows or dies on the way.

    Libraries start with scales of zero at the end of branches, and with weights so small that all
    tokens are alike: gradients there are zero, and comparing them proves nothing.

    Returns:
        Names of the modules that are called and return a tensor; see `_tapped`.
    """
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and parameter[0].numel() > 1:
            parameter.normal_(0.0, 1.5 * parameter[0].numel() ** -0.5, generator=generator)
        elif name.endswith("bias"):
            parameter.normal_(0.0, 0.1, generator=generator)
        elif bool((parameter == parameter.flatten()[0]).all()):  # a scale, all zeros or ones
            parameter.uniform_(0.5, 1.5, generator=generator)
    handles = [
        module.register_forward_pre_hook(_measure)
        for module in model.modules()
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    ]
    called: set[str] = set()
    try:
        with _watched(model, dict(model.named_modules()), lambda name, _: called.add(name)):
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return called


def _measure(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Give a batch norm the statistics of what it reads."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    value = inputs[0]
    if value[:, 0].numel() >= 16 and norm.running_var is not None:
        assert norm.running_mean is not None
        axes = [axis for axis in range(value.ndim) if axis != 1]
        norm.running_mean.copy_(value.mean(axes))
        norm.running_var.copy_(value.var(axes) + 1e-3)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Errors:
    scores: float
    maps: float
    gradient: float
    cam: float
    slope: float
    """Of the gradients by finite differences; NaN where these were not asked for."""
    turn_ms: float
    """The engine's, at the layer of the CAM."""

    def right(self, dtype: torch.dtype) -> bool:
        small, gradient = _TOLERANCE[dtype], _GRADIENT_TOLERANCE[dtype]
        return max(self.scores, self.maps) < small and max(self.gradient, self.cam) < gradient


def _proved(
    verdict: Verdict, network: Network, errors: _Errors, called: Collection[str], x: Tensor
) -> Verdict:
    """The verdict from what was found in float32, or, if that does not do, in float64."""
    verdict = replace(verdict, turn_ms=errors.turn_ms)
    proof: Proof = "float32"
    if not errors.right(torch.float32):
        proof = "float64"
        model = network.model.double()
        with Engine(
            replace(network, model=model), device="cpu", dtype="float64", compile="off"
        ) as e:
            errors = _compare(model, e, called, x.double(), slopes=False)
            if not errors.right(torch.float64):
                proof = "slopes"
                errors = _compare(model, e, called, x.double(), slopes=True)
                right = max(errors.scores, errors.maps) < _TOLERANCE[torch.float64]
                if not (right and errors.slope < _SLOPE_TOLERANCE):
                    reason = (
                        f"in float64: scores {errors.scores:.0e}, maps {errors.maps:.0e}, "
                        f"gradients {errors.gradient:.0e}, CAM {errors.cam:.0e}, "
                        f"slopes {errors.slope:.0e}"
                    )
                    verdict = replace(verdict, outcome="wrong", reason=reason)
    return replace(
        verdict,
        proof=proof,
        maps_error=errors.maps,
        gradient_error=errors.slope if proof == "slopes" else errors.gradient,
        cam_error=errors.cam,
    )


@contextmanager
def _watched(
    model: nn.Module, modules: Collection[str], watch: Callable[[str, Tensor], object]
) -> Iterator[None]:
    """Tells `watch` of the outputs of modules as they are called.

    The second call of one is `NAME#2`, as the engine counts them.
    """
    uses: dict[str, int] = {}

    def hook_of(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: object, output: Any) -> Any:
            uses[name] = uses.get(name, 0) + 1
            if not isinstance(output, Tensor):
                return output
            watch(name if uses[name] == 1 else f"{name}#{uses[name]}", output)
            return output.clone()  # what follows may work in place

        return hook

    known = dict(model.named_modules())
    handles = [known[name].register_forward_hook(hook_of(name)) for name in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _tapped(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Outputs by name, as the model runs."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        if name in names:
            outputs[name] = output

    modules = {name.partition("#")[0] for name in names}
    with _watched(model, modules, keep):
        yield outputs


def _compare(
    model: nn.Module, engine: Engine, called: Collection[str], x: Tensor, *, slopes: bool
) -> _Errors:
    """The largest errors over a shallow and a middle layer and the one of the CAM."""
    layers = [each for each in engine.layers if each.name in called and _has_units(each)]
    middle = len(layers) // 2
    shallow, deep = layers[:_TRIES], layers[middle : middle + _TRIES]
    last = [engine.default_cam_layer]
    if last[0] not in layers:  # computed by no module of its own
        maps = [each for each in layers if each.kind == "conv" or each.map_size[0] > 1]
        last = maps[: -2 * _TRIES : -1]
    names = [each.name for each in (*shallow, *deep, *last)]
    with torch.no_grad(), _tapped(model, names) as outputs:
        scores_BK = model(x)
    cam_layer, class_index, wanted_cam_M = _wanted_cam(model, last, x)
    places = shallow, deep, [cam_layer]
    scores_error = maps_error = gradient_error = slope_error = 0.0
    for some in places:
        for layer in some:
            output = outputs[layer.name]
            if output.shape[1 if layer.kind == "conv" else -1] != layer.num_units:
                continue  # the module goes on with its product (BoTNet's positions)
            unit = int(_by_unit(output, layer).abs().amax(1).argmax())
            selection = Selection(
                layer=layer.name,
                unit=unit,
                rule="gradient",
                cam_layer=cam_layer.name,
                cam="hirescam",
                class_index=class_index,
            )
            started = time.process_time()
            result = engine.run(x, selection)
            turn_ms = (time.process_time() - started) * 1e3
            scores_error = max(scores_error, _relative(result.scores_BK, scores_BK))
            maps_error = max(maps_error, _maps_error(engine, layer, result, output))
            values_N = _by_unit(output, layer)[unit]
            place = int((values_N - result.value_B.to(values_N.dtype)).abs().argmin())
            wanted = _wanted_gradient(model, layer, unit, place, x)
            if wanted.any():
                break
            assert not result.backprop_B3HW.any(), f"{layer.name}: a gradient where there is none"
        else:
            raise AssertionError(f"{layer.name} and those before it have no gradient")
        gradient_error = max(gradient_error, _distance(result.backprop_B3HW, wanted))
        if slopes:
            found = _slope_error(model, layer, unit, place, x, result.backprop_B3HW)
            slope_error = max(slope_error, found)
    if cam_layer.kind == "dense":  # tokens: those of the map, in its order
        theirs_MC = _by_unit(outputs[cam_layer.name], cam_layer).T
        wanted_cam_M = wanted_cam_M[_matched(_places(result), theirs_MC)]
    return _Errors(
        scores=scores_error,
        maps=maps_error,
        gradient=gradient_error,
        cam=_distance(result.cam_BHW.flatten(), wanted_cam_M.float()),
        slope=slope_error if slopes else float("nan"),
        turn_ms=turn_ms,
    )


def _has_units(layer: Layer) -> bool:
    """Whether a module returns the layer's values: not the attention, nor a part of its tokens."""
    return layer.kind != "attention" and not layer.name.endswith(":tokens")


# Each of the next two runs the model anew, so that no graph of autograd is kept beside the engine.


def _wanted_gradient(model: nn.Module, layer: Layer, unit: int, place: int, x: Tensor) -> Tensor:
    """Of a neuron, at the picture."""
    x = x.clone().requires_grad_()
    with _tapped(model, [layer.name]) as outputs:
        model(x)
    (wanted,) = torch.autograd.grad(_by_unit(outputs[layer.name], layer)[unit, place], x)
    return wanted


def _wanted_cam(model: nn.Module, layers: Sequence[Layer], x: Tensor) -> tuple[Layer, int, Tensor]:
    """Of HiResCAM, sum over units of map times gradient, positive part [M], at the first layer and
    for the first class of the best ones for which it is not zero; and these two."""
    with _tapped(model, [each.name for each in layers]) as outputs:
        scores_BK = model(x.clone().requires_grad_())
    for layer in layers:
        output = outputs[layer.name]
        for class_index in scores_BK[0].topk(min(8, scores_BK.shape[1])).indices.tolist():
            score = scores_BK[0, class_index]
            (grads,) = torch.autograd.grad(score, output, retain_graph=True, allow_unused=True)
            if grads is None:
                break
            wanted_M = (_by_unit(output, layer) * _by_unit(grads, layer)).sum(0).relu().detach()
            # Class and register tokens lie at no place of the map.
            elsewhere = len(wanted_M) - layer.map_size[0] * layer.map_size[1]
            if int((wanted_M > 0).sum()) > elsewhere:
                return layer, class_index, wanted_M
    raise AssertionError("the CAM of the reference is zero for every class: it proves nothing")


def _by_unit(output: Tensor, layer: Layer) -> Tensor:
    """[C, N]: a layer's output for one picture, with all places of a unit in a row."""
    if layer.kind == "conv":
        return output[0].flatten(1)
    return output.reshape(-1, output.shape[-1]).T


def _places(result: Result) -> Tensor:
    """[N, C]: the maps of a result, place by place."""
    return result.maps_BCHW[0].flatten(1).T


def _matched(ours_NC: Tensor, theirs_MC: Tensor) -> Tensor:
    """[N]: for each of our places the token of the reference that is most like it."""
    return torch.cdist(ours_NC, theirs_MC).argmin(1)


def _maps_error(engine: Engine, layer: Layer, result: Result, output: Tensor) -> float:
    theirs_MC = _by_unit(output, layer).T
    ours_NC = _places(result)
    if layer.kind == "conv":
        return _relative(ours_NC, theirs_MC)
    if f"{layer.name}:tokens" not in {each.name for each in engine.layers}:
        assert ours_NC.shape == theirs_MC.shape, f"{layer.name}: tokens are missing"
    some = torch.linspace(0, len(ours_NC) - 1, min(len(ours_NC), _MAX_TOKENS)).long()
    return _relative(ours_NC[some], theirs_MC[_matched(ours_NC[some], theirs_MC)])


def _slope_error(
    model: nn.Module, layer: Layer, unit: int, place: int, x: Tensor, gradient: Tensor
) -> float:
    """Of the steps tried the best: a long one meets kinks, a short one loses digits."""
    direction = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    ours = float((gradient * direction).sum())
    errors = []
    for step in (1e-6, 1e-7, 1e-8):
        values = []
        for side in (step, -step):
            with torch.no_grad(), _tapped(model, [layer.name]) as outputs:
                model(x + side * direction)
            values.append(float(_by_unit(outputs[layer.name], layer)[unit, place]))
        slope = (values[0] - values[1]) / (2 * step)
        assert slope != 0, f"{layer.name}: the slope is zero: it proves nothing"
        errors.append(abs(ours - slope) / abs(slope))
    return min(errors)


def _relative(ours: Tensor, reference: Tensor) -> float:
    """Largest difference by the largest value."""
    assert ours.shape == reference.shape, f"{tuple(ours.shape)} against {tuple(reference.shape)}"
    assert bool(torch.isfinite(reference).all()), "the reference is not finite"
    largest = float(reference.abs().amax())
    assert largest > 0, "the reference is zero: it proves nothing"
    return _number(float((ours.double() - reference.double()).abs().amax()) / largest)


def _distance(ours: Tensor, reference: Tensor) -> float:
    """Length of the difference by the length of the reference."""
    assert ours.shape == reference.shape, f"{tuple(ours.shape)} against {tuple(reference.shape)}"
    assert bool(torch.isfinite(reference).all()), "the reference is not finite"
    length = float(reference.double().norm())
    assert length > 0, "the reference is zero: it proves nothing"
    return _number(float((ours.double() - reference.double()).norm()) / length)


def _number(error: float) -> float:
    """NaN of ours counts as the largest error there is."""
    return error if error == error else float("inf")
