"""WorldCereal patches: two sensors' files on one 10 m grid, synthetic ones and the real site."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest

from processes.errors import OpenEOError
from processes.sources import Bbox, CollectionSource, LoadRequest, open_source
from processes.sources._patch_reader import matching, nearest
from processes.sources._worldcereal import cloud_cover
from tests.processes.sources.archives import NORTH, WEST, Patch

OPTICAL = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12", "SCL"]


def raw(path: Path, band: str) -> np.ndarray:
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        return np.asarray(file[band][:])


def doubled(values: np.ndarray) -> np.ndarray:
    return values.repeat(2, axis=1).repeat(2, axis=2)


def both(folder: Path) -> tuple[CollectionSource, CollectionSource]:
    sources = open_source(folder)
    assert len(sources) == 2
    return sources[0], sources[1]


def check_optical(folder: Path, source: CollectionSource) -> None:
    """Compare every value of the 10 m cube with the files' own numbers."""
    cube = source.load(LoadRequest()).compute()
    assert cube.bands.values.tolist() == OPTICAL
    for band in OPTICAL:
        fine = band in ("B02", "B03", "B04", "B08")
        numbers = raw(folder / ("S2_L2A_10m.nc" if fine else "S2_L2A_20m.nc"), band)
        numbers = numbers if fine else doubled(numbers)
        values = numbers if band == "SCL" else np.where(numbers == 0, np.nan, numbers * 1e-4)
        np.testing.assert_array_equal(cube.sel(bands=band).values, values.astype("float32"))


def check_radar(folder: Path, source: CollectionSource) -> None:
    cube = source.load(LoadRequest()).compute()
    assert cube.bands.values.tolist() == ["VV", "VH"]
    for band in ("VV", "VH"):
        decibels = doubled(raw(folder / "S1_GRD_ascending_20m.nc", band)) * 1e-4
        power = np.where(decibels == 0, np.nan, 10 ** (decibels / 10))
        np.testing.assert_allclose(cube.sel(bands=band).values, power, rtol=1e-6)


def test_a_patch_is_two_collections_named_after_its_folder(patch: Path) -> None:
    assert [source.id for source in open_source(patch)] == ["SITE-1_SENTINEL2_L2A", "SITE-1_SENTINEL1_GRD"]


def test_optical_values_and_classes_are_exact(patch: Path) -> None:
    check_optical(patch, both(patch)[0])


def test_radar_is_linear_power(patch: Path) -> None:
    check_radar(patch, both(patch)[1])


def test_both_sensors_have_the_same_grid(patch: Path) -> None:
    optical, radar = (source.load(LoadRequest()) for source in both(patch))
    np.testing.assert_array_equal(optical.x, WEST + 5 + 10 * np.arange(8))
    np.testing.assert_array_equal(optical.y, NORTH - 5 - 10 * np.arange(8))
    np.testing.assert_array_equal(radar.x, optical.x)
    np.testing.assert_array_equal(radar.y, optical.y)


def test_a_crop_cuts_20_m_pixels_in_two(patch: Path) -> None:
    box = Bbox(WEST + 10, NORTH - 40, WEST + 40, NORTH - 30, "EPSG:32633")
    cube = both(patch)[0].load(LoadRequest(box, bands=("B11", "SCL"))).compute()
    numbers = doubled(raw(patch / "S2_L2A_20m.nc", "B11"))[:, 3:4, 1:4]
    np.testing.assert_array_equal(cube.sel(bands="B11").values, (numbers * 1e-4).astype("float32"))


def test_classes_alone_keep_their_zeros_and_type(patch: Path) -> None:
    cube = both(patch)[0].load(LoadRequest(bands=("SCL",)))
    assert cube.dtype == "uint8"
    np.testing.assert_array_equal(cube.values[:, 0], doubled(raw(patch / "S2_L2A_20m.nc", "SCL")))
    assert (cube.values == 0).any()


def test_cloud_cover_is_the_share_of_valid_pixels() -> None:
    classes = np.array([[[8, 9, 10, 3]], [[0, 0, 4, 8]], [[0, 0, 0, 0]]])
    assert cloud_cover(classes) == (75.0, 50.0, None)


def test_absent_bands_are_said_and_asking_for_them_lists_the_others(tmp_path: Path) -> None:
    folder = Patch(bands_20m=("B05", "SCL")).write(tmp_path / "site")
    source = both(folder)[0]
    assert "the files have no band B11" in source.check()
    assert "no band B06, B07, B8A, B11, B12" in source.metadata()["description"]
    with pytest.raises(OpenEOError, match=r"no band 'B11'.*B02 \(blue\).*SCL"):
        source.load(LoadRequest(bands=("B11",)))


