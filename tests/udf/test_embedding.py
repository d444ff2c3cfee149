"""The lazy embedding: tiles, chunks, halos and context change no number."""

from __future__ import annotations

import dask
import dask.array as da
import numpy as np
import pytest

from udf import InputError, embed_lazily
from udf.embedding import tile_side

TOLERANCE = 5e-6
ALL = np.ones(15, bool)


def embed(shelf, sensors, wanted=ALL, rows=slice(0, 17), columns=slice(0, 18), tile=64):
    return embed_lazily(shelf.get(None), sensors, wanted, rows, columns, tile)


@pytest.fixture(scope="module")
def whole(shelf, sensors):
    out = embed(shelf, sensors()).compute(scheduler="sync")
    assert np.isfinite(out[0]).sum() > 11
    return out


@pytest.mark.parametrize(
    ("tile", "s2_chunks", "s1_chunks"), [(5, -1, -1), (4, (10, 3, 7, 18), (1, 30, 17, 5)), (9, (1, 15, 17, 4), 6)]
)
def test_tiles_and_chunks(shelf, sensors, whole, tile, s2_chunks, s1_chunks):
    out = embed(shelf, sensors(s2_chunks, s1_chunks), tile=tile)
    assert out.shape == whole.shape
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.compute(scheduler="threads"), whole, rtol=0, atol=TOLERANCE)


def test_a_part_with_all_else_as_context(shelf, sensors, whole):
    wanted = ALL.copy()
    wanted[:7] = False
    part = embed(shelf, sensors(), wanted, slice(8, 10), slice(6, 9)).compute(scheduler="sync")
    np.testing.assert_allclose(part, whole[:, wanted, 8:10, 6:9], rtol=0, atol=TOLERANCE)


def test_nothing_is_computed_while_planning(shelf, sensors, raw):
    def explode(block):
        raise AssertionError("computed")

    lazy = da.from_array(raw["s2"], chunks=-1).map_blocks(explode, dtype=np.float32, meta=np.empty((0,) * 4, "f4"))
    embed(shelf, {**sensors(), "s2": type(sensors()["s2"])(lazy, raw["time"])})


def test_the_graph_is_small(shelf, sensors):
    """A task for each tile, and what cutting its cubes takes: nothing that grows with dates or bands."""
    (lazy,) = dask.optimize(embed(shelf, sensors(), tile=9))
    tasks = len(lazy.__dask_graph__())
    assert tasks <= 4 * 10


def test_clouds_are_masked_in_the_block(shelf, sensors, raw, whole):
    classes = np.full(raw["s2"].shape[1:], 4, np.uint8)
    classes[8, 7, 8] = 9
    masked = {**raw, "s2": raw["s2"].copy()}
    masked["s2"][:, 8, 7, 8] = np.nan
    expected = embed(shelf, sensors(s2=masked["s2"])).compute(scheduler="sync")
    cube = sensors(classes=classes)
    np.testing.assert_allclose(embed(shelf, cube).compute(scheduler="sync"), expected, rtol=0, atol=TOLERANCE)
    assert np.isnan(expected[:, 8, 7, 8]).all()
    assert np.isfinite(whole[:, 8, 7, 8]).all()


def test_digital_numbers_are_refused(shelf, sensors, raw):
    cube = sensors(s2=raw["s2"] * 10_000)
    with pytest.raises(InputError, match=r"digital numbers.*Divide them by 10000"):
        embed(shelf, cube).compute(scheduler="sync")


def test_bright_clouds_are_not_digital_numbers(shelf, sensors, raw):
    bright = raw["s2"].copy()
    bright[:, ::2] = 1.2
    embed(shelf, sensors(s2=bright)).compute(scheduler="sync")


def test_small_areas_get_small_tiles():
    assert [tile_side(n) for n in (5, 40, 100, 1000)] == [16, 16, 25, 64]


def test_long_intervals_are_cut_into_blocks_of_dates(shelf, sensors, whole, monkeypatch):
    """Of frames within the model's reach alone, and to the same numbers."""
    from udf import embedding

    monkeypatch.setattr(embedding, "FRAMES_IN_TASK", 20)
    reference = shelf.get(None)
    blocks = embedding._date_blocks(reference, sensors(), ALL)
    assert [int(b.wanted.sum()) for b in blocks] == [5, 5, 5]
    out = embed(shelf, sensors())
    assert out.numblocks[1] == 3
    np.testing.assert_allclose(out.compute(scheduler="sync"), whole, rtol=0, atol=TOLERANCE)


def test_blocks_of_dates_hold_what_is_in_reach(shelf):
    from udf import SensorCube, embedding

    days = np.datetime64("2015-07-01", "ns") + np.arange(0, 3650, 5) * np.timedelta64(1, "D")
    empty = da.zeros((2, len(days), 15, 15), dtype=np.float32)
    blocks = embedding._date_blocks(
        shelf.get(None), {"s1": SensorCube(empty, days), "s2": SensorCube(empty, days)}, np.ones(len(days), bool)
    )
    assert len(blocks) == 2
    assert sum(int(b.wanted.sum()) for b in blocks) == len(days)
    for block in blocks:
        times = block.times["s2"]
        own = times[block.wanted]
        for end, first in ((times[0], own[0]), (times[-1], own[-1])):
            assert end in (days[0], days[-1]) or abs(end - first) >= np.timedelta64(225, "D")
