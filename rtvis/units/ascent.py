"""A batch of inputs on their way up: one step after the other, in the order that DVT wrote down.

A step, each picture for itself:

0. cut the picture to 0..255 (clip), or move it about and spread it (robust)
1. run the network on it, or on a view of it (jitter, rotation, zoom)
2. take down the value, which neuron leads its layer, norms; keep the best, the first that leads
3. the gradient, or that of a deconvnet (redirect); where it is exactly zero, this picture is done
4. how far to go (policy)
5. not after the last run: x += step; x *= 1 - decay; blur; zero small values; small norms; small
   benefits; benefits of small magnitude; grey
"""

import math
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from rtvis.data import Rule
from rtvis.engine.engine import Engine
from rtvis.engine.turn.reached import Gradients
from rtvis.errors import RtvisError
from rtvis.threads import cpu_threads
from rtvis.units import regularise
from rtvis.units.chance import Chance, Draw
from rtvis.units.parameters import Fourier, Parameters, Pixels
from rtvis.units.recipe import Recipe, StartKind
from rtvis.units.steps import Adam, step_lengths
from rtvis.units.targets import Targets, resolve_targets
from rtvis.units.trace import Moment, Run, Trace, leader

Start: TypeAlias = StartKind | Tensor
"""Where a picture begins: "noise", "uniform" (any value), "mean" (the network's mean colour), or
preprocessed pictures [1 or B, C, H, W] as `Engine.preprocess` gives them for a frame, and
`Optimized.x_CHW` holds one."""


