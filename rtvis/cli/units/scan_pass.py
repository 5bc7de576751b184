"""One scan: prepared as its store wants it, shown with a bar, stored now and then."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rtvis.cli.units.scan_options import ScanConfig
from rtvis.cli.units.scan_ray import plan_of
from rtvis.counting import counted
from rtvis.errors import RtvisError, SourceError, StoreError
from rtvis.leaving import DONE
from rtvis.threads import num_cores

if TYPE_CHECKING:  # `--help` must not wait for torch: imports are late
    from rich.console import Console

    from rtvis.data import Layer
    from rtvis.engine.networks.network import Network
    from rtvis.engine.reduced.step import ReducedStep
    from rtvis.units.cluster import Cluster
    from rtvis.units.items import Files
    from rtvis.units.ledger import Ledger
    from rtvis.units.scan import Progress, ScanSettings, ScanState
    from rtvis.units.scan_store import How
    from rtvis.units.store import Store
    from rtvis.units.writer import StoreWriter

WORTH_COMPILING: Final = 500
"""Files; with fewer, compiling takes longer than it saves."""

_MOST_TOLD: Final = 20
"""Files that cannot be read and are named on the screen; items.json names all."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Prepared:
    """What a pass is made with."""

    step: "ReducedStep"
    settings: "ScanSettings"
    name: str
    """Of its state in the store."""
    how: "How"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ScanPass:
    """A scan of one network into one store."""

    config: ScanConfig
    network: "Network"
    load: "partial[Network]"
    """How it was loaded, for processes elsewhere."""
    store: "Store"
    writer: "StoreWriter"
    cluster: "Cluster | None"
    """None: in this process."""
    messages: "Console"

    def run(self, found: "Files") -> int:
        """Scan; returns the exit code.

        Args:
            found: What the data set has; the store may know a part of it.

        Raises:
            RtvisError: Nothing can be read, or the store holds another scan.
        """
        from rtvis.units.scan_store import ordered_files, read_state, write_results, write_state

        files = ordered_files(self.store, found)
        prepared = self._prepared(files)
        step, name, how = prepared.step, prepared.name, prepared.how
        state = read_state(self.store, name, files, step, prepared.settings)
        if state.ledger.num_items:
            done = f"{state.ledger.num_files} of {len(files)} files{_frames_too(state.ledger)}"
            self._say(f"goes on in {self.store.folder}: {done} are done")
        try:
            self._passed(self._passing(step, state, how), state, prepared)
        except (KeyboardInterrupt, RtvisError):
            self._keep(state, prepared)
            raise
        finally:
            step.close()
        self._check_read(state)
        write_state(self.writer, name, state, how)
        write_results(self.writer, step.layers, state)
        for line in _summary(state, step.layers, how, self.store.folder):
            self._say(line)
        if not self.config.scan.crops:
            self._say("`rtvis units crops` makes pictures of the strongest inputs, and pages")
        return DONE

    def _say(self, text: str) -> None:
        self.messages.print(text, markup=False, soft_wrap=True)

    @property
    def _layers(self) -> tuple[str, ...]:
        """Patterns."""
        return tuple(self.config.network.layers or ("*",))

    @property
    def _where(self) -> str:
        """The kind of device that computes."""
        from rtvis.engine.device import resolve_device

        if self.cluster is not None:
            return self.cluster.device
        return resolve_device(self.config.scan.device).type

    def _prepared(self, files: "Files") -> _Prepared:
        """The pass in the form and batch of the one that it goes on with.

        Raises:
            StoreError: That was begun with other numbers, or elsewhere.
        """
        from rtvis.units.scan import ScanSettings
        from rtvis.units.scan_store import How, classes_are_summed, read_how, state_name

        options = self.config.scan
        settings = ScanSettings(
            num_top=options.top,
            min_distance_s=options.min_distance,
            every_s=options.every,
            with_statistics=options.statistics,
        )
        pays = len(files) >= WORTH_COMPILING or bool(files.is_film_F.any())
        step, form = self._step(options.batch, compiled=options.compile_ == "auto" and pays)
        with_classes = classes_are_summed(files, step, settings)
        name = state_name(step.layers, settings, with_classes=with_classes)
        before = read_how(self.store, name)
        if before is not None and (before.form, before.batch) != (form, step.batch):
            step.close()
            step, form = self._step(before.batch, compiled=before.form == "compiled")
        how = How(
            form=form,
            batch=step.batch,
            dtype=options.dtype,
            device=self._where,
            tf32=options.tf32 and self._where == "cuda",
        )
        if before is not None and before != how:
            raise StoreError(
                f"{self.store.folder}: the scan was begun {before.text}, and now it would be "
                f"{how.text}; go on with what it was, or --restart"
            )
        if step.note:
            self._say(step.note)
        return _Prepared(step=step, settings=settings, name=name, how=how)

    def _step(self, batch: int | None, *, compiled: bool) -> tuple["ReducedStep", str]:
        """The network's step, and in which form it will be computed.

        Args:
            batch: Pictures at once; None: as many as suit the device.
            compiled: In that form, where the network can be traced.
        """
        from rtvis.engine.device import resolve_device, resolve_dtype
        from rtvis.engine.reduced.step import default_batch, reduced_step

        here = self.cluster is None  # else actors compute; here the network is only looked at
        at_once = compiled and here
        with self.messages.status("preparing the network" + (", compiling" if at_once else "")):
            step = reduced_step(
                self.network,
                layers=self._layers,
                device=resolve_device(self.config.scan.device if here else "cpu"),
                dtype=resolve_dtype(self.config.scan.dtype),
                tf32=self.config.scan.tf32,
                batch=batch or default_batch(self._where),
                compiled=at_once,
            )
        if here or step.form == "untraced":
            return step, step.form
        return step, "compiled" if compiled else "eager"

    def _passing(self, step: "ReducedStep", state: "ScanState", how: "How") -> Iterator["Progress"]:
        """The scan, in this process or on a cluster."""
        if self.cluster is None:
            from rtvis.units.scan import scan

            num_workers = self.config.scan.workers or num_cores()
            return scan(step, state, self.network.preprocessing, num_workers=num_workers)
        from rtvis.units.cluster_scan import scan_on_cluster

        plan = plan_of(
            self.cluster,
            self.network,
            self.load,
            layers=self._layers,
            how=how,
            settings=state.settings,
            state=state,
        )
        return scan_on_cluster(self.cluster, plan, state, on_note=self._say)

    def _passed(
        self, passing: Iterator["Progress"], state: "ScanState", prepared: _Prepared
    ) -> None:
        """Run the scan to its end, with a bar, storing its state now and then."""
        from rtvis.units.scan_store import write_state

        saved_s = time.monotonic()
        try:
            for _ in _shown(passing, self.messages):
                if time.monotonic() - saved_s >= self.config.scan.save_every:
                    write_state(self.writer, prepared.name, state, prepared.how)
                    saved_s = time.monotonic()
        finally:
            passing.close()  # type: ignore[attr-defined]

    def _keep(self, state: "ScanState", prepared: _Prepared) -> None:
        """Store what there is of a scan that was stopped."""
        from rtvis.units.scan_store import write_state

        try:
            write_state(self.writer, prepared.name, state, prepared.how)
        except StoreError:
            return  # the one that is raised already says it
        done = f"{counted(state.ledger.num_files, 'file')}{_frames_too(state.ledger)}"
        self._say(f"stopped after {done}; the same command goes on from here")

    def _check_read(self, state: "ScanState") -> None:
        """Make sure that something could be read.

        Raises:
            SourceError: Nothing could.
        """
        from rtvis.units.names import TOP
        from rtvis.units.scan_store import forget

        ledger, store = state.ledger, self.store
        if not ledger.num_files or len(ledger.errors) < ledger.num_files:
            return
        if not any(store.path(layer.name, TOP).exists() for layer in store.layers()):
            forget(store, self.writer)  # else these names would bar the store to other data
        last = list(ledger.errors.values())[-1]
        raise SourceError(f"none of {ledger.num_files} files can be read; the last: {last}")


