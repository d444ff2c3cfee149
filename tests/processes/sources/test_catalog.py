"""The catalog file: adding, removing, sharing it between processes, damage."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from processes.errors import OpenEOError
from processes.sources import FileCatalog, LoadRequest, open_source
from tests.processes.sources.archives import RED, Patch, Stored


@pytest.fixture
def catalog(tmp_path: Path) -> FileCatalog:
    """An empty catalog whose file does not exist yet."""
    return FileCatalog(tmp_path / "data" / "catalog.json")


def test_a_catalog_begins_empty(catalog: FileCatalog) -> None:
    assert catalog.ids() == []
    assert catalog.list() == []
    assert not catalog.path.exists()


def test_added_collections_are_found_by_every_process(catalog: FileCatalog, archive: Path, patch: Path) -> None:
    assert catalog.add(archive) == ["SENTINEL2_L2A"]
    assert catalog.add(patch) == ["SITE-1_SENTINEL2_L2A", "SITE-1_SENTINEL1_GRD"]
    other = FileCatalog(catalog.path)
    assert other.ids() == ["SENTINEL2_L2A", "SITE-1_SENTINEL2_L2A", "SITE-1_SENTINEL1_GRD"]
    for collection_id in other.ids():
        assert other.get(collection_id).id == collection_id
        assert other.check(collection_id) == []
    assert [entry.kind for entry in other.list()] == ["zarr", "worldcereal-s2-l2a", "worldcereal-s1-grd"]


def test_paths_are_stored_absolute(catalog: FileCatalog, archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(archive.parent)
    catalog.add(archive.name)
    monkeypatch.chdir("/")
    assert catalog.list()[0].path == str(archive)
    assert catalog.get("SENTINEL2_L2A").load(LoadRequest()).sizes["t"] == 4


def test_an_id_names_one_collection_and_prefixes_several(catalog: FileCatalog, archive: Path, patch: Path) -> None:
    assert catalog.add(archive, "mine") == ["mine"]
    assert catalog.add(patch, "mine") == ["mine_SENTINEL2_L2A", "mine_SENTINEL1_GRD"]
    assert catalog.get("mine").metadata()["id"] == "mine"


def test_a_folder_of_archives_is_added_as_a_whole(catalog: FileCatalog, tmp_path: Path) -> None:
    Stored(bands=[RED]).write(tmp_path / "all" / "B.zarr", identifier="B")
    Stored(bands=[RED]).write(tmp_path / "all" / "A.zarr", identifier="A")
    assert catalog.add(tmp_path / "all") == ["A", "B"]
    assert [Path(entry.path).name for entry in catalog.list()] == ["A.zarr", "B.zarr"]


def test_adding_twice_changes_nothing_but_a_taken_id_is_refused(catalog: FileCatalog, tmp_path: Path) -> None:
    first, second = (Stored(bands=[RED]).write(tmp_path / name) for name in ("1.zarr", "2.zarr"))
    catalog.add(first)
    catalog.add(first)
    with pytest.raises(OpenEOError, match=r"'SENTINEL2_L2A' is taken by .*1\.zarr"):
        catalog.add(second)
    assert [entry.path for entry in catalog.list()] == [str(first)]
    assert catalog.add(second, "other") == ["other"]


def test_removed_collections_are_gone_and_their_files_stay(catalog: FileCatalog, archive: Path, patch: Path) -> None:
    catalog.add(archive)
    catalog.add(patch)
    catalog.remove("SITE-1_SENTINEL2_L2A")
    assert catalog.ids() == ["SENTINEL2_L2A", "SITE-1_SENTINEL1_GRD"]
    assert (patch / "S2_L2A_10m.nc").exists()


def test_unknown_ids_name_the_known_ones(catalog: FileCatalog, archive: Path) -> None:
    catalog.add(archive)
    for ask in (catalog.get, catalog.check, catalog.remove):
        with pytest.raises(OpenEOError, match="'nope' does not exist; known collections: SENTINEL2_L2A") as failure:
            ask("nope")
        assert (failure.value.code, failure.value.status) == ("CollectionNotFound", 404)


@pytest.mark.parametrize("url", ["https://example.org/a.zarr", "http://127.0.0.1/a.zarr", "s3://bucket/a.zarr"])
def test_urls_are_refused(catalog: FileCatalog, url: str) -> None:
    with pytest.raises(OpenEOError, match="only folders on this machine") as failure:
        catalog.add(url)
    assert failure.value.code == "FeatureUnsupported"


def test_what_is_not_there_or_no_collection_is_refused(catalog: FileCatalog, tmp_path: Path) -> None:
    with pytest.raises(OpenEOError, match="nothing at"):
        catalog.add(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(OpenEOError, match="no collection: expected is a Zarr group"):
        catalog.add(tmp_path / "empty")
    assert not catalog.path.exists()


def test_ids_that_the_api_does_not_allow_are_refused(catalog: FileCatalog, archive: Path) -> None:
    with pytest.raises(OpenEOError, match="'my id' is no collection id"):
        catalog.add(archive, "my id")
    for id in ("../../etc", "a/./b", "a//b", "/a", "a/", "..", "é", "a" * 201):
        with pytest.raises(OpenEOError, match="is no collection id") as failure:
            catalog.add(archive, id)
        assert failure.value.code == "FilePathInvalid"
    assert catalog.add(archive, "a/.b..c~1") == ["a/.b..c~1"]


def test_a_source_is_opened_once_and_again_when_its_files_change(catalog: FileCatalog, tmp_path: Path) -> None:
    path = Stored(bands=[RED]).write(tmp_path / "a.zarr")
    catalog.add(path)
    first = catalog.get("SENTINEL2_L2A")
    before = first.load(LoadRequest()).data.name
    assert catalog.get("SENTINEL2_L2A") is first
    shutil.rmtree(path)
    Stored(bands=[RED], times=("2022-01-01", "2022-02-01"), offset=(0.0, 0.0), properties={}).write(path)
    os.utime(path / "zarr.json", ns=(1, 1))
    reopened = catalog.get("SENTINEL2_L2A").load(LoadRequest())
    assert reopened.sizes["t"] == 2
    assert reopened.data.name != before


def test_files_that_vanished_are_told_to_users_without_paths_and_to_operators_with(
    catalog: FileCatalog, tmp_path: Path
) -> None:
    for folder in (Patch().write(tmp_path / "site"), Stored().write(tmp_path / "a.zarr")):
        collection_id = catalog.add(folder)[0]
        shutil.rmtree(folder)
        with pytest.raises(OpenEOError, match="cannot be read now") as failure:
            catalog.get(collection_id)
        assert failure.value.code == "StorageFailure"
        assert str(tmp_path) not in failure.value.message
        assert str(tmp_path) in catalog.check(collection_id)[0]


@pytest.mark.parametrize("text", ["{", "[]", '{"sources": [{"path": "/a"}]}', '{"sources": 3}'])
def test_a_damaged_catalog_says_so_and_is_not_overwritten(catalog: FileCatalog, archive: Path, text: str) -> None:
    catalog.path.parent.mkdir()
    catalog.path.write_text(text)
    for act in (catalog.ids, lambda: catalog.add(archive)):
        with pytest.raises(OpenEOError, match=r"catalog\.json is damaged"):
            act()
    assert catalog.path.read_text() == text


def test_changes_at_the_same_time_are_all_kept(catalog: FileCatalog, archive: Path) -> None:
    names = [f"c{number}" for number in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: FileCatalog(catalog.path).add(archive, name), names))
    assert sorted(catalog.ids()) == sorted(names)
    assert {file.name for file in catalog.path.parent.iterdir()} <= {"catalog.json", "catalog.lock"}
    assert set(json.loads(catalog.path.read_text())) == {"sources"}


def test_a_failed_write_leaves_the_old_catalog(
    catalog: FileCatalog, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.add(archive)

    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="disk full"):
        catalog.add(archive, "second")
    assert catalog.ids() == ["SENTINEL2_L2A"]
    assert {file.name for file in catalog.path.parent.iterdir()} == {"catalog.json", "catalog.lock"}


def test_sources_can_be_opened_without_a_catalog(archive: Path) -> None:
    assert [source.id for source in open_source(str(archive), "mine")] == ["mine"]
