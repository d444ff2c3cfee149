"""Small GeoTIFFs in memory for tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio import Affine
from rasterio.io import MemoryFile

UTM = "EPSG:32631"
ORIGIN = (600_000.0, 5_700_000.0)


def tiff(
    values: NDArray[Any],
    step: float = 10.0,
    origin: tuple[float, float] = ORIGIN,
    crs: str = UTM,
    driver: str = "GTiff",
    descriptions: tuple[str, ...] = (),
    **options: Any,
) -> bytes:
    """Return a file of `values` (bands, y, x) or (y, x), whose upper left corner is the origin."""
    stack = values if values.ndim == 3 else values[None]
    place = Affine(step, 0, origin[0], 0, -step, origin[1])
    profile = {"count": len(stack), "height": stack.shape[1], "width": stack.shape[2], "dtype": stack.dtype}
    with MemoryFile() as memory:
        with memory.open(driver=driver, crs=crs, transform=place, **profile, **options) as dataset:
            dataset.write(stack)
            for index, text in enumerate(descriptions, 1):
                dataset.set_band_description(index, text)
        content: bytes = memory.read()
    return content


def ramp(rows: int, columns: int, kind: str = "uint16", start: int = 1) -> NDArray[Any]:
    """Return distinct values, row by row."""
    return np.arange(start, start + rows * columns).reshape(rows, columns).astype(kind)
