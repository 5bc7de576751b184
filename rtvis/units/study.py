"""The same targets with every combination of some numbers of a recipe, to see what each does."""

import contextlib
import itertools
import json
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from rtvis.data import ImageU8
from rtvis.engine.engine import Engine
from rtvis.errors import StoreError
from rtvis.plain import fields_from_plain, to_plain
from rtvis.units.ascent import Start
from rtvis.units.optimize import Progress, optimize
from rtvis.units.outputs import FolderOutput
from rtvis.units.pages.study import study_page
from rtvis.units.recipe import Recipe
from rtvis.units.sheet import contact_sheet
from rtvis.units.targets import Targets
from rtvis.units.writer import encoded

META: Final = "meta.json"
SHEET: Final = "sheet.png"
PAGE: Final = "index.html"


def changed(recipe: Recipe, changes: Mapping[str, Any], *, where: str) -> Recipe:
    """A recipe with some numbers changed.

    Args:
        recipe: To begin with.
        changes: By the names of its fields, as YAML has them.
        where: Begins every error.

    Raises:
        ConfigError: There is no such field, or it takes no such value.
    """
    return replace(recipe, **fields_from_plain(Recipe, dict(changes), where=where))


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """A grid of recipes over targets of one or several layers."""

    targets: tuple[Targets, ...]
    recipe: Recipe
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """Values to try, by field of the recipe."""
    every: int = 50
    """Runs between two pictures."""
    seed: int = 0

    def combinations(self) -> tuple[tuple[dict[str, Any], Recipe], ...]:
        """What is changed, and the recipe then, in the order of the grid; the last runs fastest.

        Raises:
            ConfigError: There is no such field, or it takes no such value.
        """
        found = []
        for values in itertools.product(*self.grid.values()):
            changes = dict(zip(self.grid, values, strict=True))
            found.append((changes, changed(self.recipe, changes, where="--study: ")))
        return tuple(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyProgress:
    """Where a study stands."""

    done: int
    """Steps."""
    total: int

    @property
    def share(self) -> float:
        """0..1."""
        return self.done / self.total


def run_study(
    engine: Engine,
    study: Study,
    folder: Path,
    *,
    start: Start | None = None,
    batch: int | None = None,
) -> Generator[StudyProgress, None, None]:
    """Make the pictures of a study: `UNIT_RUN_COUNTER.jpg` every some runs, `meta.json`,
    `sheet.png`, a row for each combination, and `index.html` with sliders. A study that is there
    already is removed first.

    Args:
        engine: Its thread steps this.
        study: What to try.
        folder: Where the files go.
        start: As for `optimize`.
        batch: Likewise.

    Raises:
        ConfigError: There is no such field, or it takes no such value.
        SelectionError: The network has no such target.
        StoreError: A file cannot be written.
    """
    combinations = study.combinations()
    steps = [
        (targets, changes, recipe) for targets in study.targets for changes, recipe in combinations
    ]
    size = batch or engine.batch_size
    total = sum(-(-len(t.units) // size) * recipe.iterations for t, _, recipe in steps)
    _remove_study(folder)
    pages = _Pages(folder)
    done = 0
    for targets, changes, recipe in steps:
        for progress in optimize(engine, targets, recipe, start=start, seed=study.seed, batch=size):
            done += 1
            if progress.ascent.iteration % study.every == 0 or progress.finished:
                pages.add(progress, targets, changes)
            yield StudyProgress(done=done, total=total)
    pages.finish(engine.network, study)


def _remove_study(folder: Path) -> None:
    """Remove the files of a study, which its `meta.json` names, and no others.

    Raises:
        StoreError: They cannot be removed.
    """
    found: list[Path] = []
    try:
        with contextlib.suppress(ValueError, KeyError, TypeError):  # damaged: it names none
            plain = json.loads((folder / META).read_text(encoding="utf-8"))
            found = [Path(each["path"]) for each in plain["visualizations"]]
        # First what tells of the others: a study that is there in part has none.
        for path in (Path(META), Path(SHEET), Path(PAGE), *found):
            if path.name == str(path):  # in this folder
                (folder / path).unlink(missing_ok=True)
    except FileNotFoundError:
        return
    except OSError as error:
        name = error.filename or folder
        raise StoreError(f"{name}: cannot be removed ({error.strerror})") from None


class _Pages:
    """The files of a study.

    Args:
        folder: Where they go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shown: list[dict[str, Any]] = []
        self._cells: list[tuple[str, ImageU8]] = []

    def add(self, progress: Progress, targets: Targets, changes: Mapping[str, Any]) -> None:
        """Write the pictures of a batch as they are by now."""
        ran, files = progress.ascent.iteration, {}
        images = progress.images().cpu().numpy()
        for unit, image_HW3 in zip(progress.units, images, strict=True):
            name = f"{unit}_{ran}_{len(self._shown)}.jpg"
            files[self._folder / name] = encoded(name, image_HW3)
            about = {"path": name, "channel": unit, "epoch": ran, "module_name": targets.layer}
            self._shown.append({**about, **{key: to_plain(each) for key, each in changes.items()}})
        FolderOutput.write_files(files)
        self._cells.extend(
            (_caption(found.unit, targets, changes), found.image_HW3) for found in progress.finished
        )

    def finish(self, network: str, study: Study) -> None:
        """Write what tells of them all."""
        plain = to_plain(study.recipe)
        assert isinstance(plain, dict)
        meta = {
            "network": network,
            "parameters": {key: to_plain(tuple(each)) for key, each in study.grid.items()},
            "recipe": {key: each for key, each in plain.items() if each != float("inf")},
            "seed": study.seed,
            "visualizations": self._shown,
        }
        text = json.dumps(meta, indent=1, allow_nan=False) + "\n"
        columns = max(len(targets.units) for targets in study.targets)
        sheet_HW3 = contact_sheet(self._cells, columns=columns)
        FolderOutput.write_files(
            {
                self._folder / SHEET: encoded(SHEET, sheet_HW3),
                self._folder / PAGE: study_page(meta),
                self._folder / META: text.encode(),
            }
        )


def _caption(unit: int, targets: Targets, changes: Mapping[str, Any]) -> str:
    values = " ".join(f"{key} {value}" for key, value in changes.items())
    return f"{unit} {values}" if values else f"{targets.layer} {unit}"
