"""Cloud-Optimized GeoTIFF: one file, bands x times as its bands, each described and with statistics."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.errors import RasterioError
from rasterio.windows import Window

from backend.results.base import Option, Options, check_options, unsuitable
from backend.results.parts import parts_of, read
from backend.results.raster import Layers, check_raster, layers_of
from processes.errors import OpenEOError

logger = logging.getLogger("backend.results")

BLOCK = 512
# TIFF counts its samples in 16 bits.
MOST_BANDS = 65535
# What GDAL keeps of files in memory; its own choice would be a share of the machine's.
CACHE_BYTES = 64 * 2**20
# GDAL holds several tiles of all bands at once: the more bands, the smaller they are.
TILE_BYTES = 16 * 2**20
SMALLEST = 16


class GTiff:
    """GeoTIFF with tiles, overviews and deflate compression."""

    name: ClassVar[str] = "GTiff"
    title: ClassVar[str] = "Cloud-Optimized GeoTIFF"
    description: ClassVar[str] = (
        "One file whose bands are the cube's bands, for each date in turn where there are several. Each band is "
        "described by its name (and date) and carries its statistics. Tiled, deflate-compressed, with overviews; NaN "
        "is no-data."
    )
    media_type: ClassVar[str] = "image/tiff; application=geotiff"
    suffix: ClassVar[str] = ".tif"
    gis_data_types: ClassVar[tuple[str, ...]] = ("raster",)
    copies: ClassVar[int] = 3
    options: ClassVar[Mapping[str, Option]] = {}

    def check(self, value: Any, options: Options) -> None:
        """Refuse what is no raster cube, and more layers than a TIFF has room for."""
        check_options(self, options)
        cube = check_raster(value, self.name)
        layers = math.prod(size for dim, size in cube.sizes.items() if dim not in ("x", "y"))
        if layers > MOST_BANDS:
            raise unsuitable(self.name, f"it has {layers} bands x dates, a TIFF holds {MOST_BANDS}; save it as netCDF")

    def write(self, value: Any, options: Options, path: Path) -> None:
        """Write a raster cube."""
        layers = layers_of(value, self.name)
        dtype = _storable(layers.values)
        plain = path.with_suffix(".plain.tif")
        with _storing(), rasterio.Env(GDAL_CACHEMAX=CACHE_BYTES):
            _write_plain(layers, dtype, nodata_of(dtype, value.attrs), plain)
            resampling = "AVERAGE" if dtype.kind == "f" else "NEAREST"
            _copy(plain, path, resampling, _side(len(layers.names), dtype))
            plain.unlink()
            _verify(path, layers, dtype)


def nodata_of(dtype: np.dtype[Any], attrs: dict[Any, Any]) -> float | int | None:
    """Return the no-data value: NaN of floats; of integers (classes) what the cube's attributes name, if anything."""
    if dtype.kind == "f":
        return math.nan
    named = attrs.get("nodata", attrs.get("_FillValue"))
    if named is None or not np.isfinite(named):
        return None
    limits = np.iinfo(dtype)
    return int(named) if limits.min <= named <= limits.max else None


class Statistics:
    """Minimum, maximum, mean and standard deviation of a band that is seen part by part."""

    def __init__(self, nodata: float | None) -> None:
        self._nodata = nodata
        self._seen = self._count = 0
        self._low, self._high, self._mean, self._variance = math.inf, -math.inf, 0.0, 0.0

    def add(self, part: np.ndarray[Any, Any]) -> None:
        """Look at a part."""
        self._seen += part.size
        valid = part[self._is_valid(part)]
        if valid.size == 0:
            return
        exact = valid.astype(np.float64)
        self._low, self._high = min(self._low, float(exact.min())), max(self._high, float(exact.max()))
        # The moments of two sets taken together (Chan, Golub and LeVeque, 1983).
        self._count += exact.size
        share, off = exact.size / self._count, float(exact.mean()) - self._mean
        self._mean += share * off
        self._variance = (1 - share) * self._variance + share * float(exact.var()) + share * (1 - share) * off**2

    def tags(self) -> dict[str, str]:
        """Return what GDAL calls statistics; none where there is no valid pixel."""
        if self._count == 0:
            return {"STATISTICS_VALID_PERCENT": "0"}
        return {
            "STATISTICS_MINIMUM": repr(self._low),
            "STATISTICS_MAXIMUM": repr(self._high),
            "STATISTICS_MEAN": repr(self._mean),
            "STATISTICS_STDDEV": repr(math.sqrt(self._variance)),
            "STATISTICS_VALID_PERCENT": f"{100 * self._count / self._seen:.4g}",
        }

    def _is_valid(self, part: np.ndarray[Any, Any]) -> Any:
        if part.dtype.kind == "f":
            return np.isfinite(part)
        return slice(None) if self._nodata is None else part != self._nodata


