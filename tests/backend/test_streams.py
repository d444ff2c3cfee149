"""What a batch job computes is asked for in parts, kept in a file, and the same as if it had been computed at once."""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from distributed import LocalCluster

from backend.sync import turns, window
from backend.sync.cluster import DaskCluster
from backend.sync.deadline import Deadline
from backend.sync.spool import Spool
from backend.sync.turns import in_turn
from backend.sync.window import Plan
from tests.backend.runs import JobRun, small_parts
from tests.backend.server import until


@pytest.fixture
def file(tmp_path: Path) -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile(dir=tmp_path) as file:
        yield file


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    small_parts(monkeypatch)


def stream(cluster: DaskCluster, value: Any, file: IO[bytes] | None = None) -> Any:
    spool = None if file is None else Spool(file)
    return cluster.compute(JobRun(), value, Deadline(60), spool=spool)


def numbers(*shape: int, chunks: Any = 2, dtype: Any = np.float64) -> da.Array:
    return da.from_array(np.arange(np.prod(shape), dtype=dtype).reshape(shape), chunks=chunks)


def _as_float32(block: np.ndarray, block_id: Any = None) -> np.ndarray:
    return block.astype(np.float32) if block_id == (0,) else block


@pytest.mark.parametrize("spooled", [True, False])
@pytest.mark.parametrize(
    "lazy",
    [
        numbers(9, 7),
        numbers(9, 7, chunks=((1, 8), (2, 5))) * 2,
        numbers(12, 12) - numbers(12, 12).mean(),
        numbers(12, 12).T.rechunk(5),
        da.overlap.overlap(numbers(20, 20, chunks=4), 1, "reflect"),
        numbers(20) > 5,
        numbers(20, dtype="int64").astype("datetime64[D]"),
        numbers(0, 3),
        numbers(9)[numbers(9) > 3],
        numbers(6).sum(),
    ],
    ids=["blocks", "uneven", "shared", "rechunked", "overlap", "bool", "dates", "empty", "unknown", "scalar"],
)
def test_streamed_arrays_are_what_dask_makes_of_them(
    cluster: DaskCluster, file: IO[bytes], lazy: da.Array, spooled: bool
) -> None:
    expected = lazy.compute(scheduler="sync")
    out = stream(cluster, lazy, file if spooled else None)
    assert isinstance(out, da.Array) == (spooled and lazy.ndim > 0 and lazy.size > 0)
    found = out.compute(scheduler="sync") if spooled and isinstance(out, da.Array) else out
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype


def test_the_widest_type_of_all_blocks_holds_them(cluster: DaskCluster, file: IO[bytes]) -> None:
    out = stream(cluster, numbers(4).map_blocks(_as_float32, dtype=np.float64), file)
    assert out.dtype == np.float64
    np.testing.assert_array_equal(out.compute(scheduler="sync"), np.arange(4))


def test_cubes_keep_their_labels_and_are_read_part_by_part(cluster: DaskCluster, file: IO[bytes]) -> None:
    cube = xr.DataArray(
        numbers(4, 6), dims=("t", "x"), coords={"t": list("abcd"), "far": (("t", "x"), numbers(4, 6, chunks=3))}
    )
    out = stream(cluster, cube, file)
    assert out.chunks == cube.chunks
    xr.testing.assert_identical(out.compute(scheduler="sync"), cube.compute(scheduler="sync"))


def test_a_block_that_is_not_what_its_cube_says_is_no_result(cluster: DaskCluster, file: IO[bytes]) -> None:
    with pytest.raises(ValueError, match=r"has the shape \(4,\), its cube says \(2,\)"):
        stream(cluster, numbers(4).map_blocks(lambda block: np.tile(block, 2), dtype=np.float64), file)


