"""Command lines of the still-image scripts. `--help` must not wait for torch: imports are late."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rtvis.cli.stills_flags import backprop_parser, cam_parser
from rtvis.errors import RtvisError
from rtvis.leaving import DONE, FAILED, INTERRUPTED, end_process, import_torch

if TYPE_CHECKING:
    from rtvis.stills.batch import Stills
    from rtvis.stills.requests import Outcome


def gradcam_program() -> NoReturn:
    """`gradcam_main` as a process of its own."""
    end_process(gradcam_main())


def guided_backprop_program() -> NoReturn:
    """`guided_backprop_main` as a process of its own."""
    end_process(guided_backprop_main())


def gradcam_main(argv: Sequence[str] | None = None) -> int:
    """`gradcam.py`: class activation maps over pictures. Returns the exit code."""
    parser = cam_parser()
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
    parser = backprop_parser()
    args = parser.parse_args(argv)
    if args.class_name is not None and args.layer is not None:
        parser.error("argument --class: not allowed with argument --layer")
    for flag, value in (("layer", args.layer), ("unit", args.unit), ("position", args.position)):
        if value is not None and (args.region is not None or args.seed == "score"):
            named = "--seed score" if args.region is None else "argument --region"
            parser.error(f"{named}: not allowed with argument --{flag}")
    if args.region is not None and args.seed not in {None, "score"}:
        parser.error(f"argument --region: not allowed with --seed {args.seed}")

    def explain(
        stills: "Stills", inputs: list[Path], outputs: list[Path], raw: list[Path] | None
    ) -> "Iterator[Outcome]":
        from rtvis.stills.requests import BackpropRequest

        request = BackpropRequest(
            layer=args.layer,
            unit=args.unit,
            class_name=args.class_name,
            region=args.region,
            rule=args.rule,
            seed=args.seed,
            position=None if args.position is None else (args.position[0], args.position[1]),
            display=args.display,
        )
        return stills.backprop(inputs, outputs, request, raw_outputs=raw)

    return _guarded(parser, args, f"_{args.rule}", explain)


_Explain = Callable[["Stills", list[Path], list[Path], "list[Path] | None"], "Iterator[Outcome]"]


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
    from rtvis.engine.networks.models import load_network
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
    return Stills(network, device=args.device, tf32=args.tf32, batch_size=batch_size, fit=args.fit)


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
