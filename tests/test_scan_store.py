"""What scans leave in a store, and what another scan of the same data makes of it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rtvis.data import Layer
from rtvis.engine.networks.identity import Identity
from rtvis.engine.networks.preprocess import Preprocessing
from rtvis.units import names, scan
from rtvis.units.items import Files, Items
from rtvis.units.scan import Rate
from rtvis.units.scan_store import _longer_items, forget
from rtvis.units.store import Store, open_store

LAYER = Layer(
    index=1,
    name="conv",
    kind="conv",
    num_units=2,
    map_size=(4, 4),
    stride=(1.0, 1.0),
    receptive_field=(3, 3),
)


def items_of(count: int) -> Items:
    ones = np.ones(count, dtype=np.int64)
    files = Files(
        root=Path("/data"),
        names=tuple(f"{number}.jpg" for number in range(count)),
        size_bytes_F=ones,
        modified_ns_F=ones,
        label_F=-ones,
        is_film_F=np.zeros(count, dtype=np.bool_),
    )
    return Items(files=files, num_items_D=ones, checksum_D=ones)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    prep = Preprocessing(size=(32, 32))
    return open_store(tmp_path, Identity(network="net", weights="0" * 40, preprocessing=prep))


def test_a_scan_of_other_layers_keeps_the_longer_list_of_items(store: Store) -> None:
    with store.writing("a test") as writer:
        writer.write_files(None, _longer_items(writer, items_of(5)))
        assert _longer_items(writer, items_of(4)) == {}
        assert list(_longer_items(writer, items_of(5))) == [names.ITEMS_ARRAYS]
        assert list(_longer_items(writer, items_of(6))) == [names.ITEMS_ARRAYS]


def test_a_restart_leaves_none_of_a_layers_results_and_all_of_its_pictures(store: Store) -> None:
    results = (names.TOP, names.STATISTICS, names.SELECTIVITY)
    with store.writing("a test") as writer:
        writer.write_layers([LAYER], {"conv": dict.fromkeys((*results, "0001/crop_00.jpg"), b"x")})
        writer.write_files(None, {names.ITEMS_ARRAYS: b"x", f"{names.ITEMS}_scan_0.npz": b"x"})
        forget(store, writer)
    kept = {path.name for path in store.folder.rglob("*") if path.is_file()}
    assert kept == {names.STORE, names.SUMS, names.LAYER, "crop_00.jpg"}


def test_the_rate_counts_what_this_run_has_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on behind 100 items, and has 30 more after two seconds."""
    clock = iter((10.0, 12.0))
    monkeypatch.setattr(scan, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    ledger: Any = SimpleNamespace(num_items=100, num_files=100, files=range(200), errors={})
    rate = Rate(ledger)
    ledger.num_items = 130
    assert rate.progress([]).items_per_s == 15
