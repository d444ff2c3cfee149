"""From physical values to what the networks take; pairing of sensors in time. NumPy only.

`preprocess` applies the function that a card names for a modality. Missing values are NaN before and after.
Under the frame rule `local` a value may also be `UNDECIDED`: it exists, but the loaded interval does not hold the
neighbours in time that decide it. `embed_cube` gives no embedding where a window holds such a value.
"""

from models.preprocessing.pairing import calendar_days, nearest_earlier_on_tie
from models.preprocessing.registry import PREPROCESSING, preprocess
from models.preprocessing.sentinel1 import (
    UNDECIDED,
    normalise_power,
    rolling_mean,
    rolling_mean_of_valid,
)
from models.preprocessing.sentinel2 import CLOUD_CLASSES, clip_reflectance, mask_clouds

__all__ = [
    "CLOUD_CLASSES",
    "PREPROCESSING",
    "UNDECIDED",
    "calendar_days",
    "clip_reflectance",
    "mask_clouds",
    "nearest_earlier_on_tie",
    "normalise_power",
    "preprocess",
    "rolling_mean",
    "rolling_mean_of_valid",
]
