"""CSV: a cube as a table, one row per combination of labels, one column per band."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from backend.results.base import Option, Options, check_options, unsuitable
from backend.results.raster import label_texts, properties_of
from backend.results.text import check_size


class Csv:
    """CSV for time series and other small cubes."""

    name: ClassVar[str] = "CSV"
    title: ClassVar[str] = "Comma-separated values"
    description: ClassVar[str] = (
        "A table with one row per combination of labels (dates, coordinates, geometries as WKT, each with its "
        "properties) and one column per band. No-data is an empty field."
    )
    media_type: ClassVar[str] = "text/csv"
    suffix: ClassVar[str] = ".csv"
    gis_data_types: ClassVar[tuple[str, ...]] = ("raster", "vector", "table")
    copies: ClassVar[int] = 0
    options: ClassVar[Mapping[str, Option]] = {}

    def check(self, value: Any, options: Options) -> None:
        """Refuse what is no cube, and cubes that are too large to be read as text."""
        check_options(self, options)
        if not isinstance(value, xr.DataArray) or not value.dims:
            raise unsuitable(self.name, "it is no data cube; save it as JSON")
        check_size(value.size, self.name)

    def write(self, value: Any, options: Options, path: Path) -> None:
        """Write a computed cube."""
        rows = [dim for dim in value.dims if dim != "bands"]
        columns = label_texts(value, "bands") if "bands" in value.dims else ["value"]
        table = np.asarray(value.transpose(*rows, *(["bands"] if "bands" in value.dims else [])).values)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            described = {dim: properties_of(value, dim) for dim in rows}
            writer.writerow([*(name for dim in rows for name in (dim, *described[dim])), *columns])
            labels = itertools.product(*(_described(value, dim, described[dim]) for dim in rows))
            writer.writerows(_rows(labels, table.reshape(-1, len(columns))))


def _described(cube: xr.DataArray, dim: Any, properties: Mapping[str, xr.DataArray]) -> list[tuple[str, ...]]:
    """Return each label of a dimension, and what is told of it, as text."""
    told = (["" if _is_missing(cell) else str(cell) for cell in held.values] for held in properties.values())
    return list(zip(label_texts(cube, dim), *told, strict=True))


def _rows(labels: Iterator[tuple[tuple[str, ...], ...]], table: np.ndarray[Any, Any]) -> Iterator[list[str]]:
    for row_labels, row in zip(labels, table, strict=True):
        texts = (_harmless(text) for label in row_labels for text in label)
        yield [*texts, *("" if _is_missing(cell) else str(cell) for cell in row)]


def _is_missing(cell: Any) -> bool:
    return cell is None or bool(cell != cell)


def _harmless(label: str) -> str:
    """Return a label that no spreadsheet takes for a formula; labels come from clients, numbers stay numbers."""
    try:
        float(label)
    except ValueError:
        return "'" + label if label[:1] in "=+-@" and label else label
    return label
