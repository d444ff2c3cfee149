"""Small made-up collections on disk, and a declared sensor for one of them."""

from __future__ import annotations

import numpy as np
import zarr
from pyproj import CRS

DECLARED = {
    "id": "thermal",
    "bands": ["B1", "T"],
    "units": ["reflectance", "K"],
    "preprocessing": [
        {"op": "linear", "scale": 0.0125, "offset": -3.125, "bands": ["T"]},
        {"op": "clip", "min": 0.0, "max": 1.0},
    ],
    "channels": 2,
    "tokens": 2,
    "bottleneck": 2,
}


def write_site(folder, name, bands, dates=16, side=32):
    """A made-up collection on disk; one value of `bands` each, with noise."""
    random = np.random.default_rng(len(name))
    about = {"id": name, "bands": [{"name": b} for b in bands]}
    group = zarr.create_group(folder / f"{name}.zarr", attributes={"openeo_collection": about})
    days = np.datetime64("2022-01-01", "ns") + np.arange(dates) * np.timedelta64(8, "D")
    axes = {
        "t": (days.astype(np.int64), {"units": "nanoseconds since 1970-01-01", "calendar": "proleptic_gregorian"}),
        "y": (5_000_000.0 - 10 * np.arange(side), {}),
        "x": (600_000.0 + 10 * np.arange(side), {}),
    }
    for axis, (values, attributes) in axes.items():
        group.create_array(axis, data=values, dimension_names=(axis,), attributes=attributes)
    for band, level in bands.items():
        values = (level * random.uniform(0.9, 1.1, (dates, side, side))).astype("float32")
        group.create_array(band, data=values, dimension_names=("t", "y", "x"), fill_value=np.nan)
    crs = CRS.from_epsg(32631)
    group.create_array(
        "spatial_ref",
        shape=(),
        dtype="int32",
        dimension_names=(),
        attributes={**crs.to_cf(), "spatial_ref": crs.to_wkt()},
    )[...] = 32631
    return folder / f"{name}.zarr"
