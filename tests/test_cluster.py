"""A scan on Ray Data: equal to that of one process to the bit, whatever happens to an actor."""

import contextlib
import functools
import itertools
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

import rtvis.cli
from rtvis.engine.networks.identity import identity_of
from rtvis.engine.networks.models import Network, load_network
from rtvis.engine.reduced.step import ReducedStep, reduced_step
from rtvis.errors import ConfigError, SourceError
from rtvis.leaving import DONE, INTERRUPTED, MISUSED
from rtvis.units import parcels
from rtvis.units.cluster import Cluster, Wanted, connected
from rtvis.units.cluster_actor import ActorPlan, NetworkActor, decode
from rtvis.units.cluster_folder import remove_leftovers
from rtvis.units.cluster_scan import scan_on_cluster
from rtvis.units.data_set import find_files
from rtvis.units.items import Files
from rtvis.units.lock import locked
from rtvis.units.reading import Reader
from rtvis.units.scan import Progress, ScanSettings, ScanState, batches, scan
from rtvis.units.spans import Span, span_size, spans
from tests.test_scan import assert_same_arrays, write_pictures
from tests.waiting import wait_for
from tests.workplace import write_workplace

CPU = torch.device("cpu")
BATCH = 4
SETTINGS = ScanSettings(min_distance_s=0.2)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A network, and pictures with ties, a damaged one and a film between them."""

    load: functools.partial[Network]
    network: Network
    files: Files
    step: ReducedStep
    wanted: ScanState

    def empty(self) -> ScanState:
        return ScanState.empty(self.files, self.step, SETTINGS)

    def plan(self, *, node: str) -> ActorPlan:
        return ActorPlan(
            load=self.load,
            identity=identity_of(self.network),
            layers=("*",),
            device="cpu",
            dtype="float32",
            tf32=False,
            batch=BATCH,
            is_compiled=False,
            num_threads=torch.get_num_threads(),
            settings=SETTINGS,
            with_classes=True,
            span_size=2 * BATCH,
            node=node,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("place")
    write_workplace(folder)
    data = folder / "data"
    write_pictures(data, 57)
    (data / "class1" / "007.png").write_bytes(b"\x89PNG\r\n\x1a\n, and nothing more")
    shutil.copy(folder / "film.avi", data / "class1" / "008.avi")
    load = functools.partial(load_network, f"{folder}/net.py:Net", size=32)
    network = load()
    files = find_files(str(data))
    step = reduced_step(network, device=CPU, batch=BATCH, compiled=False)
    wanted = ScanState.empty(files, step, SETTINGS)
    for _ in scan(step, wanted, network.preprocessing, num_workers=2):
        pass
    return Place(load=load, network=network, files=files, step=step, wanted=wanted)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with connected(None, device="cpu", wanted=Wanted(num_actors=2)) as started:
        yield started


def actors(pid: int | None = None) -> list[psutil.Process]:
    """Processes that hold the network: of the cluster of another process, or of this one's."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "MapWorker" in process.name() or "MapWorker" in " ".join(process.cmdline()):
                found.append(process)
    return found


def test_spans_hold_every_file_once_and_films_alone(place: Place) -> None:
    found = list(spans(place.files, start=0, start_frame=0, size=8))
    assert [
        index for span in found for index in range(span.first, span.first + len(span.files))
    ] == [*range(len(place.files))]
    assert [len(span.files) for span in found if span.is_film] == [1]
    film = int(np.flatnonzero(place.files.is_film_F)[0])
    assert film == 22  # behind 19 pictures of class 0 and 001, 004 and 007 of class 1
    assert [len(span.files) for span in found][:5] == [8, 8, 6, 1, 8]


def test_a_scan_goes_on_within_a_film(place: Place) -> None:
    film = int(np.flatnonzero(place.files.is_film_F)[0])
    first, second = itertools.islice(spans(place.files, start=film, start_frame=12, size=8), 2)
    assert (first.first, first.start_frame, first.is_film) == (film, 12, True)
    assert (second.first, second.start_frame, second.is_film) == (film + 1, 0, False)


