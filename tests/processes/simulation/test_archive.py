"""The sample archive on disk: layout, numbers, description, and how an old one is replaced."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from pyproj import CRS

from processes.simulation import LAND_COVER_CLASSES, S2_BANDS, SceneSpec, simulate_scene, write_archive
from processes.simulation import _replace as replacing
from processes.simulation import archive as writing
from processes.simulation.archive import digital_numbers

NAMES = ["SENTINEL2_L2A.zarr", "SENTINEL1_RTC.zarr", "LAND_COVER.zarr"]
SPEC = SceneSpec(seed=3, height=72, width=96, start=np.datetime64("2022-01-10"), stop=np.datetime64("2022-02-20"))
TINY = SceneSpec(height=16, width=16, stop=np.datetime64("2022-01-20"))
BAND_KEYS = {"name", "description", "gsd", "unit", "data_type", "nodata", "minimum", "maximum", "scaled"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("archive")
    return write_archive(folder, SPEC)


@pytest.fixture(scope="module")
def scene():
    return simulate_scene(SPEC)


@pytest.fixture
def opened(written):
    groups = [xr.open_zarr(path, chunks=None) for path in written]
    yield dict(zip(("s2", "s1", "land"), groups, strict=True))
    for group in groups:
        group.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_three_groups_and_nothing_else_are_left(written):
    assert [path.name for path in written] == NAMES == [f"{name}.zarr" for name in writing.COLLECTIONS]
    assert sorted(os.listdir(written[0].parent)) == sorted(NAMES)


def test_stored_numbers_decode_to_the_scene_on_both_sides_of_the_offset(opened, scene):
    stored = opened["s2"]
    early = stored.t.values < np.datetime64("2022-01-25")
    assert 2 <= early.sum() < early.size - 2
    np.testing.assert_array_equal(stored.item_offset, np.where(early, 0.0, -0.1))
    assert (stored.item_scale == 1e-4).all()
    assert list(stored.s2_processing_baseline.values) == ["03.01" if e else "04.00" for e in early]
    for index, name in enumerate(S2_BANDS):
        raw = stored[name]
        assert raw.dtype == np.uint16
        values = raw * stored.item_scale + stored.item_offset
        expected = scene.s2[:, index]
        # Without the offset nothing below 0.0001 can be stored.
        expected = np.where(early[:, None, None], np.maximum(expected, 1e-4), expected)
        np.testing.assert_array_equal(raw.values == 0, np.isnan(expected))
        inside = np.isfinite(expected)
        np.testing.assert_allclose(values.values[inside], expected[inside], atol=0.51e-4)


def test_the_offset_is_what_keeps_dark_water_apart(opened):
    # The same dark water: a number near 0.02 / 1e-4 without, 1000 more with the offset.
    late = opened["s2"].t.values >= np.datetime64("2022-01-25")
    smallest = opened["s2"]["B12"].where(opened["s2"]["B12"] > 0).min(("y", "x"))
    assert smallest[late].min() > 900
    assert smallest[~late].min() < 900


def test_digital_numbers_round_clip_and_mark_no_data():
    values = np.array([np.nan, -0.2, 0.0, 0.12345, 1.2], np.float32)
    np.testing.assert_array_equal(digital_numbers(values, 0.0), [0, 1, 1, 1234, 12000])
    np.testing.assert_array_equal(digital_numbers(values, -0.1), [0, 1, 1000, 2234, 13000])


def test_classes_backscatter_and_map_are_stored_as_they_are(opened, scene):
    np.testing.assert_array_equal(opened["s2"].SCL, scene.scl)
    assert opened["s2"].SCL.dtype == np.uint8
    for index, name in enumerate(("VV", "VH")):
        np.testing.assert_array_equal(opened["s1"][name], scene.s1[:, index])
        assert opened["s1"][name].dtype == np.float32
    np.testing.assert_array_equal(opened["land"].land_cover, scene.land_cover[None])
    assert list(opened["land"].t.values) == [np.datetime64("2022-01-01", "ns")]


def test_items_tell_orbit_platform_and_cloud_cover(opened, scene):
    stored = opened["s2"]
    properties = {v.attrs["stac_property"]: v for v in stored.variables.values() if "stac_property" in v.attrs}
    assert set(properties) == {
        "eo:cloud_cover", "s2:processing_baseline", "sat:relative_orbit", "sat:orbit_state", "platform",
    }  # fmt: skip
    assert all(variable.dims == ("t",) for variable in properties.values())
    np.testing.assert_allclose(properties["eo:cloud_cover"], scene.cloud_cover, atol=1e-4)
    assert list(properties["platform"].values) == [passage.platform for passage in scene.s2_passes]
    assert set(properties["sat:relative_orbit"].values) == {22, 65}
    radar = {v.attrs.get("stac_property") for v in opened["s1"].variables.values()}
    assert {"sat:relative_orbit", "sat:orbit_state", "platform"} <= radar


def test_axes_are_north_up_pixel_centres_and_times_decode(opened, scene):
    for group in opened.values():
        np.testing.assert_array_equal(group.x, 679000 + 10 * np.arange(96) + 5)
        np.testing.assert_array_equal(group.y, 5151000 + 720 - 10 * np.arange(72) - 5)
        assert group.t.dtype == np.dtype("datetime64[ns]")
        assert "spatial_ref" in group.coords
        assert CRS.from_wkt(group.spatial_ref.attrs["crs_wkt"]).to_epsg() == 32632
    np.testing.assert_array_equal(opened["s2"].t, scene.s2_time)
    np.testing.assert_array_equal(opened["s1"].t, scene.s1_time)


def test_the_default_scene_lies_where_promised():
    spec = SceneSpec()
    assert spec.shape == (256, 256)
    assert (spec.x[0], spec.x[-1], spec.y[0], spec.y[-1]) == (679005, 681555, 5153555, 5151005)
    assert (str(spec.start), str(spec.stop), spec.epsg) == ("2022-01-01", "2023-01-01", 32632)


def test_chunks_and_shards(written):
    optical, radar, land = (zarr.open_group(path, mode="r") for path in written)
    assert optical.metadata.zarr_format == 3
    for group, name, dates in ((optical, "B02", 24), (optical, "SCL", 24), (radar, "VV", 8), (land, "land_cover", 8)):
        array = group[name]
        assert array.chunks == (8, 64, 64)
        # Shorter than a full shard of 80 x 256 x 256, in whole chunks.
        assert array.shards == (dates, 128, 128)
        assert array.metadata.dimension_names == ("t", "y", "x")
    assert np.isnan(radar["VV"].fill_value)
    assert optical["B02"].fill_value == 0
    assert optical["t"].attrs["units"] == "nanoseconds since 1970-01-01"
    assert optical["t"].dtype == np.int64


def test_more_dates_than_a_shard_holds_are_written_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "SHARDS", (8, 128, 128))
    path = write_archive(tmp_path, SPEC)[0]
    group = zarr.open_group(path, mode="r")
    assert group["B02"].shards == (8, 128, 128)
    np.testing.assert_array_equal(group["SCL"][:], simulate_scene(SPEC).scl)


def test_descriptions_are_complete_and_say_that_all_is_simulated(opened):
    for group, path in zip(opened.values(), NAMES, strict=True):
        about = group.attrs["openeo_collection"]
        json.dumps(about, allow_nan=False)
        assert about["id"] + ".zarr" == path
        assert about["license"] == "CC0-1.0"
        assert "simulated" in about["title"].lower()
        assert "no real observation" in about["description"]
        assert about["providers"][0]["name"]
        for entry in about["bands"]:
            assert set(entry) >= BAND_KEYS
            assert group[entry["name"]].dtype == entry["data_type"]
            for item in entry.get("classes", []):
                assert set(item) == {"value", "name", "description", "color_hint"}
                int(item["color_hint"], 16)
    bands = {entry["name"]: entry for entry in opened["s2"].attrs["openeo_collection"]["bands"]}
    assert list(bands) == [*S2_BANDS, "SCL"]
    assert all(bands[name]["scaled"] and bands[name]["center_wavelength"] > 0.4 for name in S2_BANDS)
    assert not bands["SCL"]["scaled"]
    assert [item["value"] for item in bands["SCL"]["classes"]] == list(range(12))
    codes = {item["value"] for item in opened["land"].attrs["openeo_collection"]["bands"][0]["classes"]}
    assert codes == {item.value for item in LAND_COVER_CLASSES}
    assert set(np.unique(opened["land"].land_cover)) <= codes


def test_a_second_archive_of_the_seed_has_the_same_bytes(written, tmp_path):
    again = write_archive(tmp_path, SPEC)
    for one, other in zip(written, again, strict=True):
        assert contents(one) == contents(other)


def test_progress_rises_to_one_and_names_what_is_done(tmp_path):
    told = []
    write_archive(tmp_path, TINY, progress=lambda *said: told.append(said))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert {"Simulating Sentinel-2", "Simulating Sentinel-1"} <= {what for what, _ in told}


def test_the_sample_archive_is_the_default_scene_of_its_seed(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(writing, "write_archive", lambda *arguments, **more: asked.append((arguments, more)))
    writing.write_sample_archive(tmp_path, seed=11)
    assert asked == [((tmp_path, SceneSpec(seed=11)), {"progress": None})]


class Interrupted(Exception):
    """What stops a write in the middle."""


@pytest.mark.parametrize("at", ["Simulating Sentinel-2", "Simulating Sentinel-1", "Moving the archive to its place"])
def test_an_interrupted_write_leaves_the_old_archive_whole(tmp_path, at):
    write_archive(tmp_path, TINY)
    before = contents(tmp_path)

    def stop(what: str, share: float) -> None:
        if what == at:
            raise Interrupted

    with pytest.raises(Interrupted):
        write_archive(tmp_path, replace(TINY, seed=1), progress=stop)
    assert contents(tmp_path) == before


def test_a_finished_write_replaces_the_old_archive(tmp_path):
    path = write_archive(tmp_path, TINY)[2]
    (path / "stray").write_text("of the old one")
    other = replace(TINY, seed=1)
    write_archive(tmp_path, other)
    stored = zarr.open_group(path, mode="r")["land_cover"][0]
    np.testing.assert_array_equal(stored, simulate_scene(other).land_cover)
    assert not (path / "stray").exists()
    assert sorted(os.listdir(tmp_path)) == sorted(NAMES)


@pytest.mark.parametrize("exchange", [True, False])
def test_folders_are_replaced_with_and_without_the_systems_exchange(tmp_path, monkeypatch, exchange):
    if not exchange:
        monkeypatch.setattr(replacing, "_exchange", lambda one, other: False)
    new, place = tmp_path / "new", tmp_path / "place"
    for content in ("first", "second"):
        new.mkdir()
        (new / "file").write_text(content)
        replacing.replace_folder(new, place)
        assert (place / "file").read_text() == content
        assert os.listdir(tmp_path) == ["place"]


def test_the_old_folder_comes_back_when_the_new_one_cannot_be_moved(tmp_path, monkeypatch):
    monkeypatch.setattr(replacing, "_exchange", lambda one, other: False)
    new, place = tmp_path / "new", tmp_path / "place"
    for folder in (new, place):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    rename = Path.rename

    def failing(self, target):
        if self == new and not place.exists():
            raise OSError("disk on fire")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="disk on fire"):
        replacing.replace_folder(new, place)
    assert (place / "file").read_text() == "place"


def test_a_file_in_the_way_is_an_error_and_stays(tmp_path):
    (tmp_path / "LAND_COVER.zarr").write_text("not an archive")
    with pytest.raises(OSError, match=r"LAND_COVER\.zarr"):
        write_archive(tmp_path, TINY)
    assert os.listdir(tmp_path) == ["LAND_COVER.zarr"]
    assert (tmp_path / "LAND_COVER.zarr").read_text() == "not an archive"
