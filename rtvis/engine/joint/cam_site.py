"""Which layer a CAM is taken at unless the user chooses: the last map that the scores depend on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, fx

from rtvis.engine.flat.graph import input_of
from rtvis.engine.flat.trace import FlatModel
from rtvis.engine.joint.backward import plain_pass
from rtvis.engine.joint.pieces import Placed, Segment, Sizes
from rtvis.engine.layers.queries import stack_of
from rtvis.engine.layers.site import Site

AnySite = TypeVar("AnySite", bound=Placed)


def choose_cam_site(
    flat: FlatModel,
    sites: Sequence[Site],
    gradients: Mapping[str, Tensor],
    batch: int,
    preferred: str | None = None,
) -> Site | None:
    """The last map, of a convolution or of tokens, that the scores depend on; None: no map.

    The last convolution of a dense output computes the scores themselves, and a CAM there is one
    of its maps. So a CAM of those is taken at the last of the coarsest maps that are not scores.

    Behind the last attention of a transformer with a class token, only that token's gradient is
    not zero: a map of the others says nothing, nor does a convolution over them (CoaT).

    Args:
        flat: The network.
        sites: All layers.
        gradients: See `late_gradients`.
        batch: B.
        preferred: Name of a layer that the model knows better.
    """
    maps = [site for site in sites if _is_map(site)]
    names = [(site.layer.name_in_model or site.layer.name) for site in maps]
    named = [site for site, name in zip(maps, names, strict=True) if name == preferred]
    if named:
        return named[-1]
    if flat.dense is not None:
        maps = deepest(maps, int(flat.dense.meta["val"].shape[1])) or maps
    for site in reversed(maps):
        found = gradients.get(site.node.name)
        if found is None or bool(site.as_maps(found, batch).abs().amax() > 0):
            return site
    convolutions = [site for site in maps if site.layer.kind == "conv"]
    return convolutions[-1] if convolutions else None


def deepest(maps: Sequence[AnySite], num_classes: int) -> list[AnySite]:
    """The maps with the fewest places, but those of one place and those with a unit a class."""
    wide = [m for m in maps if m.layer.num_units != num_classes and m.layer.map_size != (1, 1)]
    sizes = [m.layer.map_size[0] * m.layer.map_size[1] for m in wide]
    return [m for m, size in zip(wide, sizes, strict=True) if size == min(sizes)]


def _is_map(site: Site) -> bool:
    is_tokens = site.layer.kind == "dense" and site.rows is not None and not site.is_rest
    return site.layer.kind == "conv" or is_tokens


def late_gradients(
    flat: FlatModel, sites: Sequence[Site], segments: Sequence[Segment], sizes: Sizes
) -> dict[str, Tensor]:
    """Plain gradients of some mix of scores at the last layers' nodes, for noise as input.

    As far down as it takes to find a map with a gradient that is not zero, and the last attention;
    empty where all maps are those of convolutions.
    """
    attention = stack_of(sites)
    if not attention and all(site.layer.kind == "conv" for site in sites if _is_map(site)):
        return {}
    last_attention = attention[-1].node.name if attention else None
    with torch.no_grad():
        top = segments[-1].tapped
        example = dict(zip(top.inputs, top.examples, strict=True))
        data = {"g": _noise(example["g"])}
        data["gain_BT"] = torch.ones(example["gain_BT"].shape, dtype=example["gain_BT"].dtype)
        data |= plain_pass(sizes, like=data["g"])
        found: dict[str, Tensor] = {}
        for segment, values in _with_values(flat, segments, last_attention):
            given = {**values, **data}
            outputs = segment.tapped.run_eager([given[name] for name in segment.tapped.inputs])
            data["g"] = outputs[0]
            found.update(zip(segment.tapped.outputs[1:], outputs[1:], strict=True))
            maps = [site for site in segment.sites if _is_map(site)]
            if last_attention is not None and last_attention not in found:
                continue
            if any(bool(s.as_maps(found[s.node.name], sizes.batch).any()) for s in maps):
                break
    return found


def _with_values(
    flat: FlatModel, segments: Sequence[Segment], last_attention: str | None
) -> Iterator[tuple[Segment, dict[str, Tensor]]]:
    """Segments from the top, each with the values that its backward pass reads.

    Those of all at once are the matrices of every attention, 3 GB of Qwen3's at 768x768, and the
    segments below the last attention are seldom wanted: they cost a run of their own.
    """
    late = next(
        (
            index
            for index, segment in enumerate(segments)
            if any(site.node.name == last_attention for site in segment.sites)
        ),
        len(segments) - 1,
    )
    for some in (segments[late:], segments[:late]):
        if some:
            values = _Values(flat.module, {name for s in some for name in s.tapped.inputs}).all()
            yield from ((segment, values) for segment in reversed(some))


def _noise(like: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(like.shape, generator=generator).to(like.dtype)


class _Values(fx.Interpreter):
    """Runs the flat graph on noise and keeps the values of some nodes."""

    def __init__(self, module: fx.GraphModule, names: set[str]) -> None:
        super().__init__(module)
        self._x = input_of(module.graph)
        self._names = names
        self._kept: dict[str, Tensor] = {}

    def all(self) -> dict[str, Tensor]:
        noise = _noise(self._x.meta["val"]).contiguous(memory_format=torch.channels_last)
        self._kept[self._x.name] = noise
        inputs = [noise]
        for node in self.graph.find_nodes(op="placeholder")[1:]:  # weights of a dense output
            self._kept[node.name] = _noise(node.meta["val"])
            inputs.append(self._kept[node.name])
        self.run(*inputs)
        return self._kept

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.name in self._names:
            self._kept[n.name] = value
        return value
