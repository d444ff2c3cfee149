"""`load_stac` by its specification, over real HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import dask
import numpy as np
import pyproj
import pytest
import xarray as xr

from processes.environment import Environment, Halo
from processes.errors import OpenEOError
from processes.implementations.load_stac import load_stac
from processes.registry import build_registry
from tests.processes.graph.graphs import flat, node, one, param
from tests.processes.rasters import ORIGIN, UTM, ramp, tiff
from tests.processes.site import Site, answer, redirect, serve
from tests.processes.stac import collection, constant, item, raster, static

WEST, NORTH = ORIGIN


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


def environment(site: Site, halo: Halo | None = None, **rules: Any) -> Environment:
    fetch = site.rules(**rules)
    return Environment(catalog=SimpleNamespace(), models=SimpleNamespace(), halo=halo, fetch=fetch)  # type: ignore[arg-type]


def load(site: Site, url: str, halo: Halo | None = None, rules: Any = None, **arguments: Any) -> xr.DataArray:
    """Load without letting anything compute."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed while the graph was built")

    with dask.config.set(scheduler=refuse):
        return load_stac(url, **arguments, env=environment(site, halo, **(rules or {})))


def values(cube: xr.DataArray) -> Any:
    return cube.compute(scheduler="threads").to_numpy()


def box(west: float, south: float, east: float, north: float, crs: Any = 32631) -> dict[str, Any]:
    """Return a bounding box, in metres from the upper left corner of the data."""
    return {"west": WEST + west, "south": NORTH - south, "east": WEST + east, "north": NORTH - north, "crs": crs}


def two_dates(site: Site) -> str:
    first = item("a", "2024-05-01T10:00:00Z", {"red": raster(site, "/a.tif", ramp(64, 64), "B04")}, platform="s2a")
    second = item("b", "2024-05-11T10:00:00Z", {"red": raster(site, "/b.tif", ramp(64, 64, start=9), "B04")}, cloud=5)
    return static(site, first, second)


def test_a_static_collection(site: Site) -> None:
    cube = load(site, two_dates(site))
    assert cube.dims == ("t", "bands", "y", "x")
    assert cube["t"].values.astype("datetime64[s]").astype(str).tolist() == [
        "2024-05-01T10:00:00",
        "2024-05-11T10:00:00",
    ]
    assert cube["bands"].values.tolist() == ["B04"]
    assert cube.odc.crs.epsg == 32631
    np.testing.assert_array_equal(cube["x"], WEST + 5 + 10 * np.arange(64))
    np.testing.assert_array_equal(cube["y"], NORTH - 5 - 10 * np.arange(64))
    assert cube.dtype == np.float32
    np.testing.assert_array_equal(values(cube)[:, 0], [ramp(64, 64), ramp(64, 64, start=9)])


def test_no_pixel_is_read_while_the_graph_is_built(site: Site) -> None:
    url = two_dates(site)
    cube = load(site, url, bands=["B04"])
    assert not [path for _, path, _ in site.seen if path.endswith(".tif")]
    values(cube.isel(t=0))
    assert {path for _, path, _ in site.seen if path.endswith(".tif")} == {"/a.tif"}


def test_an_item_alone(site: Site) -> None:
    one = item("a", "2024-05-01T10:00:00Z", {"red": raster(site, "/deep/a.tif", ramp(8, 8), "B04", href="./a.tif")})
    cube = load(site, site.add("/deep/item.json", one))
    np.testing.assert_array_equal(values(cube)[0, 0], ramp(8, 8))


def test_a_catalogue_of_collections_is_pruned_by_their_extents(site: Site) -> None:
    one = item("a", "2024-05-01T10:00:00Z", {"red": raster(site, "/a.tif", ramp(8, 8), "B04")})
    site.add("/2024/a.json", one)
    old = {
        "spatial": {"bbox": [[-180, -90, 180, 90]]},
        "temporal": {"interval": [["2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"]]},
    }
    site.add("/2020.json", collection("2020", ("item", "./2020/never.json"), extent=old))
    site.add("/2024.json", collection("2024", ("item", "./2024/a.json"), ("parent", "./catalog.json")))
    top = {
        "type": "Catalog",
        "id": "top",
        "links": [{"rel": "child", "href": f"./{year}.json"} for year in (2020, 2024)],
    }
    cube = load(site, site.add("/catalog.json", top), temporal_extent=["2024-01-01", None])
    assert cube.sizes["t"] == 1
    assert "/2020/never.json" not in {path for _, path, _ in site.seen}


