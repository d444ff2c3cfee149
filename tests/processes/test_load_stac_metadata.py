"""`load_stac`: what metadata say of bands, values, granules and grids, and what they leave open."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest

from processes.errors import OpenEOError
from tests.processes.rasters import ORIGIN, UTM, ramp
from tests.processes.site import Site
from tests.processes.stac import constant, item, raster, static
from tests.processes.stac_loading import NORTH, WEST, box, load, values


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
