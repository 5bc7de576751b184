"""`rtvis units optimize`: inputs that drive units as far as they go, into a store or a folder."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

from rtvis.cli.units.chosen import root_of
from rtvis.cli.units.optimize_options import OptimizeConfig, OptimizeOptions
from rtvis.cli.units.optimize_targets import doubts_of, start_of, targets_of
from rtvis.command import Command
from rtvis.errors import ConfigError, StoreError
from rtvis.flags import parse_config
from rtvis.leaving import DONE, INTERRUPTED, import_torch

if TYPE_CHECKING:  # `--help` must not wait for torch: imports are late
    from rich.console import Console

    from rtvis.engine.engine import Engine
    from rtvis.units.ascent import Start
    from rtvis.units.optimize import Progress
    from rtvis.units.outputs import Output
    from rtvis.units.recipe import Recipe
    from rtvis.units.targets import Targets

_WORTH_COMPILING: Final = 2000
"""Runs of one picture below which compiling takes longer than it saves on a CPU."""


def parse(words: Sequence[str], *, prog: str) -> Command:
    """What a command line without its first words asks for.

    Raises:
        ConfigError: An unknown flag, or a value that cannot be used.
    """
    config = parse_config(
        OptimizeConfig,
        words,
        prog=prog,
        description="Make the inputs that drive units of a network as far as they go (activation "
        "maximisation).",
        epilog="A larger picture than the network's input: --size, where the network takes one. "
        "Example: rtvis units optimize --network resnet50 --layer layer4.2.conv3 --units 0-31",
    )
    options = config.optimize
    if options.study and options.out is None:
        raise ConfigError("--study writes many files: name a folder with --out")
    if options.out is not None and options.store is not None:
        raise ConfigError("--out and --store: give one of them")
    return Command(run=lambda: _run(config), debug=options.debug)


def _run(config: OptimizeConfig) -> int:
    """Make what is asked for; returns the exit code."""
    from rich.console import Console

    messages = Console(stderr=True, highlight=False)
    import_torch()
    options = config.optimize
    recipe = _recipe(options)
    with _engine(config, messages) as engine:
        targets = targets_of(engine, options)
        for doubt in (*recipe.doubts, *doubts_of(engine, targets)):
            messages.print(f"rtvis: {doubt}", markup=False, soft_wrap=True)
        start = start_of(engine, options.start)
        try:
            if options.study:
                _study(engine, config, recipe, targets, start, messages)
            else:
                _make(engine, config, recipe, targets, start, messages)
        except KeyboardInterrupt:
            messages.print("rtvis: stopped; what was finished is written")
            return INTERRUPTED
    return DONE


def _recipe(options: OptimizeOptions) -> "Recipe":
    from rtvis.units.presets import preset
    from rtvis.units.study import changed

    changes = {name: _value(given) for name, given in options.set_}
    if options.minimise:
        changes["direction"] = "minimise"
    return changed(preset(options.preset), changes, where="--set: ")


def _value(given: str) -> Any:
    """A value as YAML has it."""
    import yaml

    try:
        return yaml.safe_load(given)
    except yaml.YAMLError:
        return given


def _engine(config: OptimizeConfig, messages: "Console") -> "Engine":
    from rtvis.api import load
    from rtvis.engine.networks.network_arguments import network_arguments

    network, compute = config.network, config.compute
    with messages.status(f"loading {network.network}"):
        return load(
            network.network,
            device=compute.device,
            dtype=compute.dtype,
            tf32=compute.tf32,
            compile="off",  # the way to each layer is compiled instead, where that is worth it
            **network_arguments(network),
        )


def _make(
    engine: "Engine",
    config: OptimizeConfig,
    recipe: "Recipe",
    all_targets: "tuple[Targets, ...]",
    start: "Start | None",
    messages: "Console",
) -> None:
    from dataclasses import replace

    from rtvis.paths import path_of
    from rtvis.units.outputs import FolderOutput, label_of, storing
    from rtvis.units.store import open_store

    options = config.optimize
    given = options.start if options.start != recipe.start else None
    label = label_of(options.preset, recipe, position=options.position, start=given or "")
    with ExitStack() as stack:
        output: Output
        if options.out is not None:
            folder = path_of(options.out)
            output = FolderOutput(folder)
        else:
            store = open_store(root_of(options.store), engine.identity)
            folder = store.folder
            output = stack.enter_context(storing(store, "rtvis units optimize"))
        left, num_known, known = [], 0, None
        for targets in all_targets:
            wanted = []
            for unit in targets.units:
                path = output.find(targets.layer, unit, label, options.seed)
                if path is not None and not options.force:
                    num_known, known = num_known + 1, path
                else:
                    wanted.append(unit)
            if wanted:
                left.append(replace(targets, units=tuple(wanted)))
        if num_known:
            if not left:
                raise StoreError(f"{known}: is there already; --force makes it anew")
            messages.print(f"rtvis: {num_known} are there already; --force makes them anew")
        _check(engine, left, recipe)
        count = _optimize_all(engine, config, recipe, left, start, label, output, messages)
    print(f"{folder}: {count} optimised input{'' if count == 1 else 's'}, '{label}'")


def _check(engine: "Engine", all_targets: "Sequence[Targets]", recipe: "Recipe") -> None:
    """Fail before any long work."""
    from rtvis.units.targets import resolve_targets

    for targets in all_targets:
        resolve_targets(engine, targets, recipe.objective)


def _optimize_all(
    engine: "Engine",
    config: OptimizeConfig,
    recipe: "Recipe",
    all_targets: "Sequence[Targets]",
    start: "Start | None",
    label: str,
    output: "Output",
    messages: "Console",
) -> int:
    """Make and write all; returns how many."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    count = 0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[values]}"),
    )
    with Bar(*columns, console=messages, transient=True, disable=not messages.is_terminal) as bar:
        for targets in all_targets:
            task = bar.add_task(targets.layer, total=None, values="")
            for progress in _optimizing(engine, config, recipe, targets, start, label, messages):
                for found in progress.finished:
                    output.write(found, label, config.optimize.seed)
                    count += 1
                if progress.done % 8 == 0 or progress.finished:  # reading a value waits for it
                    values = f"mean {float(progress.values().mean()):.4g}"
                    bar.update(task, completed=progress.done, total=progress.total, values=values)
            bar.remove_task(task)
    return count


