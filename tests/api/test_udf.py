"""Users' code with the real openEO client against the real server, in the real sandbox."""

from __future__ import annotations

import contextlib
import io
import runpy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import openeo
import pytest
import rasterio
import requests
import xarray as xr
from openeo.rest import OpenEoApiError
from openeo.rest.job import JobFailedException

from tests.api.test_client import _archive, _load
from tests.backend.server import Server, until
from udf.sandbox import offered

pytestmark = pytest.mark.slow
needs_isolation = pytest.mark.skipif(offered().level == "none", reason="this system offers no isolation")

NDVI = """
import xarray
from openeo.udf import inspect

def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    inspect(message="a block", data=dict(cube.sizes), level="warning", code="Mine")
    red, nir = cube.sel(bands="B04"), cube.sel(bands="B08")
    return (nir - red) / (nir + red) * context["factor"]
"""

HIGH_LOW = """
import xarray
from openeo.metadata import CollectionMetadata

def apply_metadata(metadata: CollectionMetadata, context: dict) -> CollectionMetadata:
    return metadata.rename_labels(dimension="bands", target=["high", "low", "span"])

def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    high, low = cube.max("bands"), cube.min("bands")
    return xarray.concat([high, low, high - low], dim="bands").transpose("t", "bands", "y", "x")
"""

WRONG = """
import numpy as np

def scaled(values):
    return values / undefined_name

def apply_datacube(cube, context):
    return scaled(cube)
"""


def _read(cube: openeo.DataCube, path: Path) -> xr.DataArray:
    cube.download(path, format="netCDF")
    with xr.open_dataset(path, engine="netcdf4") as dataset:
        names = [name for name in dataset.data_vars if dataset[name].ndim]
        read = dataset[names].to_dataarray("bands").load()
    return read.transpose(*(d for d in ("t", "bands", "y", "x") if d in read.dims))


@needs_isolation
def test_runtimes(connection: openeo.Connection) -> None:
    python = connection.list_udf_runtimes()["Python"]
    assert python["default"] in python["versions"]
    libraries = python["versions"][python["default"]]["libraries"]
    assert libraries["xarray"]["version"] == xr.__version__
    assert libraries["openeo"]["version"] == openeo.__version__


@needs_isolation
def test_reducing_bands_in_a_job_with_messages(connection: openeo.Connection, data: Path, tmp_path: Path) -> None:
    cube = _load(connection, ["B04", "B08"])
    reduced = cube.reduce_dimension("bands", reducer=openeo.UDF(NDVI, context={"factor": 2}))
    job = reduced.execute_batch(tmp_path / "r.nc", out_format="netCDF", max_poll_interval=0.5, print=lambda _: None)
    said = [entry for entry in job.logs() if entry.get("code") == "Mine"]
    assert {entry["level"] for entry in said} == {"warning"}
    assert said[0]["message"] == "a block"
    assert said[0]["data"]["bands"] == 2
    nir, red = _archive(data, ("B08", "B04")).transpose("bands", "t", "y", "x")
    with xr.open_dataarray(tmp_path / "r.nc", engine="netcdf4") as read, np.errstate(all="ignore"):
        assert read.dims == ("t", "y", "x")
        np.testing.assert_allclose(read.values, ((nir - red) / (nir + red) * 2).values, rtol=1e-5)


@needs_isolation
def test_messages_are_in_the_log_before_the_job_has_ended(connection: openeo.Connection) -> None:
    """Each of the ways to say something; each block takes longer than what is waited for."""
    code = (
        "import logging, time\n"
        "def apply_datacube(cube, context):\n"
        "    inspect(message='inspected'); print('printed'); logging.warning('logged')\n"
        "    time.sleep(15)\n    return cube\n"
    )
    job = _load(connection, ["B04"]).apply(openeo.UDF(code)).create_job(out_format="netCDF")
    job.start()
    wanted = ["inspected", "printed", "logged"]
    until(lambda: {*wanted} <= {entry.get("message") for entry in job.logs()}, 60)
    assert job.status() == "running"
    job.stop()
    said = {entry["message"]: entry["level"] for entry in job.logs() if entry.get("message") in wanted}
    assert list(said) == wanted
    assert said["logged"] == "warning"


