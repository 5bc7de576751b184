"""What the terminal says of a run without a window."""

import io
from collections.abc import Callable

from rich.console import Console

from rtvis.cli.unseen import run_unseen
from rtvis.data import Rates, SourceStatus
from rtvis.runtime.outcome import Progress, Summary


class Watched:
    """A run whose source goes through these states."""

    def __init__(self, *states: SourceStatus) -> None:
        self._states = states

    def run(self, *, on_progress: Callable[[Progress], None]) -> Summary:
        for source in self._states:
            on_progress(
                Progress(
                    num_processed=0, num_passed=0, num_frames=None, rates=Rates(), source=source
                )
            )
        return Summary(reason="ended")


def lines_of(*states: SourceStatus) -> list[str]:
    said = io.StringIO()
    run_unseen(Watched(*states), Console(file=said), source_name="rtsp://camera/1")  # type: ignore[arg-type]
    return [line for line in said.getvalue().splitlines() if line.startswith("rtvis:")]


def lost(message: str) -> SourceStatus:
    return SourceStatus(state="reconnecting", message=message)


def test_a_camera_that_does_not_answer_is_told_once_an_outage_and_so_is_its_return() -> None:
    opening, live = SourceStatus(state="opening"), SourceStatus(state="live")
    refused = lost("connection refused: no server listens there; trying again")
    again = lost("connection refused: no server listens there; trying again (2 times so far)")
    broke = lost("the stream broke off; trying again")
    assert lines_of(opening, refused, refused, again, live, live, broke, opening) == [
        "rtvis: rtsp://camera/1: connection refused: no server listens there; trying again",
        "rtvis: rtsp://camera/1: it is back",
        "rtvis: rtsp://camera/1: the stream broke off; trying again",
    ]


def test_of_a_source_that_is_well_nothing_is_said() -> None:
    assert lines_of(SourceStatus(state="opening"), SourceStatus(state="live")) == []


def test_the_rate_of_processing_is_told_while_the_run_goes_on() -> None:
    class Running:
        def run(self, *, on_progress: Callable[[Progress], None]) -> Summary:
            on_progress(
                Progress(
                    num_processed=3,
                    num_passed=3,
                    num_frames=10,
                    rates=Rates(processed_fps=12.34, shown_fps=99.0),
                    source=SourceStatus(state="live"),
                )
            )
            return Summary(reason="left")

    said = io.StringIO()
    console = Console(file=said, force_terminal=True, color_system=None, width=120)
    run_unseen(Running(), console, source_name="film.mp4")  # type: ignore[arg-type]
    assert "3/10" in said.getvalue()
    assert "12.3 fps" in said.getvalue()