@pytest.mark.parametrize(
    ("num_files", "picture_bytes", "wanted"),
    [(1_281_167, 602_112, 104), (1_281_167, 12_288, 256), (40, 602_112, 8), (3, 602_112, 8)],
)
def test_spans_are_small_enough_for_memory_and_for_all_actors(
    num_files: int, picture_bytes: int, wanted: int
) -> None:
    # 64 MiB / 602,112 bytes = 111 pictures: 13 batches of 8. 40 files: four for each of two actors
    # would be 5 pictures, less than a batch.
    size = span_size(num_files, batch=8, picture_bytes=picture_bytes, num_actors=2)
    assert size == wanted


def test_batches_are_the_same_in_one_pass_and_in_spans(place: Place) -> None:
    def names(start: int, files: Files) -> list[list[tuple[int, float | None]]]:
        reader = Reader(
            files=files, preprocessing=place.network.preprocessing, device=CPU, num_workers=1
        )
        return [
            [(sample.file + start, sample.pts_seconds) for sample in some]
            for some in batches(reader.samples(), BATCH, files)
        ]

    whole = names(0, place.files)
    assert max(len(some) for some in whole) == BATCH
    parts = spans(place.files, start=0, start_frame=0, size=2 * BATCH)
    assert [some for span in parts for some in names(span.first, span.files)] == whole


def test_what_travels_arrives_as_it_was(place: Place) -> None:
    span = Span(first=20, files=place.files.take(np.arange(20, 25)), start_frame=3)
    same = parcels.span_from_bytes(parcels.span_to_bytes(span))
    assert (same.first, same.start_frame, same.files.names) == (20, 3, span.files.names)
    assert same.files.path(2) == place.files.path(22)
    reader = Reader(
        files=same.files, preprocessing=place.network.preprocessing, device=CPU, num_workers=1
    )
    sent = list(reader.samples())
    got = parcels.pictures_from_bytes(parcels.pictures_to_bytes(sent))
    for before, after in zip(sent, got, strict=True):
        assert asdict(replace(before, image=None)) == asdict(replace(after, image=None))
        assert (before.image is None) == (after.image is None)
        if before.image is not None and after.image is not None:
            assert torch.equal(before.image, after.image)
    assert [sample.error is not None for sample in got].count(True) == 1


def test_data_that_another_machine_lacks_are_named(place: Place, tmp_path: Path) -> None:
    shutil.copytree(place.files.root, tmp_path / "gone")
    files = find_files(str(tmp_path / "gone")).take(np.arange(3))
    shutil.rmtree(tmp_path / "gone")
    row = {"span": parcels.span_to_bytes(Span(first=0, files=files))}
    (told,) = decode(row, plan=place.plan(node="here"), node_of=lambda: "there")
    assert str(files.path(0)) in told["fault"]
    assert "nor are 2 others" in told["fault"]
    assert "same path on every machine" in told["fault"]
    # Where the program itself runs, they are files that cannot be read, as in one process.
    (told,) = decode(row, plan=place.plan(node="here"), node_of=lambda: "here")
    assert told["fault"] == ""
    assert all(sample.error for sample in parcels.pictures_from_bytes(told["data"]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"version": "0.0.1"}, "install the same version"), ({"layers": ("nosuch",)}, "no layer of")],
)
def test_an_actor_that_cannot_work_says_why(
    place: Place, change: dict[str, object], reason: str
) -> None:
    actor = NetworkActor(replace(place.plan(node="here"), **change))
    told = parcels.parcel_from_bytes(actor({"span": b"", "data": b"", "fault": ""})["data"])
    assert reason in told.fault
    assert "a machine of the cluster" in told.fault


def test_an_actor_with_other_weights_says_so(place: Place) -> None:
    plan = place.plan(node="here")
    other = replace(plan, identity=replace(plan.identity, weights="0" * 40))
    told = parcels.parcel_from_bytes(
        NetworkActor(other)({"span": b"", "data": b"", "fault": ""})["data"]
    )
    assert "has other weights" in told.fault


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(ConfigError, match=r'pip install "rtvis\[cluster\]"'),
        connected(None, device="cpu", wanted=Wanted()),
    ):
        pass


