"""Tiny archives in the layouts that sources read, with numbers that tell where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pyproj
import zarr

EPSG = 32633
WEST, NORTH, PIXEL = 500_000.0, 5_700_000.0, 10.0

OPTICAL = {"description": "Surface reflectance", "unit": "1", "data_type": "uint16", "nodata": 0, "scaled": True}
RED = {"name": "B04", "common_name": "red", "center_wavelength": 0.665, "minimum": 0.0, "maximum": 1.0, **OPTICAL}
NIR = {"name": "B08", "common_name": "nir", "center_wavelength": 0.842, "minimum": 0.0, "maximum": 1.0, **OPTICAL}
EDGE1 = {"name": "B05", "common_name": "rededge", **OPTICAL}
EDGE2 = {"name": "B06", "common_name": "rededge", **OPTICAL}
SCL = {
    "name": "SCL",
    "description": "Scene classification",
    "unit": "1",
    "data_type": "uint8",
    "nodata": 0,
    "scaled": False,
    "classes": [
        {"value": 0, "name": "no_data", "description": "no data", "color_hint": "#000000"},
        {"value": 4, "name": "vegetation", "description": "vegetation", "color_hint": "#00a000"},
    ],
}


@dataclass
class Stored:
    """A Zarr collection to write; dates, one baseline and offset per item, bands as (t, y, x) arrays."""

    times: Sequence[str] = ("2021-12-01T10:00:00", "2021-12-06T10:00:00", "2022-03-01T10:00:00", "2022-03-06T10:00:00")
    size: int = 32
    chunk: int = 8
    shard: int = 16
    bands: Sequence[Mapping[str, Any]] = (RED, NIR, SCL)
    scale: Sequence[float] = ()
    offset: Sequence[float] = (0.0, 0.0, -0.1, -0.1)
    properties: Mapping[str, Sequence[Any]] = field(
        default_factory=lambda: {
            "eo:cloud_cover": [10.0, 60.0, float("nan"), 30.0],
            "s2:processing_baseline": ["03.01", "03.01", "04.00", "05.09"],
            "sat:relative_orbit": [22, 122, 22, 122],
            "platform": ["sentinel-2a", "sentinel-2b", "sentinel-2a", "sentinel-2b"],
        }
    )
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    def array(self, band: Mapping[str, Any]) -> np.ndarray:
        """Return the stored numbers (t, y, x): 1000 t + 100 y + x + 1 for reflectance, classes 0 to 11."""
        if band["name"] in self.arrays:
            return self.arrays[band["name"]]
        t, y, x = np.indices((len(self.times), self.size, self.size))
        numbers = 1000 * t + 100 * y + x + 1 if band["scaled"] else (t + y + x) % 12
        return numbers.astype(band["data_type"])

    def write(self, path: Path, *, consolidated: bool = False, identifier: str = "SENTINEL2_L2A") -> Path:
        """Write the group and return its path."""
        group = zarr.open_group(path, mode="w", zarr_format=3)
        group.attrs["openeo_collection"] = {
            "id": identifier,
            "title": "Sentinel-2 sample",
            "description": "A sample.",
            "license": "CC-BY-4.0",
            "keywords": ["sample"],
            "providers": [{"name": "Simulator", "roles": ["producer"]}],
            "constellation": "sentinel-2",
            "platform": ["sentinel-2a", "sentinel-2b"],
            "instruments": ["msi"],
            "gsd": 10,
            "bands": [dict(band) for band in self.bands],
        }
        self._coordinates(group)
        for band in self.bands:
            self._band(group, band)
        if consolidated:
            zarr.consolidate_metadata(group.store)
        return path

    def _coordinates(self, group: zarr.Group) -> None:
        count = len(self.times)
        times = np.array(list(self.times), dtype="datetime64[ns]").astype("int64")
        line = np.arange(self.size) * PIXEL + PIXEL / 2
        stamps = {"units": "nanoseconds since 1970-01-01", "calendar": "proleptic_gregorian"}
        _write(group, "t", times, ("t",), stamps)
        _write(group, "x", WEST + line, ("x",), {})
        _write(group, "y", NORTH - line, ("y",), {})
        _write(group, "spatial_ref", np.array(0), (), {"crs_wkt": pyproj.CRS(EPSG).to_wkt()})
        _write(group, "item_scale", np.array(self.scale or [1e-4] * count), ("t",), {})
        _write(group, "item_offset", np.array(self.offset or [0.0] * count), ("t",), {})
        for name, values in self.properties.items():
            data = np.array(values)
            if data.dtype.kind == "U":
                data = data.astype(np.dtypes.StringDType())
            _write(group, name.replace(":", "_"), data, ("t",), {"stac_property": name})

    def _band(self, group: zarr.Group, band: Mapping[str, Any]) -> None:
        count = len(self.times)
        array = group.create_array(
            band["name"],
            shape=(count, self.size, self.size),
            dtype=band["data_type"],
            chunks=(count, self.chunk, self.chunk),
            shards=(count, self.shard, self.shard),
            dimension_names=("t", "y", "x"),
            fill_value=0,
        )
        array[:] = self.array(band)


def _write(group: zarr.Group, name: str, data: np.ndarray, dims: tuple[str, ...], attributes: dict[str, Any]) -> None:
    dtype = str if data.dtype.kind == "T" else data.dtype
    array = group.create_array(name, shape=data.shape, dtype=dtype, dimension_names=dims, attributes=attributes)
    array[...] = data.astype(object) if data.dtype.kind == "T" else data


@dataclass
class Patch:
    """WorldCereal-like files to write: `size` pixels of 10 m, half as many of 20 m."""

    times: Sequence[str] = ("2018-05-01T10:53:28", "2018-05-04T11:04:48", "2018-05-09T11:05:15")
    size: int = 8
    bands_10m: Sequence[str] = ("B02", "B03", "B04", "B08")
    bands_20m: Sequence[str] = ("B05", "B06", "B07", "B8A", "B11", "B12", "SCL")
    times_20m: Sequence[str] | None = None
    radar_times: Sequence[str] = ("2018-05-01T17:32:36", "2018-05-02T17:40:43")
    seed: int = 5

    def write(self, folder: Path) -> Path:
        """Write the files and return the folder."""
        folder.mkdir(parents=True)
        rng = np.random.default_rng(self.seed)
        self.write_file(folder / "S2_L2A_10m.nc", self.times, 10, {b: self._optical(rng, b, 1) for b in self.bands_10m})
        coarse = {b: self._optical(rng, b, 2) for b in self.bands_20m}
        self.write_file(folder / "S2_L2A_20m.nc", self.times_20m or self.times, 20, coarse)
        shape = (len(self.radar_times), self.size // 2, self.size // 2)
        radar = {b: rng.integers(-250_000, -1, shape, dtype="int32") for b in ("VV", "VH")}
        radar["VV"][0, 0, 0] = 0
        self.write_file(folder / "S1_GRD_ascending_20m.nc", self.radar_times, 20, radar)
        return folder

    def _optical(self, rng: np.random.Generator, band: str, factor: int) -> np.ndarray:
        count = len(self.times_20m or self.times) if factor == 2 else len(self.times)
        shape = (count, self.size // factor, self.size // factor)
        if band == "SCL":
            return rng.integers(0, 12, shape, dtype="uint8")
        values = rng.integers(1, 9000, shape, dtype="uint16")
        values[:, 0, 0] = 0
        return values

    def write_file(self, path: Path, times: Sequence[str], pixel: int, bands: Mapping[str, np.ndarray]) -> None:
        """Write one NetCDF file as WorldCereal does: packed integers, factor and fill value as attributes."""
        count = self.size * 10 // pixel
        line = np.arange(count) * float(pixel) + pixel / 2
        seconds = np.array(list(times), dtype="datetime64[s]") - np.datetime64("2018-01-01", "s")
        with netCDF4.Dataset(path, "w") as file:
            for name, size in (("timestamp", len(times)), ("y", count), ("x", count)):
                file.createDimension(name, size)
            stamps = file.createVariable("timestamp", "i8", ("timestamp",))
            stamps.setncatts({"units": "seconds since 2018-01-01 00:00:00", "calendar": "proleptic_gregorian"})
            stamps[:] = seconds.astype(int)
            file.createVariable("y", "f8", ("y",))[:] = NORTH - line
            file.createVariable("x", "f8", ("x",))[:] = WEST + line
            file.createVariable("spatial_ref", "i8", ()).setncatts({"crs_wkt": pyproj.CRS(EPSG).to_wkt()})
            for name, values in bands.items():
                variable = file.createVariable(name, values.dtype, ("timestamp", "y", "x"), fill_value=0, zlib=True)
                variable.set_auto_maskandscale(False)
                variable.setncattr("scale_factor", 1 if name == "SCL" else 1e-4)
                variable[:] = values
