"""A scan on CUDA, on a device that is pretended: all is kept there until somebody asks."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from rtvis.engine.reduced.step import reduced_step
from rtvis.units.data_set import find_files
from rtvis.units.scan import ScanSettings, ScanState, scan
from tests.nets import EverySpelling, seeded
from tests.pretend_cuda import Device, pretend_cuda
from tests.test_scan import assert_same_arrays, network_of


@pytest.fixture
def cuda() -> Iterator[Device]:
    with pretend_cuda() as device:
        yield device


def test_what_a_scan_finds_stays_on_the_device_and_is_that_of_the_cpu(
    cuda: Device, tmp_path: Path
) -> None:
    for index in range(11):  # of the network's size: resizing rounds otherwise there
        pixels = np.random.default_rng(index).integers(0, 256, (32, 32, 3), np.uint8)
        assert cv2.imwrite(str(tmp_path / f"{index:02d}.png"), pixels)
    files = find_files(str(tmp_path))
    network = network_of(seeded(EverySpelling))

    def scanned(device: str) -> ScanState:
        step = reduced_step(network, device=torch.device(device), batch=4, compiled=False)
        state = ScanState.empty(files, step, ScanSettings())
        for _ in scan(step, state, network.preprocessing, num_workers=1):
            pass
        return state

    ours, wanted = scanned("cuda"), scanned("cpu")
    assert ours.findings.tracker.top().values_CN.is_cuda
    assert_same_arrays(ours, wanted)
