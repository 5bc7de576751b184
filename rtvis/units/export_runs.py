"""Optimised inputs under the names of DVT's optimize_image.py (DVT-76); npz instead of pickle."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from rtvis.filing import encode_npz
from rtvis.render.display import in_colours, norm01, norm01_centred, to_bytes
from rtvis.units import names
from rtvis.units.pages.facts import facts_of
from rtvis.units.store import Store
from rtvis.units.writer import encoded


def optimized_runs(store: Store, layers: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The files of each optimised input: path in the export, and content.

    `PRESET/opt_LAYER_0130_0_best_X.jpg` (0 is the seed) shows what was added to the mean picture,
    `best_Xpm.jpg` the two together from its smallest to its largest value, `majority_` the last run
    in which the unit led its layer; `info.txt` and `info_big.npz` have all that is known of it.
    """
    for layer in layers:
        facts = facts_of(store, store.layer(layer))
        for unit in sorted(facts.files):
            for name in facts.optimized(unit):
                stem = Path(name).stem
                record = store.read_unit_json(layer, unit, f"{stem}.json")
                arrays = store.read_unit_arrays(layer, unit, f"{stem}.npz")
                if not isinstance(record, dict) or not arrays:
                    continue
                preset = names.folder_of(str(record.get("preset", "")))
                run = f"{names.folder_of(layer)}_{unit:04d}_{record.get('seed', 0)}"
                for ending, data in _run(store, record, arrays):
                    yield f"{preset}/opt_{run}_{ending}", data


def _run(
    store: Store, record: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]
) -> Iterator[tuple[str, bytes]]:
    assert store.identity is not None, "it has layers"
    prep = store.identity.preprocessing
    std_C11, mean_C11 = (torch.tensor(each)[:, None, None] for each in (prep.std, prep.mean))
    for moment in ("best", "majority"):
        if moment not in arrays:
            continue
        x_CHW = torch.from_numpy(arrays[moment]).float() * std_C11
        for ending, share_CHW in (
            ("X", norm01_centred(in_colours(x_CHW))),
            ("Xpm", norm01(in_colours(x_CHW + mean_C11))),
        ):
            bytes_HW3 = to_bytes(share_CHW.permute(1, 2, 0)).expand(-1, -1, 3).contiguous()
            yield f"{moment}_{ending}.jpg", encoded("a.jpg", bytes_HW3.numpy())
    lines = (f"{key}: {json.dumps(value)}" for key, value in record.items())
    yield "info.txt", ("\n".join(lines) + "\n").encode()
    yield "info_big.npz", encode_npz(arrays)
