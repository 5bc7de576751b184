"""Make the pieces of a flat model: trace its backward pass over each stretch between two cuts."""

import itertools
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensorMode

from rtvis.engine import fold
from rtvis.engine.backward import Seeds, walk_down
from rtvis.engine.cam_site import choose_cam_site, late_gradients
from rtvis.engine.cuts import arithmetic, choose_cuts
from rtvis.engine.graph import depends_on, input_of
from rtvis.engine.layers import Site
from rtvis.engine.pieces import Piece, Pieces, Probe, Segment
from rtvis.engine.queries import default_queries
from rtvis.engine.record import record
from rtvis.engine.trace import FlatModel
from rtvis.engine.vjps import Env, Thresholds

aten = torch.ops.aten

SEED_INPUTS = ("site_B", "unit_BU", "map_BS", "gain_BT", "tx", "tg")


def build_pieces(
    flat: FlatModel, sites: tuple[Site, ...], *, num_segments: int, cam_layer: str | None = None
) -> Pieces | None:
    """Cut the step of a flat model into pieces.

    Args:
        flat: The traced model.
        sites: Its layers.
        num_segments: How many backward pieces to aim at; fewer where the network has no place
            at which one activation alone is live.
        cam_layer: Where a CAM is taken unless the user chooses; default: see `choose_cam_site`.

    Returns:
        None if the network has no layer with a map.
    """
    graph = flat.module.graph
    x = input_of(graph)
    output = next(node for node in graph.nodes if node.op == "output")
    scores = output.args[0]
    assert isinstance(scores, fx.Node)
    mode = FakeTensorMode()
    propagate(flat.module, mode)
    live = depends_on(graph, [x])
    live.discard(output)
    order = [node for node in graph.nodes if node in live]
    cuts = [x, *choose_cuts(order, x, scores, num_segments), scores]
    by_node: dict[fx.Node, list[Site]] = {}
    for site in sites:
        by_node.setdefault(site.node, []).append(site)
    batch = int(x.meta["val"].shape[0])
    largest = max(site.layer.map_size[0] * site.layer.map_size[1] for site in sites)
    most_units = max(site.layer.num_units for site in sites)
    num_units = sum(site.layer.num_units for site in sites if not site.is_rest)
    most_queries = max((s.attention.all_queries for s in sites if s.attention), default=0)
    builder = _Builder(
        flat, mode, live, by_node, batch, largest, most_units, num_units, most_queries
    )
    segments: list[Segment] = []
    for bottom, top in itertools.pairwise(cuts):
        stretch = order[order.index(bottom) + 1 : order.index(top) + 1]
        tapped = builder.backward(f"backward_{len(segments)}", stretch, bottom, top)
        segments.append(
            Segment(
                backward=tapped.with_outputs(tapped.outputs[:1], name=tapped.name),
                tapped=replace(tapped, name=f"tapped_{len(segments)}"),
                sites=tuple(site for node in stretch for site in by_node.get(node, ())),
            )
        )
    gradients = late_gradients(flat, sites, segments, batch)
    cam_site = choose_cam_site(flat, sites, gradients, batch, cam_layer)
    if cam_site is None:
        return None
    cam = builder.cam(order, scores, cam_site.node)
    read = {name for s in segments for name in s.backward.inputs} | set(cam.inputs)
    costly = _COSTLY_SHARE * sum(arithmetic(node) for node in order)
    probes = {site.node.name: _probe(site, cam_site, costly) for site in sites}
    read |= {name for name, probe in probes.items() if probe is None}
    read |= {probe.source for probe in probes.values() if probe is not None}
    handed = {scores, flat.dense}
    wanted = [n for n in order if n is not x and (n.name in read or n in handed)]
    return Pieces(
        forward=builder.forward(wanted),
        intervened=builder.intervened(wanted),
        cam=cam,
        segments=tuple(segments),
        sites=sites,
        cam_site=cam_site,
        probes=probes,
        scores=scores.name,
        dense=None if flat.dense is None else flat.dense.name,
        output_size=_output_size(flat.dense),
        batch=batch,
        num_classes=int(scores.meta["val"].shape[1]),
        largest_map=largest,
        most_units=most_units,
        num_units=num_units,
        most_queries=most_queries,
        queries=default_queries(sites, gradients, batch),
    )


def build_reach(flat: FlatModel, sites: tuple[Site, ...], site: Site) -> tuple[Piece, Piece]:
    """The way from the input to one layer, and the way back.

    Args:
        flat: The traced model.
        sites: Its layers.
        site: One of them.

    Returns:
        (x) -> the layer's value and what the second reads; (values ..., g, tx, tg) -> the gradient
        at the input, of the one `g` at the layer's value.
    """
    graph = flat.module.graph
    x, mode = input_of(graph), FakeTensorMode()
    propagate(flat.module, mode)
    live = depends_on(graph, [x])
    order = [node for node in graph.nodes if node in live]
    batch = int(x.meta["val"].shape[0])
    num_units = sum(each.layer.num_units for each in sites if not each.is_rest)
    builder = _Builder(flat, mode, live, {}, batch, 0, 0, num_units, 0)
    stretch = order[1 : order.index(site.node) + 1]
    backward = builder.unseeded("reach_backward", stretch, x, site.node)
    read = {*backward.inputs, site.node.name}
    forward = builder.forward([node for node in stretch if node.name in read])
    return replace(forward, name="reach_forward"), backward