@needs_isolation
def test_new_bands_have_the_labels_of_apply_metadata(connection: openeo.Connection, data: Path, tmp_path: Path) -> None:
    cube = _load(connection, ["B04", "B08", "B02"]).apply_dimension(openeo.UDF(HIGH_LOW), dimension="bands")
    read = _read(cube, tmp_path / "r.nc")
    assert read["bands"].values.tolist() == ["high", "low", "span"]
    values = _archive(data, ("B04", "B08", "B02"))
    np.testing.assert_allclose(read.sel(bands="high").values, values.max("bands").values)


@needs_isolation
def test_neighbourhoods(connection: openeo.Connection, data: Path, tmp_path: Path) -> None:
    code = "def apply_datacube(cube, context):\n    return cube * 0 + cube.sizes['x'] * 100 + cube.sizes['y']\n"
    size = [{"dimension": "x", "value": 10, "unit": "px"}, {"dimension": "y", "value": 8, "unit": "px"}]
    overlap = [{"dimension": "x", "value": 2, "unit": "px"}, {"dimension": "y", "value": 1, "unit": "px"}]
    cube = _load(connection, ["B04"]).apply_neighborhood(openeo.UDF(code), size=size, overlap=overlap)
    read = _read(cube, tmp_path / "r.nc")
    expected = _archive(data, ("B04",)) * 0 + 1410
    np.testing.assert_array_equal(read.values, expected.values)


@needs_isolation
def test_errors_are_those_of_the_users_own_lines(connection: openeo.Connection, server: Server) -> None:
    cube = _load(connection, ["B04"]).apply(openeo.UDF(WRONG))
    with pytest.raises(OpenEoApiError) as failed:
        cube.download("/dev/null", format="netCDF")
    assert failed.value.code == "ProcessParameterInvalid"
    assert "NameError: name 'undefined_name' is not defined (line 5, in scaled)" in failed.value.message
    headers = {"Authorization": f"Bearer {connection.auth.bearer}"}
    logs = requests.get(f"{server.url}requests/{failed.value.id}/logs", headers=headers, timeout=10).json()["logs"]
    (trace,) = {entry["data"]["traceback"] for entry in logs if "traceback" in (entry.get("data") or {})}
    assert trace.splitlines()[1:5] == [
        '  File "udf.py", line 8, in apply_datacube',
        "    return scaled(cube)",
        '  File "udf.py", line 5, in scaled',
        "    return values / undefined_name",
    ]
    assert "site-packages" not in trace


@needs_isolation
def test_errors_in_jobs_are_in_the_log(connection: openeo.Connection) -> None:
    job = _load(connection, ["B04"]).apply(openeo.UDF(WRONG)).create_job(out_format="netCDF")
    with pytest.raises(JobFailedException):
        job.start_and_wait(max_poll_interval=0.5, print=lambda _: None)
    errors = job.logs(level="error")
    assert any("line 8, in apply_datacube" in str(entry.get("data")) for entry in errors)
    assert "line 5, in scaled" in errors[-1]["message"]


@needs_isolation
def test_code_from_the_workspace(connection: openeo.Connection, data: Path, tmp_path: Path) -> None:
    (tmp_path / "double.py").write_text("def apply_datacube(cube, context):\n    return cube * 2\n")
    connection.get_file("code/double.py").upload(tmp_path / "double.py")
    run = {"data": {"from_parameter": "x"}, "udf": "/code/double.py", "runtime": "python"}
    process = {"process_graph": {"udf": {"process_id": "run_udf", "arguments": run, "result": True}}}
    cube = _load(connection, ["B04"]).process("apply", data=openeo.rest.datacube.THIS, process=process)
    np.testing.assert_allclose(_read(cube, tmp_path / "r.nc").values, _archive(data, ("B04",)).values * 2)
    run["udf"] = "code/none.py"
    with pytest.raises(OpenEoApiError, match="FileNotFound"):
        _read(cube, tmp_path / "r.nc")
    connection.get_file("code/double.py").delete()


