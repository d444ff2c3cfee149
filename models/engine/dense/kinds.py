"""Kinds of position in a patch, by which taps of a zero-padded convolution stay inside."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.frames import EDGE, PATCH

REACH = 3  # of the 7x7 convolution, in pixels
KINDS = 7  # along one axis: three cut short at the beginning, the whole kernel, three cut short at the end
WHOLE = 3  # the kind of an inner position

# First and last tap offset inside the patch, for each kind.
TAPS = tuple((max(-REACH, -k), min(REACH, 2 * REACH - k)) for k in range(KINDS))


def kinds_along_axis() -> NDArray[np.int64]:
    """Return the kind of each of a patch's 15 positions along one axis."""
    position = np.arange(PATCH)
    return np.where(position < REACH, position, np.where(position < PATCH - REACH, WHOLE, position - (PATCH - KINDS)))


def small_kind(kind: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the kind (0, 1, 2) of the 3x3 convolution at positions of these kinds of the 7x7."""
    return np.where(kind == 0, 0, np.where(kind == KINDS - 1, 2, 1))


assert PATCH == 2 * EDGE + 1 > 2 * REACH  # at every position at most one end of a kernel is cut
