"""`load_url` by its specification, over real HTTP."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask
import geopandas as gpd
import h5py
import numpy as np
import pyarrow as pa
import pyproj
import pytest
import shapely
import xarray as xr
from pyarrow import parquet

from processes.environment import Environment
from processes.errors import OpenEOError
from processes.fetch import WrongFormat
from processes.fetch.netcdf import open_netcdf
from processes.implementations.input_formats import INPUT_FORMATS
from processes.implementations.load_url import load_url
from processes.vectors.cubes import crs_of
from tests.processes.rasters import ORIGIN, UTM, ramp, tiff
from tests.processes.site import Site, redirect, serve

POINT = {"type": "Point", "coordinates": [4, 51]}
POINTS = {
    "type": "FeatureCollection",
    "features": [{"type": "Feature", "geometry": POINT, "properties": {"crop": "maize", "n": 3}}],
}


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


def load(site: Site, url: str, format: str, rules: dict[str, Any] | None = None, **more: Any) -> xr.DataArray:
    """Load without letting anything compute."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed while the graph was built")

    fetch = site.rules(**(rules or {}))
    env = Environment(catalog=SimpleNamespace(), models=SimpleNamespace(), fetch=fetch)  # type: ignore[arg-type]
    with dask.config.set(scheduler=refuse):
        return load_url(url, format, env=env, **more)


def values(cube: xr.DataArray) -> Any:
    return cube.compute(scheduler="threads").to_numpy()


def netcdf(dataset: xr.Dataset, folder: Path, **encoding: Any) -> bytes:
    path = folder / "made.nc"
    dataset.to_netcdf(path, engine="netcdf4", encoding=encoding)
    return path.read_bytes()


def dataset(**variables: Any) -> xr.Dataset:
    """Return variables on a UTM grid of 3 x 4 pixels, with two dates."""
    coordinates = {
        "t": np.array(["2024-05-01T10:00", "2024-05-02"], "datetime64[ns]"),
        "y": ORIGIN[1] - 10.0 * np.arange(3),
        "x": ORIGIN[0] + 10.0 * np.arange(4),
        "spatial_ref": ((), 0, {"crs_wkt": pyproj.CRS(UTM).to_wkt()}),
    }
    return xr.Dataset(variables, coords=coordinates)


VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)


class TestGeoTiff:
    def test_bands_by_their_descriptions(self, site: Site) -> None:
        content = tiff(np.stack([ramp(64, 64), ramp(64, 64, start=5)]), descriptions=("red", "nir"), nodata=5)
        cube = load(site, site.add("/a.tif", content), "GTiff")
        assert cube.dims == ("bands", "y", "x")
        assert cube["bands"].values.tolist() == ["red", "nir"]
        assert cube.odc.crs.epsg == 32631
        got = values(cube)
        assert np.isnan(got[0, 0, 4])
        np.testing.assert_array_equal(got[1].ravel()[1:], ramp(64, 64, start=5).ravel()[1:])
        np.testing.assert_array_equal(cube["x"], ORIGIN[0] + 5 + 10 * np.arange(64))

    def test_bands_without_distinct_descriptions_are_numbered(self, site: Site) -> None:
        content = tiff(np.stack([ramp(4, 4)] * 2), descriptions=("a", "a"))
        assert load(site, site.add("/a.tif", content), "gtiff")["bands"].values.tolist() == ["B1", "B2"]

    def test_pixels_are_read_when_the_cube_is_computed_and_only_those_needed(self, site: Site) -> None:
        noise = np.random.default_rng(0).integers(0, 2**16, (2048, 2048), dtype=np.uint16)
        cube = load(site, site.add("/a.tif", tiff(noise, driver="COG", blocksize=512, overviews="none")), "GTiff")
        opened = len(site.seen)
        part = cube.isel(x=slice(0, 64), y=slice(0, 64))
        np.testing.assert_array_equal(values(part)[0], noise[:64, :64])
        asked = [tuple(map(int, p[6:].split("-"))) for _, _, p in site.seen[opened:] if p]
        assert sum(end - start + 1 for start, end in asked) < noise.nbytes / 4

    def test_a_file_without_reference_system(self, site: Site) -> None:
        with pytest.raises(OpenEOError, match="reference system") as error:
            load(site, site.add("/a.tif", tiff(ramp(4, 4), crs=None)), "GTiff")  # type: ignore[arg-type]
        assert error.value.code == "FormatUnsuitable"

    def test_a_failure_while_computing_names_this_process(self, site: Site) -> None:
        noise = np.random.default_rng(0).integers(0, 2**16, (512, 512), dtype=np.uint16)
        cube = load(site, site.add("/a.tif", tiff(noise)), "GTiff")
        site.add("/a.tif", redirect("https://127.0.0.1/"))
        with pytest.raises(OpenEOError, match="'load_url'") as error:
            values(cube)
        assert error.value.code == "ProcessParameterInvalid"


