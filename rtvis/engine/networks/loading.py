"""Models by their names in the libraries, and those that people bring."""

from pathlib import Path
from typing import Any, Final

import torch

from rtvis.engine.networks import hub, zoo
from rtvis.engine.networks.exported import load_exported
from rtvis.engine.networks.labels import as_labels
from rtvis.engine.networks.model_config import channels_of, config_of, for_channels, from_config
from rtvis.engine.networks.network import Network
from rtvis.engine.networks.own import is_exported, load_own
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.engine.networks.weights import Checkpoint, load_into, num_classes_in
from rtvis.errors import NetworkError

LABEL_KEYS: Final = (
    "labels",
    "label_names",
    "classes",
    "class_names",
    "categories",
    "idx_to_class",
)
"""Where configs and checkpoints keep the names of classes."""


def load_by_name(
    name: str,
    weights: str | None,
    checkpoint: Checkpoint | None,
    size: tuple[int, int] | None,
) -> tuple[Network, int]:
    """A network of torchvision or timm, and its number of classes; 0: it returns features.

    Args:
        name: Any of its names.
        weights: As of `load_network`.
        checkpoint: What is in the file of weights, if there is one.
        size: Of the input; None: its own.

    Raises:
        NetworkError: No such network, or its weights cannot be fetched.
        WeightsError: The weights belong to another network.
    """
    entry = zoo.find(name)
    embedded = weights is None and hub.is_embedded(entry)
    download = weights is None and not embedded
    if download:
        hub.check_reachable(entry)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # random weights are the same at every start
            built = zoo.build(entry, pretrained=download, size=size)
            if checkpoint is not None and built.num_classes:
                count = num_classes_in(checkpoint.tensors, built.model, built.num_classes)
                if count is not None:
                    built = zoo.build(entry, num_classes=count, size=size)
    except OSError as fault:
        raise hub.unreachable(entry.name, "their site", fault) from fault
    if embedded:
        built.model.load_state_dict(hub.embedded_weights(built.model))
    if checkpoint is not None:
        load_into(built.model, checkpoint, name=entry.name)
    network = Network(
        model=built.model,
        name=entry.name,
        preprocessing=built.preprocessing,
        labels=built.labels,
        weights_note=_weights_note(weights),
    )
    return network, built.num_classes


def load_from_own(
    name: str,
    weights: str | None,
    checkpoint: Checkpoint | None,
    size: tuple[int, int] | None,
    trust_pickle: bool,
) -> Network:
    """A model of the user's own: a file with a factory, or an exported program.

    Args:
        name: `path/to/file.py:factory`, or a file.
        weights: As of `load_network`.
        checkpoint: What is in the file of weights, if there is one.
        size: Of the input; None: its own.
        trust_pickle: Allow pickled whole models.

    Raises:
        NetworkError: It cannot be loaded, or not at this size.
        WeightsError: The weights belong to another network.
    """
    if is_exported(name):
        return _load_exported(name, checkpoint, size, trust_pickle)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = load_own(name, trust_pickle=trust_pickle)
    path = name.rpartition(":")[0] or name
    short = Path(path).name + name[len(path) :]
    if checkpoint is not None:
        load_into(model, checkpoint, name=short)
    config = config_of(model)
    prep = from_config(config_in(config), name=short)
    if "input_size" not in config and (num_channels := channels_of(model)) is not None:
        prep = for_channels(prep, num_channels)
    if size is not None:
        prep = prep.with_size(size)
    found = next((as_labels(config[key]) for key in LABEL_KEYS if key in config), None)
    if found is None:
        values = (getattr(model, key, None) for key in LABEL_KEYS)
        found = next((texts for value in values if (texts := as_labels(value))), None)
    return Network(
        model=model,
        name=short,
        preprocessing=prep,
        labels=found,
        weights_note=_weights_note(weights),
    )


def config_in(metadata: dict[str, Any]) -> dict[str, Any]:
    """The keys of a config, which some files keep in a dict of their own."""
    for key in ("pretrained_cfg", "default_cfg", "preprocessing"):
        inner = metadata.get(key)
        if isinstance(inner, dict):
            return {**metadata, **inner}
    return metadata


def _load_exported(
    name: str, checkpoint: Checkpoint | None, size: tuple[int, int] | None, trust_pickle: bool
) -> Network:
    program = load_exported(name, trust_pickle=trust_pickle)
    short = Path(name).name
    if checkpoint is not None:
        load_into(program.model, checkpoint, name=short)
    prep = Preprocessing()
    if program.num_channels is not None:
        prep = for_channels(prep, program.num_channels)
    wanted = size or prep.size
    fixed = program.size[0] or wanted[0], program.size[1] or wanted[1]
    if size is not None and size != fixed:
        raise NetworkError(
            f"{short}: was exported for inputs of {fixed[0]}x{fixed[1]}, not {size[0]}x{size[1]}; "
            "export it again with dynamic height and width"
        )
    return Network(
        model=program.model,
        name=short,
        preprocessing=prep.with_size(fixed),
        labels=None,
        weights_note="" if checkpoint is None else f"weights {Path(checkpoint.path).name}",
        only_batch=program.batch,
    )


def _weights_note(weights: str | None) -> str:
    if weights is None:
        return ""
    return "random weights" if weights == "random" else f"weights {Path(weights).name}"
