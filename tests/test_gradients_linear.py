"""Gradients of what moves elements and of matrix products, against plain autograd."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rtvis.data import Selection
from rtvis.engine.flat.vjps_linear import LINEAR_VJPS
from tests.nets import engine_of

aten = torch.ops.aten

MOVES: dict[str, Callable[[Tensor], Tensor]] = {
    "permuted, negative axes": lambda x: x.permute(-1, 0, -2, 1).permute(1, 3, 2, 0),
    "one axis taken out of its middle": lambda x: torch.cat((x[:, 2:5:2], x[:, 1:3]), dim=1),
    "from the end": lambda x: torch.cat((x[..., -3:], x[..., :-3]), dim=-1) * 2,
    "one row of it": lambda x: x - x[:, :, -1].unsqueeze(2),
    "repeated": lambda x: x * x[:, :1].expand(-1, 4, -1, -1),
    "the same twice": lambda x: torch.cat((x, x), dim=1)[:, 1:5],
    "beside a constant": lambda x: torch.cat((torch.ones(1, 4, 6, 1), x), dim=3)[..., 1:],
    "times itself": lambda x: torch.bmm(x[0], x[0].transpose(1, 2))[None],
    "rows times columns": lambda x: (x[0, 0] @ x[0, 1].t() @ x[0, 2])[None, None].expand(
        1, 4, 6, 6
    ),
    "a product and a sum": lambda x: torch.addmm(x[0, 0], x[0, 1], x[0, 2], beta=0.5)[
        None, None
    ].expand(1, 4, 6, 6),
    "a sum that is spread": lambda x: torch.addmm(x[0, 0, 0], x[0, 1], x[0, 2])[None, None].expand(
        1, 4, 6, 6
    ),
    "in other rows": lambda x: x.reshape(1, 2, 12, 6).transpose(2, 3).reshape(1, 4, 6, 6),
    "one unit without its axes": lambda x: (
        x * x[:, :1].squeeze().sin() * x[:, 1:2].squeeze(1)[None]
    ),
    # Torch's own code adds the epsilon in place.
    "by its root mean square": lambda x: F.rms_norm(x, (6,), eps=0.1),
    "less its mean": lambda x: x - x.mean((1, -1), keepdim=True) - x.mean(2).unsqueeze(2),
}


class Moving(nn.Module):
    """A convolution, a move, a convolution."""

    def __init__(self, move: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 5, 1) if move(torch.ones(1, 4, 6, 6)).shape[1] == 4 else None
        self.move = move

    def forward(self, x: Tensor) -> Tensor:
        moved = self.move(self.first(x))
        moved = moved if self.second is None else self.second(moved)
        return (moved * moved).mean((2, 3))


@pytest.mark.parametrize("name", MOVES)
def test_the_gradient_of_a_move_is_autograds(name: str) -> None:
    torch.manual_seed(0)
    model = Moving(MOVES[name]).double().eval().requires_grad_(False)
    x = torch.randn(1, 3, 8, 8, dtype=torch.float64)
    engine = engine_of(model, 8, dtype="float64")
    assert engine.compile_note == "", "it is traced"
    selection = Selection(layer="first", cam_layer="first", cam="hirescam", class_index=1)
    found = engine.run(x, selection)
    kept: list[Tensor] = []
    handle = model.first.register_forward_hook(lambda _m, _i, output: kept.append(output))
    with torch.enable_grad():
        scores = model(x.requires_grad_())
    handle.remove()
    (grads,) = torch.autograd.grad(scores[0, 1], kept[0])
    wanted = (kept[0] * grads).sum(1).relu()
    assert wanted.any()
    assert torch.allclose(found.cam_BHW, wanted, rtol=1e-9, atol=1e-12)


def test_all_written_out_rules_are_met_by_these_moves() -> None:
    """So that none of them is trusted untried."""
    met: set[object] = set()
    for move in MOVES.values():
        engine = engine_of(Moving(move).eval().requires_grad_(False), 8)
        module = engine._steps.of(1).pieces.forward.module
        met |= {node.target for node in module.graph.nodes}
    untried = LINEAR_VJPS.keys() - met
    assert untried <= {aten.squeeze.dims}, "torch itself writes another spelling of it"