def _write_plain(layers: Layers, dtype: np.dtype[Any], nodata: float | None, path: Path) -> None:
    """Write what COG is copied from: the driver only copies whole datasets."""
    height, width = layers.size
    profile = {"driver": "GTiff", "dtype": dtype, "nodata": nodata, "crs": layers.crs, "bigtiff": "IF_SAFER"}
    profile |= {"count": len(layers.names), "height": height, "width": width, "transform": layers.transform}
    statistics = [Statistics(nodata) for _ in layers.names]
    with rasterio.open(path, "w", **profile, interleave="band") as file:
        for part in _parts(file, 1):
            values = layers.part(part).astype(dtype, copy=False)
            file.write(values, window=Window.from_slices(*part))
            for seen, band in zip(statistics, values, strict=True):
                seen.add(band)
        for index, (name, seen) in enumerate(zip(layers.names, statistics, strict=True), start=1):
            file.set_band_description(index, name)
            file.update_tags(index, **seen.tags())


def _parts(file: Any, side: int) -> Iterator[tuple[slice, ...]]:
    """Cut a file into parts of all bands that fit into memory, along tiles of that side."""
    return parts_of(file.shape, (side, side), file.count * np.dtype(file.dtypes[0]).itemsize)


def _side(bands: int, dtype: np.dtype[Any]) -> int:
    """Return how many pixels the side of a tile has: a power of two."""
    side = BLOCK
    while side > SMALLEST and side**2 * bands * dtype.itemsize > TILE_BYTES:
        side //= 2
    return side


def _copy(plain: Path, path: Path, resampling: str, side: int) -> None:
    rasterio.shutil.copy(
        plain,
        path,
        driver="COG",
        compress="DEFLATE",
        predictor="YES",
        blocksize=side,
        overview_resampling=resampling,
        bigtiff="IF_SAFER",
        num_threads="ALL_CPUS",  # the file is the same
    )


@contextlib.contextmanager
def _storing() -> Iterator[None]:
    """Tell what GDAL cannot write or read back; OpenEOError StorageFailure."""
    try:
        yield
    except RasterioError as error:
        logger.error("GDAL cannot write a GeoTIFF", exc_info=error)
        raise _not_whole() from error


def _verify(path: Path, layers: Layers, dtype: np.dtype[Any]) -> None:
    """Read a file back, overviews too: on a full disk GDAL leaves out tiles and says nothing."""
    side = _side(len(layers.names), dtype)
    with rasterio.open(path) as file:
        for part in _parts(file, side):
            values = layers.part(part).astype(dtype, copy=False)
            if not np.array_equal(file.read(window=Window.from_slices(*part)), values, equal_nan=True):
                raise _not_whole()
        levels = len(file.overviews(1))
    for level in range(levels):
        with rasterio.open(path, overview_level=level) as file:
            for part in _parts(file, side):
                file.read(window=Window.from_slices(*part))


def _not_whole() -> OpenEOError:
    message = "The result could not be stored whole: the server's disk is full or damaged; its operator must look."
    return OpenEOError("StorageFailure", message)


def _storable(values: Any) -> np.dtype[Any]:
    """Return the type that GDAL and its readers know for values: no booleans, half floats or 64-bit integers."""
    if values.dtype.kind == "b":
        return np.dtype(np.uint8)
    if values.dtype == np.float16:
        return np.dtype(np.float32)
    if values.dtype in (np.int64, np.uint64):
        limits = np.iinfo(np.int32)
        fits = values.size == 0 or (read(values.min()) >= limits.min and read(values.max()) <= limits.max)
        return np.dtype(np.int32 if fits else np.float64)
    own: np.dtype[Any] = values.dtype
    return own