# A convolution with more than this share of all multiplications is handed out, not run again.
_COSTLY_SHARE = 0.05


def _probe(site: Site, cam_site: Site, costly: float) -> Probe | None:
    node = site.node
    source, weight, bias, *arguments = (*node.args, *(None,) * 3)[: max(3, len(node.args))]
    recomputable = (
        site.layer.kind == "conv"
        and site is not cam_site
        and isinstance(source, fx.Node)
        and isinstance(weight, fx.Node)
        and weight.op == "get_attr"
        and (bias is None or (isinstance(bias, fx.Node) and bias.op == "get_attr"))
        and arithmetic(node) < costly
    )
    if not recomputable:
        return None
    assert isinstance(source, fx.Node)
    assert isinstance(weight, fx.Node)
    return Probe(
        source=source.name,
        weight=str(weight.target),
        bias=str(bias.target) if isinstance(bias, fx.Node) else None,
        arguments=tuple(arguments),
    )


def _output_size(dense: fx.Node | None) -> tuple[int, int] | None:
    if dense is None:
        return None
    height, width = dense.meta["val"].shape[2:]
    return int(height), int(width)


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


class _Builder:
    """Traces backward functions over the values of one flat graph."""

    def __init__(
        self,
        flat: FlatModel,
        mode: FakeTensorMode,
        live: set[fx.Node],
        sites: dict[fx.Node, list[Site]],
        batch: int,
        largest_map: int,
        most_units: int,
        num_units: int,
        most_queries: int,
    ) -> None:
        self._flat = flat
        self._mode = mode
        self._live = live
        self._sites = sites
        self._batch = batch
        self._inputs = list(flat.module.graph.find_nodes(op="placeholder"))
        self._dtype = self._inputs[0].meta["val"].dtype
        self._largest_map = largest_map
        self._most_units = most_units
        self._num_units = num_units
        self._most_queries = most_queries

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

    def intervened(self, wanted: list[fx.Node]) -> Piece:
        """The forward piece with a gain and an offset for each unit of each layer."""
        graph = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {}
        graph.graph_copy(self._flat.module.graph, copies)
        with graph.inserting_after(copies[self._inputs[-1]]):
            offset_BT = graph.placeholder("offset_BT")
            gain_BT = graph.placeholder("gain_BT")
        changed = {}
        for node, (site, *_) in self._sites.items():
            changed[node] = self._changed(graph, copies[node], site, gain_BT, offset_BT)
        graph.output([changed.get(node, copies[node]) for node in wanted])
        graph.eliminate_dead_code()
        graph.lint()
        with self._mode:
            gain, offset = self._per_unit(), self._per_unit()
        return Piece(
            name="intervened",
            module=fx.GraphModule(self._flat.module, graph),
            inputs=(*(node.name for node in self._inputs), "gain_BT", "offset_BT"),
            outputs=tuple(node.name for node in wanted),
            examples=(*(node.meta["val"] for node in self._inputs), gain, offset),
        )

    def _changed(
        self, graph: fx.Graph, node: fx.Node, site: Site, gain_BT: fx.Node, offset_BT: fx.Node
    ) -> fx.Node:
        """Insert the intervention behind a layer's node; everybody reads the changed value."""
        readers = list(node.users)
        with graph.inserting_before(node.next):
            gain, offset = (
                site.per_unit(fx.Proxy(each), self._batch).node for each in (gain_BT, offset_BT)
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
        live, sites, batch = self._live, self._sites, self._batch
        return walk_down(order, env, start, live, sites, seeds, gain_BT, thresholds, batch)

    def _per_unit(self) -> Tensor:
        return torch.empty(self._batch, self._num_units, dtype=self._dtype)

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
            site_B = torch.empty(self._batch, dtype=torch.int64)
            unit_BU = torch.empty(self._batch, self._most_units, dtype=self._dtype)
            map_BS = torch.empty(self._batch, self._largest_map, dtype=self._dtype)
            gain_BT = self._per_unit()
            tx, tg = (torch.empty((), dtype=self._dtype) for _ in range(2))
            queries = torch.empty(self._batch, self._most_queries, dtype=self._dtype)
        examples = [g, site_B, unit_BU, map_BS, gain_BT, tx, tg]
        names = ["g", *SEED_INPUTS]
        if self._most_queries:
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
            data = torch.empty(self._batch, dtype=torch.int64), self._per_unit()
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
