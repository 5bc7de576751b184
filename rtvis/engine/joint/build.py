"""Make the pieces of a flat model: trace its backward pass over each stretch between two cuts."""

import itertools
from dataclasses import replace

import torch
from torch import fx
from torch._subclasses.fake_tensor import FakeTensorMode

from rtvis.engine.flat.graph import depends_on, input_of
from rtvis.engine.flat.trace import FlatModel
from rtvis.engine.joint.cam_site import choose_cam_site, late_gradients
from rtvis.engine.joint.cuts import arithmetic, choose_cuts
from rtvis.engine.joint.piece_builder import Builder, propagate, read_from_outside
from rtvis.engine.joint.pieces import Piece, Pieces, Probe, Segment, Sizes
from rtvis.engine.layers.queries import default_queries
from rtvis.engine.layers.site import Site

aten = torch.ops.aten


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
    sizes = Sizes.of(sites, batch=int(x.meta["val"].shape[0]))
    builder = Builder(flat, mode, live, by_node, sizes)
    stretches = [
        order[order.index(bottom) + 1 : order.index(top) + 1]
        for bottom, top in itertools.pairwise(cuts)
    ]
    segments = _segments(builder, stretches, cuts, by_node)
    gradients = late_gradients(flat, sites, segments, sizes)
    cam_site = choose_cam_site(flat, sites, gradients, sizes.batch, cam_layer)
    if cam_site is None:
        return None
    cam = builder.cam(order, scores, cam_site.node)
    costly = _COSTLY_SHARE * sum(arithmetic(node) for node in order)
    probes = {site.node.name: _probe(site, cam_site, costly) for site in sites}
    read = {name for s in segments for name in s.backward.inputs} | set(cam.inputs)
    read |= {name if probe is None else probe.source for name, probe in probes.items()}
    read |= {node.name for each in stretches for node in read_from_outside(each, live)}
    handed = {scores, flat.dense}
    wanted = [n for n in order if n is not x and (n.name in read or n in handed)]
    return Pieces(
        forward=builder.forward(wanted),
        intervened=tuple(
            builder.intervened(f"intervened_{index}", stretch, wanted)
            for index, stretch in enumerate(stretches)
        ),
        cam=cam,
        segments=tuple(segments),
        sites=sites,
        cam_site=cam_site,
        probes=probes,
        scores=scores.name,
        dense=None if flat.dense is None else flat.dense.name,
        output_size=_output_size(flat.dense),
        num_classes=int(scores.meta["val"].shape[1]),
        sizes=sizes,
        queries=default_queries(sites, gradients, sizes.batch),
    )


def _segments(
    builder: Builder,
    stretches: list[list[fx.Node]],
    cuts: list[fx.Node],
    by_node: dict[fx.Node, list[Site]],
) -> list[Segment]:
    """The way back over each stretch between two cuts, from the input up."""
    segments: list[Segment] = []
    for stretch, (bottom, top) in zip(stretches, itertools.pairwise(cuts), strict=True):
        tapped = builder.backward(f"backward_{len(segments)}", stretch, bottom, top)
        segments.append(
            Segment(
                backward=tapped.with_outputs(tapped.outputs[:1], name=tapped.name),
                tapped=replace(tapped, name=f"tapped_{len(segments)}"),
                sites=tuple(site for node in stretch for site in by_node.get(node, ())),
            )
        )
    return segments


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
    sizes = Sizes.of(sites, batch=int(x.meta["val"].shape[0]))
    builder = Builder(flat, mode, live, {}, sizes)
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
