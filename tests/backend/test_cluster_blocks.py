"""Results come from the workers block by block, whatever they are made of."""

from __future__ import annotations

import threading
import time
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from distributed import LocalCluster

from backend.sync.cluster import DaskCluster
from backend.sync.deadline import Deadline
from backend.sync.request import SyncRequest


def compute(cluster: DaskCluster, value: Any) -> Any:
    return cluster.compute(SyncRequest(f"r{time.monotonic_ns()}", "anna", {}), value, Deadline(60))


def numbers(*shape: int, chunks: Any = 2) -> da.Array:
    return da.from_array(np.arange(np.prod(shape), dtype=np.float64).reshape(shape), chunks=chunks)


def _as_float32(block: np.ndarray, block_id: Any = None) -> np.ndarray:
    return block.astype(np.float32) if block_id == (0,) else block


def _too_long(block: np.ndarray) -> np.ndarray:
    return np.concatenate([block, block])


@pytest.mark.parametrize(
    "lazy",
    [
        numbers(5, 7),
        numbers(5, 7, chunks=((1, 4), (7,))) * 2,
        numbers(6).sum(),
        numbers(0, 3),
        numbers(9)[numbers(9) > 3],  # of a length that nobody knows
        da.ma.masked_greater(numbers(6), 3),
        numbers(4, 4).T.rechunk(3),
    ],
    ids=["blocks", "uneven", "scalar", "empty", "unknown", "masked", "rechunked"],
)
def test_arrays_are_what_dask_makes_of_them(cluster: DaskCluster, lazy: da.Array) -> None:
    expected, out = lazy.compute(scheduler="sync"), compute(cluster, lazy)
    np.testing.assert_array_equal(out, expected)
    assert np.ma.isMaskedArray(out) == np.ma.isMaskedArray(expected)
    assert np.asarray(out).dtype == np.asarray(expected).dtype


def test_cubes_keep_their_labels_lazy_ones_too(cluster: DaskCluster) -> None:
    cube = xr.DataArray(
        numbers(4, 6),
        dims=("t", "x"),
        coords={"t": [1, 2, 3, 4], "height": (("t", "x"), numbers(4, 6, chunks=3)), "name": "here"},
        attrs={"unit": "m"},
        name="values",
    )
    out = compute(cluster, cube)
    xr.testing.assert_identical(out, cube.compute(scheduler="sync"))
    assert isinstance(out.variable.data, np.ndarray)
    assert isinstance(out["height"].data, np.ndarray)
    plain = cube.copy(data=np.zeros((4, 6)))
    xr.testing.assert_identical(compute(cluster, plain), plain.compute(scheduler="sync"))


def test_datasets_and_values_of_many_kinds(cluster: DaskCluster) -> None:
    dataset = xr.Dataset({"a": ("x", numbers(4)), "b": ("x", np.arange(4))}, coords={"c": ("x", numbers(4) + 1)})
    value = {"set": dataset, "one": [dask.delayed(len)("four"), 3], "again": numbers(4), "twice": numbers(4)}
    out = compute(cluster, value)
    xr.testing.assert_identical(out["set"], dataset.compute(scheduler="sync"))
    assert out["one"] == [4, 3]
    np.testing.assert_array_equal(out["again"], np.arange(4))
    np.testing.assert_array_equal(out["twice"], np.arange(4))


def test_a_block_that_is_not_what_its_cube_says_is_no_result(cluster: DaskCluster) -> None:
    with pytest.raises(ValueError, match=r"has the shape \(4,\), its cube says \(2,\)"):
        compute(cluster, numbers(4).map_blocks(_too_long, dtype=np.float64))


def test_the_widest_type_of_all_blocks_holds_them(cluster: DaskCluster) -> None:
    out = compute(cluster, numbers(4).map_blocks(_as_float32, dtype=np.float64))
    assert out.dtype == np.float64
    np.testing.assert_array_equal(out, np.arange(4))


def _slowly(block: np.ndarray) -> np.ndarray:
    time.sleep(0.05)
    return block + 1


def test_workers_let_go_of_blocks_that_were_fetched(cluster: DaskCluster, local: LocalCluster) -> None:
    """All of a result is never on the workers, however many blocks it has."""
    lazy = da.zeros((60, 4), chunks=(1, 4)).map_blocks(_slowly, dtype=float, meta=np.empty((0, 0)))
    held, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(0.01):
            held.append(sum(task.state == "memory" for task in list(local.scheduler.tasks.values())))

    watching = threading.Thread(target=look)
    watching.start()
    try:
        np.testing.assert_array_equal(compute(cluster, lazy), np.ones((60, 4)))
    finally:
        over.set()
        watching.join()
    assert 0 < max(held) < 40
