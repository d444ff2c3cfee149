"""Draws training windows from blocks: 11 of a run of consecutive frames, at random, kept in order."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from models.frames import FRAMES, PATCH
from models.frames.windows import HALF, LONGEST, NEAR_DAYS
from models.preprocessing import calendar_days, nearest_earlier_on_tie
from models.training.batches import WindowBatch
from models.training.blocks import Block, BlockSource
from models.training.errors import TrainingError

TRIES = 200  # places to look at before saying that there are no windows


@dataclass(frozen=True)
class Sampling:
    """How windows are drawn; the defaults are the published ones.

    Attributes
    ----------
    batch : int
        Windows of a batch.
    draws : int
        Windows from each run of frames. With one, every window is filled with its own means. With more, the windows
        share their frames' vectors, so a batch costs less, and missing values get the mean of the whole run.
    span : int
        Consecutive frames that 11 are drawn from.
    stride_time, stride_space : int
        Frames and pixels between runs in one epoch; where the first one lies changes from epoch to epoch.
    least_valid : float
        Share of valid values that a frame of the reference needs in the patch.
    memory : int
        Bytes of blocks that are kept in memory.
    """

    batch: int = 16
    draws: int = 1
    span: int = 20
    stride_time: int = 17
    stride_space: int = 9
    least_valid: float = 0.03
    memory: int = 2 * 1024**3

    def __post_init__(self) -> None:
        if self.span < FRAMES:
            raise TrainingError(f"span is {self.span}; a window holds {FRAMES} frames, so it must be at least that")
        if self.batch % self.draws:
            raise TrainingError(f"draws is {self.draws}; it must divide the batch of {self.batch}")


@dataclass(frozen=True)
class Sensors:
    """The modalities to draw (the reference first is not needed), and those that may be missing."""

    ids: tuple[str, ...]
    reference: str
    optional: frozenset[str] = frozenset()


class BlockSampler:
    """A `WindowSource` on training blocks and validation blocks.

    Every number follows from `seed` and the number of the batch. Batches of one number are the same whatever was
    asked for before, so that training resumes where it stopped.
    """

    def __init__(
        self,
        blocks: BlockSource,
        held_out: BlockSource,
        sensors: Sensors,
        sampling: Sampling,
        *,
        seed: int = 0,
        validation_windows: int = 256,
    ) -> None:
        if not len(blocks):
            raise TrainingError("There is no block to train on")
        self.sensors, self.sampling, self.seed = sensors, sampling, seed
        self._blocks = _Cache(blocks, sampling.memory)
        self._held_out = held_out
        self._windows = validation_windows
        self._places = np.concatenate([self._of_block(i, *blocks.shape(i)) for i in range(len(blocks))])
        self._order = lru_cache(maxsize=2)(self._permuted)

    def with_sampling(self, sampling: Sampling) -> BlockSampler:
        """Return a sampler on the same blocks that draws otherwise."""
        other = copy(self)
        other.sampling = sampling
        other._order = lru_cache(maxsize=2)(other._permuted)
        return other

    @property
    def steps_per_epoch(self) -> int:
        """How many batches show every place once."""
        return max(len(self._places) // (self.sampling.batch // self.sampling.draws), 1)

    def batch(self, step: int) -> WindowBatch:
        """Return the training batch of that number."""
        epoch, within = divmod(step, self.steps_per_epoch)
        order, series = self._order(epoch), self.sampling.batch // self.sampling.draws
        random = np.random.default_rng((self.seed, 1, step))
        chosen = order[(within * series + np.arange(series)) % len(order)]
        return collate([self._draw(self._places[i], epoch, random) for i in chosen])

    def validation(self) -> Sequence[WindowBatch]:
        """Return windows of 11 consecutive frames from the held-out blocks, drawn once."""
        random = np.random.default_rng((self.seed, 2))
        sampling, found = self.sampling, []
        blocks = [self._held_out.load(i) for i in range(len(self._held_out))] if self._windows else []
        for tries in range(TRIES + 20 * self._windows if blocks else 0):
            block = blocks[tries % len(blocks)]
            place = (int(random.integers(block.inner[0])), int(random.integers(block.inner[1])))
            run = _Run.at(block, place, self.sensors, sampling.least_valid)
            series = run.draw(random, None, FRAMES, 1) if run else None
            if series:
                found.append(series)
            if len(found) == self._windows:
                break
        if blocks and not found:
            raise TrainingError(_too_few("The held-out blocks have", self.sensors))
        size = sampling.batch
        return [collate(found[i : i + size]) for i in range(0, len(found), size)]

    def _of_block(self, index: int, dates: int, height: int, width: int) -> NDArray[np.int64]:
        """Places of an epoch: (block, row, column, which of the runs in time)."""
        if min(height, width) < PATCH:
            raise TrainingError(f"A block has {height} x {width} pixels; a window needs {PATCH} x {PATCH}")
        stride = self.sampling.stride_space
        rows, columns = np.arange(0, height - PATCH + 1, stride), np.arange(0, width - PATCH + 1, stride)
        runs = np.arange(0, max(dates - self.sampling.span, 0) + 1, self.sampling.stride_time)
        grid = np.stack(np.meshgrid(rows, columns, np.arange(len(runs)), indexing="ij"), -1).reshape(-1, 3)
        return np.column_stack([np.full(len(grid), index), grid])

    def _permuted(self, epoch: int) -> NDArray[np.int64]:
        """Shuffle places within pools of blocks that fit into memory together."""
        random = np.random.default_rng((self.seed, 3, epoch))
        block_of = self._places[:, 0]
        blocks = random.permutation(int(block_of.max()) + 1)
        parts = []
        for i in range(0, len(blocks), self._blocks.pool):
            inside = np.flatnonzero(np.isin(block_of, blocks[i : i + self._blocks.pool]))
            parts.append(random.permutation(inside))
        return np.concatenate(parts)

    def _draw(self, place: NDArray[np.int64], epoch: int, random: np.random.Generator) -> _Series:
        """Draw at a place, shifted anew each epoch; elsewhere in the block or in others where it has no windows."""
        sampling = self.sampling
        shift = np.random.default_rng((self.seed, 4, epoch)).integers(0, sampling.stride_space, 2)
        index, row, column, run = map(int, place)
        for attempt in range(TRIES):
            block = self._blocks.load(index)
            rows, columns = block.inner
            at = ((row + int(shift[0])) % rows, (column + int(shift[1])) % columns)
            frames = _Run.at(block, at, self.sensors, sampling.least_valid)
            series = frames.draw(random, run * sampling.stride_time, sampling.span, sampling.draws) if frames else None
            if series:
                return series
            if attempt % 10 == 9:
                index = int(random.integers(int(self._places[-1, 0]) + 1))
            row, column = int(random.integers(rows)), int(random.integers(columns))
        raise TrainingError(_too_few("The training blocks have", self.sensors))


def _too_few(what: str, sensors: Sensors) -> str:
    others = [m for m in sensors.ids if m != sensors.reference and m not in sensors.optional]
    also = f", each with an acquisition of {' and '.join(others)}" if others else ""
    return (
        f"{what} too few dates: no place was found with {FRAMES} acquisitions of {sensors.reference} that see it, the "
        f"centre pixel valid{also}. Train on a longer interval, or on a site with fewer clouds"
    )


@dataclass(frozen=True)
class _Series:
    """A run of frames at one place and the windows drawn from it, as NumPy arrays."""

    frames: dict[str, NDArray[np.float32]]  # (length, channels, 15, 15)
    order: NDArray[np.int64]  # (draws, 11)
    gaps: dict[str, NDArray[np.int64]]  # (draws, 10)
    delta: NDArray[np.int64]  # (draws,)
    present: dict[str, NDArray[np.bool_]]  # (draws,)


@dataclass(frozen=True)
class _Run:
    """What a place sees: the reference's acquisitions, whether they may be centres, the partners of each."""

    block: Block
    place: tuple[int, int]
    reference: str
    dates: NDArray[np.int64]  # (n,)
    central: NDArray[np.bool_]  # (n,)
    partners: dict[str, NDArray[np.int64] | None]  # (n,), None where the place has no acquisition

    @classmethod
    def at(cls, block: Block, place: tuple[int, int], sensors: Sensors, least_valid: float) -> _Run | None:
        """Look at a place; None where it has too few acquisitions."""
        row, column = place
        dates = np.flatnonzero(block.shares[sensors.reference][:, row, column] >= least_valid)
        if len(dates) < FRAMES:
            return None
        partners: dict[str, NDArray[np.int64] | None] = {}
        for m in sensors.ids:
            own = np.flatnonzero(block.shares[m][:, row, column] > 0)
            if m == sensors.reference:
                partners[m] = dates
            elif len(own):
                times = block.times[sensors.reference][dates]
                partners[m] = own[nearest_earlier_on_tie(times, block.times[m][own])]
            elif m in sensors.optional:
                partners[m] = None
            else:
                return None
        central = _central(block, sensors.reference)[dates, row, column]
        return cls(block, place, sensors.reference, dates, central, partners)

    def draw(self, random: np.random.Generator, start: int | None, span: int, draws: int) -> _Series | None:
        """Draw windows from the run of `span` frames at `start` (about; anywhere for None); None without any."""
        last = max(len(self.dates) - span, 0)
        begin = int(random.integers(last + 1)) if start is None else min(start, last)
        part = slice(begin, begin + span)
        order = _orders(self.central[part], draws, random)
        if order is None:
            return None
        if draws == 1:  # nothing is shared: leave out what no window holds, so that fills are the window's own
            part, order = part.start + order[0], np.arange(FRAMES)[None]
        return self._series(part, order)

    def _series(self, part: slice | NDArray[np.int64], order: NDArray[np.int64]) -> _Series:
        block, (row, column) = self.block, self.place
        days = {m: calendar_days(t) for m, t in block.times.items()}
        own = self.partners[self.reference]
        assert own is not None  # for the type checker: a run has dates
        centre = days[self.reference][own[part]][order[:, HALF]]
        frames, gaps, present, distances = {}, {}, {}, [np.zeros_like(centre)]
        long = np.ptp(days[self.reference][own[part]][order], axis=1) >= LONGEST
        for m, partner in self.partners.items():
            cube = block.cubes[m][:, :, row : row + PATCH, column : column + PATCH]
            if partner is None:
                frames[m] = np.full((len(own[part]), cube.shape[0], PATCH, PATCH), np.nan, np.float32)
                gaps[m], present[m] = np.ones((len(order), FRAMES - 1), np.int64), np.zeros(len(order), bool)
                continue
            frames[m] = np.moveaxis(cube[:, partner[part]], 0, 1)
            when = days[m][partner[part]][order]
            gaps[m] = np.where(long[:, None], 1, np.diff(when, axis=1))
            away = np.abs(when[:, HALF] - centre)
            present[m] = away <= NEAR_DAYS
            distances.append(away)
        return _Series(frames, order, gaps, np.max(distances, axis=0), present)


