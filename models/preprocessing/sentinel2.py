"""Sentinel-2 L2A: clouds to NaN."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Scene classification: no data, saturated or defective, cloud shadow, cloud of medium and high probability, cirrus.
CLOUD_CLASSES = (0, 1, 3, 8, 9, 10)


def mask_clouds(reflectance: NDArray[np.float32], scl: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return `reflectance` (bands, t, y, x) with NaN where the scene classification (t, y, x) is no clear sight.

    A scene classification of NaN masks as well: nothing is known there.
    """
    unclear = np.isin(scl, CLOUD_CLASSES) | np.isnan(scl.astype(np.float32))
    return np.where(unclear, np.float32(np.nan), reflectance)
