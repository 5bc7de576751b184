"""Networks by name, with their weights, their preprocessing and their class names."""

from collections.abc import Sequence
from dataclasses import replace

from rtvis.config_network import DEFAULT_NETWORK
from rtvis.engine.networks import hub, zoo
from rtvis.engine.networks.from_model_file import adapted, apply_model_file
from rtvis.engine.networks.labels import as_labels, imagenet_labels, read_labels
from rtvis.engine.networks.layer_rules import LayerRules
from rtvis.engine.networks.loading import LABEL_KEYS, config_in, load_by_name, load_from_own
from rtvis.engine.networks.model_config import from_config, with_statistics
from rtvis.engine.networks.model_file import ModelFile, find_model_file, read_model_file
from rtvis.engine.networks.network import Network
from rtvis.engine.networks.outputs import wrap
from rtvis.engine.networks.own import is_own
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.engine.networks.probing import with_scores
from rtvis.engine.networks.weights import Checkpoint, read_checkpoint
from rtvis.engine.networks.zoo import names
from rtvis.errors import NetworkError
from rtvis.threads import cpu_threads

__all__ = ["Network", "downloads_weights", "load_network", "names", "wrap"]


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
            network, num_classes = (
                load_from_own(name, weights, checkpoint, size, trust_pickle),
                None,
            )
        else:
            network, num_classes = load_by_name(name, weights, checkpoint, size)
        prep = _preprocessing(network, checkpoint, file, size)
        prep = with_statistics(prep, mean, std, name="flags")
        if repeat_channels:
            prep = replace(prep, repeats_channels=True)
        network, num_classes = with_scores(network, num_classes, prep, output or file.output)
        asked = labels if labels is not None else _labels_of(file)
        return replace(
            network,
            model=adapted(file, network.model, prep),
            preprocessing=prep,
            labels=_labels(asked, checkpoint, network.labels, num_classes, network.name),
            layer_rules=layers.or_else(file.layers),
        )


def _preprocessing(
    network: Network,
    checkpoint: Checkpoint | None,
    file: ModelFile,
    size: tuple[int, int] | None,
) -> Preprocessing:
    """The library's or the model's, then what the weights say, then the file beside them."""
    prep = network.preprocessing
    if checkpoint is not None:
        prep = from_config(config_in(checkpoint.metadata), name=checkpoint.path, base=prep)
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
    metadata = config_in(checkpoint.metadata) if checkpoint is not None else {}
    candidates = [as_labels(metadata[key]) for key in LABEL_KEYS if key in metadata]
    for names_K in (*candidates, known, imagenet_labels(num_classes)):
        if names_K is not None and len(names_K) == num_classes:
            return names_K
    return None
