"""What a scan tells while it goes on, and how it asks a cluster for parts of GPUs."""

from __future__ import annotations

import contextlib
import io
import re
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from rtvis.cli.units.scan_pass import _frames_too, _shown
from rtvis.errors import ConfigError
from rtvis.units.cluster import Wanted, connected
from rtvis.units.cluster_scan import _rows
from rtvis.units.ledger import Ledger
from rtvis.units.scan import Progress


def test_the_bar_tells_files_rate_time_left_and_errors() -> None:
    told = io.StringIO()
    console = Console(file=told, force_terminal=True, width=120)

    def passing() -> Any:
        for done in (10, 20):
            yield Progress(
                num_files=done,
                total_files=40,
                num_items=done + 2000,
                num_errors=done // 20,
                items_per_s=3.5,
                errors=("class1/007.png: is damaged",) if done == 20 else (),
            )

    for _ in _shown(passing(), console):
        pass
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told.getvalue())
    last = plain.replace("\r", "\n").rstrip().splitlines()[-1]
    assert "scanning" in last
    assert "20/40" in last
    assert "2,020 items, 3.5/s" in last
    assert re.search(r"\d:\d\d:\d\d|-:--:--", last), "the time left"
    assert "1 unreadable" in last
    assert "rtvis: class1/007.png: is damaged" in plain


def test_where_a_scan_stands_names_the_frames_of_the_film_that_is_being_read() -> None:
    files = SimpleNamespace(is_film_F=[True])
    before = Ledger(files, open_pts=(0.0, 0.04))  # type: ignore[arg-type]
    assert _frames_too(before) == " and 2 frames of a film"
    assert _frames_too(Ledger(files)) == ""  # type: ignore[arg-type]


class FakeRay:
    """A cluster of two machines with 16 CPUs each, and two GPUs on one of them."""

    __version__ = "0"
    exceptions = SimpleNamespace(RayError=ArithmeticError)

    def init(self, **_: object) -> None:
        pass

    def shutdown(self) -> None:
        pass

    def nodes(self) -> list[dict[str, Any]]:
        with_gpus, without = {"CPU": 16.0, "GPU": 2.0}, {"CPU": 16.0}
        return [{"Alive": True, "Resources": each} for each in (with_gpus, without)]

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(get_node_id=lambda: "here")


@pytest.mark.parametrize(
    ("gpus", "num_actors"),
    # Ray never divides an actor over two GPUs: two of 0.4 fit on each, and no fifth on both.
    [(None, 2), (1, 2), (0.5, 4), (0.4, 4), (2, 1)],
)
def test_actors_have_a_share_of_a_gpu_and_are_as_many_as_fit(
    monkeypatch: pytest.MonkeyPatch, gpus: float | None, num_actors: int
) -> None:
    monkeypatch.setattr("rtvis.units.cluster.imported_ray", FakeRay)
    monkeypatch.setattr("rtvis.units.cluster._read_credentials", lambda: None)
    with connected("head:6379", device="auto", wanted=Wanted(gpus=gpus)) as cluster:
        assert (cluster.device, cluster.gpus, cluster.num_actors) == ("cuda", gpus or 1, num_actors)
        assert (cluster.cpus, cluster.num_decoders) == (1, 32 - num_actors), "the others decode"
        asked = asked_of(cluster)
    assert asked["map"]["num_gpus"] == cluster.gpus
    assert asked["map"]["compute"] == num_actors
    assert "num_gpus" not in asked["flat_map"], "decoding is done on CPUs, anywhere"


def test_more_actors_than_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtvis.units.cluster.imported_ray", FakeRay)
    monkeypatch.setattr("rtvis.units.cluster._read_credentials", lambda: None)
    wanted = Wanted(gpus=0.5, num_actors=5)
    with (
        pytest.raises(ConfigError, match="too little for 5 actors with 1 CPUs and 0"),
        connected("head:6379", device="auto", wanted=wanted),
    ):
        pass


def asked_of(cluster: Any) -> dict[str, dict[str, Any]]:
    """What Ray Data is asked for, by the step."""
    asked: dict[str, dict[str, Any]] = {}

    class Rows:
        def flat_map(self, _: object, **how: Any) -> Rows:
            asked["flat_map"] = how
            return self

        def map(self, _: object, **how: Any) -> Rows:
            asked["map"] = how
            return self

        def iter_rows(self) -> list[object]:
            return []

    context = SimpleNamespace(execution_options=SimpleNamespace())
    context.copy = lambda: context
    cluster.ray.data = SimpleNamespace(
        from_items=lambda *_, **__: Rows(),
        DataContext=SimpleNamespace(
            get_current=lambda: context, current=lambda _: contextlib.nullcontext()
        ),
        TaskPoolStrategy=lambda size: size,
        ActorPoolStrategy=lambda size: size,
    )
    assert list(_rows(cluster, None, [])) == []  # type: ignore[arg-type]
    return asked