class Ascent:
    """Optimises one picture for each of some targets. Owned by the engine's thread.

    Nothing waits for the device before `results`.

    Args:
        engine: Whose network is meant; a batch of its `batch_size` runs in its compiled form.
        targets: One picture each.
        recipe: How.
        start: Where to begin; None: as the recipe says.
        seed: Of the random numbers.

    Raises:
        SelectionError: The network has no such target.
        RtvisError: The start is not of the network's size.
    """

    def __init__(
        self,
        engine: Engine,
        targets: Targets,
        recipe: Recipe,
        *,
        start: Start | None = None,
        seed: int = 0,
    ) -> None:
        self.recipe, self.targets, self.seed = recipe, targets, seed
        self._engine = engine
        self.layer, self.position = resolve_targets(engine, targets, recipe.objective)
        prep, device = engine.preprocessing, engine.device
        self.preprocessing = prep
        self._pixels = Pixels(prep, in_bytes=recipe.space == "bytes", device=device)
        is_pixels = recipe.parametrisation == "pixels"
        self._parameters: Parameters = self._pixels
        if not is_pixels:
            self._parameters = Fourier(prep, device=device, steepness=recipe.steepness)
        batch = len(targets.units)
        self._unit_B = torch.tensor(targets.units, device=device)
        self._position_B2 = torch.tensor([self.position] * batch, device=device)
        self._chance = Chance(seed, targets.units, recipe.iterations, device)
        self.start_kind = "picture" if isinstance(start, Tensor) else (start or recipe.start)
        with torch.no_grad(), cpu_threads(1):
            self._z = self._begin(recipe.start if start is None else start)
            self._z0 = self._z
            x_BCHW = self._parameters.decode(self._z)
        self._trace = Trace(self._to_input_size(x_BCHW), recipe.sign)
        self._adam = Adam(self._z, recipe.lr) if recipe.policy == "adam" else None
        self._is_running_B = torch.ones(batch, dtype=torch.bool, device=device)
        self._sizes = dict(recipe.sizes)
        self._jitter = min(recipe.jitter, *(each / 2 for each in self.layer.stride))
        self.value_B = torch.full((batch,), math.nan, device=device)
        """The objective at the last run."""

    def __len__(self) -> int:
        """Pictures."""
        return len(self.targets.units)

    @property
    def iteration(self) -> int:
        """Runs so far."""
        return len(self._trace)

    @property
    def is_done(self) -> bool:
        """Whether all runs are made."""
        return self.iteration >= self.recipe.iterations

    def step(self) -> None:
        """Make one run of the network and the step behind it."""
        assert not self.is_done, "all runs are made"
        with torch.no_grad(), cpu_threads(1):
            self._prepare()
            grad = self._run()
            if not self.is_done:
                self._climb(grad)

    def _begin(self, start: Start) -> Tensor:
        """The parameters at first."""
        channels, batch = self._engine.preprocessing.num_channels, len(self)
        size = self._size_at(0)
        if isinstance(start, Tensor):
            wanted = (channels, *self._engine.input_size)
            if tuple(start.shape[1:]) != wanted or start.shape[0] not in {1, batch}:
                raise RtvisError(
                    f"a start of shape {tuple(start.shape)} is not [1 or {batch}, "
                    f"{', '.join(map(str, wanted))}], the network's input"
                )
            x_BCHW = start.to(self._engine.device).float().expand(batch, -1, -1, -1)
            if size != self._engine.input_size:
                x_BCHW = F.interpolate(x_BCHW, size, mode="bilinear", antialias=True)
            return self._parameters.encode(x_BCHW).contiguous()
        shape = (channels, *size)
        if start == "mean":
            at_mean = torch.zeros(batch, *shape, device=self._engine.device)
            return self._parameters.encode(at_mean)
        if start == "uniform":
            share_BCHW = self._pixels.uniform(self._chance.uniform(shape))
            return self._parameters.encode(self._pixels.decode(share_BCHW))
        return self._parameters.start(self._chance.normal(shape), self.recipe.start_sd)

    def _size_at(self, iteration: int) -> tuple[int, int]:
        """(height, width) of the picture's pixels from an iteration on."""
        side = dict(self.recipe.sizes).get(iteration)
        height, width = self._engine.input_size
        if side is None or side >= min(height, width):
            return height, width
        scale = side / min(height, width)
        return round(height * scale), round(width * scale)

    def _to_input_size(self, x_BCHW: Tensor) -> Tensor:
        if x_BCHW.shape[2:] == self._engine.input_size:
            return x_BCHW
        return F.interpolate(x_BCHW, self._engine.input_size, mode="bilinear")

    def _prepare(self) -> None:
        """What is done to a picture before its run."""
        recipe, at = self.recipe, self.iteration
        if at and at in self._sizes:
            size = self._size_at(at)
            self._z, self._z0 = (
                F.interpolate(z, size, mode="bilinear") for z in (self._z, self._z0)
            )
            self._adam = Adam(self._z, recipe.lr) if self._adam is not None else None
        if recipe.clip:
            self._z = self._z.clamp(self._pixels.low_C11, self._pixels.high_C11)
        if recipe.robust and not self._is_plain:
            moved = self._moved_about(self._z)
            self._z = torch.where(self._is_running_B[:, None, None, None], moved, self._z)

    @property
    def _is_plain(self) -> bool:
        """Whether nothing is moved about any more."""
        return self.iteration >= self.recipe.iterations - self.recipe.plain_last

    def _moved_about(self, z_BCHW: Tensor) -> Tensor:
        recipe, chances, at = self.recipe, self._chance, self.iteration
        height, width = z_BCHW.shape[2:]
        border = 2 * recipe.robust_roll
        z_BCHW = F.pad(z_BCHW, [border] * 4, mode="replicate")
        one_B = torch.ones(len(self), device=z_BCHW.device)
        if recipe.robust_rotate_chance:
            turns_B = chances.share(at, Draw.ROTATE) < recipe.robust_rotate_chance
            limit = math.radians(recipe.robust_degrees)
            angle_B = turns_B * chances.between(at, Draw.ANGLE, limit)
            z_BCHW = regularise.warped(z_BCHW, angle_B=angle_B, zoom_B=one_B, mode="nearest")
        if recipe.robust_scale_chance:
            scales_B = chances.share(at, Draw.SCALE) < recipe.robust_scale_chance
            zoom_B = 1 + scales_B * chances.share(at, Draw.ZOOM) * recipe.robust_scale
            z_BCHW = regularise.warped(z_BCHW, angle_B=0 * one_B, zoom_B=zoom_B)
        if recipe.robust_blur:
            # Five pixels wide, however wide the Gaussian is.
            z_BCHW = regularise.gaussian_blur(
                z_BCHW, recipe.robust_blur, truncate=2 / recipe.robust_blur
            )
        z_BCHW = z_BCHW[:, :, border : border + height, border : border + width]
        if recipe.robust_roll_chance:
            rolls_B = chances.share(at, Draw.ROLL) < recipe.robust_roll_chance
            by = [
                rolls_B * chances.whole(at, what, recipe.robust_roll)
                for what in (Draw.DOWN, Draw.RIGHT)
            ]
            z_BCHW = regularise.rolled(z_BCHW, by[0], by[1])
        return regularise.spread(z_BCHW, recipe.robust_spread)

    def _view(self, x_BCHW: Tensor) -> Tensor:
        """What the network sees of the pictures; differentiable."""
        recipe, chances, at = self.recipe, self._chance, self.iteration
        if not recipe.sees_views or self._is_plain:
            return x_BCHW
        if not (recipe.rotation or recipe.zoom):
            limit = math.floor(self._jitter)
            by = [chances.whole(at, what, limit) for what in (Draw.DOWN, Draw.RIGHT)]
            return regularise.rolled(x_BCHW, by[0], by[1])
        by = [chances.between(at, what, self._jitter) for what in (Draw.DOWN, Draw.RIGHT)]
        return regularise.warped(
            x_BCHW,
            angle_B=chances.between(at, Draw.ANGLE, math.radians(recipe.rotation)),
            zoom_B=1 + chances.between(at, Draw.ZOOM, recipe.zoom),
            shift_B2=torch.stack(by, dim=1),
        )

    def _run(self) -> Tensor:
        """Run the network and take it down; returns the gradient of what is maximised."""
        recipe = self.recipe
        with torch.enable_grad():
            z = self._z.detach().requires_grad_()
            x_BCHW = self._to_input_size(self._parameters.decode(z))
            view_BCHW = self._view(x_BCHW)
        found = self._gradients(view_BCHW.detach(), "gradient")
        grad_BCHW = found.grad_BCHW
        if self.iteration < recipe.redirect:
            grad_BCHW = self._redirected(view_BCHW.detach(), grad_BCHW)
        (grad,) = torch.autograd.grad(view_BCHW, z, grad_BCHW.float() * recipe.sign)
        self.value_B = found.value_B
        row, column = self.position
        neuron = row * self.layer.map_size[1] + column
        run = Run(
            value_B=found.value_B,
            leader=leader(found.maps_BCHW, recipe.objective, self._unit_B, neuron, recipe.sign),
            norm_B=self._z.flatten(1).norm(dim=1),
            distance_B=(self._z - self._z0).flatten(1).norm(dim=1),
            std_B=self._z.flatten(1).std(dim=1, correction=0),
        )
        self._trace.add(run, x_BCHW.detach(), self._is_running_B)
        return grad

    def _gradients(self, view_BCHW: Tensor, rule: Rule) -> Gradients:
        return self._engine.neuron_gradients(
            view_BCHW,
            layer=self.layer.name,
            unit_B=self._unit_B,
            position_B2=self._position_B2,
            objective=self.recipe.objective,
            rule=rule,
        )

    def _redirected(self, view_BCHW: Tensor, grad_BCHW: Tensor) -> Tensor:
        """The gradient, and that of a deconvnet for pictures that have none."""
        has_none_B = ~grad_BCHW.flatten(1).any(dim=1)
        if has_none_B.device.type == "cpu" and not has_none_B.any():
            return grad_BCHW  # a GPU would have to be waited for: there both are always computed
        other_BCHW = self._gradients(view_BCHW, "deconvnet").grad_BCHW
        return torch.where(has_none_B[:, None, None, None], other_BCHW, grad_BCHW)

    def _climb(self, grad: Tensor) -> None:
        """The step behind a run."""
        recipe = self.recipe
        is_number_B = grad.flatten(1).isfinite().all(dim=1) & self.value_B.isfinite()
        is_zero_B = is_number_B & ~grad.flatten(1).any(dim=1)
        self._stop(is_zero_B)
        goes_B = is_number_B & ~is_zero_B & self._is_running_B
        goes = goes_B.view(-1, *[1] * (grad.ndim - 1))
        grad = torch.where(goes, grad, 0.0)
        if recipe.total_variation:
            slope = regularise.total_variation_gradient(self._z)
            grad = grad - recipe.total_variation * slope
        if self._adam is not None:
            step = self._adam.step(grad)
            self._adam.forget(~is_number_B)
        else:
            length_B = step_lengths(grad, self.value_B, recipe)
            step = length_B.view(-1, *[1] * (grad.ndim - 1)) * grad
        z = self._z + step
        if recipe.parametrisation == "pixels":
            z = self._regularised(z, grad)
        self._z = torch.where(goes, z, self._z)
        again_B = ~is_number_B & self._is_running_B
        self._trace.num_resets_B = self._trace.num_resets_B + again_B
        self._z = torch.where(again_B.view(goes.shape), self._z0, self._z)

    def _stop(self, is_zero_B: Tensor) -> None:
        """No step leads out of a flat place, unless chance does."""
        if self.recipe.sees_views or self.recipe.robust:
            return
        trace = self._trace
        stops_B = is_zero_B & self._is_running_B
        trace.stopped_B = torch.where(stops_B, self.iteration - 1, trace.stopped_B)
        self._is_running_B = self._is_running_B & ~stops_B

    def _regularised(self, z_BCHW: Tensor, grad_BCHW: Tensor) -> Tensor:
        """What is done to pixels after a step; the order matters."""
        recipe, ended = self.recipe, self.iteration - 1
        z_BCHW = z_BCHW * (1 - recipe.decay)
        if recipe.blur_every and recipe.blur_radius and ended % recipe.blur_every == 0:
            z_BCHW = regularise.gaussian_blur(z_BCHW, recipe.blur_radius)
        if recipe.small_val_percentile:
            z_BCHW = regularise.zero_small_values(z_BCHW, recipe.small_val_percentile)
        if recipe.small_norm_percentile:
            z_BCHW = regularise.zero_small_norms(z_BCHW, recipe.small_norm_percentile)
        benefits = {False: recipe.px_benefit_percentile, True: recipe.px_abs_benefit_percentile}
        for by_magnitude, percentile in benefits.items():
            if percentile:
                z_BCHW = regularise.zero_small_benefits(
                    z_BCHW, grad_BCHW, percentile, by_magnitude=by_magnitude
                )
        if recipe.grey:
            z_BCHW = z_BCHW.mean(dim=1, keepdim=True).expand_as(z_BCHW)
        return z_BCHW

    def inputs(self) -> Tensor:
        """The pictures as they are now, as the network's input."""
        with torch.no_grad(), cpu_threads(1):
            return self._to_input_size(self._parameters.decode(self._z))

    def moments(self) -> dict[str, Moment]:
        """The pictures that are kept: of the best value, of the last run, of the first lead."""
        trace = self._trace
        return {"best": trace.best, "last": trace.last, "majority": trace.majority}

    def record(self, index: int) -> dict[str, Any]:
        """What is known of one picture, as JSON has it. Waits for the device."""
        return self._trace.plain(index, self.layer.map_size, self.recipe.objective)
