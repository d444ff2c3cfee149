"""Results on a disk without room: each format tells it, and none leaves a file that looks whole and is not."""

from __future__ import annotations

import errno
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rioxarray  # noqa: F401
import xarray as xr

from backend.disk import is_full, writing_to
from backend.metrics.requests import reserve
from backend.results import find_format
from processes.errors import OpenEOError
from tests.api.faults import filled, small_disk

SIZE = 200


def noise(times: int = 4) -> xr.DataArray:
    """Return a cube (t, bands, y, x) of noise, which nothing compresses: 320 kB for each date."""
    values = np.random.default_rng(0).random((times, 2, SIZE, SIZE), dtype=np.float32)
    coords = {
        "t": np.datetime64("2022-06-01", "ns") + np.arange(times) * np.timedelta64(5, "D"),
        "bands": ["B04", "B08"],
        "y": 5_650_000.0 - 10 * np.arange(SIZE) - 5,
        "x": 500_000.0 + 10 * np.arange(SIZE) + 5,
    }
    return xr.DataArray(values, dims=("t", "bands", "y", "x"), coords=coords).rio.write_crs(32631)


@pytest.mark.parametrize("kibibytes", range(1100, 2300, 200))
def test_geotiffs_are_whole_or_refused(tmp_path: Path, kibibytes: int) -> None:
    """GDAL reports success for files of which it could not write the last tiles."""
    assert _code(tmp_path / "disk", kibibytes / 1024, "GTiff", "result.tif") == "StorageFailure"


@pytest.mark.parametrize(("form", "name"), [("netCDF", "result.nc"), ("JSON", "result.json")])
def test_other_formats(tmp_path: Path, form: str, name: str) -> None:
    assert _code(tmp_path / "disk", 1, form, name) == "StorageFailure"


def _code(disk: Path, mebibytes: float, form: str, name: str) -> str | None:
    """Return the code with which writing fails on a disk of that size."""
    with small_disk(disk, mebibytes):
        try:
            with writing_to(disk):
                find_format(form).write(noise(), {}, disk / name)
        except OpenEOError as error:
            return error.code
    return None


def test_a_disk_that_was_filled_has_its_room_again(tmp_path: Path) -> None:
    """HDF5 keeps a file open that it could not write out, so that deleting it alone frees nothing."""
    disk = tmp_path / "disk"
    with small_disk(disk, 1):
        before = shutil.disk_usage(disk).free
        with pytest.raises(OpenEOError), writing_to(disk):
            find_format("netCDF").write(noise(), {}, disk / "result.nc")
        (disk / "result.nc").unlink()
        assert shutil.disk_usage(disk).free == before


LIMITED = """
import resource, sys
from pathlib import Path
from backend.disk import writing_to
from backend.metrics.requests import reserve
from backend.results import find_format
from processes.errors import OpenEOError
from tests.backend.test_disk import noise
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
try:
    with writing_to(Path(sys.argv[1])):
        find_format(sys.argv[2]).write(noise(), {}, Path(sys.argv[1]) / sys.argv[3])
except OpenEOError as error:
    print(error.code)
"""


@pytest.mark.parametrize(("form", "name"), [("GTiff", "r.tif"), ("netCDF", "r.nc"), ("JSON", "r.json")])
def test_files_that_may_not_grow(tmp_path: Path, form: str, name: str) -> None:
    """What needs no right to mount: the operating system lets a process write no more than 500 kB into one file."""
    line = [sys.executable, "-c", LIMITED, str(tmp_path), form, name]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["StorageFailure"], done.stderr


def test_other_failures_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(KeyError), writing_to(tmp_path):
        raise KeyError("a defect")
    with pytest.raises(FileNotFoundError), writing_to(tmp_path / "nowhere"):
        raise FileNotFoundError(errno.ENOENT, "gone")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_reasons_behind_reasons_count() -> None:
    hidden = RuntimeError("HDF error")
    hidden.__cause__ = OSError(errno.EDQUOT, "quota")
    assert is_full(hidden)
    assert not is_full(RuntimeError("HDF error"))


def test_files_that_are_mapped_into_memory_have_no_holes(tmp_path: Path) -> None:
    """Writing into a hole on a full disk would kill the web process (SIGBUS)."""
    with small_disk(tmp_path / "disk", 8):
        assert reserve(tmp_path / "disk")
        sizes = [path.stat().st_blocks * 512 for path in (tmp_path / "disk").iterdir()]
        assert len(sizes) == 2
        assert min(sizes) >= 2**20
    with small_disk(tmp_path / "full", 1), filled(tmp_path / "full"):
        assert not reserve(tmp_path / "full")
