"""Command lines of the still-image scripts. `--help` must not wait for torch: imports are late."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rtvis.errors import RtvisError
from rtvis.leaving import DONE, FAILED, INTERRUPTED, called, import_torch
from rtvis.option_values import region

if TYPE_CHECKING:
    from rtvis.stills.batch import Stills
    from rtvis.stills.requests import Outcome

DEFAULT_NETWORK = "tf_efficientnet_lite0"

_EPILOG = """\
A folder or a glob (in quotes) as INPUT does all its pictures, a list (.txt, .lst or .csv) those
that its lines name; OUTPUT is then a folder.
Exit code: 0 done; 1 something could not be read, found or written; 2 wrong usage.
"""


def gradcam_main(argv: Sequence[str] | None = None) -> int:
    """`gradcam.py`: class activation maps over pictures. Returns the exit code."""
    parser = _parser(
        called("gradcam.py", installed="rtvis-gradcam"),
        "Show where in a picture a network sees the evidence for its top classes.\n"
        "Writes OUTPUT_0.png for the first class, OUTPUT_1.png for the second ...",
    )
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
    args = parser.parse_args(argv)

    def explain(
        stills: "Stills", inputs: list[Path], outputs: list[Path], raw: list[Path] | None
    ) -> "Iterator[Outcome]":
        from rtvis.stills.requests import CamRequest

        request = CamRequest(
            method=args.method,
            layer=args.layer,
            conv_index=args.convindex,
            num_top=args.top_k,
            classes=tuple(args.classes),
            region=args.region,
            style=args.style,
        )
        return stills.gradcam(inputs, outputs, request, raw_outputs=raw)

    return _guarded(parser, args, "_cam", explain)


def guided_backprop_main(argv: Sequence[str] | None = None) -> int:
    """`guided_backprop.py`: what in a picture excites a unit. Returns the exit code."""
    parser = _parser(
        called("guided_backprop.py", installed="rtvis-guided-backprop"),
        "Show what in a picture excites one unit of a network, or speaks for one class.",
    )
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
    parser.add_argument_group("how it is drawn").add_argument(
        "--display",
        choices=["raw", "gray", "norm", "normblur", "positive"],
        default="raw",
        help="signed around grey, its mean, its norm, blurred, or what is positive (default: raw)",
    )
    args = parser.parse_args(argv)
    if args.class_name is not None and args.layer is not None:
        parser.error("argument --class: not allowed with argument --layer")

    def explain(
        stills: "Stills", inputs: list[Path], outputs: list[Path], raw: list[Path] | None
    ) -> "Iterator[Outcome]":
        from rtvis.stills.requests import BackpropRequest

        request = BackpropRequest(
            layer=args.layer,
            unit=args.unit,
            class_name=args.class_name,
            rule=args.rule,
            seed=args.seed,
            position=None if args.position is None else (args.position[0], args.position[1]),
            display=args.display,
        )
        return stills.backprop(inputs, outputs, request, raw_outputs=raw)

    return _guarded(parser, args, f"_{args.rule}", explain)


_Explain = Callable[["Stills", list[Path], list[Path], "list[Path] | None"], "Iterator[Outcome]"]


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=name,
        description=description,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
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
    running = parser.add_argument_group("running")
    running.add_argument(
        "--device", default="auto", metavar="NAME", help="auto (default), cpu, cuda or cuda:N"
    )
    running.add_argument(
        "--batch-size", type=_count, default=8, metavar="N", help="pictures at a time (default: 8)"
    )
    running.add_argument("--debug", action="store_true", help="show where an error comes from")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be 1 or more")
    return number


def _region(text: str) -> tuple[int, int, int, int]:
    try:
        return region(text)
    except (TypeError, ValueError):
        raise argparse.ArgumentTypeError(
            f"{text}: give row and column such as 30,50, or top, left, height and width"
        ) from None


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) > 2:
        raise argparse.ArgumentTypeError(f"{text}: give one side, or HEIGHTxWIDTH")
    return _count(parts[0]), _count(parts[-1])


def _guarded(
    parser: argparse.ArgumentParser, args: argparse.Namespace, ending: str, explain: _Explain
) -> int:
    """Run, with the user's faults as one line on stderr."""
    try:
        return _run(parser, args, ending, explain)
    except RtvisError as error:
        if args.debug:
            raise
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return INTERRUPTED


def _run(
    parser: argparse.ArgumentParser, args: argparse.Namespace, ending: str, explain: _Explain
) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    from rtvis.stills.files import check_writable, list_inputs, plan_outputs

    inputs = list_inputs(args.input)
    output = args.output or (f"{inputs[0].stem}{ending}" if len(inputs) == 1 else f"rtvis{ending}")
    outputs = plan_outputs(inputs, output)
    raw = None
    if args.raw is not None:
        raw = plan_outputs(inputs, args.raw, suffixes=(".npz",))
    for folder in {path.parent for path in [*outputs, *(raw or [])]}:
        check_writable(folder)

    import_torch()

    console = Console(stderr=True)
    num_failed = 0
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Remaining()
    progress = Progress(
        *columns,
        console=console,
        transient=True,
        # On a terminal the bar makes way for printed lines; a pipe must get them itself.
        redirect_stdout=sys.stdout.isatty(),
    )
    with progress if console.is_terminal else contextlib.nullcontext():
        task = progress.add_task(f"loading {args.network}", total=None)
        stills = _load(args, num_pictures=len(inputs))
        try:
            progress.reset(task, total=len(inputs), description="explaining")
            for outcome in explain(stills, inputs, outputs, raw):
                progress.advance(task)
                num_failed += outcome.error is not None
                _report(outcome, console, parser.prog)
        finally:
            stills.close()
    if num_failed and len(inputs) > 1:
        console.print(
            f"{parser.prog}: {num_failed} of {len(inputs)} pictures could not be read", style="red"
        )
    return FAILED if num_failed else DONE


def _load(args: argparse.Namespace, *, num_pictures: int) -> "Stills":
    from rtvis.engine.models import load_network
    from rtvis.stills.batch import Stills

    network = load_network(
        args.network,
        weights=args.weights,
        labels=args.labels,
        size=args.size,
        repeat_channels=args.repeat_channels,
        output=args.network_output,
        trust_pickle=args.trust_pickle,
        model_config=args.model_config,
    )
    batch_size = min(args.batch_size, num_pictures)
    return Stills(network, device=args.device, batch_size=batch_size, fit=args.fit)


def _report(outcome: "Outcome", console: "object", name: str) -> None:
    """Results to stdout, one a line; what went wrong to stderr."""
    from rich.console import Console

    assert isinstance(console, Console)
    for path, line in zip(outcome.written, outcome.lines, strict=True):
        print(f"{path}: {line}")
    for warning in outcome.warnings:
        console.print(f"{name}: warning: {warning}", style="yellow", markup=False, soft_wrap=True)
    if outcome.error is not None:
        console.print(f"{name}: {outcome.error}", style="red", markup=False, soft_wrap=True)
