"""`load_uploaded_files` on a real workspace."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cloudpickle
import dask
import h5py
import numpy as np
import pyproj
import pytest
import xarray as xr

from backend.files import FilesOf, Workspaces
from backend.sync.estimate import estimate
from processes.environment import Environment
from processes.errors import OpenEOError
from processes.fetch import FetchRules
from processes.implementations.load_uploaded_files import load_uploaded_files
from processes.vectors.cubes import crs_of
from tests.processes.rasters import ORIGIN, UTM, ramp, tiff


class Folder:
    """The folder of one user, and what the process gives of it."""

    def __init__(self, root: Path, user: str = "anna", rules: FetchRules | None = None) -> None:
        self.root = root
        self.workspaces = Workspaces(root, 2**24, 2**26)
        self.user = user
        self.rules = rules or FetchRules()
        self.loaded: list[xr.DataArray] = []

    def add(self, path: str, content: bytes) -> str:
        self.workspaces.write(self.user, path, io.BytesIO(content))
        return path

    def load(self, paths: Any, format: str, **more: Any) -> xr.DataArray:
        """Load without letting anything compute."""

        def refuse(*_: Any, **__: Any) -> Any:
            raise AssertionError("computed while the graph was built")

        files = FilesOf(self.workspaces, self.user)
        env = Environment(SimpleNamespace(), SimpleNamespace(), files=files, fetch=self.rules)  # type: ignore[arg-type]
        with dask.config.set(scheduler=refuse):
            cube = load_uploaded_files(paths, format, env=env, **more)
        self.loaded = env.ledger.cubes
        return cube

    def fails(self, code: str, match: str, paths: Any, format: str = "GTiff") -> None:
        with pytest.raises(OpenEOError, match=match) as error:
            self.load(paths, format)
        assert error.value.code == code


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "files")


def values(cube: xr.DataArray) -> Any:
    return cube.compute(scheduler="threads").to_numpy()


def netcdf(tmp_path: Path, dates: list[str], start: int, step: float = 10.0) -> bytes:
    coordinates = {
        "t": np.array(dates, "datetime64[ns]"),
        "y": ORIGIN[1] - step * np.arange(3),
        "x": ORIGIN[0] + step * np.arange(4),
        "spatial_ref": ((), 0, {"crs_wkt": pyproj.CRS(UTM).to_wkt()}),
    }
    data = np.arange(start, start + 12 * len(dates), dtype=np.float32).reshape(len(dates), 3, 4)
    xr.Dataset({"v": (("t", "y", "x"), data)}, coordinates).to_netcdf(tmp_path / "made.nc", engine="netcdf4")
    return (tmp_path / "made.nc").read_bytes()


def geojson(*properties: dict[str, Any], **more: Any) -> bytes:
    features = [
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [i, 51]}, "properties": told}
        for i, told in enumerate(properties)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features, **more}).encode()


@pytest.mark.parametrize("path", ["a/b c.tif", "/a/b c.tif", "./a/b c.tif"])
def test_one_raster(folder: Folder, path: str) -> None:
    folder.add("a/b c.tif", tiff(np.stack([ramp(8, 8), ramp(8, 8, start=5)]), descriptions=("red", "nir"), nodata=5))
    cube = folder.load([path], "gtiff")
    assert (cube.dims, cube["bands"].values.tolist(), cube.odc.crs.epsg) == (("bands", "y", "x"), ["red", "nir"], 32631)
    got = values(cube)
    assert np.isnan(got[0, 0, 4])
    np.testing.assert_array_equal(got[1].ravel()[1:], ramp(8, 8, start=5).ravel()[1:])


def test_lazy_cubes_travel_to_workers(folder: Folder) -> None:
    cube = folder.load([folder.add("a.tif", tiff(ramp(4, 4)))], "GTiff")
    np.testing.assert_array_equal(values(cloudpickle.loads(cloudpickle.dumps(cube)))[0], ramp(4, 4))


def test_rasters_of_several_dates(folder: Folder) -> None:
    names = ["x_20240503T101500.tif", "2024-05-01.tif", "s2-99999999-20240502-v1.tif"]
    for day, name in zip((3, 1, 2), names, strict=True):
        folder.add(name, tiff(ramp(4, 4, start=100 * day)))
    cube = folder.load(names, "GTiff")
    assert cube.dims == ("t", "bands", "y", "x")
    expected = np.array(["2024-05-01", "2024-05-02", "2024-05-03T10:15"], "datetime64[ns]")
    np.testing.assert_array_equal(cube["t"], expected)
    np.testing.assert_array_equal(values(cube)[:, 0, 0, 0], [100, 200, 300])
    assert cube.odc.crs.epsg == 32631


@pytest.mark.parametrize("format", ["GTiff", "netCDF"])
def test_what_is_needed_of_rasters_counts_as_loaded(folder: Folder, tmp_path: Path, format: str) -> None:
    contents = [tiff(ramp(3, 4)) if format == "GTiff" else netcdf(tmp_path, [f"2024-05-0{day}"], 0) for day in (1, 2)]
    names = [folder.add(f"2024-05-0{day}", content) for day, content in enumerate(contents, 1)]
    cube = folder.load(names, format)
    assert estimate(cube, folder.loaded, 0).loaded_bytes == cube.nbytes == 2 * 12 * 4
    assert estimate((cube + 1).isel(t=1), folder.loaded, 0).loaded_bytes == 12 * 4
    folder.load([folder.add("a.json", geojson({}))], "GeoJSON")
    assert folder.loaded == []


def test_netcdf_files_are_put_along_t_by_their_own_dates(folder: Folder, tmp_path: Path) -> None:
    folder.add("a.nc", netcdf(tmp_path, ["2024-05-01", "2024-05-05"], 0))
    folder.add("b.nc", netcdf(tmp_path, ["2024-05-03"], 100))
    cube = folder.load(["b.nc", "a.nc"], "netCDF")
    assert [str(day)[8:10] for day in cube["t"].values] == ["01", "03", "05"]
    np.testing.assert_array_equal(values(cube)[:, 0, 0, 0], [0, 100, 12])
    folder.add("c.nc", netcdf(tmp_path, ["2024-05-05"], 0))
    folder.fails("ProcessParameterInvalid", "date 2024-05-05", ["a.nc", "c.nc"], "netCDF")
    folder.add("d.nc", netcdf(tmp_path, ["2024-05-06"], 0, step=20.0))
    folder.fails("ProcessParameterInvalid", "'a.nc' and 'd.nc' differ in their labels of y", ["a.nc", "d.nc"], "netCDF")


@pytest.mark.parametrize(
    ("other", "match"),
    [
        (tiff(ramp(4, 5)), r"lengths of x \(4; 5\)"),
        (tiff(ramp(4, 4), origin=(ORIGIN[0] + 5, ORIGIN[1])), "labels of x"),
        (tiff(ramp(4, 4), crs="EPSG:32632"), "reference systems"),
        (tiff(ramp(4, 4), descriptions=("red",)), r"labels of bands \(B1; red\)"),
    ],
    ids=["size", "place", "reference system", "bands"],
)
def test_rasters_that_do_not_fit(folder: Folder, other: bytes, match: str) -> None:
    paths = [folder.add("2024-05-01.tif", tiff(ramp(4, 4))), folder.add("2024-05-02.tif", other)]
    folder.fails("ProcessParameterInvalid", f"'2024-05-01.tif' and '2024-05-02.tif' differ in their {match}", paths)


def test_rasters_without_dates(folder: Folder) -> None:
    paths = [folder.add(name, tiff(ramp(4, 4))) for name in ("2024-05-01.tif", "2024-13-01.tif")]
    folder.fails("ProcessParameterInvalid", "'2024-13-01.tif' has no date", paths)


def test_features_of_several_files(folder: Folder) -> None:
    folder.add("a.geojson", geojson({"crop": "maize", "n": 3}, {"crop": "rye", "n": 4}))
    folder.add("b.geojson", geojson({"n": 5, "area": 0.5}))
    cube = folder.load(["b.geojson", "a.geojson"], "GeoJSON")
    assert cube.dims == ("geometry",)
    assert cube["n"].values.tolist() == [5, 3, 4]
    assert cube["crop"].values.tolist() == ["", "maize", "rye"]
    np.testing.assert_array_equal(cube["area"], [0.5, np.nan, np.nan])
    assert [shape.x for shape in cube["geometry"].values] == [0, 0, 1]
    assert crs_of(cube, "geometry").to_epsg() == 4326
    folder.add("c.geojson", geojson({}, crs={"type": "name", "properties": {"name": UTM}}))
    folder.fails("ProcessParameterInvalid", "reference systems", ["a.geojson", "c.geojson"], "GeoJSON")


def test_vector_files_that_are_too_large(tmp_path: Path) -> None:
    folder = Folder(tmp_path, rules=FetchRules(file_bytes=400, document_bytes=300))
    paths = [folder.add(f"{i}.geojson", geojson(*[{}] * 2)) for i in range(3)]
    folder.load(paths[:1], "GeoJSON")
    folder.fails("ProcessParameterInvalid", "bytes together", paths, "GeoJSON")
    folder.add("0.geojson", geojson({"a": "x" * 200}))
    folder.fails("ProcessParameterInvalid", "more than 300 bytes", ["0.geojson"], "GeoJSON")


@pytest.mark.parametrize("path", ["b.tif", "../ben/b.tif", "/../user-ben/b.tif", "a/../../user-ben/b.tif", "", "/"])
def test_what_is_not_in_the_folder_does_not_exist(folder: Folder, path: str) -> None:
    Folder(folder.root, "ben").add("b.tif", tiff(ramp(4, 4)))
    folder.add("a/b.tif", tiff(ramp(4, 4)))
    folder.fails("FileNotFound", "[Ff]ile", [path])


def test_folders_and_links_are_not_read(folder: Folder) -> None:
    folder.add("a/b.tif", tiff(ramp(4, 4)))
    os.symlink(folder.root / "user-anna" / "a" / "b.tif", folder.root / "user-anna" / "link.tif")
    os.symlink(folder.root / "user-anna" / "a", folder.root / "user-anna" / "way")
    for path in ("a", "link.tif", "way/b.tif"):
        folder.fails("FileOperationUnsupported", path, [path])


@pytest.mark.parametrize("format", ["GTiff", "netCDF"])
def test_a_link_put_in_place_of_a_file_later_is_not_followed(folder: Folder, tmp_path: Path, format: str) -> None:
    content = tiff(ramp(4, 4)) if format == "GTiff" else netcdf(tmp_path, ["2024-05-01"], 0)
    Folder(folder.root, "ben").add("b", content)
    cube = folder.load([folder.add("a", content)], format)
    own = folder.root / "user-anna" / "a"
    own.unlink()
    own.symlink_to(folder.root / "user-ben" / "b")
    with pytest.raises(OpenEOError) as error:
        values(cube)
    assert error.value.code == "FileOperationUnsupported"
    own.unlink()
    with pytest.raises(OpenEOError) as error:
        values(cube)
    assert error.value.code == "FileNotFound"


@pytest.mark.parametrize("format", ["GTiff", "netCDF"])
def test_files_of_one_path_have_tasks_of_their_own(folder: Folder, tmp_path: Path, format: str) -> None:
    """Else the cluster's memory would give one user another's pixels, or those of a file that was replaced."""
    ben = Folder(folder.root, "ben")
    contents = [
        tiff(ramp(4, 4, start=start)) if format == "GTiff" else netcdf(tmp_path, ["2024-05-01"], start)
        for start in (1, 2, 3)
    ]
    cubes = []
    for owner, content in zip((folder, ben, folder), contents, strict=True):
        cubes.append(owner.load([owner.add("a", content)], format))
    assert len({cube.data.name for cube in cubes}) == 3
    tasks = [{key for key in cube.__dask_graph__() if str(key).find("load-") >= 0} for cube in cubes]
    assert all(tasks)
    assert not tasks[0] & tasks[1]
    assert not tasks[0] & tasks[2]


def test_values_in_files_of_the_server_are_not_read(folder: Folder, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * 48)
    with h5py.File(tmp_path / "made.nc", "w") as file:
        file.create_dataset("v", (3, 4), "f4", external=[(str(secret), 0, 48)])
    folder.add("a.nc", (tmp_path / "made.nc").read_bytes())
    folder.fails("FormatUnsuitable", "lies in other files", ["a.nc"], "netCDF")
    vrt = f"<VRTDataset rasterXSize='1' rasterYSize='1'><SourceFilename>{secret}</SourceFilename></VRTDataset>"
    folder.fails("FormatUnsuitable", "neither a GeoTIFF", [folder.add("a.tif", vrt.encode())])


@pytest.mark.parametrize("format", ["GTiff", "netCDF", "GeoJSON", "Parquet"])
@pytest.mark.parametrize("content", [b"", b"II*\x00garbage", b"\x89HDF\r\n\x1a\nxx", b"PAR1hello PAR1"])
def test_files_of_another_format_and_damaged_ones(folder: Folder, format: str, content: bytes) -> None:
    folder.fails("FormatUnsuitable", "'paths'", [folder.add("a", content)], format)


@pytest.mark.parametrize("paths", [[], "a.tif", [1], None, ["a.tif", "a.tif"], [f"{i}.tif" for i in range(501)]])
def test_lists_that_are_none(folder: Folder, paths: Any) -> None:
    folder.fails("ProcessParameterInvalid", "'paths'", paths)


def test_unknown_formats_options_and_users(folder: Folder) -> None:
    folder.fails("ProcessParameterInvalid", "possible are GeoJSON", ["a"], "VRT")
    with pytest.raises(OpenEOError, match="no option a"):
        folder.load(["a"], "GTiff", options={"a": 1})
    env = Environment(SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
    with pytest.raises(OpenEOError, match="log in"):
        load_uploaded_files(["a"], "GTiff", env=env)