def test_stored_values_without_scale_and_offset_and_no_data_of_each_item_and_band(site: Site) -> None:
    """No-data: 0 in one band of an item, 7 in the next, none in the third; the file's own where metadata are silent."""
    data = np.array([[0, 7], [3, 4]], np.uint16)
    scaled = {"raster:scale": 0.0001, "raster:offset": -0.1}
    first = item(
        "a",
        "2024-05-01T10:00:00Z",
        {
            "red": raster(site, "/a1.tif", data, "red", nodata=0, **scaled),
            "nir": raster(site, "/a2.tif", data, "nir", nodata=7),
            "scl": raster(site, "/a3.tif", data, "scl"),
            "own": raster(site, "/a4.tif", data, "own", file={"nodata": 3}),
        },
    )
    second = item("b", "2024-05-02T10:00:00Z", {"red": raster(site, "/b1.tif", data, "red", nodata=4, **scaled)})
    got = values(load(site, static(site, first, second)))
    n = np.nan
    np.testing.assert_array_equal(got[0], [[[n, 7], [3, 4]], [[0, n], [3, 4]], [[0, 7], [3, 4]], [[0, 7], [n, 4]]])
    np.testing.assert_array_equal(got[1, 0], [[0, 7], [3, n]])
    assert np.isnan(got[1, 1:]).all()


def test_stac_1_0_metadata(site: Site) -> None:
    red = raster(site, "/a.tif", np.array([[9, 2], [3, 4]], np.int16))
    del red["data_type"]
    red |= {
        "eo:bands": [{"name": "B4", "common_name": "red", "center_wavelength": 0.66}],
        "raster:bands": [{"nodata": 9, "data_type": "int16"}],
    }
    red["proj:epsg"] = 32631
    del red["proj:code"]
    cube = load(site, static(site, item("a", "2024-05-01T10:00:00Z", {"x": red})))
    assert cube["bands"].values.tolist() == ["B4"]
    assert cube["common_name"].values.tolist() == ["red"]
    assert cube["center_wavelength"].values.tolist() == [0.66]
    np.testing.assert_array_equal(values(cube)[0, 0], [[np.nan, 2], [3, 4]])


def test_item_assets_of_the_collection_complete_the_items(site: Site) -> None:
    one = item("a", "2024-05-01T10:00:00Z", {"x": raster(site, "/a.tif", ramp(4, 4))})
    url = static(site, one, item_assets={"x": {"bands": [{"name": "B4"}], "nodata": 1}})
    cube = load(site, url)
    assert cube["bands"].values.tolist() == ["B4"]
    assert np.isnan(values(cube)[0, 0, 0, 0])


def test_values_that_float32_would_round(site: Site) -> None:
    data = np.array([[2**24 + 1, 5]], np.int32)
    cube = load(
        site, static(site, item("a", "2024-05-01T10:00:00Z", {"x": raster(site, "/a.tif", data, "x", nodata=5)}))
    )
    assert cube.dtype == np.float64
    np.testing.assert_array_equal(values(cube)[0, 0], [[2**24 + 1, np.nan]])


@pytest.mark.parametrize(
    "lacking",
    [
        ("proj:code",),
        ("proj:transform", "proj:shape"),
        ("data_type",),
        ("proj:code", "proj:transform", "proj:shape", "data_type"),
    ],
)
def test_metadata_that_lack_something_are_completed_from_a_files_header(site: Site, lacking: tuple[str, ...]) -> None:
    items = []
    for day in (1, 2):
        red = raster(site, f"/{day}.tif", ramp(64, 64, start=day), "B04")
        items.append(
            item(str(day), f"2024-05-0{day}T10:00:00Z", {"red": {k: v for k, v in red.items() if k not in lacking}})
        )
    cube = load(site, static(site, *items), spatial_extent=box(100, 300, 250, 200))
    assert len({path for _, path, _ in site.seen if path.endswith(".tif")}) == 1
    assert cube.dtype == np.float32
    np.testing.assert_array_equal(values(cube)[1, 0], ramp(64, 64, start=2)[20:30, 10:25])


