"""Zarr archives: decoding item by item, crops, mosaics, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from processes.environment import Halo
from processes.errors import OpenEOError
from processes.sources import Bbox, CollectionSource, LoadRequest, open_source
from processes.sources._zarr import take_runs
from tests.processes.sources.archives import EDGE1, EDGE2, NIR, NORTH, RED, SCL, WEST, Stored

UTM = "EPSG:32633"


def pixels(left: int, top: int, right: int, bottom: int) -> Bbox:
    """Return the box round columns left..right and rows top..bottom (ends excluded)."""
    return Bbox(WEST + 10 * left, NORTH - 10 * bottom, WEST + 10 * right, NORTH - 10 * top, UTM)


def expected(band: dict[str, Any]) -> np.ndarray:
    raw = Stored().array(band).astype("float64")
    offset = np.array(Stored().offset)[:, None, None]
    return np.where(raw == 0, np.nan, raw * 1e-4 + offset).astype("float32")


def test_reflectance_has_each_items_own_scale_and_offset(stored: CollectionSource) -> None:
    cube = stored.load(LoadRequest(bands=("B04",)))
    np.testing.assert_array_equal(cube.sel(bands="B04").values, expected(RED))
    assert cube.values[1, 0, 0, 0] == pytest.approx(0.1001)
    assert cube.values[2, 0, 0, 0] == pytest.approx(0.2001 - 0.1)


def test_the_fill_value_is_nan_and_class_zero_stays(tmp_path: Path) -> None:
    numbers = np.ones((4, 32, 32), "uint16")
    numbers[0, 0, 0] = 0
    source = open_source(Stored(arrays={"B04": numbers}).write(tmp_path / "a.zarr"))[0]
    cube = source.load(LoadRequest(bands=("B04", "SCL"))).compute()
    assert cube.dtype == "float32"
    assert np.isnan(cube.values[:, 0]).sum() == 1
    np.testing.assert_array_equal(cube.values[:, 1], Stored().array(SCL))


def test_a_cube_of_classes_stays_integer(stored: CollectionSource) -> None:
    cube = stored.load(LoadRequest(bands=("SCL",)))
    assert cube.dtype == "uint8"
    np.testing.assert_array_equal(cube.values[:, 0], Stored().array(SCL))


def test_cubes_know_their_bands_common_names_and_wavelengths(stored: CollectionSource) -> None:
    cube = stored.load(LoadRequest(bands=("SCL", "nir")))
    assert cube["common_name"].dims == cube["center_wavelength"].dims == ("bands",)
    assert cube["common_name"].values.tolist() == ["", "nir"]
    np.testing.assert_array_equal(cube["center_wavelength"], [np.nan, 0.842])


def test_float_bands_are_as_stored(tmp_path: Path) -> None:
    backscatter = np.full((4, 32, 32), 0.25, "float32")
    backscatter[1, 2, 3] = np.nan
    band = {"name": "VV", "data_type": "float32", "scaled": False, "unit": "1"}
    source = open_source(Stored(bands=[band], arrays={"VV": backscatter}).write(tmp_path / "s1.zarr"))[0]
    assert "common_name" not in source.load(LoadRequest()).coords
    cube = source.load(LoadRequest())
    assert cube.dtype == "float32"
    np.testing.assert_array_equal(cube.values[:, 0], backscatter)


def test_common_names_stand_for_all_their_bands(tmp_path: Path) -> None:
    source = open_source(Stored(bands=[RED, EDGE1, EDGE2]).write(tmp_path / "a.zarr"))[0]
    cube = source.load(LoadRequest(bands=("rededge", "red")))
    assert cube.bands.values.tolist() == ["B05", "B06", "B04"]


def test_time_space_and_bands_are_cropped_together(stored: CollectionSource) -> None:
    interval = (np.datetime64("2021-12-06", "ns"), np.datetime64("2022-03-06", "ns"))
    cube = stored.load(LoadRequest(pixels(5, 9, 12, 11), interval, ("B04",)))
    np.testing.assert_array_equal(cube.values[:, 0], expected(RED)[1:3, 9:11, 5:12])
    np.testing.assert_array_equal(cube.x, WEST + 10 * np.arange(5, 12) + 5)
    np.testing.assert_array_equal(cube.y, NORTH - 10 * np.arange(9, 11) - 5)


def test_a_halo_widens_pixels_and_days_as_far_as_there_are_any(stored: CollectionSource) -> None:
    interval = (np.datetime64("2021-12-06", "ns"), np.datetime64("2021-12-07", "ns"))
    cube = stored.load(LoadRequest(pixels(2, 10, 20, 12), interval, ("B04",), halo=Halo(4, 30)))
    np.testing.assert_array_equal(cube.values[:, 0], expected(RED)[:2, 6:16, 0:24])


def test_items_that_fail_a_condition_are_not_loaded(stored: CollectionSource) -> None:
    conditions = {"eo:cloud_cover": lambda value: value is not None and value <= 50}
    cube = stored.load(LoadRequest(bands=("B04",), properties=conditions))
    np.testing.assert_array_equal(cube.values[:, 0], expected(RED)[[0, 3]])


def test_granules_of_a_pass_are_mosaicked(tmp_path: Path) -> None:
    west, east = np.zeros((2, 32, 32), "uint16"), np.zeros((2, 32, 32), "uint16")
    west[:, :, :20], east[:, :, 12:] = 3000, 5000
    archive = Stored(
        times=("2022-03-01T10:00:00", "2022-03-01T10:00:07", "2022-03-06T10:00:00", "2022-03-06T10:00:07"),
        bands=[RED],
        arrays={"B04": np.stack([west[0], east[0], west[1], east[1]])},
        offset=(-0.1, -0.2, -0.1, -0.2),
        properties={"sat:relative_orbit": [22] * 4, "eo:cloud_cover": [10.0, 20.0, 30.0, 90.0]},
    )
    source = open_source(archive.write(tmp_path / "a.zarr"))[0]
    cube = source.load(LoadRequest()).compute()
    assert cube.t.values.tolist() == np.array(archive.times, "datetime64[ns]")[[0, 2]].tolist()
    np.testing.assert_allclose(cube.values[0, 0, 0], [0.2] * 20 + [0.3] * 12, rtol=1e-6)
    clear = source.load(LoadRequest(properties={"eo:cloud_cover": lambda value: value < 50})).compute()
    np.testing.assert_array_equal(clear.values[0], cube.values[0])
    assert np.isnan(clear.values[1, 0, 0, 20:]).all()


def test_dates_are_sorted(tmp_path: Path) -> None:
    times = ("2022-03-06T10", "2021-12-01T10", "2022-03-01T10", "2021-12-06T10")
    source = open_source(Stored(times=times, bands=[RED], offset=(0.0,) * 4).write(tmp_path / "a.zarr"))[0]
    cube = source.load(LoadRequest())
    assert (np.diff(cube.t.values) > np.timedelta64(0)).all()
    np.testing.assert_allclose(cube.values[:, 0, 0, 0], [0.1001, 0.3001, 0.2001, 0.0001], rtol=1e-5)


@pytest.mark.parametrize("consolidated", [False, True])
@pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part")
def test_consolidated_or_not(tmp_path: Path, consolidated: bool) -> None:
    source = open_source(Stored().write(tmp_path / "a.zarr", consolidated=consolidated))[0]
    assert source.load(LoadRequest(bands=("B04",))).values.shape == (4, 1, 32, 32)


def test_the_graph_is_as_small_as_the_storage_allows(tmp_path: Path) -> None:
    source = open_source(Stored(size=64, chunk=4, shard=32).write(tmp_path / "a.zarr"))[0]
    for box, shards in ((None, 4), (pixels(0, 0, 32, 32), 1), (pixels(20, 20, 50, 30), 2), (pixels(1, 1, 2, 2), 1)):
        cube = source.load(LoadRequest(bbox=box))
        assert len(cube.__dask_graph__()) <= shards


def test_tasks_hold_a_path_and_survive_the_way_to_a_worker(stored: CollectionSource) -> None:
    cube = stored.load(LoadRequest(bands=("B04",)))
    sent = pickle.dumps(cube)
    assert len(sent) < 20_000
    np.testing.assert_array_equal(pickle.loads(sent).values[:, 0], expected(RED))  # noqa: S301


def test_a_crop_reads_only_the_chunks_under_it(stored: CollectionSource, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[slice, ...]] = []
    ordinary = zarr.Array.__getitem__

    def noting(array: zarr.Array, key: Any) -> Any:
        read.append(key)
        return ordinary(array, key)

    cube = stored.load(LoadRequest(pixels(5, 9, 12, 11), bands=("B04",)))
    monkeypatch.setattr(zarr.Array, "__getitem__", noting)
    cube.compute(scheduler="sync")
    assert read == [(slice(0, 4), slice(9, 11), slice(5, 12))]


@pytest.mark.parametrize("items", [[0, 1, 2], [7], [5, 1, 1, 9], [0, 9], [3, 2, 1]])
@pytest.mark.parametrize("bridge", [1, 4, 100])
def test_runs_give_what_an_index_array_gives(items: list[int], bridge: int) -> None:
    line, read = np.arange(10) * 11, []

    def reader(run: slice) -> np.ndarray:
        read.append(run)
        return line[run]

    np.testing.assert_array_equal(take_runs(reader, np.array(items), bridge), line[items])
    assert bridge < 100 or len(read) == 1


def test_passes_that_only_their_orbit_tells_apart_are_refused(tmp_path: Path) -> None:
    archive = Stored(times=("2022-01-01",) * 4, properties={"sat:relative_orbit": [1, 2, 3, 4]})
    with pytest.raises(OpenEOError, match="same time") as failure:
        open_source(archive.write(tmp_path / "a.zarr"))
    assert failure.value.code == "FileContentInvalid"


def test_a_band_of_other_dimensions_is_refused(tmp_path: Path) -> None:
    path = Stored().write(tmp_path / "a.zarr")
    group = zarr.open_group(path)
    about: Any = group.attrs["openeo_collection"]
    group.attrs["openeo_collection"] = {**about, "bands": [{**RED, "name": "item_scale"}]}
    with pytest.raises(OpenEOError, match=r"item_scale has dimensions \('t',\)"):
        open_source(path)


@pytest.mark.parametrize("lost", ["B04", "spatial_ref", "item_offset", "y"])
def test_missing_arrays_are_named(tmp_path: Path, lost: str) -> None:
    path = Stored().write(tmp_path / "a.zarr")
    del zarr.open_group(path)[lost]
    with pytest.raises(OpenEOError, match=lost) as failure:
        open_source(path)
    assert failure.value.code == "FileContentInvalid"


@pytest.mark.parametrize("bands", [[], ["B04", "B08", "B04"]])
def test_no_bands_and_bands_listed_twice_are_refused(tmp_path: Path, bands: list[str]) -> None:
    path = Stored(bands=[RED, NIR]).write(tmp_path / "a.zarr")
    group = zarr.open_group(path, mode="r+")
    about = dict(group.attrs["openeo_collection"])
    known = {band["name"]: band for band in about["bands"]}
    group.attrs["openeo_collection"] = {**about, "bands": [known[name] for name in bands]}
    with pytest.raises(OpenEOError, match="at least one, and each only once") as failure:
        open_source(path)
    assert failure.value.code == "FileContentInvalid"


def test_a_group_that_describes_no_collection_is_refused(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "a.zarr", mode="w")
    with pytest.raises(OpenEOError, match="openeo_collection"):
        open_source(tmp_path / "a.zarr")


def test_a_check_reports_offsets_that_contradict_the_baseline(tmp_path: Path) -> None:
    source = open_source(Stored(offset=(-0.1, 0.0, 0.0, -0.1)).write(tmp_path / "a.zarr"))[0]
    assert source.check() == [
        "1 items of processing baseline 04.00 or later have no offset",
        "1 items of a processing baseline before 04.00 have an offset",
    ]


def test_a_check_reports_numbers_that_were_not_scaled(tmp_path: Path) -> None:
    source = open_source(Stored(scale=(1.0,) * 4).write(tmp_path / "a.zarr"))[0]
    assert any("band B04 holds values about" in problem for problem in source.check())


def test_a_check_reports_what_cannot_be_read(tmp_path: Path) -> None:
    path = Stored().write(tmp_path / "a.zarr")
    for chunk in (path / "B08" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"damaged")
    assert any(problem.startswith("band B08 cannot be read") for problem in open_source(path)[0].check())
