"""Result formats, the only place that turns cubes into files. `FORMATS` is the table; one module holds each format."""

from __future__ import annotations

from typing import Any

from backend.results.base import ResultFormat, options_text
from backend.results.csv_format import Csv
from backend.results.gtiff import GTiff
from backend.results.json_format import Json
from backend.results.netcdf import NetCDF
from backend.results.png import Png
from backend.results.raster import is_raster
from backend.results.vectors import GeoJson, GeoParquet
from processes.errors import OpenEOError

FORMATS: tuple[ResultFormat, ...] = (GTiff(), NetCDF(), Png(), Json(), Csv(), GeoJson(), GeoParquet())

__all__ = ["FORMATS", "ResultFormat", "default_format", "find_format", "options_text"]


def find_format(name: str) -> ResultFormat:
    """Return the format of that name, in any case; OpenEOError FileTypeInvalid lists the names."""
    for form in FORMATS:
        if form.name.lower() == name.lower():
            return form
    names = ", ".join(form.name for form in FORMATS)
    raise OpenEOError("FileTypeInvalid", f"File format {name} not allowed. Allowed file formats: {names}")


def default_format(value: Any) -> ResultFormat:
    """Return the format of a result that no `save_result` names: GTiff for raster cubes, JSON for all else."""
    return find_format("GTiff" if is_raster(value) else "JSON")
