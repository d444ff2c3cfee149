"""Blocks of pixels that windows are drawn from: training and validation share no pixel. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.frames import EDGE, PATCH
from models.training.errors import TrainingError

Cube = NDArray[np.float32]
Times = NDArray[np.datetime64]
Span = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Block:
    """One block, in memory.

    Attributes
    ----------
    cubes : mapping of modality to (channels, t, y, x) float32
        Preprocessed, NaN = missing, on one grid of at least 15 x 15 pixels.
    times : mapping of modality to (t,) datetime64, ascending
    """

    cubes: Mapping[str, Cube]
    times: Mapping[str, Times]

    @property
    def inner(self) -> tuple[int, int]:
        """Rows and columns of places that a whole patch fits round."""
        height, width = next(iter(self.cubes.values())).shape[2:]
        return height - 2 * EDGE, width - 2 * EDGE

    @property
    def bytes(self) -> int:
        """Size of the cubes."""
        return sum(cube.nbytes for cube in self.cubes.values())

    @cached_property
    def shares(self) -> dict[str, NDArray[np.float32]]:
        """By modality the share of valid values in the patch round each place, (t, y - 14, x - 14)."""
        return {m: _box_mean(np.isfinite(cube).mean(axis=0, dtype=np.float32)) for m, cube in self.cubes.items()}

    def centre_valid(self, modality: str) -> NDArray[np.bool_]:
        """Whether a place itself has any value, (t, y - 14, x - 14)."""
        cube = self.cubes[modality][:, :, EDGE:-EDGE, EDGE:-EDGE]
        return np.asarray(np.isfinite(cube).any(axis=0))


class BlockSource(Protocol):
    """Blocks by number, loaded one at a time."""

    def __len__(self) -> int:
        """Count the blocks."""
        ...

    def shape(self, index: int) -> tuple[int, int, int]:
        """Return dates of the reference, rows and columns of a block without loading it."""
        ...

    def load(self, index: int) -> Block:
        """Load a block."""
        ...


class LoadedBlocks:
    """Blocks that are in memory already."""

    def __init__(self, blocks: list[Block], reference: str) -> None:
        self._blocks, self._reference = blocks, reference

    def __len__(self) -> int:
        return len(self._blocks)

    def shape(self, index: int) -> tuple[int, int, int]:
        """Return dates, rows and columns."""
        _, t, y, x = self._blocks[index].cubes[self._reference].shape
        return t, y, x

    def load(self, index: int) -> Block:
        """Return the block."""
        return self._blocks[index]


class JoinedBlocks:
    """Several sources as one."""

    def __init__(self, sources: list[BlockSource]) -> None:
        self._where = [(source, i) for source in sources for i in range(len(source))]

    def __len__(self) -> int:
        return len(self._where)

    def shape(self, index: int) -> tuple[int, int, int]:
        """Return dates, rows and columns."""
        source, i = self._where[index]
        return source.shape(i)

    def load(self, index: int) -> Block:
        """Load from the source that has it."""
        source, i = self._where[index]
        return source.load(i)


def split_blocks(
    height: int, width: int, side: int, share: float, seed: int
) -> tuple[list[tuple[Span, Span]], list[tuple[Span, Span]]]:
    """Cut a grid into squares of about `side` pixels and draw the `share` of them that is for validation.

    A window lies inside one square, so no window of one kind shares a pixel with one of the other.

    Returns
    -------
    (training, validation)
        Lists of ((row, row), (column, column)).

    Raises
    ------
    TrainingError
        The grid does not hold two squares of 15 pixels.
    """
    rows, columns = _cut(height, side), _cut(width, side)
    squares = [(r, c) for r in rows for c in columns]
    if share <= 0:
        return squares, []
    if len(squares) < 2:
        raise TrainingError(
            f"The site of {height} x {width} pixels holds only one block of {side} pixels, so nothing could be held "
            f"out: lower the block size (at least {PATCH}) or train on a larger site"
        )
    held = min(max(round(share * len(squares)), 1), len(squares) - 1)
    order = np.random.default_rng((seed, 17)).permutation(len(squares)).tolist()
    return [squares[i] for i in sorted(order[held:])], [squares[i] for i in sorted(order[:held])]


def _cut(length: int, side: int) -> list[Span]:
    parts = max(length // max(side, PATCH), 1)
    edges = np.linspace(0, length, parts + 1).round().astype(int).tolist()
    return list(pairwise(edges))


def _box_mean(values: Cube) -> Cube:
    """Mean over the 15 x 15 pixels round each place, (t, y, x) -> (t, y - 14, x - 14)."""
    total = np.pad(values.astype(np.float64), ((0, 0), (1, 0), (1, 0))).cumsum(1).cumsum(2)
    sums = total[:, PATCH:, PATCH:] - total[:, :-PATCH, PATCH:] - total[:, PATCH:, :-PATCH] + total[:, :-PATCH, :-PATCH]
    return np.asarray(sums / PATCH**2, np.float32)
