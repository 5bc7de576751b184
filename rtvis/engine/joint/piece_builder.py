"""Pieces of a flat model's step, each traced over fake values of the nodes between two cuts."""

from collections.abc import Callable

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensorMode

from rtvis.engine.flat import fold
from rtvis.engine.flat.record import record
from rtvis.engine.flat.trace import FlatModel
from rtvis.engine.flat.vjps import Env, Thresholds
from rtvis.engine.joint.backward import Seeds, walk_down
from rtvis.engine.joint.pieces import Piece, Sizes
from rtvis.engine.layers.site import Site

aten = torch.ops.aten

SEED_INPUTS = ("site_B", "unit_BU", "map_BS", "gain_BT", "tx", "tg")


def propagate(module: fx.GraphModule, mode: FakeTensorMode) -> None:
    """Give every node a fake value with the strides that it has under channels_last."""
    values: Env = {}
    with mode, torch.no_grad():
        for node in module.graph.nodes:
            if node.op == "placeholder":
                old = node.meta["val"]
                layout = torch.channels_last if old.ndim == 4 else torch.contiguous_format
                values[node] = torch.empty(old.shape, dtype=old.dtype, memory_format=layout)
            elif node.op == "get_attr":
                values[node] = mode.from_tensor(getattr(module, str(node.target)))
            elif node.op == "call_function":
                args = fx.node.map_arg(node.args, lambda n: values[n])
                kwargs = fx.node.map_arg(node.kwargs, lambda n: values[n])
                values[node] = node.target(*args, **kwargs)
            if node in values:
                node.meta["val"] = values[node]


