"""A selection as the code path that it takes and as data on the device."""

import torch
from torch import Tensor

from rtvis.data import Intervention, Origin, Selection
from rtvis.engine.catalogue import Catalogue
from rtvis.engine.joint.pieces import Facts
from rtvis.engine.turn.asked import Click, ClickTensors, Route, pack_click
from rtvis.engine.turn.interventions import Changes, pack_interventions
from rtvis.registry import ATTENTION_METHODS


class Clicks:
    """Splits selections whose defaults are filled in, and uploads them.

    Args:
        catalogue: Layers of the network, by name.
        device: Where the data are wanted.
        dtype: Of the network.
    """

    def __init__(self, catalogue: Catalogue, *, device: torch.device, dtype: torch.dtype) -> None:
        self._catalogue = catalogue
        self._device, self._dtype = device, dtype
        self._last_changes: tuple[object, Changes] | None = None

    def split(self, selection: Selection, pieces: Facts) -> tuple[Route, Click]:
        """What decides which code of some pieces runs, and what is data."""
        assert selection.layer is not None
        assert selection.cam_layer is not None
        assert selection.unit is not None
        assert selection.seed is not None
        origin = selection.origin or Origin(
            layer=selection.layer, unit=selection.unit, position=selection.position
        )
        layers, index_of = self._catalogue.layers, self._catalogue.index_of
        start = index_of[origin.layer]
        # A position is the neuron that the pass starts at; at attention it is who asks.
        is_neuron = origin.position is not None and layers[start].kind != "attention"
        by_attention = selection.cam in ATTENTION_METHODS
        cam_layer = self._catalogue.default_cam_layer.name if by_attention else selection.cam_layer
        route = Route(
            site=index_of[selection.layer],
            origin_site=start,
            frozen=selection.origin is not None,
            from_score=selection.starts_at_score(layers[start].kind),
            tap=selection.tap,
            backward=selection.backward,
            gradients=selection.gradients,
            beside_site=None if selection.beside is None else index_of[selection.beside],
            cam_site=index_of[cam_layer],
            cam=selection.cam,
            changed_from=min(
                (
                    pieces.segment_of(pieces.sites[index_of[change.layer]])
                    for change in selection.interventions
                ),
                default=None,
            ),
        )
        click = Click(
            unit=selection.unit,
            position=selection.position,
            origin_unit=origin.unit,
            origin_position=origin.position,
            seed="max" if is_neuron else selection.seed,
            rule=selection.rule,
            class_index=selection.class_index,
            region=selection.region,
        )
        return route, click

    def upload(
        self, click: Click, interventions: tuple[Intervention, ...], pieces: Facts
    ) -> ClickTensors:
        """The data on the device, for the batch of some pieces, without waiting for it."""
        changes = self._changes(interventions, pieces)
        packed = pack_click(click, pieces.batch, self._catalogue.output_size)
        index_B7, amount_B5, corners_B4 = self._pinned_upload(*packed)
        return ClickTensors(index_B7, amount_B5, corners_B4, *changes)

    def _changes(self, interventions: tuple[Intervention, ...], pieces: Facts) -> Changes:
        """The interventions on the device; they seldom change, so the last ones are kept."""
        key = pieces.batch, interventions
        if self._last_changes is None or self._last_changes[0] != key:
            packed = pack_interventions(interventions, pieces, self._catalogue.index_of)
            on_device = Changes(*self._pinned_upload(*(each.to(self._dtype) for each in packed)))
            self._last_changes = key, on_device
        return self._last_changes[1]

    def _pinned_upload(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Small tensors from the host: a copy from pageable memory would wait for the device."""
        if self._device.type != "cuda":
            return tensors
        return tuple(each.pin_memory().to(self._device, non_blocking=True) for each in tensors)
