"""Networks: what they are called, their weights, their preprocessing and their class names."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rtvis.config_network import DEFAULT_NETWORK
from rtvis.engine import hub, zoo
from rtvis.engine.exported import load_exported
from rtvis.engine.from_model_file import adapted, apply_model_file
from rtvis.engine.labels import as_labels, imagenet_labels, read_labels
from rtvis.engine.layer_rules import LayerRules
from rtvis.engine.model_config import (
    channels_of,
    config_of,
    for_channels,
    from_config,
    with_statistics,
)
from rtvis.engine.model_file import ModelFile, find_model_file, read_model_file
from rtvis.engine.outputs import SingleOutput, choose_scores, wrap
from rtvis.engine.own import is_exported, is_own, load_own
from rtvis.engine.preprocess import Preprocessing
from rtvis.engine.weights import Checkpoint, load_into, num_classes_in, read_checkpoint
from rtvis.engine.zoo import names
from rtvis.errors import NetworkError
from rtvis.threads import cpu_threads

__all__ = ["Network", "downloads_weights", "load_network", "names", "wrap"]

_LABEL_KEYS = ("labels", "label_names", "classes", "class_names", "categories", "idx_to_class")
"""Where configs and checkpoints keep the names of classes."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Network:
    """A model, ready to be looked into, and what goes with it."""

    model: nn.Module
    """In eval mode, on the CPU; returns one tensor, [B, K] or [B, K, H, W]."""
    name: str
    """What to call it on screen."""
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None
    """Names of the classes, one for each; None if nobody knows them."""
    weights_note: str
    """What the screen must say about the weights, such as "random weights"; often empty."""
    layer_rules: LayerRules = field(default_factory=LayerRules)
    """Which layers are shown, and what they are called."""
    only_batch: int | None = None
    """The only number of pictures that it takes at once; None: any."""


