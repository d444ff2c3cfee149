"""The geometries of a vector cube and their properties as JSON."""

from __future__ import annotations

from typing import Any

import geopandas as gpd
import numpy as np
import shapely

from udf.guest.cubes import Header, pack_labels, unpack_labels


def pack_features(frame: gpd.GeoDataFrame) -> Header:
    """Return geometries (WKB, as hexadecimal text), reference system and properties."""
    names = [str(name) for name in frame.columns if name != frame.geometry.name]
    columns = [{"name": name, **_column(frame[name].to_numpy())} for name in names]
    shapes = np.asarray(frame.geometry.array, object)
    crs = None if frame.crs is None else frame.crs.to_wkt()
    return {"crs": crs, "wkb": [None if s is None else shapely.to_wkb(s, hex=True) for s in shapes], "columns": columns}


def unpack_features(header: Header) -> gpd.GeoDataFrame:
    """Return what was packed, with the features numbered from 0."""
    shapes = [None if text is None else shapely.from_wkb(text) for text in header["wkb"]]
    columns = {column["name"]: unpack_labels(column) for column in header["columns"]}
    return gpd.GeoDataFrame(columns, geometry=gpd.GeoSeries(shapes, crs=header["crs"]), index=range(len(shapes)))


def _column(values: np.ndarray) -> dict[str, Any]:
    packed = pack_labels(values)
    if packed is None:  # a mixture: text, empty where there is nothing
        packed = pack_labels(np.array(["" if v is None or v != v else str(v) for v in values], str))
    assert packed is not None
    return packed
