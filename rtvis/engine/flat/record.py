"""A tensor function to a graph of ATen operations, on tensors without numbers.

`make_fx` on fake tensors does the same and more (symbolic shapes, decompositions, functionalising),
at 0.6 to 1 ms an operation, and a network's backward pieces have thousands: that was most of the
time of a start. Here an operation takes 0.1 ms.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten

_META = torch.device("meta")
_CONSTANTS = {aten.lift_fresh.default, aten.lift_fresh_copy.default}


def record(call: Callable[..., Sequence[Tensor]], examples: Sequence[Tensor]) -> fx.GraphModule:
    """The graph of `call(*examples)`, a list of tensors, for tensors like these on the CPU.

    Args:
        call: Reads no numbers, and changes nothing that it is given.
        examples: Of any kind: shapes, strides and dtypes are used.

    Returns:
        One placeholder for each example. Tensors that `call` makes of plain numbers are buffers.
    """
    recorder = _Recorder()
    inputs = [recorder.placeholder(example) for example in examples]
    with torch.autograd.set_multithreading_enabled(False), recorder:
        outputs = call(*inputs)
    recorder.graph.output([recorder.node_of(each) for each in outputs])
    return fx.GraphModule(recorder.constants, recorder.graph)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Writes down every operation that autograd has not taken apart."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.graph = fx.Graph()
        self.constants = torch.nn.Module()
        self._nodes: dict[int, fx.Node] = {}
        # No tensor may go while its identity stands for a node.
        self._kept: list[Tensor] = []

    def placeholder(self, example: Tensor) -> Tensor:
        """An input, as the function gets it."""
        value = torch.empty_strided(
            example.shape, example.stride(), dtype=example.dtype, device=_META
        )
        return self._is(value, self.graph.placeholder(f"input_{len(self._kept)}"))

    def node_of(self, value: Tensor) -> fx.Node:
        """The node that computes a tensor."""
        node = self._nodes.get(id(value))
        assert node is not None, f"a tensor that was made elsewhere: {value}"
        return node

    def _is(self, value: Tensor, node: fx.Node) -> Tensor:
        self._nodes[id(value)] = node
        self._kept.append(value)
        node.meta["val"] = value
        return value

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """What `func` returns, and its node in the graph."""
        kwargs = kwargs or {}
        if func in _CONSTANTS and args[0].device != _META:
            return self._constant(args[0])
        if "device" in kwargs:  # of something new
            kwargs = {**kwargs, "device": _META}
        result = func(*args, **kwargs)
        if "device" in kwargs:
            kwargs = {**kwargs, "device": torch.device("cpu")}
        node = self.graph.call_function(func, self._written(args), self._written(kwargs))
        if isinstance(result, Tensor):
            return self._is(result, node)
        if isinstance(result, list | tuple):
            for index, each in enumerate(result):
                if isinstance(each, Tensor):
                    part = self.graph.call_function(operator.getitem, (node, index))
                    self._is(each, part)
        node.meta["val"] = result
        return result

    def _constant(self, value: Tensor) -> Tensor:
        name = f"number_{len(self._kept)}"
        self.constants.register_buffer(name, value.clone())
        return self._is(value.to(_META), self.graph.get_attr(name))

    def _written(self, argument: Any) -> Any:
        """An argument with nodes for tensors."""
        if isinstance(argument, Tensor):
            return self.node_of(argument)
        if isinstance(argument, list | tuple):
            return type(argument)(map(self._written, argument))
        if isinstance(argument, dict):
            return {key: self._written(value) for key, value in argument.items()}
        return argument