class TestNetcdf:
    def test_variables_become_bands(self, site: Site, tmp_path: Path) -> None:
        made = dataset(B4=(("t", "y", "x"), VALUES), B8=(("t", "y", "x"), VALUES + 1), flat=(("y", "x"), VALUES[0]))
        cube = load(site, site.add("/a.nc", netcdf(made, tmp_path)), "netCDF")
        assert cube.dims == ("t", "bands", "y", "x")
        assert cube["bands"].values.tolist() == ["B4", "B8"]
        assert cube["t"].values[0] == np.datetime64("2024-05-01T10:00")
        assert cube.odc.crs.epsg == 32631
        assert cube.dtype == np.float32
        got = values(cube)
        np.testing.assert_array_equal(got, np.stack([VALUES, VALUES + 1], 1))
        np.testing.assert_array_equal(values(cube.isel(t=1, x=[3, 0], y=slice(2))), got[1][:, :2][:, :, [3, 0]])

    def test_packed_values_are_decoded(self, site: Site, tmp_path: Path) -> None:
        holed = np.where(VALUES == 7, np.nan, VALUES)
        packing = {"dtype": "int16", "scale_factor": 0.5, "add_offset": 3.0, "_FillValue": -1}
        content = netcdf(dataset(v=(("t", "y", "x"), holed)), tmp_path, v=packing)
        np.testing.assert_array_equal(values(load(site, site.add("/a.nc", content), "NETCDF"))[:, 0], holed)

    def test_one_variable_with_bands(self, site: Site, tmp_path: Path) -> None:
        made = dataset(data=(("t", "bands", "y", "x"), np.stack([VALUES, VALUES * 2], 1))).assign_coords(
            bands=["a", "b"]
        )
        cube = load(site, site.add("/a.nc", netcdf(made, tmp_path)), "netCDF")
        assert cube["bands"].values.tolist() == ["a", "b"]
        np.testing.assert_array_equal(values(cube)[:, 1], VALUES * 2)

    def test_longitude_latitude_time_south_up(self, site: Site, tmp_path: Path) -> None:
        names = {"t": "time", "y": "lat", "x": "lon"}
        made = dataset(v=(("t", "y", "x"), VALUES)).drop_vars("spatial_ref").rename(names)
        made = made.assign_coords(lat=[50.0, 51.0, 52.0], lon=[1.0, 2.0, 3.0, 4.0])
        cube = load(site, site.add("/a.nc", netcdf(made, tmp_path)), "netCDF")
        assert cube.dims == ("t", "bands", "y", "x")
        assert cube["y"].values.tolist() == [52, 51, 50]
        assert cube.odc.crs.epsg == 4326
        np.testing.assert_array_equal(values(cube)[:, 0], VALUES[:, ::-1])

    def test_what_our_own_format_writes_comes_back(self, site: Site, tmp_path: Path) -> None:
        from backend.results import find_format

        made = dataset(v=(("t", "bands", "y", "x"), VALUES[:, None])).assign_coords(bands=["F01"])["v"]
        path = tmp_path / "own.nc"
        find_format("netCDF").write(made.rio.write_crs(UTM), {}, path)
        cube = load(site, site.add("/a.nc", path.read_bytes()), "netCDF")
        np.testing.assert_array_equal(values(cube), made)
        assert cube["bands"].values.tolist() == ["F01"]

    def test_a_real_file(self, site: Site, real_site: Path) -> None:
        path = real_site / "S2_L2A_20m.nc"
        cube = load(site, site.add("/a.nc", path.read_bytes()), "netCDF").isel(t=slice(40, 45))
        with xr.open_dataset(path) as theirs:
            rasters = [name for name, variable in theirs.data_vars.items() if variable.ndim == 3]
            assert sorted(cube["bands"].values.tolist()) == sorted(rasters)
            for band in ("B05", "B8A"):
                wanted = theirs[band].isel(timestamp=slice(40, 45)).to_numpy()
                np.testing.assert_allclose(values(cube.sel(bands=band)), wanted, rtol=1e-6)
            np.testing.assert_array_equal(cube["t"], theirs["timestamp"][40:45])
        assert cube.odc.crs.epsg == 32631

    def test_large_variables_are_read_in_parts(self, site: Site, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).random((4, 1000, 1000)).astype("f4")
        made = xr.Dataset(
            {"v": (("t", "lat", "lon"), noise)}, {"lat": np.arange(1000.0) / 20, "lon": np.arange(1000.0) / 20}
        )
        url = site.add("/a.nc", netcdf(made, tmp_path, v={"chunksizes": (1, 250, 250)}))
        cube = load(site, url, "netCDF")
        opened = len(site.seen)
        np.testing.assert_array_equal(
            values(cube.isel(t=2, x=slice(0, 10), y=slice(990, 1000)))[0], noise[2, :10, :10][::-1]
        )
        asked = [tuple(map(int, p[6:].split("-"))) for _, _, p in site.seen[opened:] if p]
        assert sum(end - start + 1 for start, end in asked) < 0.6 * noise.nbytes

    @pytest.mark.parametrize(
        "made",
        [
            xr.Dataset({"v": ("x", [1.0, 2.0])}),
            xr.Dataset({"v": (("y", "x"), np.ones((2, 2)))}, {"x": [0, 1], "y": [0, 1]}),
            xr.Dataset({"v": (("lat", "lon"), np.ones((2, 2)))}),
        ],
        ids=["no raster", "no reference system", "no coordinates"],
    )
    def test_what_cannot_be_placed_is_unsuitable(self, site: Site, tmp_path: Path, made: xr.Dataset) -> None:
        with pytest.raises(OpenEOError) as error:
            load(site, site.add("/a.nc", netcdf(made, tmp_path)), "netCDF")
        assert error.value.code == "FormatUnsuitable"

    def test_values_in_files_of_the_server_are_not_read(self, site: Site, tmp_path: Path) -> None:
        """HDF5 lets a variable lie in another file: here in one of ours."""
        secret = tmp_path / "secret"
        secret.write_bytes(b"SECRET!!")
        other = tmp_path / "other.h5"
        with h5py.File(other, "w") as file:
            file["v"] = np.ones((2, 2))
        made = tmp_path / "bad.h5"
        layout = h5py.VirtualLayout((2, 2), "f8")
        layout[:] = h5py.VirtualSource(str(other), "v", (2, 2))
        with h5py.File(made, "w") as file:
            file.create_dataset("outside", (8,), dtype="u1", external=[(str(secret), 0, 8)])
            file.create_virtual_dataset("virtual", layout)
            file["hard"] = np.ones(2)
        for name in ("outside", "virtual"):
            url = site.add("/a.nc", made.read_bytes())
            with pytest.raises(WrongFormat, match="other files"), open_netcdf(_gate(site), url) as file:
                file.read(name)
        with pytest.raises(OpenEOError) as error:
            load(site, url, "netCDF")
        assert error.value.code == "FormatUnsuitable"

    def test_links_to_other_files_are_not_followed(self, site: Site, tmp_path: Path) -> None:
        made = tmp_path / "bad.h5"
        with h5py.File(made, "w") as file:
            file["v"] = h5py.ExternalLink("/etc/passwd", "/v")
            file["w"] = h5py.SoftLink("/x")
            file["x"] = np.ones(2)
        with open_netcdf(_gate(site), site.add("/a.nc", made.read_bytes())) as opened:
            assert list(opened.variables()) == ["x"]

    def test_a_file_that_breaks_off_or_disappears(self, site: Site, tmp_path: Path) -> None:
        content = netcdf(dataset(v=(("t", "y", "x"), VALUES)), tmp_path)
        with pytest.raises(OpenEOError) as error:
            load(site, site.add("/a.nc", content[:700]), "netCDF")
        assert error.value.code == "FormatUnsuitable"
        cube = load(site, site.add("/b.nc", content), "netCDF")
        del site.pages["/b.nc"]
        with pytest.raises(OpenEOError, match="404") as error:
            values(cube)
        assert error.value.code == "ProcessParameterInvalid"