@needs_isolation
def test_what_the_sandbox_keeps_away(connection: openeo.Connection, data: Path) -> None:
    code = f"""
import os, socket
from openeo.udf import StructuredData, UdfData

def apply_udf_data(data: UdfData):
    found = []
    for path in ({str(data)!r}, {str(data / "users.sqlite")!r}, "/etc/passwd", "/proc/1/environ"):
        found.append(os.path.exists(path) and os.access(path, os.R_OK))
    try:
        socket.create_connection(("127.0.0.1", 80), 1)
        found.append(True)
    except OSError:
        found.append(False)
    found.append(any(name.startswith("OPENEO") for name in os.environ))
    data.set_structured_data_list([StructuredData(found)])
"""
    arguments = {"data": [1], "udf": code, "runtime": "Python"}
    graph = {"udf": {"process_id": "run_udf", "arguments": arguments, "result": True}}
    assert not any(connection.execute(graph))


EXAMPLES = Path(__file__).parents[2] / "examples"
WEST, NORTH = 679100, 5151260
USES_PACKAGE = """
# /// script
# dependencies = ["tinyudf>=1"]
# ///
import tinyudf

def apply_datacube(cube, context):
    return cube * 0 + tinyudf.VALUE
"""


@needs_isolation
def test_packages_that_the_code_asks_for(generous: Server, connection: openeo.Connection, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        allowed = openeo.connect(generous.url).authenticate_basic("demo", "demo")
    read = _read(_load(allowed, ["B04"]).apply(openeo.UDF(USES_PACKAGE)), tmp_path / "r.nc")
    assert np.nanmin(read.values) == np.nanmax(read.values) == 42
    with pytest.raises(OpenEoApiError, match="lets no packages be installed"):
        _read(_load(connection, ["B04"]).apply(openeo.UDF(USES_PACKAGE)), tmp_path / "r.nc")


@needs_isolation
def test_the_example_of_functions(server: Server, tmp_path: Path) -> None:
    area = {"west": WEST, "south": NORTH - 160, "east": WEST + 200, "north": NORTH, "crs": "EPSG:32632"}
    module = runpy.run_path(str(EXAMPLES / "run_udf.py"))
    module["main"].__globals__["AREA"] = area
    said = _run(module, server, tmp_path)
    assert "pixels that were seen" in said
    with rasterio.open(tmp_path / "greenest.tif") as file:
        days = file.read(1)
    assert 152 <= np.nanmin(days) <= np.nanmax(days) <= 213


@needs_isolation
def test_the_example_of_a_model(generous: Server, tmp_path: Path) -> None:
    area = f"{WEST},{NORTH - 150},{WEST + 150},{NORTH},EPSG:32632"  # 15 x 15 pixels: one has an embedding
    module = runpy.run_path(str(EXAMPLES / "run_udf_embedding.py"))
    options = ["--model", "seeded", "--area", area, "--dates", "2022-06-01", "2022-08-01"]
    _run(module, generous, tmp_path, *options)
    with xr.open_dataarray(tmp_path / "change.nc", engine="netcdf4") as change:
        assert change["bands"].values.tolist() == ["change"] if "bands" in change.dims else change.name == "change"
        values = change.values
    assert np.isfinite(values).any()
    assert (values[np.isfinite(values)] >= 0).all()


@needs_isolation
def test_models_are_run_where_the_operator_allows_it(connection: openeo.Connection) -> None:
    code = "import openeo_embed\ndef apply_datacube(cube, context):\n    return openeo_embed.embed(cube)\n"
    with pytest.raises(OpenEoApiError, match="No module named 'openeo_embed'"):
        _load(connection, ["B04"]).apply(openeo.UDF(code)).download("/dev/null", format="netCDF")


def _run(module: dict[str, Any], server: Server, output: Path, *options: str) -> str:
    """Run an example's main function, and return what it prints."""
    printed = io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(printed),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        patch.setattr("sys.argv", ["example", "--url", server.url, "--output", str(output), *options])
        module["main"]()
    return printed.getvalue()
