"""One run of the live program in a process of its own, for `bench_live`.

Takes a job as JSON in its only argument and answers with JSON on its last line of output. Apart
from a sink that takes notes it is put together as `rtvis.cli` does it.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

SPAWNED_NS = time.monotonic_ns()  # before torch is imported, which takes seconds

_DEADLINE_S = 900.0
"""A job that is not over by then is ended; a slow machine compiles for minutes."""


def main() -> None:
    """Run the job and print what came of it."""
    print(json.dumps(run(json.loads(sys.argv[1]))))


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Run the live program once.

    Args:
        job: "network", "weights", "device", "dtype", "compile", "stream", "pace", "view"
            ("window" or "memory"), "until" ("compiled" or "seconds"), "seconds", "growing"
            (whether a picture of a unit grows and is held by turns), "store" (a folder to put a
            store into: keys are pressed and gaps measured, each "every"th).
    """
    from rtvis.threads import spin_briefly

    spin_briefly()
    import timm  # noqa: F401 - the time of the imports is measured
    import torch  # noqa: F401
    import torchvision  # noqa: F401 - brings half of torch's compiler with it: 2 s

    import rtvis.methods  # noqa: F401 - registers the CAM methods
    from benchmarks.gaps import Presser, acts_on, filled_store, selected
    from benchmarks.growing import Growing
    from rtvis.engine.engine import Engine
    from rtvis.engine.networks.models import load_network
    from rtvis.render.compositor import Compositor
    from rtvis.runtime.grower import EngineGrower
    from rtvis.runtime.pipeline import Pipeline
    from rtvis.session import Session, View
    from rtvis.sources import open_source

    imported_ns = time.monotonic_ns()
    warm = job["until"] == "seconds"
    source = open_source(job["stream"], loop=True, pace=job["pace"])
    network = load_network(job["network"], weights=job["weights"])
    engine = Engine(network, device=job["device"], dtype=job["dtype"], compile=job["compile"])
    sink = _sink(job["view"])
    with source, engine, sink:
        if warm:
            engine.wait_compiled()
        compositor: Any = Compositor(engine.device)
        grows, presses = bool(job.get("growing")), job.get("store")
        view, shelf = View(page="learned", growing=False) if grows else View(), None
        if presses is not None:
            shelf, largest = filled_store(engine, Path(presses))
            view = selected(largest)
        pipeline = Pipeline(
            engine=engine,
            source=source,
            compositor=compositor,
            session=Session(view),
            window=sink,
            grower=EngineGrower(engine) if grows or presses else None,
            shelf=shelf,
            folder=Path(presses) if presses else None,
        )
        if presses is not None:
            acts = acts_on(engine.layers, largest)
            presser = Presser(pipeline, sink, acts[:: job["every"]], settle_s=job["seconds"])
            with pipeline:
                pipeline.run(on_progress=presser.look)
            return {"gaps": presser.gaps(), "form": engine.form, "main_peak_kib": _peak_kib()}
        growing = Growing(pipeline, source) if grows else None
        if growing is not None:
            _note_scenes(compositor, growing.note)
        warm_up_s = min(3.0, job["seconds"] / 4) if warm else 0.0
        watch = _Watch(job, engine, source, sink, warm_up_s=warm_up_s, growing=growing)
        with pipeline:
            summary = pipeline.run(on_progress=watch.look)
        return {
            "import_s": (imported_ns - SPAWNED_NS) / 1e9,
            "first_picture_s": _since(imported_ns, sink.shown[0][1]) if sink.shown else None,
            "compiled_s": _since(imported_ns, watch.compiled_ns),
            "form": engine.form,
            "note": engine.compile_note,
            "shown": sink.shown,
            "compiled_ns": watch.compiled_ns,
            **watch.rates(),
            "growing": watch.growing(),
            "stages_ms": watch.stages_ms(),
            "num_faults": summary.num_faults,
            "reason": summary.reason,
            "main_peak_kib": _peak_kib(),
        }


