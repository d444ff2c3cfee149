"""Several threads write netCDF at once, as the requests of a web process do: the library bears one at a time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr

from backend.results import netcdf
from tests.backend.fakes import cube
from tests.backend.saving import save

THREADS, FILES = 4, 12


def test_files_that_are_written_at_once_are_whole_and_leave_the_settings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones, and large ones that are written part by part, for which Dask is told to stay in the thread."""
    monkeypatch.setattr(netcdf, "PART_BYTES", 2**13)
    inside, most = threading.Semaphore(0), []
    together = threading.Barrier(THREADS)
    write = xr.Dataset.to_netcdf

    def watched(self: xr.Dataset, *place: Any, **options: Any) -> Any:
        inside.release()
        most.append(inside._value)
        threading.Event().wait(0.02)  # time for another to come in
        try:
            return write(self, *place, **options)
        finally:
            inside.acquire()

    def saved(number: int) -> tuple[xr.DataArray, Path]:
        data = cube(times=1 + number % 3, size=32, chunk=16) + number
        folder = tmp_path / str(number)
        folder.mkdir()
        if number < THREADS:
            together.wait(20)
        return data, save("netCDF", data, folder)

    monkeypatch.setattr(xr.Dataset, "to_netcdf", watched)
    before = dask.config.get("scheduler", None)
    with ThreadPoolExecutor(THREADS) as pool:
        files = list(pool.map(saved, range(FILES)))
    assert max(most) == 1
    assert dask.config.get("scheduler", None) == before
    for data, path in files:
        with xr.open_dataset(path, engine="netcdf4") as read:
            for band in data["bands"].values:
                np.testing.assert_array_equal(read[str(band)].values, data.sel(bands=band).values)
