"""The flags of the still-image scripts."""

import argparse
import dataclasses
from collections.abc import Callable
from typing import Any, Final, NoReturn

from rtvis.choices import BackpropDisplay, Seed
from rtvis.config import SelectionConfig
from rtvis.config_files import choices_of
from rtvis.config_network import ComputeConfig, NetworkConfig
from rtvis.leaving import MISUSED, called
from rtvis.option_values import whole
from rtvis.options import help_of

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
        choices=choices_of(BackpropDisplay),
        default="clipped",
        help="signed around grey and clipped at four times its root mean square, all of it, its "
        "mean over colours, its norm, blurred, or what is positive; default: clipped",
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
        help="explain the K classes with the highest scores; default: 2",
    )
    classes.add_argument(
        "--class",
        dest="classes",
        action="append",
        default=[],
        metavar="CLASS",
        help="explain this class, by number or name; may be given several times",
    )
    _declare(what, SelectionConfig, "region")


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
    what.add_argument("--layer", metavar="NAME", help="layer; default: the last one with a map")
    unit = what.add_mutually_exclusive_group()
    unit.add_argument(
        "--unit",
        type=int,
        metavar="N",
        help="unit of the layer; default: the strongest in each picture",
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
        choices=choices_of(Seed),
        help="start at the map's maximum (default), the whole map, the map times its values, or "
        "the score of a class (of --class, or the top one)",
    )
    seed.add_argument(
        "--position",
        type=int,
        nargs=2,
        metavar=("ROW", "COLUMN"),
        help="start at this place of the map",
    )
    _declare(what, SelectionConfig, "rule")
    _declare(what, SelectionConfig, "region")


class _Parser(argparse.ArgumentParser):
    """Says in one line what cannot be used; the usage before it took ten others."""

    def error(self, message: str) -> NoReturn:
        self.exit(MISUSED, f"{self.prog}: {message}; `{self.prog} --help` shows all flags\n")


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = _Parser(
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
        "-o", "--output", metavar="OUTPUT", help="name of what is written; default: as the input"
    )
    files.add_argument(
        "--raw",
        metavar="FILE.npz",
        help="the numbers before any scaling; for several pictures a folder",
    )


def _add_network(parser: argparse.ArgumentParser) -> None:
    network = parser.add_argument_group("network")
    _declare(network, NetworkConfig, "network", names=("-n", "--network"))
    _declare(network, NetworkConfig, "weights", "labels", "size", "model_config")
    _declare(network, SelectionConfig, "fit")
    _declare(network, NetworkConfig, "repeat_channels")
    _declare(network, NetworkConfig, "output", names=("--network-output",))  # --output is a file
    _declare(network, NetworkConfig, "trust_pickle")


def _add_running(parser: argparse.ArgumentParser) -> None:
    running = parser.add_argument_group("running")
    _declare(running, ComputeConfig, "device", "tf32")
    running.add_argument(
        "--batch-size", type=_count, default=8, metavar="N", help="pictures at a time; default: 8"
    )
    running.add_argument("--debug", action="store_true", help="show where an error comes from")


def _declare(
    group: "argparse._ArgumentGroup", part: type, *fields: str, names: tuple[str, ...] = ()
) -> None:
    """Flags that a part of the live program's config declares, with its words and checks.

    Args:
        group: Takes them.
        part: The dataclass of `option` fields.
        fields: Their names.
        names: Of the flag here, where it has others than the field.
    """
    for one in dataclasses.fields(part):
        if one.name not in fields:
            continue
        flags = names or ("--" + one.name.replace("_", "-"),)
        if one.type is bool:
            group.add_argument(*flags, action="store_true", help=help_of(one))
            continue
        meta = one.metadata
        group.add_argument(
            *flags,
            type=_checked(meta["parse"], meta["expects"]) if meta["parse"] else str,
            choices=choices_of(one.type) or None,
            default=one.default,
            metavar=meta["metavar"],
            help=help_of(one),
        )


def _checked(parse: Callable[[str], Any], expects: str) -> Callable[[str], Any]:
    """`parse` with an error that says what would do."""

    def checked(text: str) -> Any:
        try:
            return parse(text)
        except (TypeError, ValueError):
            raise argparse.ArgumentTypeError(f"{text}: give {expects}") from None

    return checked


_count: Final = _checked(whole(1), "a whole number from 1")
