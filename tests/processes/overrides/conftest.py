"""Cubes, chunkings and a guard against computing too early."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords

CHUNKINGS: dict[str, dict[str, Any] | None] = {
    "numpy": None,
    "one": {"t": -1, "bands": -1, "y": -1, "x": -1},
    "dates": {"t": 1, "bands": 2, "y": -1, "x": -1},
    "uneven": {"t": (2, 4), "bands": -1, "y": 3, "x": (5, 2)},
}
DATES = np.array(
    ["2024-01-28T06", "2024-01-31T18", "2024-02-01T12", "2024-02-10T00", "2024-02-29T10", "2024-03-01T00"],
    "datetime64[ns]",
)
BANDS = ["B02", "B03", "B04"]


def make_cube(dtype: str = "float32", gaps: bool = True) -> xr.DataArray:
    """A cube of 6 dates, 3 bands and 6 x 7 pixels of 10 m in UTM 31N, some values no-data."""
    box = GeoBox.from_bbox((500000, 5700000, 500070, 5700060), crs="EPSG:32631", resolution=10)
    values = np.random.default_rng(5).integers(0, 200, (6, 3, 6, 7)).astype(dtype)
    if gaps and values.dtype.kind == "f":
        values[np.random.default_rng(6).random(values.shape) < 0.2] = np.nan
        values[:, 1, 2, 3] = np.nan
    coords = {"t": DATES, "bands": BANDS, **xr_coords(box)}
    return xr.DataArray(values, dims=("t", "bands", "y", "x"), coords=coords, name="s2", attrs={"title": "made"})


@pytest.fixture(params=list(CHUNKINGS))
def cube(request: pytest.FixtureRequest) -> xr.DataArray:
    """`make_cube()` in NumPy and in several chunkings."""
    chunks = CHUNKINGS[request.param]
    return make_cube() if chunks is None else make_cube().chunk(chunks)


@pytest.fixture
def raise_if_computes() -> Iterator[Callable[[], None]]:
    """Fail when Dask computes before the function that this gives is called."""
    allowed = []

    def scheduler(dsk: Any, keys: Any, **kwargs: Any) -> Any:
        if not allowed:
            raise AssertionError("Dask computed while the graph was built")
        return dask.get(dsk, keys, **kwargs)

    with dask.config.set(scheduler=scheduler):
        yield lambda: allowed.append(True)


def equal(result: xr.DataArray, expected: np.ndarray, compute: Callable[[], None] | None = None) -> None:
    """Compare values, NaN with NaN, after leave to compute."""
    if compute is not None:
        compute()
    np.testing.assert_allclose(np.asarray(result.values, float), np.asarray(expected, float), rtol=1e-5)


# Callbacks with the signature of processes: `values, positional_parameters, named_parameters, axis, keepdims, ...`.


def nanmean(values: Any, axis: int, keepdims: bool, **_: Any) -> Any:
    """A reducer of one step."""
    import dask.array as da

    valid = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        total = np.where(valid, values, 0).sum(axis=axis, keepdims=keepdims)
        number = valid.sum(axis=axis, keepdims=keepdims)
        library = da if isinstance(values, da.Array) else np
        return library.where(number > 0, total / np.maximum(number, 1), np.nan)


def span(values: Any, axis: int, keepdims: bool, **_: Any) -> Any:
    """A reducer of two steps: max - min, no-data where any is."""
    return values.max(axis=axis, keepdims=keepdims) - values.min(axis=axis, keepdims=keepdims)


def scaled_mean(values: Any, axis: int, keepdims: bool, **_: Any) -> Any:
    """A reducer of three steps: mean * 2 + 1."""
    return nanmean(values, axis=axis, keepdims=keepdims) * 2 + 1
