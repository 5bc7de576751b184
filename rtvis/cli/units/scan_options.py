"""What `rtvis units scan` can be told."""

from dataclasses import dataclass, field
from typing import Literal

from rtvis.choices import DtypeName
from rtvis.cli.units.scan_ray import ClusterOptions
from rtvis.config_network import NetworkConfig
from rtvis.options import (
    debug_option,
    device_option,
    dtype_option,
    number_option,
    option,
    seconds_option,
    store_option,
    tf32_option,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanOptions:
    """What to scan, and for what."""

    data: str | None = option(
        "a folder with all below it, a list (.txt, .csv: picture, class), a glob, a film, or demo",
        metavar="DATA",
        expects="a folder, a list, a glob or a film",
    )
    top: int = number_option("the N strongest items of each unit", 1, 1000, default=9)
    classes: str | None = option(
        "a CSV file with picture and class; or none; default: of the list, or names of folders",
        metavar="FILE",
        expects="a CSV file, or none",
    )
    statistics: bool = option("mean, quantiles, firing and dead units", default=True)
    min_distance: float = seconds_option(
        "in films: between two of a unit's strongest moments", default=1.0
    )
    every: float = seconds_option(
        "in films: look at no frame nearer than this to the one before", default=0.0
    )
    store: str | None = store_option()
    crops: bool = option("then make pictures and pages, as `rtvis units crops` does", default=False)
    restart: bool = option("forget what earlier scans have left in the store", default=False)
    save_every: float = seconds_option("store the state of the scan so often", default=60.0)
    batch: int | None = number_option("pictures at once; default: 4 on a CPU, 128 on a GPU", 1)
    workers: int | None = number_option(
        "threads that decode, with Ray tasks; default: one for each core", 1
    )
    device: str = device_option()
    dtype: DtypeName = dtype_option()  # noqa: RUF009
    tf32: bool = tf32_option()
    compile_: Literal["auto", "off"] = option(
        "auto: wait for the compiled form where there is enough to do", default="auto"
    )
    dump: str | None = option(
        "no scan: the activations of one layer (--layers NAME) for every picture, as one array",
        metavar="FILE.npy",
        expects="a file that ends in .npy",
    )
    pictures: int | None = number_option("the first N files alone", 1)
    debug: bool = debug_option()


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanConfig:
    """All of it."""

    scan: ScanOptions = field(default_factory=ScanOptions)
    cluster: ClusterOptions = field(default_factory=ClusterOptions)
    network: NetworkConfig = field(default_factory=NetworkConfig)
