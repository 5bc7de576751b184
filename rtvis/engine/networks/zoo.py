"""Networks by name: torchvision's and timm's, and the names that Keras gives some of them."""

import functools
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from torch import nn

from rtvis.config_network import DEFAULT_NETWORK
from rtvis.engine.networks.labels import imagenet_labels
from rtvis.engine.networks.model_config import from_config, from_torchvision
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.engine.networks.zoo_dense import (
    build_detection,
    build_segmentation,
    detection_names,
    segmentation_names,
)
from rtvis.errors import NetworkError, did_you_mean

Origin: TypeAlias = Literal["torchvision", "timm", "rtvis"]

KERAS_NAMES: Final[dict[str, tuple[Origin, str]]] = {
    "DenseNet121": ("torchvision", "densenet121"),
    "DenseNet169": ("torchvision", "densenet169"),
    "DenseNet201": ("torchvision", "densenet201"),
    "InceptionResNetV2": ("timm", "inception_resnet_v2"),
    "InceptionV3": ("torchvision", "inception_v3"),
    "MobileNet": ("timm", "mobilenetv1_100"),
    "MobileNetV2": ("torchvision", "mobilenet_v2"),
    "NASNetLarge": ("timm", "nasnetalarge"),
    "NASNetMobile": ("rtvis", "nasnet_mobile"),
    "ResNet50": ("torchvision", "resnet50"),
    "VGG16": ("torchvision", "vgg16"),
    "VGG19": ("torchvision", "vgg19"),
    "Xception": ("timm", "legacy_xception"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A network that can be built by name."""

    origin: Origin
    name: str
    """As its library spells it, with timm's `.tag` of the weights if one was given."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Built:
    """A built network and what its library says about it."""

    model: nn.Module
    preprocessing: Preprocessing
    labels: tuple[str, ...] | None
    num_classes: int
    """0 where it gives features instead."""


def names() -> dict[str, tuple[str, ...]]:
    """Every name that `--network` takes, by where it comes from."""
    return {
        "default": (DEFAULT_NETWORK,),
        "Keras names": tuple(KERAS_NAMES),
        "torchvision": _torchvision_names(),
        "torchvision, segmentation": segmentation_names(),
        "torchvision, detection: the scores that boxes are chosen by": detection_names(),
        "timm": _timm_names(),
    }


def find(name: str) -> Entry:
    """The network of this name, in any case; torchvision's where both libraries have one.

    `torchvision/resnet50` and `timm/resnet50` choose the library, and timm's tags the weights:
    `timm/resnet50.a1_in1k`.

    Raises:
        NetworkError: There is none; the text names the nearest.
    """
    wanted = name.strip().casefold()
    if wanted == DEFAULT_NETWORK:  # known without asking libraries that take seconds to import
        return Entry(origin="timm", name=wanted)
    library, _, rest = wanted.rpartition("/")
    for keras_name, (origin, own_name) in KERAS_NAMES.items():
        if wanted in {keras_name.casefold(), own_name}:
            return Entry(origin=origin, name=own_name)
    torchvision_names = (*_torchvision_names(), *segmentation_names(), *detection_names())
    if library in {"", "torchvision"} and rest in torchvision_names:
        return Entry(origin="torchvision", name=rest)
    if library in {"", "timm"} and (entry := _find_timm(rest)) is not None:
        return entry
    known = {"torchvision": torchvision_names, "timm": _timm_names()}.get(
        library, (*KERAS_NAMES, *torchvision_names, *_timm_names())
    )
    raise NetworkError(
        f"unknown network '{name}'{did_you_mean(rest, known)}; `rtvis --list networks` lists all, "
        "and path/to/file.py:factory is a model of your own"
    )


def build(
    entry: Entry,
    *,
    pretrained: bool = False,
    num_classes: int | None = None,
    size: tuple[int, int] | None = None,
) -> Built:
    """The network with its library's preprocessing, in eval mode.

    Args:
        entry: From `find`.
        pretrained: Let the library load its weights (see `hub.check_reachable`); else random ones.
        num_classes: For fine-tuned weights; default: the library's.
        size: For networks that must know their input size when they are built.

    Raises:
        NetworkError: The library refuses to build it.
        OSError: The pretrained weights cannot be downloaded.
    """
    builders = {"torchvision": _build_torchvision, "timm": _build_timm, "rtvis": _build_own}
    try:
        built = builders[entry.origin](entry.name, pretrained, num_classes, size)
    except (TypeError, ValueError, RuntimeError, AssertionError) as fault:
        lines = str(fault).strip().splitlines() or [type(fault).__name__]
        raise NetworkError(f"{entry.name}: cannot be built: {lines[0]}") from fault
    built.model.eval()
    return built


def without_auxiliary_heads(model: nn.Module) -> None:
    """Remove GoogLeNet's and InceptionV3's training heads, which say nothing in eval mode."""
    for head in ("aux1", "aux2", "AuxLogits"):
        if isinstance(getattr(model, head, None), nn.Module):
            setattr(model, head, None)
            model.aux_logits = False  # type: ignore[assignment]  # a plain bool


@functools.cache
def _torchvision_names() -> tuple[str, ...]:
    import torchvision

    return tuple(torchvision.models.list_models(module=torchvision.models))


@functools.cache
def _timm_names() -> tuple[str, ...]:
    import timm

    return tuple(timm.list_models())


def _find_timm(name: str) -> Entry | None:
    import timm

    architecture, dot, tag = name.partition(".")
    if architecture not in _timm_names():
        return None
    if dot:
        pretrained = {known.casefold(): known for known in timm.list_pretrained()}
        if name not in pretrained:
            raise NetworkError(
                f"unknown tag '{tag}' of {architecture}{did_you_mean(name, pretrained)}"
            )
        name = pretrained[name]
    return Entry(origin="timm", name=name)


def _build_torchvision(
    name: str, pretrained: bool, num_classes: int | None, size: tuple[int, int] | None
) -> Built:
    import torchvision

    for names_N, build_dense in (
        (segmentation_names(), build_segmentation),
        (detection_names(), build_detection),
    ):
        if name in names_N:
            model, prep, known, count = build_dense(
                name, pretrained=pretrained, num_classes=num_classes
            )
            return Built(model=model, preprocessing=prep, labels=known, num_classes=count)
    entry = torchvision.models.get_model_weights(name).DEFAULT
    labels = tuple(entry.meta["categories"])
    preprocessing = from_torchvision(entry.transforms())
    options: dict[str, Any] = {}
    if name.startswith("vit_"):
        height, width = size or preprocessing.size  # vit_h_14's weights are for 518, not for 224
        if height != width:
            raise ValueError(f"takes square inputs only, not {height}x{width}")
        options["image_size"] = height
    if name.startswith("maxvit_") and size is not None:
        options["input_size"] = size
    if pretrained:
        options["weights"] = entry
    else:
        options["num_classes"] = num_classes or len(labels)
        if name in {"googlenet", "inception_v3"}:
            # As with pretrained weights; their own default only spares old checkpoints.
            options |= {"transform_input": True, "init_weights": True}
    model = torchvision.models.get_model(name, **options)
    without_auxiliary_heads(model)
    return Built(
        model=model,
        preprocessing=preprocessing,
        labels=labels if num_classes in {None, len(labels)} else None,
        num_classes=num_classes or len(labels),
    )


def _build_timm(
    name: str, pretrained: bool, num_classes: int | None, size: tuple[int, int] | None
) -> Built:
    import timm
    from timm.data import resolve_model_data_config

    config = timm.get_pretrained_cfg(name, allow_unregistered=True)
    options: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    if size is not None and config is not None and config.fixed_input_size:
        options["img_size"] = size
    model = timm.create_model(name, pretrained=pretrained, **options)
    known = int(model.num_classes)
    return Built(
        model=model,
        preprocessing=from_config(dict(resolve_model_data_config(model)), name=name),
        labels=imagenet_labels(known) if num_classes is None and known else None,
        num_classes=known,
    )


def _build_own(
    name: str,
    pretrained: bool,
    num_classes: int | None,
    size: tuple[int, int] | None,  # noqa: ARG001 - it takes any
) -> Built:
    from rtvis.engine.networks.nasnet_mobile import NASNetMobile

    assert name == "nasnet_mobile", name
    assert not pretrained, "nobody offers weights for it; `hub.check_reachable` says so"
    half = (0.5, 0.5, 0.5)
    return Built(
        model=NASNetMobile(num_classes=num_classes or 1000),
        preprocessing=Preprocessing(mean=half, std=half, interpolation="bicubic"),
        labels=imagenet_labels(1000) if num_classes is None else None,
        num_classes=num_classes or 1000,
    )