class TestExtents:
    def test_pixels_whose_centres_lie_inside(self, site: Site) -> None:
        cube = load(site, two_dates(site), spatial_extent=box(100, 300, 250, 200))
        assert (cube.sizes["y"], cube.sizes["x"]) == (10, 15)
        np.testing.assert_array_equal(values(cube)[0, 0], ramp(64, 64)[20:30, 10:25])
        touching = load(site, two_dates(site), spatial_extent=box(105, 204.9, 115, 195))
        assert touching["x"].values.tolist() == [WEST + 105, WEST + 115]
        assert touching["y"].values.tolist() == [NORTH - 195]

    def test_degrees(self, site: Site) -> None:
        to_degrees = pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
        west, south, east, north = to_degrees.transform_bounds(WEST + 100, NORTH - 300, WEST + 250, NORTH - 200)
        extent = {"west": west, "south": south, "east": east, "north": north}
        cube = load(site, two_dates(site), spatial_extent=extent)
        assert set(range(10, 25)) <= set(((cube["x"].values - WEST) // 10).astype(int).tolist())

    def test_polygons_leave_no_data_outside(self, site: Site) -> None:
        ring = [(WEST, NORTH), (WEST + 100, NORTH), (WEST, NORTH - 100), (WEST, NORTH)]
        crs = {"type": "name", "properties": {"name": UTM}}
        cube = load(site, two_dates(site), spatial_extent={"type": "Polygon", "coordinates": [ring], "crs": crs})
        got = values(cube)[0, 0]
        assert got.shape == (10, 10)
        np.testing.assert_array_equal(np.isnan(got), np.add.outer(np.arange(10), np.arange(10)) > 9)

    def test_outside_is_no_data_available(self, site: Site) -> None:
        url = two_dates(site)
        for extent in (box(5000, 5200, 5100, 5100), {"west": 100, "south": 10, "east": 101, "north": 11}):
            with pytest.raises(OpenEOError) as error:
                load(site, url, spatial_extent=extent)
            assert error.value.code == "NoDataAvailable"

    def test_the_interval_is_half_open(self, site: Site) -> None:
        url = two_dates(site)
        cube = load(site, url, temporal_extent=["2024-05-01", "2024-05-11T10:00:00Z"])
        assert cube.sizes["t"] == 1
        assert load(site, url, temporal_extent=["2024-05-11T10:00:00Z", None]).sizes["t"] == 1
        with pytest.raises(OpenEOError) as error:
            load(site, url, temporal_extent=["2023-01-01", "2023-02-01"])
        assert error.value.code == "NoDataAvailable"
        with pytest.raises(OpenEOError) as error:
            load(site, url, temporal_extent=["2023-01-01", "2022-02-01"])
        assert error.value.code == "TemporalExtentEmpty"

    def test_a_halo_reaches_further(self, site: Site) -> None:
        url = two_dates(site)
        extents = {"spatial_extent": box(100, 300, 250, 200), "temporal_extent": ["2024-05-01", "2024-05-02"]}
        cube = load(site, url, Halo(pixels=3, days=20), **extents)
        assert dict(cube.sizes) == {"t": 2, "bands": 1, "y": 16, "x": 21}
        np.testing.assert_array_equal(values(cube)[0, 0], ramp(64, 64)[17:33, 7:28])

    def test_without_extents_the_cube_is_what_the_items_cover(self, site: Site) -> None:
        west = item("a", "2024-05-01T10:00:00Z", {"r": raster(site, "/a.tif", constant(1), "r")}, platform="s2a")
        beside = (WEST + 600, NORTH + 100)
        east = item(
            "b", "2024-05-01T10:00:09Z", {"r": raster(site, "/b.tif", constant(2), "r", origin=beside)}, platform="s2a"
        )
        cube = load(site, static(site, west, east))
        assert (cube.sizes["y"], cube.sizes["x"]) == (74, 124)
        got = values(cube)[0, 0]
        assert [got[40, 10], got[40, 62], got[40, 100], got[5, 62]] == [1, 1, 2, 2]
        assert np.isnan(got[5, 10])


class TestBands:
    def several(self, site: Site) -> str:
        assets = {
            "B02_20m": raster(site, "/b20.tif", constant(20, 4), step=20),
            "B02_10m": raster(site, "/b10.tif", constant(10, 8)),
            "B08": raster(site, "/b8.tif", constant(8, 8)),
            "rgb": raster(site, "/rgb.tif", np.stack([constant(v, 8, "uint8") for v in (1, 2, 3)])),
            "thumbnail": raster(site, "/t.tif", constant(9, 8), roles=["thumbnail"]),
            "SCL": raster(site, "/scl.tif", constant(4, 8, "uint8")),
            "report": {"href": "/report.json", "type": "application/json"},
        }
        for key, name, common in (("B02_20m", "B02", "blue"), ("B02_10m", "B02", "blue"), ("B08", "B08", "nir")):
            assets[key]["bands"] = [{"name": name, "eo:common_name": common}]
        assets["rgb"] |= {"bands": [{"name": n} for n in ("red", "green", "blue")], "roles": ["visual"]}
        dims = {"spectral": {"type": "bands", "values": ["SCL", "B08", "B02"]}}
        return static(site, item("a", "2024-05-01T10:00:00Z", assets), **{"cube:dimensions": dims})

    def test_all_that_hold_data_in_the_order_of_the_metadata_the_finest_of_a_name(self, site: Site) -> None:
        cube = load(site, self.several(site))
        assert cube["bands"].values.tolist() == ["SCL", "B08", "B02"]
        assert values(cube)[0, :, 0, 0].tolist() == [4, 8, 10]

    @pytest.mark.parametrize(
        ("asked", "labels", "first"),
        [
            (["B02", "SCL"], ["B02", "SCL"], [10, 4]),
            (["nir", "blue"], ["B08", "blue"], [8, 3]),
            (["B02_20m", "B02"], ["B02_20m", "B02"], [20, 10]),
            (["rgb"], ["red", "green", "blue"], [1, 2, 3]),
            (["thumbnail"], ["thumbnail"], [9]),
            (["B08", "nir", "B08"], ["B08"], [8]),
        ],
    )
    def test_names(self, site: Site, asked: list[str], labels: list[str], first: list[float]) -> None:
        cube = load(site, self.several(site), bands=asked)
        assert cube["bands"].values.tolist() == labels
        assert values(cube)[0, :, 0, 0].tolist() == first

    def test_unknown_names_are_told_what_there_is(self, site: Site) -> None:
        with pytest.raises(OpenEOError, match=r"'B99'.*B08") as error:
            load(site, self.several(site), bands=["B99"])
        assert error.value.code == "ProcessParameterInvalid"
        assert "load_stac" in error.value.message

    def test_coarser_bands_are_repeated_on_the_finest_grid(self, site: Site) -> None:
        assets = {
            "fine": raster(site, "/f.tif", ramp(8, 8), "fine"),
            "coarse": raster(site, "/c.tif", ramp(4, 4), "coarse", step=20),
            "shifted": raster(site, "/s.tif", ramp(3, 3), "shifted", step=20, origin=(WEST + 20, NORTH - 20)),
        }
        cube = load(site, static(site, item("a", "2024-05-01T10:00:00Z", assets)))
        got = values(cube)[0]
        np.testing.assert_array_equal(got[1], ramp(4, 4).repeat(2, 0).repeat(2, 1))
        np.testing.assert_array_equal(got[2, 2:, 2:], ramp(3, 3).repeat(2, 0).repeat(2, 1))
        assert np.isnan(got[2, :2]).all()
        assert np.isnan(got[2, :, :2]).all()


def test_granules_of_one_solar_day_are_one_date_the_first_valid_value_counts(site: Site) -> None:
    top, bottom = constant(1), constant(2)
    top[60:] = 0
    below = (WEST, NORTH - 600)
    pairs = [
        ("a", "10:00:00", top, ORIGIN, "s2a"),
        ("b", "10:00:20", bottom, below, "s2a"),
        ("c", "10:00:10", top + 4, ORIGIN, "s2b"),
    ]
    items = [
        item(
            id,
            f"2024-05-01T{when}Z",
            {"r": raster(site, f"/{id}.tif", data, "r", origin=origin, nodata=0)},
            platform=platform,
            **{"sat:relative_orbit": 8},
        )
        for id, when, data, origin, platform in pairs
    ]
    cube = load(site, static(site, *items))
    assert cube["t"].values.astype("datetime64[s]").astype(str).tolist() == [
        "2024-05-01T10:00:00",
        "2024-05-01T10:00:10",
    ]
    got = values(cube)[:, 0, :, 0]
    assert [got[0, 59], got[0, 60], got[0, 63], got[0, 100]] == [1, 2, 2, 2]
    assert got[1, 59] == 5
    assert np.isnan(got[1, 100])


def test_passes_that_share_their_time_become_one_date(site: Site) -> None:
    items = [
        item(p, "2024-05-01T00:00:00Z", {"r": raster(site, f"/{p}.tif", constant(v), "r")}, platform=p)
        for p, v in (("x", 1), ("y", 2))
    ]
    assert load(site, static(site, *items)).sizes["t"] == 1


def test_another_reference_system_is_brought_to_that_of_most(site: Site) -> None:
    """A granule of the neighbouring zone: each pixel has the value of the place that its centre lies in."""
    there = pyproj.Transformer.from_crs(UTM, "EPSG:32632", always_xy=True)
    x, y = there.transform(WEST + 320, NORTH - 320)
    origin = (np.floor(x / 10) * 10 - 600, np.floor(y / 10) * 10 + 600)
    columns = np.broadcast_to(np.arange(1, 121, dtype=np.float32), (120, 120))
    items = [
        item(f"a{n}", f"2024-05-0{n}T10:00:00Z", {"r": raster(site, f"/a{n}.tif", constant(n), "r")}) for n in (1, 2)
    ]
    items.append(
        item("b", "2024-05-03T10:00:00Z", {"r": raster(site, "/b.tif", columns, "r", origin=origin, crs="EPSG:32632")})
    )
    cube = load(site, static(site, *items), spatial_extent=box(200, 400, 400, 200))
    assert cube.odc.crs.epsg == 32631
    got = values(cube)[2, 0]
    px, _ = there.transform(*np.meshgrid(cube["x"].values, cube["y"].values))
    np.testing.assert_array_equal(got, np.floor((px - origin[0]) / 10) + 1)


class TestProperties:
    def test_conditions_all_hold(self, site: Site) -> None:
        url = two_dates(site)
        calls = {"cloud": lambda value, **_: None if value is None else value < 10}
        cube = load(site, url, properties=calls)
        assert cube["t"].dt.day.values.tolist() == [11]
        with pytest.raises(OpenEOError) as error:
            load(site, url, properties={"cloud": lambda value, **_: value == 99})
        assert error.value.code == "NoDataAvailable"

    def test_an_unknown_property(self, site: Site) -> None:
        with pytest.raises(OpenEOError, match="cloudiness") as error:
            load(site, two_dates(site), properties={"cloudiness": lambda value, **_: True})
        assert error.value.code == "ProcessParameterInvalid"
        assert "'load_stac'" in error.value.message

    def test_in_a_process_graph(self, site: Site) -> None:
        from processes.graph import check_graph, evaluate

        condition = one("lt", x=param("value"), y=10)
        extents = {"spatial_extent": box(100, 300, 250, 200), "temporal_extent": ["2024-01-01", "2024-06-01"]}
        graph = flat(load=node("load_stac", url=two_dates(site), properties={"cloud": condition}, **extents))
        cube = evaluate(check_graph(graph), build_registry(), environment(site))
        assert dict(cube.sizes) == {"t": 1, "bands": 1, "y": 10, "x": 15}


class TestApi:
    """A STAC API: a landing page that says what it conforms to, item search, and pages."""

    def serve(self, site: Site, search: bool, post: bool = True, days: int = 5) -> str:
        items = [
            item(
                f"i{d}",
                f"2024-05-0{d}T10:00:00Z",
                {"r": raster(site, f"/data/{d}.tif", constant(d), "r", href=f"../data/{d}.tif")},
            )
            for d in range(1, days + 1)
        ]
        for each in items:
            each["links"] = [{"rel": "self", "href": site.url(f"/items/{each['id']}")}]
        classes = [
            "https://api.stacspec.org/v1.0.0/core",
            *(["https://api.stacspec.org/v1.0.0/item-search"] if search else []),
        ]
        links = [
            {"rel": "search", "href": "/search"},
            *([{"rel": "search", "href": "/search", "method": "POST"}] if post else []),
        ]
        site.add("/", {"type": "Catalog", "id": "api", "conformsTo": classes, "links": links if search else []})
        self.bodies: list[Any] = []

        def page(handler: Any) -> None:
            length = int(handler.headers.get("Content-Length") or 0)
            body = json.loads(handler.rfile.read(length)) if length else None
            self.bodies.append(body if body is not None else handler.path)
            token = (body or {}).get("token", 0) if body is not None else int(handler.path.partition("token=")[2] or 0)
            part = items[token : token + 2]
            following: dict[str, Any] = {"rel": "next", "href": f"{handler.path.partition('?')[0]}?token={token + 2}"}
            if body is not None:
                following = {
                    "rel": "next",
                    "href": "/search",
                    "method": "POST",
                    "merge": True,
                    "body": {"token": token + 2},
                }
            more = [following] if token + 2 < len(items) else []
            answer(handler, 200, json.dumps({"type": "FeatureCollection", "features": part, "links": more}).encode())

        site.add("/search", page)
        site.add("/collections/c/items", page)
        return site.add("/collections/c", collection("c", ("root", "/"), ("items", "/collections/c/items")))

    @pytest.mark.parametrize(("search", "post"), [(True, True), (True, False), (False, False)])
    def test_pages_are_followed(self, site: Site, search: bool, post: bool) -> None:
        cube = load(site, self.serve(site, search, post), temporal_extent=["2024-05-01", "2024-05-05"])
        assert cube["t"].dt.day.values.tolist() == [1, 2, 3, 4]
        assert values(cube)[:, 0, 0, 0].tolist() == [1, 2, 3, 4]
        assert len(self.bodies) == 3

    def test_extents_are_sent(self, site: Site) -> None:
        url = self.serve(site, search=True)
        load(site, url, temporal_extent=["2024-05-01", None], spatial_extent=box(0, 100, 100, 0))
        first, second, _ = self.bodies
        assert first["collections"] == ["c"]
        assert first["datetime"] == "2024-05-01T00:00:00Z/.."
        to_degrees = pyproj.Transformer.from_crs(UTM, "EPSG:4326", always_xy=True)
        corners = to_degrees.transform_bounds(WEST, NORTH - 100, WEST + 100, NORTH)
        assert first["bbox"] == pytest.approx(corners, abs=1e-6)
        assert second == {**first, "token": 2}

    def test_the_list_of_items_is_asked_where_there_is_no_search(self, site: Site) -> None:
        load(site, self.serve(site, search=False), temporal_extent=["2024-05-01", "2024-05-05"])
        assert "/collections/c/items" in self.bodies[0]
        assert "datetime=2024-05-01T00%3A00%3A00Z%2F2024-05-05T00%3A00%3A00Z" in self.bodies[0]

    def test_a_page_of_items_itself(self, site: Site) -> None:
        self.serve(site, search=False)
        assert load(site, site.url("/collections/c/items")).sizes["t"] == 5

    def test_a_landing_page_is_no_collection(self, site: Site) -> None:
        self.serve(site, search=True)
        with pytest.raises(OpenEOError, match="one of its collections"):
            load(site, site.url("/"))

    def test_pages_in_a_circle(self, site: Site) -> None:
        self.serve(site, search=False)
        page = {
            "type": "FeatureCollection",
            "features": [item("a", "2024-05-01T10:00:00Z", {})],
            "links": [{"rel": "next", "href": "/circle"}],
        }
        with pytest.raises(OpenEOError, match="next page"):
            load(site, site.add("/circle", page))


def test_results_of_a_job_that_are_assets_of_the_collection(site: Site) -> None:
    extent = {
        "spatial": {"bbox": [[4, 51, 5, 52]]},
        "temporal": {"interval": [["2024-05-01T00:00:00Z", "2024-06-01T00:00:00Z"]]},
    }
    assets = {"result.tif": raster(site, "/jobs/1/result.tif", ramp(4, 4), "mean", href="result.tif?sig=1")}
    url = site.add("/jobs/1/results", collection("job", extent=extent, assets=assets))
    cube = load(site, url)
    assert cube["bands"].values.tolist() == ["mean"]
    np.testing.assert_array_equal(values(cube)[0, 0], ramp(4, 4))
    assert ("GET", "/jobs/1/result.tif?sig=1", "bytes=0-65535") in site.seen


class TestHostile:
    def test_files_are_fetched_through_the_gate(self, site: Site) -> None:
        with serve() as inner:
            secret = inner.add("/secret.tif", tiff(ramp(4, 4)))
            for href in (secret, site.add("/go.tif", redirect(secret))):
                one = item(
                    "a", "2024-05-01T10:00:00Z", {"r": {**raster(site, "/x.tif", ramp(4, 4), "r"), "href": href}}
                )
                cube = load(site, static(site, one))
                with pytest.raises(OpenEOError) as error:
                    values(cube)
                assert error.value.code == "ProcessParameterInvalid"
                assert "'url'" in error.value.message
            assert not inner.seen

    @pytest.mark.parametrize(
        "href", ["file:///etc/passwd", "/vsicurl/http://x/a.tif", "s3://bucket/a.tif", "/etc/passwd"]
    )
    def test_files_of_the_server_are_not_read(self, site: Site, href: str) -> None:
        one = item("a", "2024-05-01T10:00:00Z", {"r": {**raster(site, "/x.tif", ramp(4, 4), "r"), "href": href}})
        with pytest.raises(OpenEOError) as error:
            values(load(site, static(site, one)))
        assert error.value.code in ("NoDataAvailable", "ProcessParameterInvalid")

    def test_links_are_fetched_through_the_gate(self, site: Site) -> None:
        with serve() as inner:
            for rel in ("item", "child", "items", "root"):
                inner.add(f"/{rel}", collection("inner"))
                with pytest.raises(OpenEOError):
                    load(site, site.add("/c.json", collection("c", (rel, inner.url(f"/{rel}")))))
            assert not inner.seen

    def test_pixels_much_finer_than_the_metadata_say(self, site: Site) -> None:
        bomb = tiff(np.zeros((9000, 9000), np.uint8), step=0.01, compress="deflate", tiled=True)
        coarse = raster(site, "/x.tif", constant(1, 8, "uint8"), "r")
        site.add("/x.tif", bomb)
        with pytest.raises(OpenEOError, match="finer"):
            values(load(site, static(site, item("a", "2024-05-01T10:00:00Z", {"r": coarse}))))

    def test_a_grid_without_end(self, site: Site) -> None:
        red = raster(site, "/a.tif", ramp(4, 4), "r")
        red["proj:shape"] = [10**7, 10**7]
        with pytest.raises(OpenEOError, match="smaller extent"):
            load(site, static(site, item("a", "2024-05-01T10:00:00Z", {"r": red})))

    @pytest.mark.parametrize(
        "page",
        [
            b"no json",
            b"[]",
            b"{}",
            b'{"type": "Collection", "links": "x"}',
            b'{"type": "FeatureCollection", "features": 3}',
            b'{"type": "FeatureCollection", "features": [3]}',
            b'{"type": "Feature", "id": "a", "properties": {}}',
            b'{"type": "Feature", "id": "a", "properties": {"datetime": "yesterday"}}',
            b'{"type": "Feature", "id": "a", "properties": {"datetime": "2024-01-01"}, "assets": [1]}',
            b'{"type": "Feature", "id": "a", "bbox": ["a", 1, 2, 3], "properties": {"datetime": "2024-01-01"}}',
        ],
    )
    def test_what_is_no_stac(self, site: Site, page: bytes) -> None:
        with pytest.raises(OpenEOError) as error:
            load(site, site.add("/x", page))
        assert error.value.code in ("ProcessParameterInvalid", "NoDataAvailable")

    def test_a_catalogue_that_takes_for_ever(self, site: Site) -> None:
        """Each document is quick enough, there are just too many of them."""

        def page(handler: Any) -> None:
            time.sleep(0.1)
            number = int(handler.path.removeprefix("/c").removesuffix(".json") or 0)
            links = [{"rel": "child", "href": f"/c{10 * number + i + 1}.json"} for i in range(8)]
            answer(handler, 200, json.dumps({"type": "Catalog", "id": "c", "links": links}).encode())

        for number in range(20_000):
            site.pages[f"/c{number}.json"] = page
        with pytest.raises(OpenEOError, match="more than 1 seconds"):
            load(site, site.url("/c0.json"), rules={"graph_seconds": 1.0})
        assert len(site.seen) < 400


def test_blocks_are_read_by_other_processes(site: Site) -> None:
    cube = load(site, two_dates(site), spatial_extent=box(0, 100, 100, 0))
    got = cube.compute(scheduler="processes", num_workers=1)
    np.testing.assert_array_equal(got[1, 0], ramp(64, 64, start=9)[:10, :10])
