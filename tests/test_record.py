"""A function recorded on tensors without numbers computes what it computes."""

import torch
from torch import Tensor

from rtvis.engine.flat.record import record


def test_a_recorded_function_gives_its_own_results_for_other_numbers() -> None:
    def call(x: Tensor, y: Tensor) -> list[Tensor]:
        picked = x.index_select(1, torch.tensor([2, 0]))
        best, where = picked.max(dim=1)
        chosen = torch.arange(3, device=x.device) == where[:, None]
        return [torch.where(chosen, y, 0.5), best * 2, x]

    graph = record(call, [torch.empty(2, 3), torch.empty(2, 3)])
    x, y = torch.tensor([[1.0, 9.0, 4.0], [7.0, 0.0, -1.0]]), torch.ones(2, 3)
    chosen, twice, same = graph(x, y)
    assert chosen.tolist() == [[1.0, 0.5, 0.5], [0.5, 1.0, 0.5]]
    assert twice.tolist() == [8.0, 14.0]
    assert same is x


def test_autograds_own_formulas_are_recorded() -> None:
    def call(x: Tensor, g: Tensor) -> list[Tensor]:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            (grad,) = torch.autograd.grad(leaf.sin() * leaf, leaf, g)
        return [grad.detach()]

    graph = record(call, [torch.empty(3), torch.empty(3)])
    x, g = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([1.0, 2.0, 3.0])
    assert torch.allclose(graph(x, g)[0], g * (x.cos() * x + x.sin()))


def test_recorded_constants_are_on_the_cpu_and_everything_is_made_there() -> None:
    graph = record(lambda x: [x + torch.arange(2, device=x.device)], [torch.empty(2)])
    (made,) = (node for node in graph.graph.nodes if node.target is torch.ops.aten.arange.default)
    assert made.kwargs["device"] == torch.device("cpu")
    assert graph(torch.ones(2))[0].tolist() == [1.0, 2.0]