def _orders(central: NDArray[np.bool_], draws: int, random: np.random.Generator) -> NDArray[np.int64] | None:
    """Draw sets of 11 of n frames, all alike probable among those with a valid centre; (draws, 11).

    Several draws have different centres where there are enough.
    """
    n = len(central)
    before = np.arange(n)
    weight = np.where(central, _choices(before) * _choices(n - 1 - before), 0.0)
    possible = int((weight > 0).sum())
    if not possible:
        return None
    centres = random.choice(n, draws, replace=possible < draws, p=weight / weight.sum())
    orders = []
    for c in centres.tolist():
        early, late = random.choice(c, HALF, replace=False), random.choice(n - 1 - c, HALF, replace=False) + c + 1
        orders.append(np.concatenate([np.sort(early), [c], np.sort(late)]))
    return np.array(orders, np.int64)


def _choices(n: NDArray[np.int64]) -> NDArray[np.float64]:
    """How many ways there are to choose five of n."""
    product = np.ones(len(n))
    for i in range(HALF):
        product *= np.maximum(n - i, 0)
    return product


@lru_cache(maxsize=64)
def _central(block: Block, reference: str) -> NDArray[np.bool_]:
    return block.centre_valid(reference)


def collate(series: Sequence[_Series]) -> WindowBatch:
    """Stack series of one length; shorter ones are filled up with frames that no window holds."""
    longest = max(len(next(iter(s.frames.values()))) for s in series)

    def padded(frames: NDArray[np.float32]) -> NDArray[np.float32]:
        lacking = longest - len(frames)
        return (
            np.concatenate([frames, np.full((lacking, *frames.shape[1:]), np.nan, np.float32)]) if lacking else frames
        )

    ids = series[0].frames
    return WindowBatch(
        {m: torch.from_numpy(np.stack([padded(s.frames[m]) for s in series])) for m in ids},
        torch.from_numpy(np.stack([s.order for s in series])),
        {m: torch.from_numpy(np.stack([s.gaps[m] for s in series])) for m in ids},
        torch.from_numpy(np.stack([s.delta for s in series])),
        {m: torch.from_numpy(np.stack([s.present[m] for s in series])) for m in ids},
    )


class _Cache:
    """Loads blocks and keeps the latest of them within a number of bytes. Two threads may ask at once."""

    def __init__(self, source: BlockSource, memory: int) -> None:
        self._source, self._memory = source, memory
        self._kept: OrderedDict[int, Block] = OrderedDict()
        self._turn = threading.Lock()
        largest = max(self.load(0).bytes, 1)
        self.pool = max(memory // largest, 1)

    def load(self, index: int) -> Block:
        with self._turn:
            if index not in self._kept:
                self._kept[index] = self._source.load(index)
            self._kept.move_to_end(index)
            while len(self._kept) > 1 and sum(b.bytes for b in self._kept.values()) > self._memory:
                self._kept.popitem(last=False)
            return self._kept[index]