def _optimizing(
    engine: "Engine",
    config: OptimizeConfig,
    recipe: "Recipe",
    targets: "Targets",
    start: "Start | None",
    label: str,
    messages: "Console",
) -> "Iterator[Progress]":
    """The runs for the units of one layer."""
    from rtvis.units.optimize import optimize

    batch = engine.only_batch or min(config.optimize.batch, len(targets.units))
    _compile(engine, config, targets, batch, recipe.iterations, messages)
    return optimize(
        engine,
        targets,
        recipe,
        start=start,
        seed=config.optimize.seed,
        batch=batch,
        preset_name=label,
    )


def _compile(
    engine: "Engine",
    config: OptimizeConfig,
    targets: "Targets",
    batch: int,
    iterations: int,
    messages: "Console",
) -> None:
    """Compile the way to a layer where that saves more time than it takes."""
    runs = len(targets.units) * iterations
    if config.compute.compile == "off" or (runs < _WORTH_COMPILING and engine.device.type == "cpu"):
        return
    with messages.status(f"compiling the way to {targets.layer}"):
        engine.compile_reach(targets.layer, batch)


def _study(
    engine: "Engine",
    config: OptimizeConfig,
    recipe: "Recipe",
    all_targets: "tuple[Targets, ...]",
    start: "Start | None",
    messages: "Console",
) -> None:
    from rich.progress import Progress

    from rtvis.paths import path_of
    from rtvis.units.study import META, PAGE, Study, run_study

    options = config.optimize
    assert options.out is not None, "parse() saw to it"
    folder = path_of(options.out)
    if (folder / META).exists() and not options.force:
        raise StoreError(f"{folder / META}: is there already; --force replaces the study")
    grid = {name: tuple(_value(each) for each in given.split(",")) for name, given in options.study}
    study = Study(
        targets=all_targets, recipe=recipe, grid=grid, every=options.every, seed=options.seed
    )
    _check(engine, all_targets, recipe)
    num = len(study.combinations())
    most = max(len(targets.units) for targets in all_targets)
    batch = engine.only_batch or min(options.batch, most)
    for targets in all_targets:
        _compile(engine, config, targets, batch, num * recipe.iterations, messages)
    with Progress(console=messages, transient=True, disable=not messages.is_terminal) as bar:
        task = bar.add_task("study", total=1.0)
        for progress in run_study(engine, study, folder, start=start, batch=batch):
            bar.update(task, completed=progress.share)
    print(f"{folder / PAGE}: {num} combinations")


__all__ = ["parse"]
