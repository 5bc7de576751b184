"""`rtvis.load`: from a network's name to an engine."""

from collections.abc import Callable, Sequence

import rtvis.methods  # noqa: F401 - registers the CAM methods
from rtvis.config_network import DEFAULT_NETWORK
from rtvis.engine.engine import CompileMode, Engine
from rtvis.engine.networks.layer_rules import LayerRules
from rtvis.engine.networks.models import load_network


def load(
    network: str = DEFAULT_NETWORK,
    *,
    weights: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    tf32: bool = False,
    size: tuple[int, int] | None = None,
    labels: str | Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    repeat_channels: bool = False,
    output: str | None = None,
    trust_pickle: bool = False,
    model_config: str | None = None,
    layers: LayerRules = LayerRules(),  # noqa: B008 - frozen
    compile: CompileMode = "auto",  # noqa: A002 - the flag's name everywhere
    batch_size: int = 1,
    on_loaded: Callable[[str], None] | None = None,
) -> Engine:
    """An engine that serves from its first call on.

    Args:
        network: A torchvision or timm model, one of their Keras names, or
            `path/to/file.py:factory`.
        weights: None for pretrained ones, "random", or a file: safetensors or a state dict.
        device: "auto", "cpu", "cuda" or "cuda:n".
        dtype: "float32", "float16", "bfloat16" or "float64".
        tf32: Let an NVIDIA GPU round float32 to TF32 in convolutions and matrix products, for
            speed. Either way it holds for all of torch in this process, from here on.
        size: (height, width) of the network's input; default: the network's own.
        labels: A file with one class name a line (or JSON), or the names themselves.
        mean: Subtracted from pictures in 0..1, per channel; default: the network's own.
        std: They are divided by this.
        repeat_channels: Show pictures to a network with other channels than 1 or 3, too: it gets
            red, green, blue, red, green ...
        output: Which of the model's outputs to explain, where it returns several: a key, a field
            or an index, nested ones joined by dots.
        trust_pickle: Load pickled whole models too, which runs code from their file.
        model_config: A YAML file with labels, preprocessing and layers, or "none"; default: the one
            beside the weights or the network's file. What is given here wins over it.
        layers: Which layers are shown, and what they are called.
        compile: "auto" compiles in the background while the eager form serves; "off" does not.
        batch_size: Pictures per call that the compiled form is made for.
        on_loaded: Called with the network's name when weights are in place, before it is traced,
            which takes longer. For whoever shows progress.

    Raises:
        ConfigError: The YAML file beside the weights cannot be used.
        NetworkError: No such network, it cannot be traced, or has no layer with a map.
        WeightsError: The weights cannot be read, had, or belong to another network.
        DeviceError: The device does not exist or has not enough memory.
    """
    loaded = load_network(
        network,
        weights=weights,
        labels=labels,
        size=size,
        mean=mean,
        std=std,
        repeat_channels=repeat_channels,
        output=output,
        trust_pickle=trust_pickle,
        model_config=model_config,
        layers=layers,
    )
    if on_loaded is not None:
        on_loaded(loaded.name)
    return Engine(
        loaded, device=device, dtype=dtype, tf32=tf32, compile=compile, batch_size=batch_size
    )