@pytest.mark.parametrize(
    ("address", "wanted", "reason"),
    [
        ("ray://head:10001", Wanted(), "HOST:PORT"),
        (None, Wanted(gpus=0.5), "the network runs on the CPU"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(
    address: str | None, wanted: Wanted, reason: str
) -> None:
    with (
        pytest.raises(ConfigError, match=reason),
        connected(address, device="cpu", wanted=wanted),
    ):
        pass


def test_a_killed_actor_changes_nothing(place: Place, cluster: Cluster) -> None:
    state = place.empty()
    told: list[Progress] = []
    killed: list[int] = []
    for progress in scan_on_cluster(cluster, place.plan(node=cluster.node), state):
        told.append(progress)
        if not killed:
            killed = [process.pid for process in actors()]
            assert len(killed) == 2
            os.kill(killed[0], signal.SIGKILL)
    assert_same_arrays(state, place.wanted)
    assert told[-1].num_files == len(place.files) == 58
    assert told[-1].num_errors == 1
    assert [text for one in told for text in one.errors if "007.png" in text]


def test_one_process_goes_on_where_the_cluster_stopped(place: Place, cluster: Cluster) -> None:
    state = place.empty()
    passing = scan_on_cluster(cluster, place.plan(node=cluster.node), state)
    for progress in passing:
        if progress.num_items > 30:  # within the film
            break
    passing.close()  # type: ignore[attr-defined]
    assert 0 < len(state.ledger.open_pts) < 30
    stored = ScanState.from_arrays(state.to_arrays(), place.files, place.step, SETTINGS)
    for _ in scan(place.step, stored, place.network.preprocessing, num_workers=1):
        pass
    assert_same_arrays(stored, place.wanted)


def test_the_cluster_listens_to_this_machine_alone(cluster: Cluster) -> None:
    addresses = set()
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            sockets = process.net_connections("inet")
            addresses |= {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN}
    assert addresses
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    folder = Path(cluster.ray._private.worker._global_node.get_session_dir_path()).parents[1]
    assert folder.name.startswith("rtvis-ray-")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.slow
def test_data_that_cannot_be_read_end_the_scan(place: Place, cluster: Cluster) -> None:
    plan = replace(place.plan(node="another"), settings=SETTINGS)
    files = replace(place.files, root=place.files.root / "nowhere")
    state = ScanState.empty(files, place.step, SETTINGS)
    with pytest.raises(SourceError, match="same path on every machine"):
        list(scan_on_cluster(cluster, plan, state))
    assert state.ledger.num_files == 0


def test_flags_of_a_cluster_want_the_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    assert rtvis.cli.main(["units", "scan", "--data", "demo", "--actors", "2"]) == MISUSED
    assert "--actors: is for --engine ray" in capsys.readouterr().err


def scanning(
    folder: Path, store: str, *flags: str, form: str = "off", num_threads: str | None = None
) -> subprocess.Popen[str]:
    words = ["units", "scan", "--network", "net.py:Net", "--size", "32", "--data", "data"]
    words += ["--batch", "4", "--compile", form, "--device", "cpu", "--store", store]
    code = (  # a shell starts what runs in the background with SIGINT ignored
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from rtvis.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, *words, *flags],
        cwd=folder,
        env=os.environ | ({"OMP_NUM_THREADS": num_threads} if num_threads else {}),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def ended(*processes: subprocess.Popen[str]) -> list[str]:
    """What each said; none is left behind."""
    try:
        return [process.communicate(timeout=400)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def assert_same_results(folder: Path, other: Path) -> None:
    """Of every layer, to the byte."""
    results = ("top.npz", "statistics.npz", "selectivity.npz")
    written = sorted(path.relative_to(folder) for path in folder.rglob("*.npz"))
    written = [path for path in written if path.name in results]
    assert len(written) == 3 * len(results), "of three layers"
    for path in written:
        assert (folder / path).read_bytes() == (other / path).read_bytes(), path


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_the_command_leaves_the_same_store_and_nothing_that_runs(tmp_path: Path) -> None:
    write_workplace(tmp_path)
    write_pictures(tmp_path / "data", 200)
    (tmp_path / "data" / "class0" / "150.png").write_bytes(b"broken")
    folders = set(Path("/tmp").glob("rtvis-ray-*"))
    one, two = scanning(tmp_path, "one"), scanning(tmp_path, "two", "--engine", "ray")
    for process, said in zip((one, two), ended(one, two), strict=True):
        assert process.returncode == DONE, said
        assert "200 files, 200 items, 1 of them unreadable" in said
        assert "150.png" in said
        assert len([line for line in said.splitlines() if line]) == 5, said  # Ray says nothing
    assert_same_results(tmp_path / "one", tmp_path / "two")
    assert set(Path("/tmp").glob("rtvis-ray-*")) <= folders


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_compiled_scans_in_lanes_are_one_also_where_an_actor_is_killed(tmp_path: Path) -> None:
    """Two lanes a process: each batch is then computed by one of two threads of each actor."""
    write_workplace(tmp_path)
    write_pictures(tmp_path / "data", 1500)
    (tmp_path / "data" / "class1" / "700.png").write_bytes(b"broken")
    one = scanning(tmp_path, "one", form="auto", num_threads="2")
    (told,) = ended(one)
    assert one.returncode == DONE, told
    flags = ("--engine", "ray", "--actors", "2", "--save-every", "0")
    two = scanning(tmp_path, "two", *flags, form="auto", num_threads="2")

    def has_begun() -> bool:
        assert two.poll() is None, two.communicate()
        return any((tmp_path / "two").glob("*/items_scan_*.npz"))

    try:
        wait_for(has_begun, limit_s=500)
        first, _ = actors(two.pid)
        first.kill()
    except BaseException:
        two.kill()
        raise
    (said,) = ended(two)
    assert two.returncode == DONE, said
    for each in (told, said):
        assert "1500 files, 1500 items, 1 of them unreadable" in each.replace(",500", "500")
        assert "compiled, batch 4" in each
    assert_same_results(tmp_path / "one", tmp_path / "two")


@pytest.mark.slow
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("moment", ["while Ray starts", "in the middle"])
def test_ctrl_c_ends_the_cluster_and_the_same_command_goes_on(tmp_path: Path, moment: str) -> None:
    write_workplace(tmp_path)
    write_pictures(tmp_path / "data", 1500)
    folders = set(Path("/tmp").glob("rtvis-ray-*"))
    flags = ("--engine", "ray", "--actors", "2", "--save-every", "0")
    process = scanning(tmp_path, "store", *flags)

    def is_there() -> bool:
        assert process.poll() is None, process.communicate()
        if moment == "in the middle":
            return any((tmp_path / "store").glob("*/items_scan_*.npz"))
        return len(psutil.Process(process.pid).children(recursive=True)) > 1

    try:
        wait_for(is_there, limit_s=500)
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == INTERRUPTED, said
    psutil.wait_procs(started, timeout=30)
    assert [each for each in started if each.is_running()] == []
    assert set(Path("/tmp").glob("rtvis-ray-*")) <= folders
    if moment == "in the middle":
        assert "the same command goes on from here" in said
    one, two = scanning(tmp_path, "whole"), scanning(tmp_path, "store", *flags)
    for process, said in zip((one, two), ended(one, two), strict=True):
        assert process.returncode == DONE, said
    if moment == "in the middle":
        assert "goes on in" in said
    assert_same_results(tmp_path / "whole", tmp_path / "store")


def test_what_a_killed_scan_left_behind_goes_and_nothing_else(tmp_path: Path) -> None:
    old = time.time() - 3600

    def folder(name: str, *, age: float = old) -> Path:
        made = tmp_path / name
        (made / "ray").mkdir(parents=True)
        (made / "owner.lock").write_text("{}")
        os.utime(made / "owner.lock", (age, age))
        return made

    dead, alive, young = folder("rtvis-ray-dead"), folder("rtvis-ray-alive"), folder("rtvis-ray-y")
    os.utime(young / "owner.lock")
    without_lock, another = folder("rtvis-ray-none"), folder("other-ray-dead")
    (without_lock / "owner.lock").unlink()
    linked = tmp_path / "rtvis-ray-link"
    linked.symlink_to(another)
    with locked(alive / "owner.lock", "a scan"):
        os.utime(alive / "owner.lock", (old, old))
        remove_leftovers(tmp_path)
        assert alive.exists()
    assert not dead.exists()
    for stays in (young, without_lock, another, linked):
        assert stays.exists(), stays


_TWO_CLUSTERS = """
from rtvis.units.cluster import Wanted, connected
for _ in range(2):
    with connected(None, device="cpu", wanted=Wanted(cpus=1, num_decoders=1)) as cluster:
        print(cluster.ray.get(cluster.ray.remote(lambda: "answered").remote()))
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_one_process_has_one_cluster_after_the_other() -> None:
    """Each with a token of its own, of which Ray would keep the first."""
    done = subprocess.run([sys.executable, "-c", _TWO_CLUSTERS], capture_output=True, check=False)
    assert done.stdout.split() == [b"answered", b"answered"], done.stderr.decode()
