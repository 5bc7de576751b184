"""What the engine is compared with: the same quantities by other means.

`reference_*` runs the user's own model with forward hooks and autograd, with every ReLU, ReLU6,
hardtanh and lower clamp replaced by an `autograd.Function` that knows the rule, however the model
spells it. `captum_*` and `peer_cam` ask captum and pytorch-grad-cam. None of it shares a line with
the engine.
"""

import copy
import functools
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Rule = Literal["gradient", "guided", "deconvnet"]
Seed = Literal["max", "map", "activation"]


class RuledClip(torch.autograd.Function):
    """clamp(x, low, high) with a rule for the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float, rule: Rule) -> Tensor:
        ctx.save_for_backward(x)
        ctx.low, ctx.high, ctx.rule = low, high, rule
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        passed = g
        if ctx.rule != "deconvnet":
            passed = passed * ((x > ctx.low) & (x < ctx.high))
        if ctx.rule != "gradient":
            passed = passed * (passed > 0)
        return passed, None, None, None


_RELU = {
    F.relu,
    F.relu_,
    torch.relu,
    torch.relu_,
    Tensor.relu,
    Tensor.relu_,
}
_RELU6 = {F.relu6, torch._C._nn.relu6, torch._C._nn.relu6_}
_HARDTANH = {F.hardtanh, F.hardtanh_, torch._C._nn.hardtanh, torch._C._nn.hardtanh_}
_CLAMP = {
    torch.clamp,
    torch.clamp_,
    torch.clip,
    Tensor.clamp,
    Tensor.clamp_,
    Tensor.clip,
    torch.clamp_min,
    Tensor.clamp_min,
    Tensor.clamp_min_,
}


class RuledActivations(TorchFunctionMode):
    """While it is entered, ReLU and its relatives pass gradients back by a rule."""

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule
        self.num_seen = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        limits = _limits(func, args, kwargs)
        if limits is None:
            return func(*args, **kwargs)
        self.num_seen += 1
        x = args[0] if args else kwargs["input"]
        return RuledClip.apply(x, *limits, self.rule)


def _limits(func: Callable[..., Any], args: Any, kwargs: Any) -> tuple[float, float] | None:
    """(low, high) of an activation, or None where `func` is something else."""
    if func in _RELU:
        return 0.0, math.inf
    if func in _RELU6:
        return 0.0, 6.0
    if func in _HARDTANH:
        given = [*args[1:3], *(kwargs[k] for k in ("min_val", "max_val") if k in kwargs)]
        return tuple(given) if given else (-1.0, 1.0)  # type: ignore[return-value]
    if func in _CLAMP:
        low = args[1] if len(args) > 1 else kwargs.get("min")
        high = args[2] if len(args) > 2 else kwargs.get("max")
        if isinstance(low, int | float) and low == 0:
            return 0.0, math.inf if high is None else float(high)
    return None


@contextmanager
def tapped(model: nn.Module, layer: str) -> Iterator[list[Tensor]]:
    """Collects the outputs of the module `layer`; the n-th use of a module is `layer#n`."""
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        outputs.append(output)
        # What follows may work in place; it gets a copy of its own.
        return output.clone()

    handle = model.get_submodule(layer.partition("#")[0]).register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()


def as_maps(output: Tensor) -> Tensor:
    """A layer's output as BCHW; dense layers on flat features have one position."""
    return output if output.ndim == 4 else output[:, :, None, None]


