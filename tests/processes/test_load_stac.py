"""`load_stac` by its specification, over real HTTP: catalogues, extents and conditions."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest

from processes.environment import Halo
from processes.errors import OpenEOError
from processes.registry import build_registry
from tests.processes.graph.graphs import flat, node, one, param
from tests.processes.rasters import UTM, ramp
from tests.processes.site import Site
from tests.processes.stac import collection, constant, item, raster, static
from tests.processes.stac_loading import NORTH, WEST, box, environment, load, two_dates, values


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


def test_blocks_are_read_by_other_processes(site: Site) -> None:
    cube = load(site, two_dates(site), spatial_extent=box(0, 100, 100, 0))
    got = cube.compute(scheduler="processes", num_workers=1)
    np.testing.assert_array_equal(got[1, 0], ramp(64, 64, start=9)[:10, :10])
