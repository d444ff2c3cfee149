"""Blocks of a cube read from the assets of STAC items, each brought to the grid by nearest neighbour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from pyproj.exceptions import ProjError
from rasterio.windows import Window

from processes.fetch import FetchError
from processes.fetch.files import Files
from processes.fetch.rasters import open_raster
from processes.fetch.urls import shown
from processes.sources._bands import Band
from processes.sources._grid import Span
from processes.sources.origin import Origin
from processes.sources.stac.item import Layer

_THREADS = 8
# How many times more pixels than wanted may be read: granules that are finer than their metadata say, or turned.
_SURPLUS = 64


@dataclass(frozen=True, eq=False)
class StacReader:
    """Reads layers: `layers[band][item]` is where an item has a band, None where it does not.

    `x` (columns,) and `y` (rows,) are the centres of the grid in `crs`; values are of type `dtype`, NaN is no data.
    """

    origin: Origin
    layers: Mapping[str, Sequence[Layer | None]]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    crs: str
    dtype: str

    def token(self) -> tuple[Any, ...]:
        """Return what names the data: places, no-data values, the grid."""
        name = self.origin.files.token
        places = [
            (band, [one and (name(one.href), one.index, one.nodata) for one in of]) for band, of in self.layers.items()
        ]
        return (repr(places), self.x, self.y, self.crs, self.dtype)

    def read(self, bands: Sequence[Band], items: NDArray[np.intp], rows: Span, cols: Span) -> Iterator[NDArray[Any]]:
        """Yield the values (items, rows, cols) of each band; several files are read at a time."""
        place = _Place(self.x[slice(*cols)], self.y[slice(*rows)], self.crs)
        with ThreadPoolExecutor(_THREADS) as threads:
            for band in bands:
                layers = [self.layers[band.name][item] for item in items]
                yield np.stack(list(threads.map(partial(self._layer, place), layers)))

    def _layer(self, place: _Place, layer: Layer | None) -> NDArray[Any]:
        if layer is None:
            return np.full(place.shape, np.nan, self.dtype)
        try:
            return read_layer(self.origin.files, layer, place, self.dtype)
        except FetchError as error:
            raise self.origin.invalid(f"a file that it names cannot be read: {error}. ({shown(layer.href)})") from error


@dataclass(frozen=True, eq=False)
class _Place:
    """Pixel centres that are wanted, and what of them was found out about files of one geometry."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    crs: str
    found: dict[Any, tuple[NDArray[np.intp], NDArray[np.intp]]] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (rows, columns)."""
        return (len(self.y), len(self.x))

    def pixels(self, crs: pyproj.CRS, transform: Affine) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the row and the column of the file's pixel that each wanted centre lies in.

        Shapes (rows, 1) and (1, columns) where the file's grid is parallel to the wanted one, else (rows, columns).
        """
        key = (crs.to_wkt(), transform)
        if key not in self.found:
            self.found[key] = self._pixels(crs, transform)
        return self.found[key]

    def _pixels(self, crs: pyproj.CRS, transform: Affine) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        ours = pyproj.CRS(self.crs)
        x, y = self.x[None, :], self.y[:, None]
        parallel = ours.equals(crs, ignore_axis_order=True)
        if not parallel:
            every_x, every_y = np.broadcast_arrays(x, y)
            x, y = pyproj.Transformer.from_crs(ours, crs, always_xy=True).transform(every_x, every_y)
        a, b, c, d, e, f = tuple(~transform)[:6]
        columns, rows = (a * x + b * y + c, d * x + e * y + f) if b or d or not parallel else (a * x + c, e * y + f)
        return _whole(rows), _whole(columns)


def read_layer(files: Files, layer: Layer, place: _Place, dtype: str) -> NDArray[Any]:
    """Return the values of a layer at the wanted centres, NaN outside of it and where there is no data.

    The file's own georeference counts, not that of the metadata; the metadata's no-data value counts before the
    file's.
    """
    with open_raster(files, layer.href) as dataset:
        if layer.index > dataset.count:
            raise FetchError(f"it has {dataset.count} bands, but its metadata describe {layer.index}")
        crs = dataset.crs.to_wkt() if dataset.crs else layer.crs
        if crs is None:
            raise FetchError("it has no reference system")
        if not np.isfinite(tuple(dataset.transform)).all() or dataset.transform.determinant == 0:
            raise FetchError("its georeference is damaged")
        try:
            rows, columns = place.pixels(pyproj.CRS.from_user_input(crs), dataset.transform)
        except ProjError as error:
            raise FetchError("its reference system cannot be used") from error
        nodata = dataset.nodatavals[layer.index - 1] if layer.nodata is None else layer.nodata
        inside_y, inside_x = (rows >= 0) & (rows < dataset.height), (columns >= 0) & (columns < dataset.width)
        values = np.full(place.shape, np.nan, dtype)
        if rows.shape[1] == 1 and columns.shape[0] == 1:
            _fill_parallel(values, dataset, layer.index, rows[:, 0], columns[0], inside_y[:, 0], inside_x[0], nodata)
        else:
            _fill_turned(values, dataset, layer.index, rows, columns, inside_y & inside_x, nodata)
    return values


def _fill_parallel(
    values: NDArray[Any],
    dataset: Any,
    index: int,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    inside_y: NDArray[np.bool_],
    inside_x: NDArray[np.bool_],
    nodata: float | None,
) -> None:
    if not inside_y.any() or not inside_x.any():
        return
    rows, columns = rows[inside_y], columns[inside_x]
    raw, top, left = _hull(dataset, index, rows, columns, values.size)
    picked = raw[np.ix_(rows - top, columns - left)]
    values[np.ix_(inside_y, inside_x)] = _valid(picked, nodata, values.dtype)


def _fill_turned(
    values: NDArray[Any],
    dataset: Any,
    index: int,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    inside: NDArray[np.bool_],
    nodata: float | None,
) -> None:
    if not inside.any():
        return
    rows, columns = np.broadcast_to(rows, inside.shape)[inside], np.broadcast_to(columns, inside.shape)[inside]
    raw, top, left = _hull(dataset, index, rows, columns, values.size)
    values[inside] = _valid(raw[rows - top, columns - left], nodata, values.dtype)


def _hull(
    dataset: Any, index: int, rows: NDArray[np.intp], columns: NDArray[np.intp], wanted: int
) -> tuple[NDArray[Any], int, int]:
    """Return the smallest rectangle of the file that holds pixels, and its upper left one."""
    top, left = int(rows.min()), int(columns.min())
    height, width = int(rows.max()) - top + 1, int(columns.max()) - left + 1
    if height * width > _SURPLUS * max(wanted, 2**16):
        raise FetchError(f"its pixels are much finer than others': {height} x {width} of them for {wanted}")
    raw = dataset.read(index, window=Window(left, top, width, height))
    if raw.dtype.kind == "c":
        raise FetchError("it holds complex numbers")
    return raw, top, left


def _valid(raw: NDArray[Any], nodata: float | None, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return values as floats, NaN where they are `nodata`, which is of the file's own type."""
    values = raw.astype(dtype)
    if nodata is not None and not np.isnan(nodata):
        values[raw == (np.float32(nodata) if raw.dtype == np.float32 else nodata)] = np.nan
    return values


def _whole(positions: NDArray[Any]) -> NDArray[np.intp]:
    """Return the pixel that holds each position; centres on an edge go to the pixel behind it, despite rounding."""
    finite = np.where(np.isfinite(positions), positions, -1.0)
    return np.floor(np.clip(finite, -1, 2**40) + 1e-6).astype(np.intp)
