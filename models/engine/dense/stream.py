"""One sensor's frames in order of time: each prepared once, its vectors kept until the last window that holds it.

What is kept is bounded by the windows that are open at a time, however long the series.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.frames import FRAMES, WindowList

Ints = NDArray[np.int64]

CLEAR, ALIKE, EMPTY, MIXED = range(4)  # missing in a patch: nothing; the same in all bands; everything; anything else
NOWHERE = -1


@dataclass(frozen=True)
class Wanted:
    """Vectors to compute: the patches' first pixels, (any one of) the windows they are for, the slots they go to."""

    row: Ints
    column: Ints
    window: Ints
    slot: Ints

    def __len__(self) -> int:
        return len(self.slot)


@dataclass(frozen=True)
class FrameTask:
    """What is wanted of one frame.

    Attributes
    ----------
    shared, owned, mixed : Wanted
        Vectors of patches without missing values, with the same pixels missing in all bands, with pixels missing in
        some bands only.
    finished : (n,) int64
        Windows that have all their vectors after this frame.
    """

    frame: int
    shared: Wanted
    owned: Wanted
    mixed: Wanted
    finished: Ints


class Stream:
    """Plans the work on one sensor's frames, and where their vectors are kept.

    Parameters
    ----------
    windows : WindowList
    frames : (n, 11) int64
        The windows' frames, ascending, those that hold the same merged.
    state : (t, y - 14, x - 14) int8
        `CLEAR`, `ALIKE`, `EMPTY` or `MIXED`, for the patch that begins at a pixel.

    Attributes
    ----------
    index : (n, 11) int64
        The slots of the windows' vectors; complete for a window once it is finished.
    capacity : int
        Slots that were ever in use at a time.
    """

    def __init__(self, windows: WindowList, frames: Ints, state: NDArray[np.int8]) -> None:
        self.windows, self.frames, self.state = windows, frames, state
        self.index = np.full(frames.shape, NOWHERE)
        self.capacity = 0
        self._free: Ints = np.empty(0, np.int64)
        self._pixel = windows.row * state.shape[2] + windows.column
        self._state = state.reshape(len(state), -1)
        self._slots = self.index.reshape(-1)  # a view
        self._empty = np.full(len(windows), NOWHERE)  # the slot of a window's frames without any value: all the same

    def most_slots(self) -> int:
        """At least as many slots as will ever be in use at a time: told at once, before anything is planned."""
        dates, until, taken = len(self.state), self._until(), self._taken()
        over = np.zeros(dates + 1, np.int64)
        np.add.at(over, until + 1, taken)
        return int((taken.cumsum() - over[:-1].cumsum()).max(initial=0))

    def _taken(self) -> Ints:
        """At least as many slots as each frame takes."""
        dates, pixels = self._state.shape
        if not self.state.any():
            return np.minimum(np.bincount(self.frames.ravel(), minlength=dates), pixels)
        state = self.state.ravel().take(self.frames * pixels + self._pixel[:, None])
        counts = np.bincount((self.frames * 4 + state).ravel(), minlength=4 * dates).reshape(dates, 4)
        taken: Ints = np.minimum(counts[:, CLEAR], pixels) + counts[:, [ALIKE, EMPTY, MIXED]].sum(1)
        if counts[:, EMPTY].any():  # a window's empty frames have one slot
            empty = state == EMPTY
            taken -= np.bincount(self.frames[empty & (empty.cumsum(axis=1) > 1)], minlength=dates)
        return taken

    def _until(self) -> Ints:
        """For each frame the last one of all windows that hold it, itself where none does."""
        until, last = np.arange(len(self.state)), self.frames[:, -1]
        for column in self.frames.T:
            np.maximum.at(until, column, last)
        return until

    def tasks(self) -> Iterator[FrameTask]:
        """Yield the frames in order. A task's finished windows lose their vectors when the next task is asked for."""
        order, begin = _sorted(self.frames.ravel(), len(self.state))
        by_last, ready = _sorted(self.frames[:, -1], len(self.state))
        until = self._until()
        kept: list[tuple[int, Ints]] = []  # the frame until which slots are needed, and they
        for frame in np.flatnonzero(np.diff(begin)):
            entries = order[begin[frame] : begin[frame + 1]]
            task = self._task(int(frame), entries, by_last[ready[frame] : ready[frame + 1]])
            slots = np.concatenate([task.shared.slot, task.owned.slot, task.mixed.slot])
            kept.append((int(until[frame]), slots))
            yield task
            self._free = np.concatenate([self._free, *(s for end, s in kept if end <= frame)])
            kept = [k for k in kept if k[0] > frame]

    def _task(self, frame: int, entries: Ints, finished: Ints) -> FrameTask:
        window = entries // FRAMES
        state = self._state[frame][self._pixel[window]]
        if not state.any():
            nothing = self._owned(entries[:0])
            return FrameTask(frame, self._shared(entries, window), nothing, nothing, finished)
        is_empty = state == EMPTY
        known = self._empty[window] != NOWHERE
        self._slots[entries[is_empty & known]] = self._empty[window[is_empty & known]]
        owned = self._owned(entries[(state == ALIKE) | (is_empty & ~known)])
        first = entries[is_empty & ~known]
        self._empty[first // FRAMES] = self._slots[first]
        clear = state == CLEAR
        shared = self._shared(entries[clear], window[clear])
        return FrameTask(frame, shared, owned, self._owned(entries[state == MIXED]), finished)

    def _shared(self, entries: Ints, window: Ints) -> Wanted:
        """One vector for each pixel."""
        width = self.state.shape[2]
        pixel = self._pixel[window]
        of_pixel = np.full(self._state.shape[1], NOWHERE)
        of_pixel[pixel] = window
        wanted = np.flatnonzero(of_pixel != NOWHERE)
        windows, slots = of_pixel[wanted], self._allocate(len(wanted))
        of_pixel[wanted] = slots
        self._slots[entries] = of_pixel[pixel]
        return Wanted(wanted // width, wanted % width, windows, slots)

    def _owned(self, entries: Ints) -> Wanted:
        """One vector for each window; entries come sorted, so that a frame held twice comes twice in a row."""
        window = entries // FRAMES
        new = np.diff(window, prepend=NOWHERE) != 0
        slots = self._allocate(int(new.sum()))
        self._slots[entries] = slots[np.cumsum(new) - 1]
        owner = window[new]
        return Wanted(self.windows.row[owner], self.windows.column[owner], owner, slots)

    def _allocate(self, n: int) -> Ints:
        """Slots nobody uses, ascending; more of them where there are not enough."""
        missing = max(n - len(self._free), 0)
        self._free = np.concatenate([self._free, np.arange(self.capacity, self.capacity + missing)])
        self.capacity += missing
        slots, self._free = np.sort(self._free[:n]), self._free[n:]
        return slots


def _sorted(frames: Ints, dates: int) -> tuple[Ints, Ints]:
    """Order entries by frame: which they are, and where each frame's begin, one number more than frames."""
    short = frames.astype(np.int16) if dates < 1 << 15 else frames  # these are sorted much faster
    begin = np.zeros(dates + 1, np.int64)
    np.cumsum(np.bincount(frames, minlength=dates), out=begin[1:])
    return np.argsort(short, kind="stable"), begin
