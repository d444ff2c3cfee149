"""`load_result` of files that the server's own formats have written: what comes back is what was saved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import cloudpickle
import dask.array as da
import numpy as np
import pytest
import shapely
import xarray as xr

from backend.jobs.describe import describe_file
from backend.results import find_format
from processes.environment import Environment, Halo
from processes.errors import OpenEOError
from processes.implementations.load_result import load_result
from processes.implementations.load_stac import load_stac
from processes.vectors.cubes import crs_of, make_cube
from tests.processes.graph.graphs import cube as make
from tests.processes.graph.graphs import values

URL = "https://openeo.example/jobs/a/results"


@dataclass
class Files:
    """Files of a job in a folder."""

    folder: Path
    assets: Mapping[str, Mapping[str, Any]]

    def open(self, name: str) -> IO[bytes]:
        return (self.folder / name).open("rb")


@dataclass
class Results:
    """The results of one job, called `a`."""

    files: Files

    def of(self, job: str) -> Files:
        if job != "a":
            raise OpenEOError("JobNotFound", f"The batch job '{job}' does not exist.")
        return self.files

    def at(self, url: str) -> Files | None:
        return self.files if url == URL else None


def saved(value: xr.DataArray, form: str, folder: Path, **options: Any) -> Environment:
    """Return an environment in which job `a` has saved a value."""
    found = find_format(form)
    path = folder / f"result{found.suffix}"
    computed = value.compute(scheduler="threads")
    found.write(computed, options, path)
    # As the database keeps it, which may order keys as it likes.
    about = json.loads(json.dumps(describe_file(path, found, computed), sort_keys=True))
    return of_files(folder, {path.name: about})


def of_files(folder: Path, assets: Mapping[str, Mapping[str, Any]]) -> Environment:
    return Environment(SimpleNamespace(), SimpleNamespace(), results=Results(Files(folder, assets)))  # type: ignore[arg-type]


def cube(bands: tuple[str, ...] = ("B8/A", "10", "B02")) -> xr.DataArray:
    """Return a cube with labels that are hard to keep: a slash, a digit first, not in order of the alphabet."""
    return make(values(3, len(bands), 20, 30), chunks=(1, 1, 10, 10), bands=bands)


def same(found: xr.DataArray, expected: xr.DataArray) -> None:
    """Hold dimensions, labels, values, type and reference system against each other."""
    assert found.dims == expected.dims
    for name in expected.dims:
        assert found[name].to_numpy().tolist() == expected[name].to_numpy().tolist()
    assert found.dtype == expected.dtype
    assert found.odc.crs == expected.odc.crs
    np.testing.assert_array_equal(found.compute(scheduler="threads"), expected.compute(scheduler="threads"))


FORMS = pytest.mark.parametrize(
    ("form", "options"), [("GTiff", {}), ("netCDF", {}), ("netCDF", {"variables": "one"})], ids=["GTiff", "nc", "nc1"]
)


@FORMS
@pytest.mark.parametrize(
    "what",
    [
        lambda c: c,
        lambda c: c.isel(t=[1]),
        lambda c: c.isel(t=0, drop=True),
        lambda c: c.isel(bands=0, drop=True),
        lambda c: c.isel(bands=0, t=0, drop=True),
        lambda c: c.assign_coords(t=c["t"].to_numpy()[0] + np.array([0, 1, 2], "timedelta64[h]")),
        lambda c: c.assign_coords(t=["2022-winter", "2022-spring", "2022-summer"]),
        lambda c: (c.fillna(0) * 100).astype("int16"),
        lambda c: (c.fillna(0) * 1e6).astype("int32"),
        lambda c: c.astype("float64") / 3,
    ],
    ids=["all", "one date", "no dates", "no bands", "a plane", "hours", "texts", "int16", "int32", "float64"],
)  # fmt: skip
def test_what_was_saved_comes_back(form: str, options: Any, what: Any, tmp_path: Path, no_compute: None) -> None:
    expected = what(cube())
    env = saved(expected, form, tmp_path, **options)
    found = load_result("a", env=env)
    assert isinstance(found.data, da.Array)
    assert [loaded.data.name for loaded in env.ledger.cubes] != []
    same(found, expected)
    same(cloudpickle.loads(cloudpickle.dumps(found)), expected)


def test_truth_values_come_back_as_zeros_and_ones(tmp_path: Path) -> None:
    truths = cube() > 0.5
    for form in ("GTiff", "netCDF"):
        same(load_result("a", env=saved(truths, form, tmp_path)), truths.astype("uint8"))


def test_integers_with_a_no_data_value_become_floats(tmp_path: Path) -> None:
    classes = (cube().fillna(0) > 0.5).astype("uint8").assign_attrs(nodata=0)
    found = load_result("a", env=saved(classes, "GTiff", tmp_path))
    same(found, classes.where(classes != 0).astype("float32"))


@FORMS
def test_extents_and_bands(form: str, options: Any, tmp_path: Path, no_compute: None) -> None:
    whole = cube()
    env = saved(whole, form, tmp_path, **options)
    x, y = whole["x"].to_numpy(), whole["y"].to_numpy()
    box = {"west": x[4] - 1, "east": x[9] + 1, "south": y[11] - 1, "north": y[3] + 1, "crs": 32631}
    found = load_result("a", box, ["2022-01-10", None], ["B02", "B8/A"], env=env)
    same(found, whole.isel(t=[1, 2], bands=[2, 0], x=slice(4, 10), y=slice(3, 12)))
    wide = load_result("a", box, ["2022-01-16", None], env=Environment(**{**vars(env), "halo": Halo(2, 3.0)}))
    same(wide, whole.isel(t=[1, 2], x=slice(2, 12), y=slice(1, 14)))


def test_polygons(tmp_path: Path) -> None:
    whole = cube()
    x, y = whole["x"].to_numpy(), whole["y"].to_numpy()
    triangle = shapely.Polygon([(x[2], y[2]), (x[12], y[2]), (x[2], y[12])]).buffer(1)
    crs = {"type": "name", "properties": {"name": "EPSG:32631"}}
    extent = {"type": "Feature", "geometry": shapely.geometry.mapping(triangle), "properties": {}, "crs": crs}
    found = load_result(
        "a", {"type": "FeatureCollection", "features": [extent], "crs": crs}, env=saved(whole, "GTiff", tmp_path)
    )
    part = whole.isel(x=slice(2, 13), y=slice(2, 13))
    inside = shapely.intersects_xy(triangle, *np.meshgrid(part["x"], part["y"]))
    same(found, part.where(xr.DataArray(inside, dims=("y", "x"))).transpose(*part.dims))


def test_layers_of_further_dimensions_are_bands(tmp_path: Path) -> None:
    odd = cube(("a", "b")).isel(t=slice(0, 2)).expand_dims(kind=["p", "q"])
    found = load_result("a", env=saved(odd, "GTiff", tmp_path))
    assert found.dims == ("bands", "y", "x")
    assert found["bands"].to_numpy()[:3].tolist() == ["2022-01-05 p a", "2022-01-05 p b", "2022-01-05 q a"]
    expected = odd.transpose("t", "kind", "bands", "y", "x").to_numpy().reshape(8, 20, 30)
    np.testing.assert_array_equal(found.compute(scheduler="threads"), expected)


def vectors(folder: Path) -> Environment:
    """Return an environment in which job `a` has saved two points as GeoParquet."""
    import geopandas

    shapes = geopandas.GeoSeries([shapely.Point(3, 50), shapely.Point(4, 51)], crs="EPSG:4326")
    geopandas.GeoDataFrame({"n": [1, 2]}, geometry=shapes).to_parquet(folder / "points.parquet")
    return of_files(folder, {"points.parquet": {"type": "application/vnd.apache.parquet", "roles": ["data"]}})


def test_vector_cubes(tmp_path: Path) -> None:
    env = vectors(tmp_path)
    found = load_result("a", env=env)
    assert found["n"].to_numpy().tolist() == [1, 2]
    assert crs_of(found, "geometry").to_epsg() == 4326
    near = {"west": 2, "south": 49, "east": 3.5, "north": 50.5}
    assert load_result("a", near, env=env)["n"].to_numpy().tolist() == [1]
    area = make_cube([shapely.box(3.5, 50.5, 5, 52)], "EPSG:4326")
    assert load_result("a", area, env=env)["n"].to_numpy().tolist() == [2]
    fails("NoDataAvailable", "spatial_extent", env, spatial_extent={**near, "east": 2.5})
    fails("ProcessParameterInvalid", "no dimension of dates", env, temporal_extent=["2022-01-01", None])
    fails("ProcessParameterInvalid", "no bands", env, bands=["B02"])


def test_load_stac_of_the_servers_own_results(tmp_path: Path) -> None:
    whole = cube()
    env = saved(whole, "GTiff", tmp_path)
    same(load_stac(URL, env=env), whole)
    same(load_stac(URL, None, ["2022-01-05", "2022-01-06"], ["10"], env=env), whole.isel(t=[0], bands=[1]))
    same(load_result(URL, env=env), whole)
    with pytest.raises(OpenEOError, match="'properties'") as error:
        load_stac(URL, properties={"eo:cloud_cover": lambda *_: True}, env=env)
    assert error.value.code == "PropertiesUnsupported"
    for foreign in ("https://other.example/jobs/a/results", "http://127.0.0.1/jobs/a/results"):
        fails("ProcessParameterInvalid", "load_stac", env, id=foreign)


def fails(code: str, match: str, env: Environment, **arguments: Any) -> None:
    with pytest.raises(OpenEOError, match=match) as error:
        load_result(**{"id": "a", **arguments}, env=env)
    assert error.value.code == code


def test_bad_input(tmp_path: Path) -> None:
    env = saved(cube(), "GTiff", tmp_path)
    fails("JobNotFound", "'b'", env, id="b")
    fails("JobNotFound", "log in", Environment(env.catalog, env.models))
    fails("ProcessParameterInvalid", "no band 'B03'; the result has B8/A, 10, B02", env, bands=["B03"])
    fails("ProcessParameterInvalid", "'bands'", env, bands=[])
    fails("NoDataAvailable", "temporal_extent.*'load_result'", env, temporal_extent=["2030-01-01", None])
    fails("TemporalExtentEmpty", "temporal_extent", env, temporal_extent=["2030-01-01", "2029-01-01"])
    far = {"west": 0, "south": 0, "east": 1, "north": 1}
    fails("NoDataAvailable", "'spatial_extent' of 'load_result'", env, spatial_extent=far)
    fails("ProcessParameterInvalid", "'spatial_extent'", env, spatial_extent={"west": 0})


def test_what_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    env = saved(cube(), "CSV", tmp_path)
    fails("FormatUnsuitable", r"result\.csv \(text/csv.*GeoJSON, GTiff, netCDF", env)
    damaged = saved(cube(), "GTiff", tmp_path)
    (tmp_path / "result.tif").write_bytes(b"II*\0 and nothing more")
    fails("FormatUnsuitable", "'id'", damaged)


class TestVectorsOfJobs:
    """Vector cubes that the server has written itself."""

    shapes = (shapely.Point(500_000, 5_650_000), shapely.box(500_000, 5_650_000, 500_010, 5_650_010))

    def cube(self, dtype: str = "float32") -> xr.DataArray:
        values = (np.arange(12).reshape(2, 3, 2) / 3 * 7).astype(dtype)
        labels = {"t": cube()["t"].to_numpy(), "bands": ["B08", "B02"]}
        return make_cube(self.shapes, "EPSG:32631", {"n": [7, 8], "name": ["a", "b"]}, values, labels)

    @pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
    @pytest.mark.parametrize("what", [lambda c: c, lambda c: c.isel(t=0, drop=True), lambda c: c.isel(t=0, bands=0, drop=True)])  # fmt: skip  # noqa: E501
    def test_values_labels_and_properties_come_back(self, what: Any, dtype: str, tmp_path: Path) -> None:
        expected = what(self.cube(dtype))
        found = load_result("a", env=saved(expected, "Parquet", tmp_path))
        assert (found.dims, found.dtype) == (expected.dims, expected.dtype)
        assert crs_of(found, "geometry").to_epsg() == 32631
        for name in (*expected.dims, "n", "name"):
            assert found[name].to_numpy().tolist() == expected[name].to_numpy().tolist()
        np.testing.assert_array_equal(found, expected)

    def test_geojson_is_in_longitude_and_latitude(self, tmp_path: Path) -> None:
        expected = self.cube()
        expected[0, 0, 0] = np.nan
        found = load_result(
            "a", None, ["2022-01-05", "2022-01-20"], ["B02", "B08"], env=saved(expected, "GeoJSON", tmp_path)
        )
        assert crs_of(found, "geometry").to_epsg() == 4326
        assert found["geometry"].to_numpy()[0].equals_exact(shapely.Point(3.0, 51.0), 0.1)
        np.testing.assert_array_equal(found, expected.isel(t=slice(0, 2), bands=[1, 0]))
        told = json.loads((tmp_path / "result.geojson").read_text())["features"][0]["properties"]
        assert list(told)[:4] == ["n", "name", "2022-01-05~B08", "2022-01-05~B02"]
        assert (told["n"], told["name"], told["2022-01-05~B08"]) == (7, "a", None)

    def test_geometries_alone(self, tmp_path: Path) -> None:
        alone = make_cube(self.shapes, "EPSG:32631", {"n": [7, 8]})
        for form in ("GeoJSON", "Parquet"):
            found = load_result("a", env=saved(alone, form, tmp_path))
            assert (found.dims, set(found.coords)) == (("geometry",), {"geometry", "n"})

    def test_rasters_are_no_vectors(self) -> None:
        for form in ("GeoJSON", "Parquet"):
            with pytest.raises(OpenEOError, match="geometries"):
                find_format(form).check(cube(), {})
