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

from backend.results.base import Option, Options, check_options, unsuitable
from backend.results.raster import Layers, check_raster, layers_of
from processes.errors import OpenEOError

logger = logging.getLogger("backend.results")

BLOCK = 512
# TIFF counts its samples in 16 bits.
MOST_BANDS = 65535


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
    options: ClassVar[Mapping[str, Option]] = {}

    def check(self, value: Any, options: Options) -> None:
        """Refuse what is no raster cube, and more layers than a TIFF has room for."""
        check_options(self, options)
        cube = check_raster(value, self.name)
        layers = math.prod(size for dim, size in cube.sizes.items() if dim not in ("x", "y"))
        if layers > MOST_BANDS:
            raise unsuitable(self.name, f"it has {layers} bands x dates, a TIFF holds {MOST_BANDS}; save it as netCDF")

    def write(self, value: Any, options: Options, path: Path) -> None:
        """Write a computed raster cube."""
        layers = layers_of(value, self.name)
        values = _storable(layers.values)
        plain = path.with_suffix(".plain.tif")
        with _storing():
            _write_plain(values, layers, nodata_of(values.dtype, value.attrs), plain)
            resampling = "AVERAGE" if values.dtype.kind == "f" else "NEAREST"
            # Several threads compress; the file is the same.
            rasterio.shutil.copy(
                plain,
                path,
                driver="COG",
                compress="DEFLATE",
                predictor="YES",
                blocksize=BLOCK,
                overview_resampling=resampling,
                bigtiff="IF_SAFER",
                num_threads="ALL_CPUS",
            )
        _verify(path, values)
        plain.unlink()


def nodata_of(dtype: np.dtype[Any], attrs: dict[Any, Any]) -> float | int | None:
    """Return the no-data value: NaN of floats; of integers (classes) what the cube's attributes name, if anything."""
    if dtype.kind == "f":
        return math.nan
    named = attrs.get("nodata", attrs.get("_FillValue"))
    if named is None or not np.isfinite(named):
        return None
    limits = np.iinfo(dtype)
    return int(named) if limits.min <= named <= limits.max else None


def statistics(band: np.ndarray[Any, Any], nodata: float | None) -> dict[str, str]:
    """Return GDAL's statistics of one band (y, x) as tags; none where it has no valid pixel."""
    valid = band[np.isfinite(band)] if band.dtype.kind == "f" else band[band != nodata] if nodata is not None else band
    if valid.size == 0:
        return {"STATISTICS_VALID_PERCENT": "0"}
    exact = valid.astype(np.float64)
    return {
        "STATISTICS_MINIMUM": repr(float(exact.min())),
        "STATISTICS_MAXIMUM": repr(float(exact.max())),
        "STATISTICS_MEAN": repr(float(exact.mean())),
        "STATISTICS_STDDEV": repr(float(exact.std())),
        "STATISTICS_VALID_PERCENT": f"{100 * valid.size / band.size:.4g}",
    }


def _write_plain(values: np.ndarray[Any, Any], layers: Layers, nodata: float | None, path: Path) -> None:
    """Write what COG is copied from: the driver only copies whole datasets."""
    count, height, width = values.shape
    profile = {"driver": "GTiff", "dtype": values.dtype, "nodata": nodata, "crs": layers.crs, "bigtiff": "IF_SAFER"}
    with rasterio.open(
        path, "w", **profile, count=count, height=height, width=width, transform=layers.transform, interleave="band"
    ) as file:
        for index, (band, name) in enumerate(zip(values, layers.names, strict=True), start=1):
            file.write(band, index)
            file.set_band_description(index, name)
            file.update_tags(index, **statistics(band, nodata))


@contextlib.contextmanager
def _storing() -> Iterator[None]:
    """Tell what GDAL cannot write or read back; OpenEOError StorageFailure."""
    try:
        yield
    except RasterioError as error:
        logger.error("GDAL cannot write a GeoTIFF", exc_info=error)
        raise _not_whole() from error


def _verify(path: Path, values: np.ndarray[Any, Any]) -> None:
    """Read a file back, overviews too: on a full disk GDAL leaves out tiles and says nothing."""
    with _storing():
        with rasterio.open(path) as file:
            if not all(np.array_equal(file.read(i + 1), band, equal_nan=True) for i, band in enumerate(values)):
                raise _not_whole()
            levels = len(file.overviews(1))
        for level in range(levels):
            with rasterio.open(path, overview_level=level) as file:
                for index in file.indexes:
                    file.read(index)


def _not_whole() -> OpenEOError:
    message = "The result could not be stored whole: the server's disk is full or damaged; its operator must look."
    return OpenEOError("StorageFailure", message)


def _storable(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the values in a type that GDAL and its readers know: no booleans, no half floats, no 64-bit integers."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype == np.float16:
        return values.astype(np.float32)
    if values.dtype in (np.int64, np.uint64):
        limits = np.iinfo(np.int32)
        fits = values.size == 0 or (values.min() >= limits.min and values.max() <= limits.max)
        return values.astype(np.int32 if fits else np.float64)
    return values
