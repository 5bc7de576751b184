"""What a live run needs to show what units have learned: who makes it, and where it is kept."""

from pathlib import Path
from typing import TYPE_CHECKING

from rtvis.config import Config
from rtvis.paths import path_of

if TYPE_CHECKING:  # imports are late
    from rtvis.engine.engine import Engine
    from rtvis.runtime.growth import Grower
    from rtvis.runtime.moments import LiveMoments
    from rtvis.runtime.shelf import Shelf

_OF_FILES = 8
"""One part in so many is for files as the store has them; the others are for what is shown."""


def grower_of(config: Config, engine: "Engine") -> "Grower":
    """Optimises inputs.

    Raises:
        ConfigError: There is no such preset.
    """
    from rtvis.runtime.grower import EngineGrower

    return EngineGrower(engine, preset_name=config.learned.preset)


def shelf_of(config: Config, engine: "Engine") -> "Shelf | None":
    """The store; None where the user wants none."""
    from rtvis.runtime.store_shelf import StoreShelf

    if config.learned.store == "none":
        return None
    return StoreShelf(
        path_of(config.learned.store) if config.learned.store is not None else None,
        lambda: engine.identity,
        engine.layers,
        preset_name=config.learned.preset,
        cache_bytes=learned_bytes_of(config) // _OF_FILES,
    )


def learned_bytes_of(config: Config) -> int:
    """What pictures of what units have learned may take in memory, with those of the shelf."""
    return config.learned.learned_memory * 2**20


def known_bytes_of(config: Config) -> int:
    """What is left of that to the pictures that are shown: the shelf has its part."""
    return learned_bytes_of(config) - learned_bytes_of(config) // _OF_FILES


def moments_of(config: Config, engine: "Engine", saved: str) -> "LiveMoments":
    """The best moments of every unit: those in the folder `saved` of a state, or none yet.

    Raises:
        ConfigError: The folder cannot be read, or is of another network.
    """
    from rtvis.runtime.moment_files import read_moments_folder
    from rtvis.runtime.moment_keeping import put_back
    from rtvis.runtime.moments import live_moments

    moments = live_moments(
        engine,
        apart_s=config.learned.moments_distance,
        max_bytes=config.learned.moments_memory * 2**20,
    )
    if saved:
        put_back(moments, read_moments_folder(Path(saved)), where=Path(saved))
    return moments
