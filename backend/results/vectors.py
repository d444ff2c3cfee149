"""Vector cubes as tables: GeoJSON, and GeoParquet. One feature for each geometry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import geopandas
import numpy as np
import shapely
import xarray as xr

from backend.results.base import Option, Options, check_options, unsuitable
from backend.results.text import check_size, jsonable
from processes.errors import OpenEOError
from processes.vectors.columns import columns_of
from processes.vectors.cubes import LONGITUDE_LATITUDE, crs_of, geometry_dimensions, reproject, shapes_of

_COLUMNS = (
    "Values are columns, called by their labels with `~` between those of several dimensions (2024-05-31~B04), or "
    "`value`; further properties of the geometries are columns, too."
)


class GeoJson:
    """GeoJSON, in longitude and latitude."""

    name: ClassVar[str] = "GeoJSON"
    title: ClassVar[str] = "GeoJSON"
    description: ClassVar[str] = f"A vector cube as features in longitude and latitude. {_COLUMNS} No-data is null."
    media_type: ClassVar[str] = "application/geo+json"
    suffix: ClassVar[str] = ".geojson"
    gis_data_types: ClassVar[tuple[str, ...]] = ("vector",)
    copies: ClassVar[int] = 0
    options: ClassVar[Mapping[str, Option]] = {}

    def check(self, value: Any, options: Options) -> None:
        """Refuse what is no vector cube, and what is too large to be read as text."""
        check_options(self, options)
        check_size(_checked(value, self.name).size, self.name)

    def write(self, value: Any, options: Options, path: Path) -> None:
        """Write a computed vector cube."""
        (name,) = geometry_dimensions(value)
        table = _table(value, name)
        shapes = reproject(shapes_of(value, name), crs_of(value, name), LONGITUDE_LATITUDE)
        features = [
            {
                "type": "Feature",
                "geometry": None if shape.is_empty else shapely.geometry.mapping(shape),
                "properties": {column: held[i] for column, held in table.items()},
            }
            for i, shape in enumerate(shapes)
        ]
        document = jsonable({"type": "FeatureCollection", "features": features})
        path.write_text(json.dumps(document, allow_nan=False), encoding="utf-8")


class GeoParquet:
    """GeoParquet, in the reference system of the cube."""

    name: ClassVar[str] = "Parquet"
    title: ClassVar[str] = "GeoParquet"
    description: ClassVar[str] = f"A vector cube as a table, in the reference system that it has. {_COLUMNS}"
    media_type: ClassVar[str] = "application/vnd.apache.parquet"
    suffix: ClassVar[str] = ".parquet"
    gis_data_types: ClassVar[tuple[str, ...]] = ("vector",)
    copies: ClassVar[int] = 0
    options: ClassVar[Mapping[str, Option]] = {}

    def check(self, value: Any, options: Options) -> None:
        """Refuse what is no vector cube."""
        check_options(self, options)
        _checked(value, self.name)

    def write(self, value: Any, options: Options, path: Path) -> None:
        """Write a computed vector cube."""
        (name,) = geometry_dimensions(value)
        table = {column: np.asarray(held) for column, held in _table(value, name).items()}
        frame = geopandas.GeoDataFrame(table, geometry=shapes_of(value, name), crs=crs_of(value, name))
        frame.to_parquet(path)


def _checked(value: Any, form: str) -> xr.DataArray:
    """Return `value` if it is a vector cube of numbers or text."""
    if not isinstance(value, xr.DataArray) or len(geometry_dimensions(value)) != 1:
        what = f"it has the dimensions {', '.join(map(str, value.dims))}" if isinstance(value, xr.DataArray) else ""
        raise unsuitable(form, f"{what or 'it is no data cube'}, but one of geometries is needed")
    if value.size == 0:
        raise OpenEOError("DataCubeEmpty", "The result holds no values; choose a larger extent.")
    return value


def _table(cube: xr.DataArray, name: str) -> dict[str, Any]:
    """Return properties and values as columns; values go before properties of the same name."""
    properties = {
        str(key): held.to_numpy() for key, held in cube.coords.items() if held.dims == (name,) and key != name
    }
    return {**properties, **columns_of(cube, name)}
