"""Polygonal parcels: land is cut again and again by nearly parallel lines, as inheritance and land reform do."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

NO_LINE = 127


class Parcels(NamedTuple):
    """`label` (y, x): parcel number below `total`, -1 outside. `level` (y, x): the oldest cut through a pixel.

    Cuts are numbered by generation, from 0; `NO_LINE` is where there is none.
    """

    label: NDArray[np.int32]
    level: NDArray[np.int8]
    total: int


class _Piece(NamedTuple):
    row: NDArray[np.float32]
    column: NDArray[np.float32]
    angle: float
    level: int


def cut_parcels(
    rng: np.random.Generator, mask: NDArray[np.bool_], smallest: float, largest: float, angle: float
) -> Parcels:
    """Cut the pixels of `mask` into pieces of `smallest` to `largest` pixels, convex where the mask is.

    Parameters
    ----------
    angle : float
        Direction of the first cut, radians; later ones turn a few degrees away from their parent's.
    """
    label = np.full(mask.shape, -1, np.int32)
    level = np.full(mask.shape, NO_LINE, np.int8)
    rows, columns = np.nonzero(mask)
    pieces = [_Piece(rows.astype(np.float32), columns.astype(np.float32), angle, 0)]
    count = 0
    while pieces:
        piece = pieces.pop()
        if _is_done(rng, piece.row.size, smallest, largest):
            label[piece.row.astype(np.intp), piece.column.astype(np.intp)] = count
            count += 1 if piece.row.size else 0
        else:
            pieces.extend(_cut(rng, piece, level, smallest, largest))
    return Parcels(label, level, count)


def _is_done(rng: np.random.Generator, size: int, smallest: float, largest: float) -> bool:
    return size < 2 * smallest or (size <= largest and bool(rng.random() < 0.5))


def _cut(
    rng: np.random.Generator, piece: _Piece, level: NDArray[np.int8], smallest: float, largest: float
) -> list[_Piece]:
    """Cut a piece across its longer side (sometimes lengthwise: strips), and mark the cut in `level`."""
    angle = piece.angle + float(rng.normal(0, np.radians(4)))
    along = piece.column * np.float32(np.cos(angle)) + piece.row * np.float32(np.sin(angle))
    across = piece.row * np.float32(np.cos(angle)) - piece.column * np.float32(np.sin(angle))
    length, breadth = float(np.ptp(along)) + 1, float(np.ptp(across)) + 1
    lengthwise = piece.row.size < 3 * largest and rng.random() < 0.35 and length < 1.8 * breadth < 3.2 * length
    axis = along if (length > breadth) != lengthwise else across
    least = max(0.36, smallest / piece.row.size)
    share = float(rng.uniform(least, 1 - least))
    # A quantile, not a share of the extent: both halves keep a fair area whatever the shape.
    distance = axis - np.quantile(axis, share).astype(np.float32)
    on_line = np.abs(distance) < 0.55
    rows, columns = piece.row[on_line].astype(np.intp), piece.column[on_line].astype(np.intp)
    level[rows, columns] = np.minimum(level[rows, columns], piece.level)
    low = distance < 0
    return [_Piece(piece.row[side], piece.column[side], angle, piece.level + 1) for side in (low, ~low)]