def test_blocks_wait_for_whoever_fetches_them_and_workers_for_these(
    cluster: DaskCluster, local: LocalCluster, file: IO[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is slow and blocks are fast: no more than six of sixty are known to the scheduler at any time."""
    lazy = da.ones((60, 4), chunks=(1, 4)).map_blocks(lambda block: block + 1, meta=np.empty((0, 0)))
    append, known, memory = Spool.append, [0], [0]

    def slowly(self: Spool, block: np.ndarray) -> Any:
        time.sleep(0.02)
        tasks = list(local.scheduler.tasks.values())
        known.append(len(tasks))
        memory.append(sum(task.state == "memory" for task in tasks))
        return append(self, block)

    monkeypatch.setattr(Spool, "append", slowly)
    np.testing.assert_array_equal(stream(cluster, lazy, file).compute(scheduler="sync"), np.full((60, 4), 2))
    most = 2 * window.BLOCKS_OF_THREAD
    assert 0 < max(memory) <= most
    assert max(known) <= most


COUNTS: Counter[Any] = Counter()


def _counted(block: np.ndarray, block_id: Any = None) -> np.ndarray:
    COUNTS[block_id] += 1
    return block * 2


@pytest.mark.parametrize("kind", ["halo", "mean", "rechunked"])
def test_what_blocks_share_is_computed_once(cluster: DaskCluster, file: IO[bytes], kind: str) -> None:
    COUNTS.clear()
    made = numbers(36, 36, chunks=6).map_blocks(_counted, meta=np.empty((0, 0)))
    lazy = {
        "halo": lambda: da.overlap.overlap(made, 1, "none"),
        "mean": lambda: made - made.mean(axis=0),
        "rechunked": lambda: made.rechunk(4),
    }[kind]()
    out = stream(cluster, lazy, file).compute(scheduler="sync")
    assert set(COUNTS.values()) == {1}
    assert len(COUNTS) == 36
    np.testing.assert_array_equal(out, lazy.compute(scheduler="sync"))


def test_nothing_is_left_with_the_scheduler(cluster: DaskCluster, local: LocalCluster, file: IO[bytes]) -> None:
    stream(cluster, da.overlap.overlap(numbers(20, 20, chunks=4), 1, "none"), file)
    until(lambda: not local.scheduler.tasks)


def test_progress_counts_what_is_to_come_and_never_goes_back(cluster: DaskCluster, file: IO[bytes]) -> None:
    lazy = da.ones((40, 4), chunks=(1, 4)).map_blocks(lambda block: time.sleep(0.02) or block, meta=np.empty((0, 0)))
    thread = threading.Thread(target=stream, args=(cluster, lazy * 2, file))
    thread.start()
    seen = []
    while thread.is_alive():
        seen += [(item.done, item.total) for item in cluster.progress("anna", "job")]
    started = [(done, total) for done, total in seen if total]
    assert {total for _, total in started} == {40}
    assert [done for done, _ in started] == sorted(done for done, _ in started)
    assert len({done for done, _ in started}) > 5


def test_the_seconds_of_all_parts_are_added_up(cluster: DaskCluster, file: IO[bytes]) -> None:
    lazy = da.ones((20, 4), chunks=(1, 4)).map_blocks(lambda block: time.sleep(0.01) or block, meta=np.empty((0, 0)))
    run = JobRun()
    cluster.compute(run, lazy, Deadline(60), spool=Spool(file))
    assert sum(cluster.spent(run).values()) >= 20 * 0.01


def test_what_was_loaded_is_used_up_before_more_is_loaded() -> None:
    """Tiles of 3 x 3 pixels over what is loaded in squares of 8: those on a border wait for what lies beyond it."""
    loaded = da.zeros((16, 16), chunks=8).map_blocks(_counted, meta=np.empty((0, 0)))
    tiles = loaded.rechunk(3)
    tasks = window._written_out([tiles])
    keys = [(tiles.name, row, column) for row in range(6) for column in range(6)]
    plan = Plan(tasks, keys)
    needed = [sum(COUNTED in str(key[0]) for key in plan.new[number]) for number in range(36)]
    assert needed[:4] == [1, 0, 0, 0]
    assert sum(needed) == 4
    assert sum(needed[:9]) == 2
    assert in_turn(tasks, keys[::-1])[0] == keys[-1]


class Sent:
    """A client whose scheduler keeps what it is asked for."""

    def __init__(self) -> None:
        self.keys: list[Any] = []

    def get(self, tasks: Any, keys: list[Any], **options: Any) -> list[Any]:
        self.keys += keys
        return [SimpleNamespace(key=key, release=lambda: None) for key in keys]


def test_a_cluster_that_shrinks_or_does_not_answer_is_asked_for_no_block_twice() -> None:
    lazy, threads, client = numbers(60) + 1, [4], Sent()
    keys = [(lazy.name, number) for number in range(30)]
    asked = window.Window(client, [lazy], keys, 16, lambda: threads[0], lambda keys: None)
    for given in (4, 4, 1, 0, 0, 4, 4, 1, *[4] * 9):
        threads[0] = given
        asked.send()
        for key in list(asked.futures)[: len(asked.futures) // 2 + 1]:
            asked.let_go(key)
    assert client.keys == keys


def test_a_block_that_others_are_made_of_may_be_wanted_long_after_them(cluster: DaskCluster) -> None:
    root = numbers(24).sum()
    below = numbers(24) + root
    above = below * 2
    for first, second in ((above, below), (below, above)):
        one, other = stream(cluster, [first, second])
        np.testing.assert_array_equal(one, first.compute(scheduler="sync"))
        np.testing.assert_array_equal(other, second.compute(scheduler="sync"))


def test_an_order_that_would_take_too_much_memory_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = da.overlap.overlap(numbers(40, chunks=2), 1, "none")
    tasks, keys = window._written_out([lazy]), [(lazy.name, number) for number in reversed(range(20))]
    assert sorted(in_turn(tasks, keys)) == sorted(keys)
    monkeypatch.setattr(turns, "MOST_LINKS", 10)
    assert in_turn(tasks, keys) == keys


COUNTED = "_counted"
