"""Any eval-mode model to one flat graph of ATen operations, with everything constant folded.

The user's model is only read: it is called functionally on copies of its tensors, under fake
tensors, so that no hook is set, no buffer written and no arithmetic done.
"""

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch._ops import HigherOrderOperator
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
)
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from rtvis.engine.dense import dense_node, is_dense, pool_over_region
from rtvis.engine.flat import fold
from rtvis.engine.flat.graph import depends_on
from rtvis.engine.flat.spelling import canonicalise, name_operands, spell_without_writing
from rtvis.errors import NetworkError

aten = torch.ops.aten

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class FlatModel:
    """A model as one flat graph."""

    module: fx.GraphModule
    """One placeholder `x`, constants as attributes, one output: scores [B, K]. Every node that
    depends on `x` has its fake value in `meta["val"]`. With a dense output a second placeholder
    holds the weights of its pixels (`rtvis.engine.dense`)."""
    weight_names: dict[str, str]
    """Constant's attribute name -> name of the model's parameter that it was made from."""
    affines: dict[str, tuple[Tensor, Tensor]]
    """Convolution node's name -> (scale_C, shift_C) of the batch norm folded into it: the node
    computes `scale * convolution + shift`."""
    dense: fx.Node | None
    """The dense output [B, K, H, W] whose weighted sum the scores are; None where they are the
    network's own."""


