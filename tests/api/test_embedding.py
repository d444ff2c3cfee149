"""The main job through the real client and server: simulated and real data, embedded over HTTP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openeo
import pytest
import rasterio
import xarray as xr

from models import embed_cube, load_model
from models.preprocessing import mask_clouds, preprocess
from processes.sources import FileCatalog, LoadRequest
from tests.backend.server import run_inside

AREA = {"west": 679200, "south": 5151200, "east": 679230, "north": 5151240, "crs": "EPSG:32632"}  # 3 x 4 pixels
DATES = ["2022-06-24", "2022-07-03"]
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
LABELS = [f"F0{i}" for i in range(1, 8)]


def embedding(connection: openeo.Connection, prefix: str = "", area=AREA, dates=DATES) -> openeo.DataCube:
    sensors = ("SENTINEL2_L2A", "SENTINEL1_RTC") if not prefix else (f"{prefix}SENTINEL2_L2A", f"{prefix}SENTINEL1_GRD")
    s2 = connection.load_collection(sensors[0], area, dates, [*BANDS, "SCL"])
    s1 = connection.load_collection(sensors[1], area, dates, ["VV", "VH"])
    return connection.datacube_from_process("multimodal_embed", data=s2, others=[s1])


@pytest.fixture(scope="module")
def expected(data: Path) -> xr.DataArray:
    """The same at the torch level, from the whole archive at once, (t, bands, y, x)."""
    catalog = FileCatalog(data / "catalog.json")
    s2 = catalog.get("SENTINEL2_L2A").load(LoadRequest(bands=(*BANDS, "SCL"))).compute()
    s1 = catalog.get("SENTINEL1_RTC").load(LoadRequest(bands=("VV", "VH"))).compute()
    rows = slice(AREA["north"] + 70, AREA["south"] - 70)
    columns = slice(AREA["west"] - 70, AREA["east"] + 70)
    s2, s1 = (c.sel(y=rows, x=columns).transpose("bands", "t", "y", "x") for c in (s2, s1))
    reflectance = mask_clouds(s2.sel(bands=list(BANDS)).values, s2.sel(bands="SCL").values)
    cubes = {
        "s2": preprocess(reflectance, "sentinel2-reflectance", "local"),
        "s1": preprocess(s1.values, "sentinel1-power", "local"),
    }
    asked = (s2["t"] >= np.datetime64(DATES[0])) & (s2["t"] < np.datetime64(DATES[1]))
    out = embed_cube(load_model("demo"), cubes, {"s2": s2["t"].values, "s1": s1["t"].values}, wanted=asked.values)
    cube = xr.DataArray(out, dims=s2.dims, coords={"bands": LABELS, "t": s2["t"], "y": s2["y"], "x": s2["x"]})
    return cube.isel(t=asked.values, y=slice(7, -7), x=slice(7, -7)).transpose("t", "bands", "y", "x")


def test_embedding_over_http_is_that_of_the_torch_level(connection, expected, tmp_path):
    """Only the area and dates are asked for: their surroundings are loaded by the server."""
    embedding(connection).download(tmp_path / "embedding.nc", format="netCDF")
    with xr.open_dataset(tmp_path / "embedding.nc") as file:
        ours = np.stack([file[label].transpose("t", "y", "x").values for label in LABELS], axis=1)
        np.testing.assert_array_equal(file["t"], expected["t"])
    assert np.isfinite(expected).all(("bands", "y", "x")).any()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=5e-6, equal_nan=True)


def test_validation_looks_round_what_is_asked_for_as_the_run_does(connection):
    """Three dates are enough to ask for; what is wrong further on is still found."""
    cube = embedding(connection)
    assert cube.validate() == []
    assert cube.reduce_dimension(dimension="t", reducer="median").validate() == []
    (fault,) = cube.process("filter_bands", data=cube, bands=["F01", "F99"]).validate()
    assert "F99" in fault["message"]
    lonely = embedding(connection, dates=["1999-01-01", "1999-02-01"]).validate()
    assert lonely


def test_embeddings_compose_with_standard_processes(connection, expected, tmp_path):
    """The median over time, and the NDVI beside it."""
    median = embedding(connection).reduce_dimension(dimension="t", reducer="median")
    s2 = connection.load_collection("SENTINEL2_L2A", AREA, DATES, ["B04", "B08"])
    ndvi = s2.ndvi(nir="B08", red="B04", target_band="NDVI").filter_bands(["NDVI"])
    both = median.merge_cubes(ndvi.reduce_dimension(dimension="t", reducer="median"))
    both.download(tmp_path / "both.tif", format="GTiff")
    with rasterio.open(tmp_path / "both.tif") as file:
        assert list(file.descriptions) == [*LABELS, "NDVI"]
        assert file.crs.to_epsg() == 32632
        assert file.bounds == (AREA["west"], AREA["south"], AREA["east"], AREA["north"])
        np.testing.assert_allclose(file.read()[:7], expected.median("t"), rtol=0, atol=5e-6, equal_nan=True)


def test_the_real_site_is_embedded_by_the_same_graph(connection, data, real_site, tmp_path):
    added = run_inside("catalog", "add", real_site, "--data", data)
    assert added.returncode == 0, added.stderr
    area = {"west": 501600, "south": 5629300, "east": 501630, "north": 5629330, "crs": "EPSG:32631"}
    cube = embedding(connection, "FLANDERS_", area, ["2018-05-01", "2018-05-20"])
    cube.download(tmp_path / "real.nc", format="netCDF")
    with xr.open_dataset(tmp_path / "real.nc") as file:
        values = np.stack([file[label].values for label in LABELS])
    assert values.shape[2:] == (3, 3)
    known = np.isfinite(values).all(axis=0)
    assert known.sum() >= 9
    assert (values[:, known] >= 0).all()  # softplus
    assert values[:, known].std() > 0
