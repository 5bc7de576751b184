"""The flags of the still-image scripts."""

import argparse
from collections.abc import Callable
from typing import Any, Final

from rtvis.config_network import DEFAULT_NETWORK
from rtvis.leaving import called
from rtvis.option_values import region, size, whole

_EPILOG: Final = """\
A folder or a glob (in quotes) as INPUT does all its pictures, a list (.txt, .lst or .csv) those
that its lines name; OUTPUT is then a folder.
Exit code: 0 done; 1 something could not be read, found or written; 2 wrong usage.
"""


def cam_parser() -> argparse.ArgumentParser:
    """Of `gradcam.py`."""
    parser = _parser(
        called("gradcam.py", installed="rtvis-gradcam"),
        "Show where in a picture a network sees the evidence for its top classes.\n"
        "Writes OUTPUT_0.png for the first class, OUTPUT_1.png for the second ...",
    )
    _add_cam(parser)
    _add_cam_drawing(parser)
    return parser


def backprop_parser() -> argparse.ArgumentParser:
    """Of `guided_backprop.py`."""
    parser = _parser(
        called("guided_backprop.py", installed="rtvis-guided-backprop"),
        "Show what in a picture excites one unit of a network, or speaks for one class.",
    )
    _add_backprop(parser)
    parser.add_argument_group("how it is drawn").add_argument(
        "--display",
        choices=["raw", "gray", "norm", "normblur", "positive"],
        default="raw",
        help="signed around grey, its mean, its norm, blurred, or what is positive (default: raw)",
    )
    return parser


def _add_cam(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what is explained")
    what.add_argument(
        "--method",
        default="grad-cam",
        metavar="NAME",
        help="CAM method: grad-cam (default), grad-cam++, hirescam ...; a wrong one lists all",
    )
    layer = what.add_mutually_exclusive_group()
    layer.add_argument(
        "--convindex",
        type=int,
        default=-1,
        metavar="N",
        help="which convolution: -1 the last (default), -2 the one before, 0 the first",
    )
    layer.add_argument("--layer", metavar="NAME", help="the same by name")
    classes = what.add_mutually_exclusive_group()
    classes.add_argument(
        "--top-k",
        type=_count,
        default=2,
        metavar="K",
        help="explain the K classes with the highest scores (default: 2)",
    )
    classes.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        metavar="CLASS",
        help="explain this class, by number or name; may be given several times",
    )
    what.add_argument(
        "--region",
        type=_region,
        metavar="ROW,COLUMN[,HEIGHT,WIDTH]",
        help="of a dense output, the pixels whose scores count: one, or a rectangle (default: all)",
    )


def _add_cam_drawing(parser: argparse.ArgumentParser) -> None:
    drawing = parser.add_argument_group("how it is drawn").add_mutually_exclusive_group()
    drawing.add_argument(
        "--overlay",
        dest="style",
        action="store_const",
        const="overlay",
        help="over the picture, which stays untouched without evidence (default)",
    )
    drawing.add_argument(
        "--blend",
        dest="style",
        action="store_const",
        const="blend",
        help="0.7 picture + 0.3 heat everywhere",
    )
    drawing.add_argument(
        "--heat-only", dest="style", action="store_const", const="heat", help="without the picture"
    )
    parser.set_defaults(style="overlay")


def _add_backprop(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what is explained")
    what.add_argument("--layer", metavar="NAME", help="layer (default: the last one with a map)")
    unit = what.add_mutually_exclusive_group()
    unit.add_argument(
        "--unit",
        type=int,
        metavar="N",
        help="unit of the layer (default: the strongest in each picture)",
    )
    unit.add_argument(
        "--class",
        dest="class_name",
        metavar="CLASS",
        help="a class, by number or name, instead of a layer and unit",
    )
    seed = what.add_mutually_exclusive_group()
    seed.add_argument(
        "--seed",
        choices=["max", "map", "activation"],
        help="start at the map's maximum (default), the whole map, or the map times its values",
    )
    seed.add_argument(
        "--position",
        type=int,
        nargs=2,
        metavar=("ROW", "COLUMN"),
        help="start at this place of the map",
    )
    what.add_argument(
        "--rule",
        choices=["gradient", "guided", "deconvnet"],
        default="guided",
        help="how ReLU passes gradients back (default: guided)",
    )


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=name,
        description=description,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_files(parser)
    _add_network(parser)
    _add_running(parser)
    return parser


def _add_files(parser: argparse.ArgumentParser) -> None:
    files = parser.add_argument_group("files")
    files.add_argument(
        "-i",
        "--input",
        nargs="+",
        required=True,
        metavar="INPUT",
        help="picture, folder, glob or list",
    )
    files.add_argument(
        "-o", "--output", metavar="OUTPUT", help="name of what is written (default: as the input)"
    )
    files.add_argument(
        "--raw",
        metavar="FILE.npz",
        help="the numbers before any scaling; for several pictures a folder",
    )


def _add_network(parser: argparse.ArgumentParser) -> None:
    network = parser.add_argument_group("network")
    network.add_argument(
        "-n",
        "--network",
        default=DEFAULT_NETWORK,
        metavar="NAME",
        help=f"torchvision, timm or Keras name, or FILE.py:FACTORY (default: {DEFAULT_NETWORK})",
    )
    network.add_argument("--weights", metavar="FILE", help="safetensors, a state dict, or 'random'")
    network.add_argument("--labels", metavar="FILE", help="names of the classes, one a line")
    network.add_argument(
        "--size", type=_size, metavar="N|HxW", help="input size (default: the network's own)"
    )
    network.add_argument(
        "--model-config",
        metavar="FILE",
        help="YAML with labels, preprocessing and layers, or 'none' (default: beside the weights)",
    )
    network.add_argument(
        "--fit",
        choices=["crop", "stretch", "letterbox"],
        default="crop",
        help="what becomes of pictures with other proportions (default: crop)",
    )
    network.add_argument(
        "--repeat-channels",
        action="store_true",
        help="give a network with other channels than 1 or 3 red, green, blue, red ...",
    )
    network.add_argument(
        "--network-output",
        metavar="KEY",
        help="which of its outputs, where it has several: a key, a field or an index, nested ones "
        "joined by dots (default: the first that can be scores)",
    )
    network.add_argument(
        "--trust-pickle",
        action="store_true",
        help="load whole models, which runs code from their file",
    )


def _add_running(parser: argparse.ArgumentParser) -> None:
    running = parser.add_argument_group("running")
    running.add_argument(
        "--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda or cuda:N"
    )
    running.add_argument(
        "--batch-size", type=_count, default=8, metavar="N", help="pictures at a time (default: 8)"
    )
    running.add_argument("--debug", action="store_true", help="show where an error comes from")


def _checked(parse: Callable[[str], Any], expects: str) -> Callable[[str], Any]:
    """`parse` with an error that says what would do."""

    def checked(text: str) -> Any:
        try:
            return parse(text)
        except (TypeError, ValueError):
            raise argparse.ArgumentTypeError(f"{text}: give {expects}") from None

    return checked


_count: Final = _checked(whole(1), "a whole number from 1")
_size: Final = _checked(size, "one side, or HEIGHTxWIDTH")
_region: Final = _checked(region, "row and column such as 30,50, or top, left, height and width")
