"""From storage to Dask: chunk plans, mosaics, and arrays that read when they are indexed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processes.sources._bands import Band
from processes.sources._blocks import (
    TARGET_BYTES,
    StorageChunks,
    StoredCube,
    lazy,
    mosaic,
    plan_chunks,
    split,
    tile_size,
)
from processes.sources._grid import Span, Window

RED, NIR, SCL = Band("B04", "uint16", scaled=True), Band("B08", "uint16", scaled=True), Band("SCL", "uint8", nodata=0)


class Memory:
    """A reader of numbers that tell where they come from; remembers what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], list[int], Span, Span]] = []

    def token(self) -> tuple[Any, ...]:
        return ("memory",)

    def read(self, bands: Sequence[Band], items: Any, rows: Span, cols: Span) -> Iterator[np.ndarray]:
        self.asked.append(([band.name for band in bands], list(items), rows, cols))
        t, y, x = np.ix_(np.asarray(items), np.arange(*rows), np.arange(*cols))
        for band in bands:
            yield (ord(band.name[-1]) * 1e6 + t * 1e4 + y * 1e2 + x).astype("float32")


def cube(reader: Memory, dates: int = 3, top: int = 10) -> StoredCube:
    window = Window((top, top + 9), (20, 27))
    return StoredCube(reader, tuple((i,) for i in range(dates)), (RED, NIR, SCL), window, np.dtype("float32"))


def whole(stored: StoredCube) -> np.ndarray:
    return stored[(slice(None),) * 4]


def index(size: int) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.slices(size),
        st.integers(-size, size - 1),
        st.lists(st.integers(0, size - 1), min_size=1, max_size=4),
    )


@given(st.data())
def test_indexing_is_numpys_dimension_by_dimension(data: st.DataObject) -> None:
    stored = cube(Memory())
    key = tuple(data.draw(index(size)) for size in stored.shape)
    expected = whole(stored)
    for axis in reversed(range(4)):
        expected = expected[(slice(None),) * axis + (key[axis],)]
    np.testing.assert_array_equal(stored[key], expected)


def test_slices_taken_later_reach_the_reader() -> None:
    reader = Memory()
    array = lazy(cube(reader), StorageChunks((64, 64), (64, 64)))
    array[:, 1:2, :, 2:4].compute(scheduler="sync")
    assert reader.asked == [(["B08"], [0, 1, 2], (10, 19), (22, 24))]


def test_the_same_request_has_the_same_name_and_another_has_not() -> None:
    chunks = StorageChunks((64, 64), (64, 64))
    first = lazy(cube(Memory()), chunks).name
    assert lazy(cube(Memory()), chunks).name == first
    assert lazy(cube(Memory(), top=0), chunks).name != first
    assert lazy(cube(Memory(), dates=2), chunks).name != first


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=4),
    st.integers(0, 2**32 - 1),
    st.sampled_from([RED, SCL]),
)
def test_a_mosaic_takes_the_first_valid_value(counts: list[int], seed: int, band: Band) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3, (sum(counts), 2, 3)).astype("uint8")
    if band is RED:
        values = np.where(values == 0, np.nan, values).astype("float32")
    merged = mosaic(values, np.array(counts), band)
    starts = np.cumsum([0, *counts])
    for number, (start, stop) in enumerate(pairwise(starts)):
        for place in np.ndindex(2, 3):
            granules = values[(slice(start, stop), *place)]
            valid = granules[~band.missing(granules)]
            np.testing.assert_equal(merged[(number, *place)], valid[0] if valid.size else granules[0])


@pytest.mark.parametrize(
    ("chunk", "shard", "limit", "expected"),
    [
        (64, 512, 130, 128),  # divides the shard
        (64, 512, 5000, 4608),  # several shards
        (100, 300, 250, 100),  # 200 would straddle the shard's end
        (256, 256, 100, 256),  # never less than a chunk
        (100, 250, 60, 250),  # chunks that do not fit the shard evenly
    ],
)
def test_tiles_follow_the_storage(chunk: int, shard: int, limit: int, expected: int) -> None:
    assert tile_size(chunk, shard, limit) == expected


@given(st.integers(0, 500), st.integers(1, 700), st.integers(1, 200))
def test_pieces_cover_the_span_and_end_on_tiles(start: int, length: int, tile: int) -> None:
    pieces = split((start, start + length), tile)
    edges = start + np.cumsum(pieces)
    assert edges[-1] == start + length
    assert all(edge % tile == 0 for edge in edges[:-1])
    assert max(pieces) < 1.5 * tile or len(pieces) == 1


def test_a_halo_of_a_few_pixels_makes_no_further_pieces() -> None:
    assert split((508, 1028), 512) == (520,)
    assert split((508, 1540), 512) == (516, 516)


def test_blocks_hold_all_dates_and_stay_small() -> None:
    window = Window((0, 2048), (0, 2048))
    chunks = plan_chunks((100, 11, 2048, 2048), window, StorageChunks((64, 64), (512, 512)), 4)
    assert chunks[:2] == ((100,), (11,))
    assert set(chunks[2]) == set(chunks[3]) == {128}
    chunks = plan_chunks((1, 3, 2048, 2048), window, StorageChunks((64, 64), (512, 512)), 4)
    assert set(chunks[2]) == {512}


def test_dates_are_split_only_where_the_smallest_tile_is_far_too_large() -> None:
    window = Window((0, 2048), (0, 2048))
    dates = plan_chunks((500, 10, 2048, 2048), window, StorageChunks((1024, 1024), (1024, 1024)), 4)[0]
    assert len(dates) > 1
    assert max(dates) * 10 * 1024 * 1024 * 4 <= 2 * TARGET_BYTES
