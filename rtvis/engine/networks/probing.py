"""What a model returns, found by showing it a blank picture."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from rtvis.engine.networks.network import Network
from rtvis.engine.networks.outputs import SingleOutput, choose_scores, wrap
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.errors import NetworkError


def with_scores(
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
