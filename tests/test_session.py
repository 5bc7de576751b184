"""The session: commands change it, and its revision tells that they did."""

import threading
from dataclasses import replace

from rtvis.data import Selection
from rtvis.session import Session, View


def test_a_command_that_changes_something_raises_the_revision_by_one() -> None:
    session = Session()
    assert session.read() == (View(), 0)
    session.apply(lambda view: replace(view, paused=True))
    assert session.read() == (View(paused=True), 1)


def test_a_command_that_changes_nothing_leaves_the_revision() -> None:
    session = Session(View(selection=Selection(unit=3)))
    session.apply(lambda view: replace(view, selection=replace(view.selection, unit=3)))
    assert session.read()[1] == 0


def test_update_replaces_fields_by_name() -> None:
    session = Session()
    session.update(zoom="unit", grid_scroll=4)
    view, revision = session.read()
    assert (view.zoom, view.grid_scroll, revision) == ("unit", 4, 1)


def test_commands_of_many_threads_all_count() -> None:
    session = Session()

    def scroll() -> None:
        for _ in range(200):
            session.apply(lambda view: replace(view, grid_scroll=view.grid_scroll + 1))

    threads = [threading.Thread(target=scroll) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    view, revision = session.read()
    assert (view.grid_scroll, revision) == (1000, 1000)