class UntraceableError(NetworkError):
    """A model that cannot be made into a graph; it may run all the same."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: {reason}")
        self.reason = reason


def flatten(
    model: nn.Module,
    example_BCHW: Tensor,
    *,
    name: str = "the model",
    one_run: bool = False,
) -> FlatModel:
    """The flat graph of `model` for inputs like `example_BCHW` (shape, dtype; values unused).

    Args:
        model: In eval mode, on any device; not changed. Returns one tensor, [B, K] or
            [B, K, H, W].
        example_BCHW: Its dtype is the dtype of the graph.
        name: What to call the model in errors.
        one_run: Record what the model does for just these values, whatever else it might do for
            others: good for looking at its layers, and not for computing.

    Raises:
        UntraceableError: The model's control flow depends on the values in its tensors, it calls
            what cannot be part of a graph, or it fails on inputs of this shape.
        NetworkError: It returns something other than one such tensor, or is in training mode.
    """
    # Tensors that several modules share once: functional_call ties them.
    named = (*model.named_parameters(), *model.named_buffers())
    masters: dict[str, Tensor] = {key: value.detach() for key, value in named}
    dtype = example_BCHW.dtype
    tensors = {key: _cast(value, dtype).cpu() for key, value in masters.items()}
    example = torch.empty(example_BCHW.shape, dtype=dtype)
    if model.training:
        raise NetworkError(f"{name} is in training mode; call .eval() first")
    if one_run:
        # It computes, and so may write to its buffers.
        tensors = {key: value.clone() for key, value in tensors.items()}
        example = example_BCHW.cpu()
    graph_module = _trace(model, tensors, example, name, one_run=one_run)
    if not one_run:
        _check_sizes(graph_module.graph, name)
    output = _check_output(graph_module, example, name)
    graph = graph_module.graph
    graph.set_codegen(fx.graph.CodeGen())  # plain positional arguments, no pytrees
    names = list(tensors)
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    assert len(placeholders) == len(names) + 1, "one input for each tensor, and x"
    parameter_of = dict(zip(placeholders[:-1], names, strict=True))
    x = placeholders[-1]
    spell_without_writing(graph)
    if not one_run:
        _check_operations(graph, name)
    inputs = [x]
    if output.meta["val"].ndim == 4:
        inputs.append(pool_over_region(graph, x, output))
    canonicalise(graph)
    affines = fold.fold_batch_norms(graph_module, parameter_of, masters, dtype)
    if next(iter(graph.find_nodes(op="output"))) not in depends_on(graph, [x]):
        raise NetworkError(
            f"{name}: its scores do not depend on its input: there is nothing to explain"
        )
    weight_names = fold.fold_constants(graph_module, inputs, parameter_of, tensors)
    x.name = "x"
    graph.eliminate_dead_code()
    name_operands(graph)
    graph_module.delete_all_unused_submodules()
    graph.lint()
    graph_module.recompile()
    live = {node.name for node in graph.nodes}
    affines = {node: affine for node, affine in affines.items() if node in live}
    return FlatModel(
        module=graph_module,
        weight_names=weight_names,
        affines=affines,
        dense=dense_node(graph),
    )


def _cast(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.to(dtype) if value.is_floating_point() else value


def _trace(
    model: nn.Module, tensors: dict[str, Tensor], example: Tensor, name: str, *, one_run: bool
) -> fx.GraphModule:
    private = private_copy(model)

    def call(tensors: dict[str, Tensor], x: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(private, tensors, (x,))
        return result

    pure = torch.func.functionalize(call, remove="mutations_and_views")
    try:
        read_out = _ValuesReadOut(has_values=one_run)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), _LinearAsOneProduct(), read_out:
            if one_run:
                make = make_fx(pure, tracing_mode="real", _error_on_data_dependent_ops=False)
            else:
                # Tensors that the model keeps from an earlier run are constants.
                make = make_fx(pure, tracing_mode="fake", _allow_non_fake_inputs=True)
            graph_module: fx.GraphModule = make(tensors, example)
    except Exception as fault:  # whatever the user's code raises is reported
        text = _reason(fault)
        shape = "x".join(str(size) for size in example.shape)
        raise UntraceableError(f"{name} cannot be traced on a {shape} input", text) from fault
    return graph_module


class _LinearAsOneProduct(TorchFunctionMode):
    """Keeps a dense layer one operation.

    On tokens that do not lie one behind the other in memory (ConvNeXt's) torch multiplies and then
    adds the bias: the product alone is not the layer's output.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """What `func` returns; for a dense layer on tokens by way of rows."""
        kwargs = kwargs or {}
        x = args[0] if args else kwargs.get("input")
        if func not in {F.linear, aten.linear.default} or x is None or x.ndim < 3:
            return func(*args, **kwargs)
        kwargs = {key: value for key, value in kwargs.items() if key != "input"}
        rows = func(x.reshape(-1, x.shape[-1]), *args[1:], **kwargs)
        return rows.reshape(*x.shape[:-1], -1)


class _ValuesReadOut(TorchFunctionMode):
    """Refuses what takes values out of a tensor that has none, or gives the values that it has.

    `.item()` and `if tensor:` torch refuses itself; `.numpy()` gave whatever lay in memory.
    """

    def __init__(self, *, has_values: bool) -> None:
        super().__init__()
        self._has_values = has_values

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """What `func` returns."""
        if func in _READERS and args and torch._is_functional_tensor(args[0]):
            if not self._has_values:
                raise UntraceableError("here", _BY_VALUES)
            torch._sync(args[0])  # type: ignore[attr-defined, no-untyped-call]
            args = (torch._from_functional_tensor(args[0]), *args[1:])
        return func(*args, **(kwargs or {}))


_READERS: Final = {Tensor.numpy, Tensor.__array__, Tensor.__dlpack__, Tensor.tolist}

_BY_VALUES: Final = "its control flow depends on the values in a tensor (.item(), if tensor: ...)"

_WITHOUT_VALUES: Final = (DataDependentOutputException, DynamicOutputShapeException)
"""What torch raises where it would have to look at values."""


def _reason(fault: Exception) -> str:
    if isinstance(fault, UntraceableError):
        return fault.reason
    text = str(fault)
    is_told = "_local_scalar_dense" in text or "data-dependent" in text.lower()
    if is_told or isinstance(fault, _WITHOUT_VALUES):
        return _BY_VALUES
    return (text.strip().splitlines() or [type(fault).__name__])[0]


def private_copy(model: nn.Module) -> nn.Module:
    """The model's objects without its tensors: some keep what they computed, here fake tensors."""
    shared = {id(each): each for each in (*model.parameters(), *model.buffers())}
    try:
        return copy.deepcopy(model, shared)
    except Exception as fault:  # noqa: BLE001 - whatever an object of the user's refuses
        log.debug("traced without a copy: %s", fault)
        return model


def _check_output(graph_module: fx.GraphModule, example: Tensor, name: str) -> fx.Node:
    """The node of the one tensor that the model returns."""
    output = next(node for node in graph_module.graph.nodes if node.op == "output")
    value: Any = output.args[0]
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
        output.args = (value,)
    if not isinstance(value, fx.Node) or not isinstance(value.meta.get("val"), Tensor):
        raise NetworkError(
            f"{name} returns {type(value).__name__}, not one tensor of scores; wrap it in a "
            "module that returns the scores"
        )
    shape = tuple(value.meta["val"].shape)
    if not (len(shape) == 2 or is_dense(value.meta["val"])) or shape[0] != example.shape[0]:
        raise NetworkError(
            f"{name} returns a tensor of shape {shape}, not [batch, classes] or "
            "[batch, classes, height, width]"
        )
    return value


def _check_sizes(graph: fx.Graph, name: str) -> None:
    """Refuse branches, and tensors whose sizes depend on values, as that of `x[x > 0]`."""
    for node in graph.nodes:
        if isinstance(node.target, HigherOrderOperator):
            raise UntraceableError(name, f"it branches by torch.{node.target}")
        value: Any = node.meta.get("val")
        for each in value if isinstance(value, list | tuple) else (value,):
            sizes = each.shape if isinstance(each, Tensor) else (each,)
            if any(isinstance(size, torch.SymInt) for size in sizes):
                raise UntraceableError(name, "sizes of its tensors depend on the values in others")


def _check_operations(graph: fx.Graph, name: str) -> None:
    """Refuse what a backward pass over a graph would get wrong."""
    for node in graph.nodes:
        schema: Any = getattr(node.target, "_schema", None)
        if schema is not None and schema.is_mutable:  # an RNN in float64, for one
            raise UntraceableError(name, f"it calls {node.target}, which writes over its input")
        if node.target is aten.mkldnn_rnn_layer.default:
            raise UntraceableError(name, "it has an LSTM, whose one kernel passes no gradient")
