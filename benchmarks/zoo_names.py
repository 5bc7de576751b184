"""Which networks there are, how large, and of which family."""

import fnmatch
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import nn

from benchmarks.common import say
from benchmarks.zoo_samples import SAMPLES

_SIZES = Path(__file__).parents[1] / "build" / "zoo_sizes.json"
"""Number of parameters by name: counting takes minutes, and depends on the libraries alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A network that could be examined."""

    network: str
    """As `--network` takes it, with the library in front."""
    family: str
    """The module that defines it, with the library in front."""
    millions: float
    """Parameters; 0 where they cannot be counted without building it."""
    size: int | None = None
    """Of the input; None is the native one."""

    def is_wanted(self, most_millions: float) -> bool:
        """Whether the claim covers it: of timm's only those up to a size."""
        return self.network.startswith("torchvision/") or self.millions <= most_millions


def candidates(pattern: str, *, most_millions: float) -> list[Candidate]:
    """Torchvision's classifiers and timm's default architectures, smallest first.

    Args:
        pattern: Of names such as "timm/resnet50"; "*" are all.
        most_millions: Written into the log; larger ones are listed too.
    """
    families = {
        f"torchvision/{name}": f"torchvision/{_module(torchvision.models.get_model_builder(name))}"
        for name in torchvision.models.list_models(module=torchvision.models)
    }
    families |= {
        f"timm/{name}": f"timm/{_module(timm.model_entrypoint(name))}"
        for name in timm.list_models()
    }
    families = {name: f for name, f in families.items() if fnmatch.fnmatch(name, pattern)}
    sizes = _sizes(list(families))
    found = [
        Candidate(network=name, family=family, millions=sizes[name])
        for name, family in families.items()
    ]
    num_wanted = sum(each.is_wanted(most_millions) for each in found)
    say(f"{len(found)} architectures, {num_wanted} of them wanted")
    return sorted(found, key=lambda each: (each.millions, each.network))


def samples() -> list[Candidate]:
    """One network of each family, as `SAMPLES` has it."""
    return [
        Candidate(network=network, family=family, millions=0.0, size=size)
        for family, (network, size) in SAMPLES.items()
    ]


def _module(builder: Any) -> str:
    return str(builder.__module__).rpartition(".")[2]


def _sizes(names: list[str]) -> dict[str, float]:
    versions = f"torchvision {torchvision.__version__}, timm {timm.__version__}"
    stored: dict[str, Any] = json.loads(_SIZES.read_text()) if _SIZES.exists() else {}
    sizes: dict[str, float] = stored["millions"] if stored.get("versions") == versions else {}
    if new := [name for name in names if name not in sizes]:
        say(f"counting the parameters of {len(new)} architectures: some minutes for all, once")
        sizes |= {name: _millions(name) for name in new}
        _SIZES.parent.mkdir(exist_ok=True)
        _SIZES.write_text(json.dumps({"versions": versions, "millions": sizes}))
    return sizes


def _millions(network: str) -> float:
    library, _, name = network.partition("/")
    if library == "torchvision":
        return float(torchvision.models.get_model_weights(name).DEFAULT.meta["num_params"]) / 1e6
    try:
        with torch.device("meta"):  # shapes without memory
            model: nn.Module = timm.create_model(name)
    except Exception as fault:  # noqa: BLE001 - it is examined all the same, and says why not
        say(f"{network} cannot be counted: {fault}")
        return 0.0
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6
