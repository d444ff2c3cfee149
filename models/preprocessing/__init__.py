"""From physical values to what the networks take; pairing of sensors in time. NumPy only.

`preprocess` applies what a card names or declares for a modality. Missing values are NaN before and after.
Under the frame rule `local` a value may also be `UNDECIDED`: it exists, but the loaded interval does not hold the
neighbours in time that decide it. `embed_cube` gives no embedding where a window holds such a value.
"""

from models.preprocessing.in_time import UNDECIDED, rolling_mean, rolling_mean_of_valid
from models.preprocessing.pairing import calendar_days, nearest_earlier_on_tie
from models.preprocessing.registry import PREPROCESSING, preprocess, steps_of
from models.preprocessing.sentinel2 import CLOUD_CLASSES, mask_clouds
from models.preprocessing.steps import Step, StepError, parse_steps, steps_to_json

__all__ = [
    "CLOUD_CLASSES",
    "PREPROCESSING",
    "UNDECIDED",
    "Step",
    "StepError",
    "calendar_days",
    "mask_clouds",
    "nearest_earlier_on_tie",
    "parse_steps",
    "preprocess",
    "rolling_mean",
    "rolling_mean_of_valid",
    "steps_of",
    "steps_to_json",
]
