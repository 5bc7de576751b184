"""A run that no window shows, on the terminal: a progress bar, and what the source is doing."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `--help` must not wait for torch: imports are late
    from rich.console import Console

    from rtvis.data import SourceStatus
    from rtvis.runtime.outcome import Progress, Summary
    from rtvis.runtime.pipeline import Pipeline


def run_unseen(pipeline: "Pipeline", console: "Console", *, source_name: str) -> "Summary":
    """Run with a progress bar; says when the source is lost, and when it is back."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:5.1f} fps"),
        TimeRemainingColumn(),
    )
    outages = _Outages(lambda text: say(console, f"{source_name}: {text}"))
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("frames", total=None, rate=0.0)

        def show(progress: "Progress") -> None:
            outages.look(progress.source)
            bar.update(
                task,
                description="finishing the film" if progress.is_finishing else "frames",
                completed=progress.num_passed,
                total=progress.num_frames,
                rate=progress.rates.processed_fps,
            )

        summary = pipeline.run(on_progress=show)
        if summary.reason == "ended":  # whatever the film's head had promised
            done = bar.tasks[task].completed
            bar.update(task, total=done, rate=summary.rates.processed_fps)
        return summary


class _Outages:
    """One line for each: what is tried again every second is not told again."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._is_out = False

    def look(self, source: "SourceStatus") -> None:
        """Tell what has changed since the last look."""
        if source.state == "reconnecting" and not self._is_out:
            self._tell(source.message)
            self._is_out = True
        elif source.state == "live" and self._is_out:
            self._tell("it is back")
            self._is_out = False


def say(console: "Console", text: str) -> None:
    """One line beside the progress bar, however narrow the terminal is."""
    console.print(f"rtvis: {text}", markup=False, soft_wrap=True)
