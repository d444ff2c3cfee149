"""Parts of the engines: kinds of position, slots, tiles, merging of equal frames."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from models.engine.dense.kinds import KINDS, TAPS, kinds_along_axis, small_kind
from models.engine.dense.maps import truncated_sums
from models.engine.dense.sensor import merge_equal
from models.engine.dense.stream import NOWHERE, Stream
from models.engine.tiles import LARGEST, SMALLEST, bytes_of, cut, each_tile, free_memory, tile_side
from models.frames import FRAMES, WindowList

CPU = torch.device("cpu")


@pytest.mark.parametrize(("size", "kinds"), [(7, kinds_along_axis()), (3, small_kind(kinds_along_axis()))])
def test_truncated_sums_are_a_zero_padded_convolution(size, kinds):
    random = np.random.default_rng(0)
    kernel, line = random.random(size), random.random(15)
    expected = F.conv1d(torch.tensor(line)[None, None], torch.tensor(kernel)[None, None], padding=size // 2)[0, 0]
    reach = size // 2
    outside = np.concatenate([np.full(reach, 99.0), line, np.full(reach, 99.0)])  # must never be met
    taps = [torch.tensor(kernel[i] * outside[i : i + 15]) for i in range(size)]
    ours = torch.stack(truncated_sums(taps))[torch.from_numpy(kinds), torch.arange(15)]
    np.testing.assert_allclose(ours, expected)


def test_kinds_keep_the_taps_inside():
    for position, kind in enumerate(kinds_along_axis()):
        inside = [tap for tap in range(-3, 4) if 0 <= position + tap < 15]
        assert TAPS[kind] == (inside[0], inside[-1])
    assert set(kinds_along_axis()) == set(range(KINDS))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_slots_hold_what_windows_ask_for_until_they_are_finished(seed):
    random = np.random.default_rng(seed)
    n, dates, size = 40, 16, 3
    row, column = np.sort(random.integers(0, size, n)), random.integers(0, size, n)
    frames = np.sort(random.integers(0, dates, (n, FRAMES)), axis=1)
    state = random.integers(0, 4, (dates, size, size)).astype(np.int8)
    zeros = np.zeros(n, np.int64)
    stream = Stream(WindowList(row, column, zeros, {}, {}, zeros), frames, state)
    held: dict[int, tuple] = {}  # what lies in a slot
    finished = []
    for task in stream.tasks():
        for kind, wanted in (("clear", task.shared), ("owned", task.owned), ("mixed", task.mixed)):
            for r, c, w, slot in zip(wanted.row, wanted.column, wanted.window, wanted.slot, strict=True):
                held[slot] = (task.frame, r, c) if kind == "clear" else (task.frame, r, c, w)
        for w in task.finished:
            for k in range(FRAMES):
                value, frame = held[stream.index[w, k]], frames[w, k]
                what = state[frame, row[w], column[w]]
                assert value[1:3] == (row[w], column[w])
                if what == 2:  # empty: any of the window's own empty frames
                    assert value[3] == w
                    assert state[value[0], row[w], column[w]] == 2
                else:
                    assert value == (frame, row[w], column[w], *([w] if what else []))
        finished.extend(task.finished)
    assert stream.capacity <= stream.most_slots()
    assert sorted(finished) == list(range(n))
    assert (stream.index != NOWHERE).all()


def test_slots_are_used_again():
    n = 30  # windows of one pixel, each a date later
    frames = np.arange(n)[:, None] + np.arange(FRAMES)
    zeros = np.zeros(n, np.int64)
    stream = Stream(WindowList(zeros, zeros, zeros, {}, {}, zeros), frames, np.zeros((n + 10, 1, 1), np.int8))
    for _ in stream.tasks():
        pass
    assert stream.capacity <= FRAMES + 1
    assert stream.most_slots() == stream.capacity
    assert Stream(stream.windows, frames, np.full((n + 10, 1, 1), 1, np.int8)).most_slots() == FRAMES**2


def test_equal_neighbouring_frames_are_merged():
    a, b = np.full((2, 3, 3), 1.0), np.full((2, 3, 3), np.nan)
    cube = np.stack([a, a, b, b, a], axis=1).astype(np.float32)
    assert merge_equal(cube).tolist() == [0, 0, 2, 2, 4]


@given(rows=st.integers(1, 300), columns=st.integers(1, 300), side=st.integers(1, 70))
def test_tiles_cover_an_area_once(rows, columns, side):
    seen = np.zeros((rows, columns), int)
    for row, column in cut(rows, columns, side):
        assert row.stop - row.start <= side
        assert column.stop - column.start <= side
        seen[row, column] += 1
    assert (seen == 1).all()


def test_what_a_failed_tile_kept_is_let_go_before_smaller_ones():
    told, tried = [], []

    def work(tile):
        tried.append(tile[0].stop - tile[0].start)
        if tried[-1] > SMALLEST:
            raise torch.OutOfMemoryError

    assert each_tile(20, 20, 20, work, lambda side: told.append(side), lambda: told.append("forgotten")) == SMALLEST
    assert told == ["forgotten", 10, "forgotten", SMALLEST]
    assert max(tried[2:]) <= SMALLEST


def test_less_memory_smaller_tiles():
    sides = [tile_side(CPU, 60, 12, memory) for memory in (1, 2 << 28, 1 << 30, 1 << 40)]
    assert sides == sorted(sides)
    assert sides[0] == SMALLEST
    assert sides[-1] == LARGEST["cpu"]
    assert bytes_of(sides[2], 60, 12) <= 1 << 30


def test_free_memory_is_some():
    assert 1 << 20 < free_memory(CPU) < 1 << 50
