"""JSON: numbers, texts, arrays and objects as they are; small cubes with their labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import xarray as xr

from backend.results.base import Option, Options, check_options
from backend.results.text import check_size, jsonable


class Json:
    """JSON for single values, arrays, objects and small cubes."""

    name: ClassVar[str] = "JSON"
    title: ClassVar[str] = "JavaScript Object Notation"
    description: ClassVar[str] = (
        "Numbers, texts, arrays and objects as they are; a data cube as an object with its dims, labels, crs and "
        "nested data, and for geometries their properties. No-data and infinite numbers are null."
    )
    media_type: ClassVar[str] = "application/json"
    suffix: ClassVar[str] = ".json"
    gis_data_types: ClassVar[tuple[str, ...]] = ("raster", "vector", "table", "other")
    copies: ClassVar[int] = 0
    options: ClassVar[Mapping[str, Option]] = {}

    def check(self, value: Any, options: Options) -> None:
        """Refuse cubes that are too large to be read as text."""
        check_options(self, options)
        if isinstance(value, xr.DataArray):
            check_size(value.size, self.name)

    def write(self, value: Any, options: Options, path: Path) -> None:
        """Write a computed value."""
        path.write_text(json.dumps(jsonable(value), allow_nan=False), encoding="utf-8")