def _sample(format: str, folder: Path) -> bytes:
    """Return a small file of a format."""
    if format == "GTiff":
        return tiff(ramp(64, 64), compress="deflate", tiled=True, blockxsize=16, blockysize=16)
    if format == "netCDF":
        packing = {"zlib": True, "chunksizes": (1, 3, 4)}
        return netcdf(dataset(v=(("t", "y", "x"), VALUES)), folder, v=packing)
    if format == "Parquet":
        buffer = io.BytesIO()
        gpd.GeoDataFrame({"n": [1]}, geometry=[shapely.box(0, 0, 1, 1)], crs=UTM).to_parquet(buffer)
        return buffer.getvalue()
    return json.dumps(POINTS).encode()


@pytest.mark.parametrize("format", [form.name for form in INPUT_FORMATS])
def test_damaged_files_are_the_users_error(site: Site, tmp_path: Path, format: str) -> None:
    """Whatever bytes of a file are wrong: it is read, or refused, and nothing else."""
    sample, random = _sample(format, tmp_path), np.random.default_rng(8)
    outcomes = []
    for _ in range(40):
        damaged = bytearray(sample)
        for place in random.integers(0, min(len(sample), random.choice([600, 10**6])), random.choice([1, 3, 9])):
            damaged[place] = random.integers(0, 256)
        try:
            values(load(site, site.add("/a", bytes(damaged)), format))
            outcomes.append("read")
        except OpenEOError as error:
            outcomes.append(error.code)
    assert set(outcomes) <= {"read", "FormatUnsuitable", "ProcessParameterInvalid"}
    assert set(outcomes) != {"read"}