def _shown(passing: Iterator["Progress"], messages: "Console") -> Iterator["Progress"]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("scanning"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[errors]}"),
    )
    with Bar(*columns, console=messages, transient=True, disable=not messages.is_terminal) as bar:
        task = bar.add_task("", total=None, rate="", errors="")
        for progress in passing:
            failed = progress.num_errors
            for nth, error in enumerate(progress.errors, start=failed - len(progress.errors)):
                if nth < _MOST_TOLD:
                    messages.print(f"rtvis: {error}", markup=False, soft_wrap=True)
            bar.update(
                task,
                total=progress.total_files,
                completed=progress.num_files,
                rate=f"{progress.num_items:,} items, {progress.items_per_s:.1f}/s",
                errors=f"{failed} unreadable" if failed else "",
            )
            yield progress


def _summary(
    state: "ScanState", layers: "tuple[Layer, ...]", how: "How", folder: Path
) -> Iterator[str]:
    ledger, num_units = state.ledger, sum(layer.num_units for layer in layers)
    failed = len(ledger.errors)
    unreadable = f", {failed} of them unreadable (see items.json)" if failed else ""
    yield f"{counted(ledger.num_files, 'file')}, {counted(ledger.num_items, 'item')}{unreadable}"
    dead = ""
    if state.findings.statistics is not None:
        found = state.findings.statistics.of_layers(layers).values()
        dead = f", {sum(int(each.is_dead_C.sum()) for each in found)} of them dead"
    yield (
        f"{counted(len(layers), 'layer')}, {counted(num_units, 'unit')}{dead}; {how.form}, "
        f"batch {how.batch}"
    )
    yield f"in {folder}"


def _frames_too(ledger: "Ledger") -> str:
    """Of the film that is being read: without it a scan that was stopped in its first film would
    seem to have come to nothing."""
    return f" and {counted(len(ledger.open_pts), 'frame')} of a film" if ledger.open_pts else ""
