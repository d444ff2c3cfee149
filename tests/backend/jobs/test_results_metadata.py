"""What results tell of themselves: grid, place, dates, sums; and STAC documents that hold against their schemas."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import xarray as xr

from backend.jobs import stac
from backend.jobs.describe import describe_file, extents, total_bytes
from backend.jobs.model import Draft, Job
from backend.jobs.states import FINISHED, JobState
from backend.results import find_format
from processes.vectors.cubes import make_cube
from tests.backend.fakes import cube
from tests.spec.stac import stac_faults


def _asset(value: Any, form: str, folder: Path) -> dict[str, Any]:
    found = find_format(form)
    path = folder / f"result{found.suffix}"
    found.write(value, {}, path)
    return describe_file(path, found, value)


def _job(results: dict[str, Any] | None) -> Job:
    state = JobState(FINISHED, 1, 1, 10.0, 20.0, 90_000.0, progress=100.0, has_results=results is not None)
    return Job("a" * 32, "anna", Draft({}, "A title"), 0.0, 90_000.0, state, None, results)


def test_a_rasters_asset(tmp_path: Path) -> None:
    asset = _asset(cube().compute(), "GTiff", tmp_path)
    content = (tmp_path / "result.tif").read_bytes()
    assert asset["file:size"] == len(content) == total_bytes({"a": asset})
    assert asset["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
    assert asset["type"] == "image/tiff; application=geotiff"
    assert [band["name"] for band in asset["bands"]] == ["B04", "B08"]
    assert (asset["proj:code"], asset["proj:shape"]) == ("EPSG:32631", [8, 8])
    assert asset["proj:transform"] == [10.0, 0.0, 500_000.0, 0.0, -10.0, 5_650_000.0]


def test_other_values_have_no_grid(tmp_path: Path) -> None:
    assert not [key for key in _asset({"a": 1}, "JSON", tmp_path) if key.startswith(("proj:", "bands"))]


def test_extents_of_a_raster() -> None:
    told = extents(cube(), [])
    west, south, east, north = told["bbox"]
    assert west == pytest.approx(3.0, abs=1e-6)
    assert east - west == pytest.approx(80 / 71_000, rel=0.02)
    assert north - south == pytest.approx(80 / 111_200, rel=0.02)
    assert told["interval"] == ["2022-06-01T00:00:00Z", "2022-06-06T00:00:00Z"]


def test_what_the_result_does_not_tell_the_loaded_cubes_do() -> None:
    median, series = cube().median("t", keep_attrs=True), cube().mean(("x", "y"))
    assert extents(median, [cube(3)])["interval"] == ["2022-06-01T00:00:00Z", "2022-06-11T00:00:00Z"]
    assert extents(series, [cube()])["bbox"] == extents(cube(), [])["bbox"]
    assert extents(3.5, []) == {"bbox": None, "interval": None}
    without_date = cube().assign_coords(t=np.array(["NaT", "NaT"], "datetime64[ns]"))
    assert extents(without_date, [])["interval"] is None


def test_cubes_without_a_regular_grid_have_no_place(tmp_path: Path) -> None:
    uneven = cube().assign_coords(x=np.arange(8.0) ** 2).compute()
    assert extents(uneven, [])["bbox"] is None
    no_system = xr.DataArray(np.zeros((2, 2)), dims=("y", "x"), coords={"y": [1.0, 0.0], "x": [0.0, 1.0]})
    assert extents(no_system, [])["bbox"] is None


def _signed(path: str) -> str:
    return f"https://openeo.example{path}?signature=s"


@pytest.fixture(params=["raster", "vector", "number", "nothing"])
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Job:
    if request.param == "nothing":
        return _job(None)
    values: dict[str, tuple[Any, str]] = {
        "raster": (cube().compute(), "GTiff"),
        "vector": (
            make_cube([shapely.Point(3, 51)], "EPSG:4326", None, np.ones((1, 1)), {"bands": ["B04"]}),
            "Parquet",
        ),
        "number": (4.5, "JSON"),
    }
    value, form = values[request.param]
    return _job({"folder": "1-1", "assets": {"result.x": _asset(value, form, tmp_path)}, **extents(value, [])})


def test_documents_hold_against_stacs_schemas(job: Job, api_spec: Path) -> None:
    assert stac_faults(stac.collection(job, _signed, 100_000), "collection", api_spec) == []
    if job.results:
        assert stac_faults(stac.item(job, "result.x", _signed), "item", api_spec) == []
        assert stac_faults(stac.all_in_one(job, _signed, 100_000), "item", api_spec) == []


def test_extents_are_closed_and_known_or_the_world(job: Job) -> None:
    extent = stac.collection(job, _signed, 100_000)["extent"]
    (interval,), (box,) = extent["temporal"]["interval"], extent["spatial"]["bbox"]
    assert all(interval)
    raster = job.results is not None and job.results["bbox"] is not None
    assert (box == stac.WORLD) != raster
    assert (interval[0] == "1970-01-01T00:00:20Z") != raster


def test_every_link_opens_without_a_login(job: Job) -> None:
    told = stac.collection(job, _signed, 100_000)
    links = [link["href"] for link in told["links"]] + [asset["href"] for asset in told["assets"].values()]
    assert links
    assert all(link.startswith("https://openeo.example/jobs/") and link.endswith("signature=s") for link in links)