def test_dates_that_one_file_lacks_are_left_out_and_said(tmp_path: Path) -> None:
    folder = Patch(times_20m=Patch().times[1:]).write(tmp_path / "site")
    source = both(folder)[0]
    assert source.check() == ["1 dates of S2_L2A_10m.nc are left out: other files lack them"]
    cube = source.load(LoadRequest(bands=("B02", "B05")))
    np.testing.assert_array_equal(cube.t, np.array(Patch().times[1:], "datetime64[ns]"))
    numbers = np.stack([raw(folder / "S2_L2A_10m.nc", "B02")[1:], doubled(raw(folder / "S2_L2A_20m.nc", "B05"))], 1)
    np.testing.assert_array_equal(cube.values, np.where(numbers == 0, np.nan, numbers * 1e-4).astype("float32"))


def test_ascending_and_descending_files_are_one_collection(tmp_path: Path) -> None:
    folder = Patch().write(tmp_path / "site")
    morning = np.full((1, 4, 4), -100_000, "int32")
    Patch().write_file(folder / "S1_GRD_descending_20m.nc", ["2018-05-02T05:40:00"], 20, {"VV": morning, "VH": morning})
    source = both(folder)[1]
    assert source.properties()["sat:orbit_state"]["values"] == ["ascending", "descending"]
    cube = source.load(LoadRequest(properties={"sat:orbit_state": lambda value: value == "descending"}))
    np.testing.assert_allclose(cube.values, np.full((1, 2, 8, 8), 0.1), rtol=1e-6)
    assert source.load(LoadRequest()).sizes["t"] == 3


def test_granules_seconds_apart_are_mosaicked(tmp_path: Path) -> None:
    times = ("2018-05-01T10:53:28", "2018-05-01T10:53:42", "2018-05-04T11:04:48")
    folder = Patch(times=times).write(tmp_path / "site")
    source = both(folder)[0]
    cube = source.load(LoadRequest(bands=("B02",))).compute()
    numbers = raw(folder / "S2_L2A_10m.nc", "B02").astype(float)
    numbers[0] = np.where(numbers[0] == 0, numbers[1], numbers[0])
    values = np.where(numbers == 0, np.nan, numbers * 1e-4)[[0, 2]]
    np.testing.assert_array_equal(cube.values[:, 0], values.astype("float32"))


def test_a_file_with_a_time_twice_is_refused(tmp_path: Path) -> None:
    folder = Patch(times=("2018-05-01T10:53:28",) * 3).write(tmp_path / "site")
    with pytest.raises(OpenEOError, match=r"S2_L2A_10m\.nc has a time twice") as failure:
        open_source(folder)
    assert failure.value.code == "FileContentInvalid"


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    with netCDF4.Dataset(tmp_path / "S2_L2A_10m.nc", "w") as file:
        file.createDimension("x", 3)
    with pytest.raises(OpenEOError, match="not a collection that can be served"):
        open_source(tmp_path)


def test_nearest_is_the_cell_that_a_centre_lies_in() -> None:
    falling = np.array([30.0, 10.0])
    assert nearest(falling, np.array([45.0, 35.0, 25.0, 15.0, 5.0, -5.0])).tolist() == [-1, 0, 0, 1, 1, -1]


def test_times_are_matched_whatever_their_order() -> None:
    available = np.array(["2020-01-03", "2020-01-01"], "datetime64[ns]")
    wanted = np.array(["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"], "datetime64[ns]")
    assert matching(available, wanted).tolist() == [1, -1, 0, -1]


def test_the_real_sites_values_are_the_files(real_site: Path) -> None:
    optical, radar = both(real_site)
    assert (optical.id, radar.id) == ("FLANDERS_SENTINEL2_L2A", "FLANDERS_SENTINEL1_GRD")
    check_optical(real_site, optical)
    check_radar(real_site, radar)


def test_the_real_site_is_as_described(real_site: Path) -> None:
    optical, radar = both(real_site)
    assert optical.check() == radar.check() == []
    cube = optical.load(LoadRequest(Bbox(501360, 5629040, 502000, 5629680, "EPSG:32631")))
    assert cube.shape == (118, 11, 64, 64)
    assert cube.rio.bounds() == (501360, 5629040, 502000, 5629680)
    assert radar.load(LoadRequest()).sizes["t"] == 159
    clear = optical.load(LoadRequest(properties={"eo:cloud_cover": lambda value: value <= 50}))
    assert 0.4 < clear.sizes["t"] / 118 < 0.8
    # Pairs of the two ascending orbits lie a day apart: nothing was mosaicked.
    assert (np.diff(radar.load(LoadRequest()).t.values) > np.timedelta64(20, "h")).all()