def test_a_file_without_extent(site: Site) -> None:
    with pytest.raises(OpenEOError, match="georeference") as error:
        values(load(site, site.add("/a.tif", tiff(ramp(4, 4), step=1e-300)), "GTiff"))
    assert error.value.code == "ProcessParameterInvalid"


def _gate(site: Site) -> Any:
    from processes.fetch.gate import Gate

    return Gate(site.rules())


class TestVectors:
    def test_geojson(self, site: Site) -> None:
        cube = load(site, site.add("/a.json", POINTS), "geojson")
        assert cube["geometry"].item() == shapely.Point(4, 51)
        assert cube["crop"].item() == "maize"
        assert crs_of(cube, "geometry").to_epsg() == 4326

    def test_geoparquet(self, site: Site) -> None:
        shapes = [shapely.box(0, 0, 1, 1), shapely.box(2, 2, 3, 3)]
        frame = gpd.GeoDataFrame({"n": [1, 2], "name": ["a", None]}, geometry=shapes, crs=UTM)
        buffer = io.BytesIO()
        frame.to_parquet(buffer)
        cube = load(site, site.add("/a.parquet", buffer.getvalue()), "Parquet")
        assert [shapely.equals(a, b) for a, b in zip(cube["geometry"].values, shapes, strict=True)] == [True, True]
        assert cube["n"].values.tolist() == [1, 2]
        assert cube["name"].values.tolist() == ["a", ""]
        assert crs_of(cube, "geometry").to_epsg() == 32631

    def test_a_small_file_that_is_a_huge_table(self, site: Site) -> None:
        bomb = io.BytesIO()
        parquet.write_table(pa.table({"a": pa.array(["x" * 20_000] * 1000)}), bomb, compression="zstd")
        assert len(bomb.getvalue()) < 50_000
        with pytest.raises(OpenEOError, match="memory") as error:
            load(site, site.add("/a.parquet", bomb.getvalue()), "Parquet", rules={"file_bytes": 2**20})
        assert error.value.code == "FormatUnsuitable"

    def test_too_many_rows(self, site: Site) -> None:
        many = io.BytesIO()
        parquet.write_table(pa.table({"a": pa.array(np.zeros(1_000_001, "i1"))}), many)
        with pytest.raises(OpenEOError, match="rows"):
            load(site, site.add("/a.parquet", many.getvalue()), "Parquet")


@pytest.mark.parametrize("format", [form.name for form in INPUT_FORMATS])
@pytest.mark.parametrize(
    "content", [b"", b"hello", b"PAR1hello PAR1", b"{}", b"II*\x00garbage", b"\x89HDF\r\n\x1a\nxx"]
)
def test_files_of_another_format(site: Site, format: str, content: bytes) -> None:
    with pytest.raises(OpenEOError) as error:
        load(site, site.add("/a", content), format)
    assert error.value.code == "FormatUnsuitable"
    assert "'url'" in error.value.message


@pytest.mark.parametrize("format", [form.name for form in INPUT_FORMATS])
@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "https://169.254.169.254/", "http://example.com/", "https://localhost/"]
)
def test_urls_that_the_rules_forbid(site: Site, format: str, url: str) -> None:
    with pytest.raises(OpenEOError, match="'url'") as error:
        load(site, url, format)
    assert error.value.code == "ProcessParameterInvalid"


def test_unknown_formats_and_options(site: Site) -> None:
    url = site.add("/a.json", json.loads(json.dumps(POINTS)))
    with pytest.raises(OpenEOError, match="GeoJSON, GTiff, netCDF, Parquet") as error:
        load(site, url, "VRT")
    assert error.value.code == "ProcessParameterInvalid"
    with pytest.raises(OpenEOError, match="option") as error:
        load(site, url, "GeoJSON", options={"layer": 1})
    assert error.value.code == "ProcessParameterInvalid"
    assert load(site, url, "GeoJSON", options={}).sizes["geometry"] == 1
