"""Result formats for reading: JSON and CSV."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import xarray as xr

from processes.overrides.aggregate_spatial import aggregate_spatial
from tests.backend.fakes import cube
from tests.backend.saving import refused, save


def read_json(value: Any, folder: Path) -> Any:
    return json.loads(save("JSON", value, folder).read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3),
        (True, True),
        (float("nan"), None),
        (np.float32(0.1), 0.1),
        (np.int64(7), 7),
        (np.bool_(False), False),
        ([1, None, float("inf"), "a"], [1, None, None, "a"]),
        (np.datetime64("2022-06-01T10:00:00", "ns"), "2022-06-01T10:00:00Z"),
        (np.array(["2022-06-01T10:17:47.327", "NaT"], "datetime64[ns]"), ["2022-06-01T10:17:47.327Z", None]),
        ({"a": np.array([1.5, np.nan])}, {"a": [1.5, None]}),
        (np.array([True, False]), [True, False]),
        (np.array([], dtype=np.float32), []),
        (xr.DataArray(2.5), 2.5),
        (shapely.Point(1, 2), {"type": "Point", "coordinates": [1.0, 2.0]}),
    ],
)
def test_json_of_plain_values(tmp_path: Path, value: Any, expected: Any) -> None:
    assert read_json(value, tmp_path) == expected


def test_json_of_a_cube_has_labels_and_begins_with_no_null(tmp_path: Path) -> None:
    data = cube(size=2, chunk=2)
    body = read_json(data, tmp_path)
    assert next(iter(body.values())) == ["t", "bands", "y", "x"]
    assert body["labels"]["t"] == ["2022-06-01T00:00:00Z", "2022-06-06T00:00:00Z"]
    assert body["crs"] == "EPSG:32631"
    assert body["data"][0][0][0][0] is None
    assert body["data"][1][1] == [[None, 13.0], [14.0, 15.0]]


def test_json_of_a_vector_cube(tmp_path: Path) -> None:
    values = np.array([[1.5, np.nan]], dtype=np.float32)
    data = xr.DataArray(values, dims=("geometry", "t"), coords={"geometry": [shapely.Point(0, 1)]})
    body = read_json(data, tmp_path)
    assert body["labels"]["geometry"] == [{"type": "Point", "coordinates": [0.0, 1.0]}]
    assert body["data"] == [[1.5, None]]


def fields() -> xr.DataArray:
    """Two features in UTM 32N with a name and a number, two dates."""
    features = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "EPSG:32632"}},
        "features": [
            {
                "type": "Feature",
                "properties": {"name": name, "crop": crop},
                "geometry": {"type": "Point", "coordinates": [600_000 + crop, 5_000_000]},
            }
            for name, crop in (("north", 3), ("south", 4))
        ],
    }
    data = cube(2, ("a",), size=2, chunk=2).rio.write_crs(32632).assign_coords(x=[600_003, 600_004], y=[5e6, 5e6 - 1])
    return aggregate_spatial(data, features, lambda values, axis, **_: values.max(axis=axis)).compute()


def test_text_keeps_properties_and_reference_system_of_features(tmp_path: Path) -> None:
    for name in ("json", "csv"):
        (tmp_path / name).mkdir()
    body = read_json(fields(), tmp_path / "json")
    assert body["crs"] == "EPSG:32632"
    assert body["properties"] == {"name": ["north", "south"], "crop": [3, 4]}
    with save("CSV", fields(), tmp_path / "csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["geometry", "name", "crop", "t", "a"]
    assert [row[1:4] for row in rows[1:]] == [
        [name, crop, date] for name, crop in (("north", "3"), ("south", "4")) for date in ("2022-06-01", "2022-06-06")
    ]


def test_text_formats_refuse_large_cubes_before_they_are_computed() -> None:
    large = cube(1, ("a",), size=1500, chunk=1500)
    for form in ("JSON", "CSV"):
        assert "netCDF" in refused(form, large).message


# --- CSV


def test_csv_is_a_table_of_bands(tmp_path: Path) -> None:
    data = cube().mean(["x", "y"]).assign_coords(t=["=cmd()", "2022"])
    with save("CSV", data, tmp_path).open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["t", "B04", "B08"]
    assert [row[0] for row in rows[1:]] == ["'=cmd()", "2022"]
    assert float(rows[2][2]) == pytest.approx(data.values[1, 1])


def test_csv_leaves_missing_values_empty(tmp_path: Path) -> None:
    with save("CSV", cube(1, ("a",), size=2, chunk=2).isel(bands=0), tmp_path).open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[:2] == [["t", "y", "x", "value"], ["2022-06-01", "5649995.0", "500005.0", ""]]
    assert refused("CSV", 3).code == "FormatUnsuitable"
