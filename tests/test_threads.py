"""How many CPU threads an operation runs on, and how long they wait for one another."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rtvis import threads
from rtvis.threads import container_share, cpu_threads, num_cores, spin_briefly

SETTINGS = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.setenv(name, "")  # so that what the test sets is taken back
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_settings")
def test_waiting_is_bounded_unless_the_user_says_how_to_wait() -> None:
    os.environ["OMP_WAIT_POLICY"] = "active"
    spin_briefly()
    assert "GOMP_SPINCOUNT" not in os.environ
    del os.environ["OMP_WAIT_POLICY"]
    spin_briefly()
    assert 0 < int(os.environ["GOMP_SPINCOUNT"]) < 100_000
    os.environ["GOMP_SPINCOUNT"] = "7"
    spin_briefly()
    assert os.environ["GOMP_SPINCOUNT"] == "7"


@pytest.mark.usefixtures("no_settings")
def test_the_program_says_how_to_wait_before_torch_reads_it() -> None:
    code = (
        "import os, sys, rtvis.cli, rtvis.threads\n"
        "assert 'torch' not in sys.modules\n"
        "try:\n    rtvis.cli.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(os.environ['GOMP_SPINCOUNT'], file=sys.stderr)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert int(found.stderr.split()[-1]) > 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process has all cores")
def test_cores_are_those_that_the_process_may_use() -> None:
    assert 1 <= num_cores() <= (os.cpu_count() or 1)
    code = (
        "import os, rtvis.threads\n"
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
        "assert rtvis.threads.num_cores() == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("files", "share"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "something new\n"}, None),
        ({}, None),
    ],
)
def test_a_container_is_given_a_share_of_the_processor(
    tmp_path: Path, files: dict[str, str], share: float | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert container_share(tmp_path) == share


def test_a_share_of_a_core_and_a_half_is_two_cores_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    for share, cores in ((None, 64), (1.5, 2), (0.2, 1), (100.0, 64)):
        monkeypatch.setattr(threads, "container_share", lambda share=share: share)
        assert num_cores() == cores


def test_within_the_block_operations_run_on_that_many_threads() -> None:
    before = torch.get_num_threads()
    with cpu_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
