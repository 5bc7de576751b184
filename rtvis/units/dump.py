"""One layer's activations for the first pictures of a data set, as one array (DVT-88)."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rtvis.data import Selection
from rtvis.engine.engine import Engine
from rtvis.errors import SelectionError, SinkError, SourceError, did_you_mean
from rtvis.filing import remedy
from rtvis.sources.pixels import read_picture
from rtvis.units.items import Files


def dump(engine: Engine, layer: str, files: Files, out: Path) -> Iterator[str]:
    """Write the layer's own values, before its activation, for every picture, one after another.

    Args:
        engine: Of the network.
        layer: Its name.
        files: Pictures.
        out: An `.npy` file: float32 [N, C, H, W], memory-mapped while it is written, so that it
            may be larger than memory. The rows of unreadable pictures are NaN.

    Yields:
        After each picture why it could not be read, or nothing.

    Raises:
        SelectionError: There is no such layer.
        SourceError: A film is among the files.
        SinkError: The file cannot be written.
    """
    known = {each.name: each for each in engine.layers}
    if layer not in known:
        near = did_you_mean(layer, known)
        raise SelectionError(f"--layers: {engine.network} has no layer '{layer}'{near}")
    if files.is_film_F.any():
        raise SourceError(f"{files.root}: --dump takes pictures alone, and there is a film")
    shape = (len(files), known[layer].num_units, *known[layer].map_size)
    selection = Selection(layer=layer, tap="pre", backward=False)
    part = out.with_name(f".{out.name}.{secrets.token_hex(4)}.part")
    try:
        array = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape)
        for index in range(len(files)):
            try:
                picture = read_picture(files.path(index)).best
            except SourceError as fault:
                array[index] = np.nan
                yield str(fault)
                continue
            maps_BCHW = engine.run(picture, selection).maps_BCHW
            array[index] = maps_BCHW[0].float().cpu().numpy()
            yield ""
        array.flush()
        del array
        part.replace(out)
    except OSError as error:
        hint = remedy(error, otherwise="name a file in a folder that is yours")
        raise SinkError(f"{out}: cannot be written ({error.strerror}); {hint}") from None
    finally:
        part.unlink(missing_ok=True)