def load_network(
    name: str = DEFAULT_NETWORK,
    *,
    weights: str | None = None,
    labels: str | Sequence[str] | None = None,
    size: int | tuple[int, int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    repeat_channels: bool = False,
    output: str | None = None,
    trust_pickle: bool = False,
    model_config: str | None = None,
    layers: LayerRules = LayerRules(),  # noqa: B008 - frozen
) -> Network:
    """A network by name, with weights, preprocessing and labels.

    Args:
        name: A torchvision or timm network or one of the Keras names, in any case, or
            `path/to/file.py:factory`.
        weights: None for pretrained ones (for own models: as the factory leaves them), "random",
            or a file: safetensors or a state dict.
        labels: A file of names, or the names; default: from the weights, the model, or ImageNet.
        size: (height, width) or side of the input; default: the network's own.
        mean: Per channel, for 0..1; default: from the weights' metadata or the model.
        std: Likewise.
        repeat_channels: A network with other channels than 1 or 3 gets pictures' channels again
            and again; else it takes float input only.
        output: Which of the model's outputs, where it returns several: a key, a field or an
            index, nested ones joined by dots; default: the first that can be scores.
        trust_pickle: Allow pickled whole models. This runs code from their file.
        model_config: A YAML file about the network (see `model_file`), or "none"; default: the one
            beside the weights or the network's own file, if there is one. What is given here wins.
        layers: Which layers are shown, and what they are called.

    Raises:
        ConfigError: The YAML file cannot be used.
        NetworkError: No such network or output, or it or its labels or preprocessing cannot be
            used.
        WeightsError: The weights cannot be read, had, or belong to another network.
    """
    if isinstance(size, int):
        size = (size, size)
    if size is not None and min(size) < 1:
        raise NetworkError(f"size {size[0]}x{size[1]}: an input has at least one row and column")
    with cpu_threads(1):  # or this thread, too, would keep a team of OpenMP threads
        checkpoint = None
        if weights is not None and weights != "random":
            checkpoint = read_checkpoint(weights, trust_pickle=trust_pickle)
        path = find_model_file(model_config, name, checkpoint.path if checkpoint else None)
        file = read_model_file(path) if path is not None else ModelFile()
        if size is None and file.size is not None:
            size = (file.size, file.size) if isinstance(file.size, int) else file.size
        if is_own(name):
            network, num_classes = _load_own(name, weights, checkpoint, size, trust_pickle), None
        else:
            network, num_classes = _load_by_name(name, weights, checkpoint, size)
        prep = _preprocessing(network, checkpoint, file, size)
        prep = with_statistics(prep, mean, std, name="flags")
        if repeat_channels:
            prep = replace(prep, repeats_channels=True)
        network, num_classes = _with_scores(network, num_classes, prep, output or file.output)
        asked = labels if labels is not None else _labels_of(file)
        return replace(
            network,
            model=adapted(file, network.model, prep),
            preprocessing=prep,
            labels=_labels(asked, checkpoint, network.labels, num_classes, network.name),
            layer_rules=layers.or_else(file.layers),
        )


def _with_scores(
    network: Network, num_classes: int | None, prep: Preprocessing, output: str | None
) -> tuple[Network, int]:
    """The network with a model that returns scores for pictures of `prep`'s size.

    Args:
        network: As it was loaded.
        num_classes: 0: it returns features; None: nobody knows.
        prep: What its input will be.
        output: Which of its outputs are the scores; None: the first that can be.

    Returns:
        It, and how many classes it has.
    """
    model, own_size = network.model, network.preprocessing.size
    if output is not None and isinstance(model, SingleOutput):
        model = model.inner
    gives_features = num_classes == 0
    if not num_classes or output is not None:
        model, num_classes = _probed(model, prep, network.name, output)
    elif prep.size != own_size:
        _run_once(model, prep, network.name, f"its own size is {own_size[0]}x{own_size[1]}")
    if gives_features:  # DINO's and CLIP's are looked at like scores
        features = tuple(f"feature {index}" for index in range(num_classes))
        network = replace(network, labels=features)
    return replace(network, model=model), num_classes


def _preprocessing(
    network: Network,
    checkpoint: Checkpoint | None,
    file: ModelFile,
    size: tuple[int, int] | None,
) -> Preprocessing:
    """The library's or the model's, then what the weights say, then the file beside them."""
    prep = network.preprocessing
    if checkpoint is not None:
        prep = from_config(_config_in(checkpoint.metadata), name=checkpoint.path, base=prep)
    if size is not None:
        prep = prep.with_size(size)
    return apply_model_file(replace(file, size=None), prep)


def _labels_of(file: ModelFile) -> str | tuple[str, ...] | None:
    return file.beside(file.labels) if isinstance(file.labels, str) else file.labels


def downloads_weights(name: str, weights: str | None) -> bool:
    """Whether `load_network` would have a library fetch weights, with its own progress bar.

    Raises:
        NetworkError: No such network.
    """
    return weights is None and not is_own(name) and not hub.is_embedded(zoo.find(name))


def _load_by_name(
    name: str,
    weights: str | None,
    checkpoint: Checkpoint | None,
    size: tuple[int, int] | None,
) -> tuple[Network, int]:
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


def _load_own(
    name: str,
    weights: str | None,
    checkpoint: Checkpoint | None,
    size: tuple[int, int] | None,
    trust_pickle: bool,
) -> Network:
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
    prep = from_config(_config_in(config), name=short)
    if "input_size" not in config and (num_channels := channels_of(model)) is not None:
        prep = for_channels(prep, num_channels)
    if size is not None:
        prep = prep.with_size(size)
    found = next((as_labels(config[key]) for key in _LABEL_KEYS if key in config), None)
    if found is None:
        values = (getattr(model, key, None) for key in _LABEL_KEYS)
        found = next((texts for value in values if (texts := as_labels(value))), None)
    return Network(
        model=model,
        name=short,
        preprocessing=prep,
        labels=found,
        weights_note=_weights_note(weights),
    )


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


def _config_in(metadata: dict[str, Any]) -> dict[str, Any]:
    """The keys of a config, which some files keep in a dict of their own."""
    for key in ("pretrained_cfg", "default_cfg", "preprocessing"):
        inner = metadata.get(key)
        if isinstance(inner, dict):
            return {**metadata, **inner}
    return metadata


def _probed(
    model: nn.Module, prep: Preprocessing, name: str, output: str | None
) -> tuple[nn.Module, int]:
    """One forward pass of an own model: does it take pictures, and what does it return?"""
    given = _run_once(model, prep, name, "is --size right?")
    scores = choose_scores(given, name, output=output, input_size=prep.size)
    if scores is not given:
        model = wrap(model, output)
    return model, scores.shape[1]


def _run_once(model: nn.Module, prep: Preprocessing, name: str, hint: str) -> Any:
    """What the model returns for a blank picture of the input's size."""
    parameter = next(model.parameters(), None)
    kind = parameter.dtype if parameter is not None else torch.float32
    blank_1CHW = torch.zeros(1, prep.num_channels, *prep.size, dtype=kind)
    try:
        with torch.no_grad():
            return model(blank_1CHW)
    except Exception as fault:
        text = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
        shape = "x".join(str(length) for length in blank_1CHW.shape)
        raise NetworkError(f"{name} fails on a {shape} input: {text}; {hint}") from fault


def _labels(
    asked: str | Sequence[str] | None,
    checkpoint: Checkpoint | None,
    known: tuple[str, ...] | None,
    num_classes: int,
    name: str,
) -> tuple[str, ...] | None:
    """The first of: what was asked for, what the weights say, what the model says, ImageNet."""
    if asked is not None:
        found = read_labels(asked) if isinstance(asked, str) else tuple(asked)
        if len(found) != num_classes:
            where = asked if isinstance(asked, str) else "labels"
            raise NetworkError(
                f"{where}: has {len(found)} labels, but {name} has {num_classes} classes"
            )
        return found
    metadata = _config_in(checkpoint.metadata) if checkpoint is not None else {}
    candidates = [as_labels(metadata[key]) for key in _LABEL_KEYS if key in metadata]
    for names_K in (*candidates, known, imagenet_labels(num_classes)):
        if names_K is not None and len(names_K) == num_classes:
            return names_K
    return None
