"""How far a step goes: the policies of the Deep Visualization Toolbox and of DV, and Adam.

With g the gradient of the objective and s its value (all of one picture)::

    constant      lr
    progress      min(max_lr, desired / ||g||^2)
    progress01    the same with desired = min(early, late * (1 - s)), for a share that ends at 1
    l2            lr / (||g|| + 1e-6)
    rms           lr / (sqrt(mean g^2) + 1e-6)
    adam          per value, Kingma and Ba 2015 with their betas
"""

import torch
from torch import Tensor

from rtvis.units.recipe import Recipe

_TINY = 1e-6
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


def step_lengths(grad: Tensor, value_B: Tensor, recipe: Recipe) -> Tensor:
    """[B]: what each picture's gradient is multiplied by; for any policy but Adam.

    Args:
        grad: Gradient of what is maximised, [B, ...].
        value_B: The objective.
        recipe: Its policy.
    """
    squares_B = grad.square().flatten(1).sum(dim=1)
    match recipe.policy:
        case "constant":
            return torch.full_like(squares_B, recipe.lr)
        case "progress":
            return (recipe.desired_progress / squares_B).clamp(max=recipe.max_lr)
        case "progress01":
            left_B = 1 - value_B if recipe.sign > 0 else value_B
            desired_B = (recipe.late_progress * left_B).clamp(max=recipe.early_progress)
            return (desired_B / squares_B).clamp(max=recipe.max_lr)
        case "l2":
            return recipe.lr / (squares_B.sqrt() + _TINY)
        case "rms":
            return recipe.lr / ((squares_B / grad[0].numel()).sqrt() + _TINY)
        case _:
            raise AssertionError(f"{recipe.policy} has no one length")


class Adam:
    """Steps of Adam for a batch of which any picture may begin anew.

    Args:
        like: The parameters.
        lr: Of a step.
    """

    def __init__(self, like: Tensor, lr: float) -> None:
        self._lr = lr
        self._mean, self._square = torch.zeros_like(like), torch.zeros_like(like)
        self._count_B = torch.zeros(len(like), device=like.device)

    def step(self, grad: Tensor) -> Tensor:
        """What to add to the parameters to go up."""
        self._count_B = self._count_B + 1
        self._mean = torch.lerp(self._mean, grad, 1 - _BETA1)
        self._square = torch.lerp(self._square, grad.square(), 1 - _BETA2)
        shape = (-1, *[1] * (grad.ndim - 1))
        seen1 = (1 - _BETA1**self._count_B).view(shape)
        seen2 = (1 - _BETA2**self._count_B).view(shape)
        step: Tensor = self._lr * (self._mean / seen1) / ((self._square / seen2).sqrt() + _EPSILON)
        return step

    def forget(self, chosen_B: Tensor) -> None:
        """Begin anew for some pictures."""
        chosen = chosen_B.view(-1, *[1] * (self._mean.ndim - 1))
        self._mean = torch.where(chosen, 0.0, self._mean)
        self._square = torch.where(chosen, 0.0, self._square)
        self._count_B = torch.where(chosen_B, 0.0, self._count_B)