def _forward(model: nn.Module, x: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """(scores_BK, maps_BCHW) with a graph behind them."""
    use = int(layer.partition("#")[2] or 1)
    with tapped(model, layer) as outputs:
        scores = model(x)
    return scores, outputs[use - 1]


def reference_maps(model: nn.Module, x: Tensor, layer: str) -> tuple[Tensor, Tensor]:
    """(scores_BK, maps_BCHW) of a layer."""
    with torch.no_grad():
        scores, output = _forward(model, x, layer)
    return scores, as_maps(output)


UNIT_SEEDS: tuple[Seed, ...] = get_args(Seed)
"""Those that start at a unit; that of classes is in test_class_scores.py."""


def seed_value(
    maps_BCHW: Tensor, unit: int, *, seed: Seed = "max", position: tuple[int, int] | None = None
) -> Tensor:
    """[B]: the number whose gradient a selection asks for."""
    map_BHW = maps_BCHW[:, unit]
    if position is not None:
        return map_BHW[:, position[0], position[1]]
    if seed == "map":
        return map_BHW.sum(dim=(1, 2))
    if seed == "activation":
        return (map_BHW * map_BHW.detach()).sum(dim=(1, 2))
    flat_BS = map_BHW.flatten(1)
    return flat_BS.gather(1, flat_BS.argmax(dim=1, keepdim=True)).squeeze(1)


def reference_backprop(
    model: nn.Module,
    x: Tensor,
    layer: str,
    unit: int,
    *,
    rule: Rule,
    seed: Seed = "max",
    position: tuple[int, int] | None = None,
) -> Tensor:
    """The backward picture [B, 3, H, W] by autograd with ruled activations."""
    x = x.detach().clone().requires_grad_()
    with RuledActivations(rule) as mode:
        _scores, output = _forward(model, x, layer)
    value_B = seed_value(as_maps(output), unit, seed=seed, position=position)
    (grad,) = torch.autograd.grad(value_B.sum(), x)
    assert mode.num_seen > 0, "the model has no activation that the reference knows"
    return grad


def reference_cam_inputs(
    model: nn.Module, x: Tensor, layer: str, class_index: int
) -> tuple[Tensor, Tensor]:
    """(maps_BCHW, plain gradient of the class score at them)."""
    x = x.detach().clone().requires_grad_()
    scores, output = _forward(model, x, layer)
    (grads,) = torch.autograd.grad(scores[:, class_index].sum(), output)
    return as_maps(output.detach()), as_maps(grads)


@functools.lru_cache(maxsize=1)
def _not_in_place(model: nn.Module) -> nn.Module:
    """A copy for the peers, whose hooks do not survive ReLUs that work in place."""
    private = copy.deepcopy(model)
    for module in private.modules():
        if isinstance(module, nn.ReLU | nn.ReLU6):
            module.inplace = False
    return private


class _UnitOf(nn.Module):
    """The seed of one unit as the model's only output, which is what captum wants."""

    def __init__(self, model: nn.Module, layer: str, unit: int, seed: Seed) -> None:
        super().__init__()
        self.model, self.layer, self.unit, self.seed = model, layer, unit, seed

    def forward(self, x: Tensor) -> Tensor:
        _scores, output = _forward(self.model, x, self.layer)
        return seed_value(as_maps(output), self.unit, seed=self.seed)[:, None]


def captum_backprop(
    model: nn.Module, x: Tensor, layer: str, unit: int, *, rule: Rule, seed: Seed = "max"
) -> Tensor:
    """The same by captum, which knows `nn.ReLU` modules only, and those not in place."""
    from captum.attr import Deconvolution, GuidedBackprop, Saliency

    wrapped = _UnitOf(_not_in_place(model), layer, unit, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says each time that it sets hooks
        x = x.detach().clone().requires_grad_()
        if rule == "gradient":
            return Saliency(wrapped).attribute(x, target=0, abs=False).detach()
        kind = GuidedBackprop if rule == "guided" else Deconvolution
        return kind(wrapped).attribute(x, target=0).detach()


def peer_cam(model: nn.Module, x: Tensor, layer: str, class_index: int, method: str) -> Tensor:
    """pytorch-grad-cam's map [B, H, W] of a layer, before it scales it (which it does twice)."""
    import pytorch_grad_cam as peer
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    kinds = {
        "grad-cam": peer.GradCAM,
        "grad-cam++": peer.GradCAMPlusPlus,
        "layercam": peer.LayerCAM,
        "hirescam": peer.HiResCAM,
    }
    private = _not_in_place(model)
    target_layer = private.get_submodule(layer)
    targets = [ClassifierOutputTarget(class_index)] * x.shape[0]
    with kinds[method](model=private, target_layers=[target_layer]) as cam:
        # It takes gradients with respect to its input only where that asks for them.
        scores = cam.activations_and_grads(x.detach().clone().requires_grad_())
        sum(t(s) for t, s in zip(targets, scores, strict=True)).backward()
        taps = cam.activations_and_grads
        maps, grads = taps.activations[0].detach().numpy(), taps.gradients[0].numpy()
        image = cam.get_cam_image(x, target_layer, targets, maps, grads, False)
    return torch.from_numpy(image).relu()


def relative_error(ours: Tensor, reference: Tensor) -> float:
    """Largest difference over the reference's largest value.

    Refuses a reference that is zero, NaN or inf somewhere it must not be: a "difference of 0.0"
    between two zeros proves nothing.
    """
    assert ours.shape == reference.shape, f"{tuple(ours.shape)} against {tuple(reference.shape)}"
    assert torch.isfinite(reference).all(), "the reference is not finite"
    assert torch.isfinite(ours).all(), "our result is not finite"
    largest_B = reference.flatten(1).abs().amax(dim=1).double()
    assert (largest_B > 0).all(), "the reference is zero: it proves nothing"
    error_B = (ours.double() - reference.double()).flatten(1).abs().amax(dim=1)
    return float((error_B / largest_B).max())


def fingerprint(model: nn.Module) -> list[object]:
    """All that a careless visitor could leave changed, bit by bit."""
    found: list[object] = []
    tensors = [*model.named_parameters(), *model.named_buffers()]
    for name, tensor in tensors:
        found.append((name, id(tensor), tensor.data_ptr(), tensor.stride(), tensor.requires_grad))
        found.append((tensor.grad is None, tensor.dtype, tensor._version))
        found.append(hash(tensor.detach().contiguous().numpy().tobytes()))
    for name, module in model.named_modules():
        hooks = [key for key in vars(module) if key.endswith("_hooks")]
        found.append((name, id(module), type(module), module.training))
        found.append([(key, len(vars(module)[key])) for key in hooks if vars(module)[key]])
        found.append(sorted(key for key in vars(module) if not key.startswith("_")))
    return found


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """A grouped float64 convolution wakes the other threads once per group: 50 times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