class Builder:
    """Traces backward functions over the values of one flat graph."""

    def __init__(
        self,
        flat: FlatModel,
        mode: FakeTensorMode,
        live: set[fx.Node],
        sites: dict[fx.Node, list[Site]],
        sizes: Sizes,
    ) -> None:
        self._flat = flat
        self._mode = mode
        self._live = live
        self._sites = sites
        self._inputs = list(flat.module.graph.find_nodes(op="placeholder"))
        self._dtype = self._inputs[0].meta["val"].dtype
        self._sizes = sizes

    def forward(self, wanted: list[fx.Node]) -> Piece:
        graph = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        graph.graph_copy(self._flat.module.graph, copies)
        graph.output([copies[node] for node in wanted])
        graph.eliminate_dead_code()
        module = fx.GraphModule(self._flat.module, graph)
        return Piece(
            name="forward",
            module=module,
            inputs=tuple(node.name for node in self._inputs),
            outputs=tuple(node.name for node in wanted),
            examples=tuple(node.meta["val"] for node in self._inputs),
        )

    def intervened(self, name: str, stretch: list[fx.Node], wanted: list[fx.Node]) -> Piece:
        """A stretch of the forward piece with a gain and an offset for each unit of its layers."""
        graph = fx.Graph()
        inside = set(stretch)
        given = dict.fromkeys([*read_from_outside(stretch, self._live), *self._inputs])
        copies = {node: graph.placeholder(node.name) for node in given}
        examples = {copies[node]: node.meta["val"] for node in given}
        with self._mode:
            for data in ("gain_BT", "offset_BT"):
                examples[graph.placeholder(data)] = self._per_unit()
        gain_BT, offset_BT = list(examples)[-2:]
        for node in self._flat.module.graph.nodes:
            is_constant = node not in self._live and node.op not in {"placeholder", "output"}
            if node in inside or is_constant:
                copies[node] = graph.node_copy(node, copies.__getitem__)
        changed = {
            node: self._changed(graph, copies[node], self._sites[node][0], gain_BT, offset_BT)
            for node in stretch
            if node in self._sites
        }
        outputs = [node for node in wanted if node in inside]
        graph.output([changed.get(node, copies[node]) for node in outputs])
        graph.eliminate_dead_code()
        for placeholder in [each for each in examples if not each.users]:
            graph.erase_node(placeholder)
            del examples[placeholder]
        graph.lint()
        return Piece(
            name=name,
            module=fx.GraphModule(self._flat.module, graph),
            inputs=tuple(str(placeholder.target) for placeholder in examples),
            outputs=tuple(node.name for node in outputs),
            examples=tuple(examples.values()),
        )

    def _changed(
        self, graph: fx.Graph, node: fx.Node, site: Site, gain_BT: fx.Node, offset_BT: fx.Node
    ) -> fx.Node:
        """Insert the intervention behind a layer's node; everybody reads the changed value."""
        readers = list(node.users)
        with graph.inserting_before(node.next):
            gain, offset = (
                site.per_unit(fx.Proxy(each), self._sizes.batch).node
                for each in (gain_BT, offset_BT)
            )
            changed = graph.call_function(aten.addcmul.default, (offset, node, gain))
        for reader in readers:
            reader.replace_input_with(node, changed)
        return changed

    def _walk(
        self,
        order: list[fx.Node],
        env: Env,
        start: dict[fx.Node, Tensor],
        seeds: Seeds | None,
        gain_BT: Tensor,
        thresholds: Thresholds,
    ) -> dict[fx.Node, Tensor]:
        live, sites, batch = self._live, self._sites, self._sizes.batch
        return walk_down(order, env, start, live, sites, seeds, gain_BT, thresholds, batch)

    def _per_unit(self) -> Tensor:
        return torch.empty(self._sizes.batch, self._sizes.num_units, dtype=self._dtype)

    def backward(self, name: str, stretch: list[fx.Node], bottom: fx.Node, top: fx.Node) -> Piece:
        """From the gradient at `top`, plus seeds, to the gradient at `bottom` and the layers."""
        behind = {
            site.activation.node
            for sites in self._sites.values()
            for site in sites
            if site.activation is not None
        }
        nodes = [node for node in stretch if node in self._sites or node in behind]

        def call(env: Env, g: Tensor, *data: Tensor) -> list[Tensor]:
            seeds = Seeds(*data[:3], *data[6:])
            gain_BT, thresholds = data[3], Thresholds(*data[4:6])
            found = self._walk(stretch, env, {top: g}, seeds, gain_BT, thresholds)
            return [
                found[node] if node in found else torch.zeros_like(env[node])
                for node in (bottom, *nodes)
            ]

        with self._mode:
            g = torch.empty_like(top.meta["val"])
            # One tensor each: make_fx tells its inputs apart by identity.
            site_B = torch.empty(self._sizes.batch, dtype=torch.int64)
            unit_BU = torch.empty(self._sizes.batch, self._sizes.most_units, dtype=self._dtype)
            map_BS = torch.empty(self._sizes.batch, self._sizes.largest_map, dtype=self._dtype)
            gain_BT = self._per_unit()
            tx, tg = (torch.empty((), dtype=self._dtype) for _ in range(2))
            queries = torch.empty(self._sizes.batch, self._sizes.most_queries, dtype=self._dtype)
        examples = [g, site_B, unit_BU, map_BS, gain_BT, tx, tg]
        names = ["g", *SEED_INPUTS]
        if self._sizes.most_queries:
            examples.append(queries)
            names.append("query_BQ")
        outputs = (bottom.name, *(node.name for node in nodes))
        return self._trace(name, stretch, call, tuple(names), tuple(examples), outputs)

    def unseeded(self, name: str, stretch: list[fx.Node], bottom: fx.Node, top: fx.Node) -> Piece:
        """From the gradient at `top` to the one at `bottom`, which may be the input."""

        def call(env: Env, g: Tensor, tx: Tensor, tg: Tensor) -> list[Tensor]:
            rule = Thresholds(tx, tg)
            found = self._walk(stretch, env, {top: g}, None, tx, rule)
            return [found[bottom] if bottom in found else torch.zeros_like(env[bottom])]

        with self._mode:
            g = torch.empty_like(top.meta["val"])
            tx, tg = (torch.empty((), dtype=self._dtype) for _ in range(2))
        nodes = [bottom, *stretch]
        return self._trace(name, nodes, call, ("g", "tx", "tg"), (g, tx, tg), (bottom.name,))

    def cam(self, order: list[fx.Node], scores: fx.Node, target: fx.Node) -> Piece:
        """The plain gradient of a class score at a node, and nothing below it."""
        above = order[order.index(target) + 1 : order.index(scores) + 1]
        num_classes = int(scores.meta["val"].shape[1])
        plain = Thresholds(0.0, -torch.inf)

        def call(env: Env, class_B: Tensor, gain_BT: Tensor) -> list[Tensor]:
            classes_K = torch.arange(num_classes, device=class_B.device)
            g_BK = (classes_K == class_B[:, None]).to(self._dtype)
            start = {scores: g_BK}
            found = self._walk(above, env, start, None, gain_BT, plain)
            return [found[target] if target in found else torch.zeros_like(env[target])]

        with self._mode:
            data = torch.empty(self._sizes.batch, dtype=torch.int64), self._per_unit()
        nodes = [target, *above]
        return self._trace("cam", nodes, call, ("class_B", "gain_BT"), data, (target.name,))

    def _trace(
        self,
        name: str,
        stretch: list[fx.Node],
        call: Callable[..., list[Tensor]],
        data_names: tuple[str, ...],
        data: tuple[Tensor, ...],
        outputs: tuple[str, ...],
    ) -> Piece:
        """Trace `call(env, *data)` and keep as inputs the values of `env` that it reads.

        `env` holds the nodes of `stretch`, what they read, and what is taken out of them.
        """
        near = dict.fromkeys(each for n in stretch for each in (n, *n.all_input_nodes, *n.users))
        nodes = [n for n in near if n.op != "output" and isinstance(n.meta.get("val"), Tensor)]

        def flat_call(*tensors: Tensor) -> list[Tensor]:
            env = dict(zip(nodes, tensors[: len(nodes)], strict=True))
            return call(env, *tensors[len(nodes) :])

        values = [node.meta["val"] for node in nodes]
        assert len({id(v) for v in (*values, *data)}) == len(nodes) + len(data), "an input twice"
        with torch.no_grad():
            module = record(flat_call, [*values, *data])
        placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
        module.graph.set_codegen(fx.graph.CodeGen())
        _strip_detach(module.graph)
        _plain_views(module.graph)
        constants: dict[fx.Node, str] = {}
        inputs: list[tuple[str, fx.Node, Tensor]] = []
        sources = [*((n.name, n) for n in nodes), *((d, None) for d in data_names)]
        for placeholder, (source_name, source), example in zip(
            placeholders, sources, [*values, *data], strict=True
        ):
            if source is not None and source.op == "get_attr":
                constants[placeholder] = str(source.target)
            elif placeholder.users or source is None:
                inputs.append((source_name, placeholder, example))
            else:
                module.graph.erase_node(placeholder)
        tensors = {t: getattr(self._flat.module, t) for t in constants.values()}
        fold.fold_constants(module, [node for _, node, _ in inputs], constants, tensors)
        module.graph.eliminate_dead_code()
        module.graph.lint()
        module.recompile()
        return Piece(
            name=name,
            module=module,
            inputs=tuple(input_name for input_name, _, _ in inputs),
            outputs=outputs,
            examples=tuple(example for _, _, example in inputs),
        )


def read_from_outside(stretch: list[fx.Node], live: set[fx.Node]) -> list[fx.Node]:
    """The nodes below a stretch whose values it reads: of one between two cuts, the lower cut."""
    inside = set(stretch)
    read = dict.fromkeys(each for node in stretch for each in node.all_input_nodes)
    return [node for node in read if node in live and node not in inside]


def _plain_views(graph: fx.Graph) -> None:
    """A view of a value that lies otherwise in memory than its fake one did would fail."""
    for node in graph.nodes:
        if node.target in {aten.view.default, aten._unsafe_view.default}:
            node.target = aten.reshape.default


def _strip_detach(graph: fx.Graph) -> None:
    for node in list(graph.nodes):
        if node.op == "call_function" and node.target in {
            aten.detach.default,
            aten.alias.default,
        }:
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
    graph.eliminate_dead_code()