class _Watch:
    """Ends the run when the job is done, and keeps the rates of the part that counts."""

    def __init__(
        self,
        job: dict[str, Any],
        engine: Any,
        source: Any,
        sink: Any,
        *,
        warm_up_s: float,
        growing: Any = None,
    ) -> None:
        self._growing = growing
        self._until = job["until"]
        self._seconds = float(job["seconds"])
        self._warm_up_s = warm_up_s
        self._engine, self._source, self._sink = engine, source, sink
        self._started_s = time.monotonic()
        self.compiled_ns: int | None = None
        self._begin: tuple[int, int, int] | None = None
        """(time, frames captured, frames processed) when the part that counts began."""
        self._end: tuple[int, int, int] | None = None
        self._stages: list[dict[str, float]] = []

    def look(self, progress: Any) -> None:
        """Called about 20 times a second on the main thread."""
        now_ns, elapsed_s = time.monotonic_ns(), time.monotonic() - self._started_s
        if self.compiled_ns is None and self._engine.form != "eager":
            self.compiled_ns = now_ns
        if elapsed_s > _DEADLINE_S:
            self._sink.finish()
        if not self._sink.shown or self._end is not None:
            return
        counts = (now_ns, self._source.status().num_captured, progress.num_processed)
        if self._begin is None and elapsed_s > self._warm_up_s:
            self._begin = counts
        if self._begin is not None:
            self._stages.append(progress.rates.stages_ms)
            if self._growing is not None:
                self._growing.look(progress.num_processed)
        if self._is_done(now_ns):
            self._end = counts
            self._sink.finish()

    def rates(self) -> dict[str, Any]:
        """The span that counts, and the frames per second in it."""
        begin, end = self._begin, self._end
        if begin is None or end is None:
            raise TimeoutError(f"not over after {_DEADLINE_S:.0f} s")
        seconds = (end[0] - begin[0]) / 1e9
        return {
            "measured_from_ns": begin[0],
            "measured_until_ns": end[0],
            "captured_fps": (end[1] - begin[1]) / seconds,
            "processed_fps": (end[2] - begin[2]) / seconds,
        }

    def growing(self) -> dict[str, Any] | None:
        """What pictures that grow cost; None where none did."""
        if self._growing is None:
            return None
        tallies = {kind: tally.plain() for kind, tally in self._growing.tallies.items()}
        return {**tallies, "turns": self._growing.turns}

    def stages_ms(self) -> dict[str, float]:
        """Mean time of each stage: the loop's own running means, averaged over the span."""
        names = dict.fromkeys(name for stages in self._stages for name in stages)
        seen = {name: [each[name] for each in self._stages if name in each] for name in names}
        return {name: sum(values) / len(values) for name, values in seen.items()}

    def _is_done(self, now_ns: int) -> bool:
        if self._begin is None:
            return False
        since_ns: int = self._begin[0]
        if self._until == "compiled" and self._is_compiling():
            return False
        if self._until == "compiled" and self.compiled_ns is not None:
            since_ns = max(since_ns, self.compiled_ns)  # some pictures of the compiled form, too
        return now_ns - since_ns > int(self._seconds * 1e9)

    def _is_compiling(self) -> bool:
        return self._engine.form == "eager" and self._engine.compile_note.startswith("compiling")


def _note_scenes(compositor: Any, note: Any) -> None:
    """Have each scene noted that is composed."""
    compose = compositor.compose

    def noting(scene: Any) -> Any:
        note(scene)
        return compose(scene)

    compositor.compose = noting


def _sink(view: str) -> Any:
    """The sink of this name, taking notes of what was before the user's eyes, and when."""
    from rtvis.data import ClosedEvent, Event, ShownEvent
    from rtvis.sinks.memory import MemorySink
    from rtvis.sinks.window import WindowSink

    inner: Any = WindowSink() if view == "window" else MemorySink(max_pictures=1)

    class Watched:
        """Hands everything on."""

        def __init__(self) -> None:
            self.shown: list[tuple[int, int]] = []
            """(captured_ns, shown_ns) of each picture."""
            self._over = False

        def finish(self) -> None:
            self._over = True
            inner.wake()

        def poll(self, timeout_s: float = 0.0) -> list[Event]:
            events: list[Event] = inner.poll(timeout_s)
            self.shown += [
                (e.captured_ns, e.shown_ns)
                for e in events
                if isinstance(e, ShownEvent) and e.captured_ns
            ]
            return [ClosedEvent(), *events] if self._over else events

        def __enter__(self) -> "Watched":
            inner.__enter__()
            return self

        def __exit__(self, *error: Any) -> None:
            inner.__exit__(*error)

        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

    return Watched()


def _since(start_ns: int, end_ns: int | None) -> float | None:
    return None if end_ns is None else (end_ns - start_ns) / 1e9


def _peak_kib() -> int:
    """VmHWM: the largest resident size that this process ever had."""
    try:
        with open("/proc/self/status") as file:  # noqa: PTH123 - one line of it
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0


if __name__ == "__main__":
    main()
