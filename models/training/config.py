"""Settings of a training run, as they are saved beside its weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from models.training.errors import TrainingError

CONFIG_FILE = "config.json"


@dataclass(frozen=True)
class TrainingConfig:
    """How the weights are fitted; the defaults are the published ones of stage 1.

    Attributes
    ----------
    rate, weight_decay, clip : float
        AdamW's learning rate and weight decay, the largest norm of a gradient.
    rates : {"equal", "by_width"}
        ``by_width`` divides the rate of every weight by the number of weights that its neuron sums over (Yang et al.
        2022), so that wide layers do not run ahead of the others: for short runs. Rates are then larger, about 0.03.
    schedule : {"plateau", "cosine"}
        ``plateau``: linear warm-up, then less whenever the validation error stops falling. ``cosine``: linear warm-up,
        then down to nothing at the last of `steps`: for runs of a known length.
    warmup : int
        Steps from a thousandth of the rate to all of it.
    steps : int
        Where the run ends; 0 for no limit but the early stop.
    factor, patience, least_rate, stop_after
        Of the plateau: what the rate is multiplied by, after how many epochs without a better validation error, its
        minimum, and after how many such epochs the run stops.
    epoch : int
        Steps between two validations; 0 for once through all places.
    precision : {"fp32", "bf16"}
    dropout : bool
        Whether units are dropped in training; short runs do better without.
    wide_kernels : bool
        Without, the 7 x 7 convolutions are left out (their weights are 0): a step costs less than half. To warm up.
    decoded : int
        Frames of a window that are decoded, odd; 11 is all. 98.2 % of the loss's weight are on three, 82 % on one.
    keep, log : int
        Steps between two checkpoints, and between two lines of the log.
    seed : int
    """

    rate: float = 1e-4
    weight_decay: float = 1.5e-4
    clip: float = 1.0
    rates: Literal["equal", "by_width"] = "equal"
    schedule: Literal["plateau", "cosine"] = "plateau"
    warmup: int = 35_000
    steps: int = 0
    factor: float = 0.35
    patience: int = 5
    least_rate: float = 1.5e-6
    stop_after: int = 16
    epoch: int = 0
    precision: Literal["fp32", "bf16"] = "fp32"
    dropout: bool = True
    wide_kernels: bool = True
    decoded: int = 11
    keep: int = 500
    log: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if self.schedule == "cosine" and self.steps <= self.warmup:
            raise TrainingError(
                f"With the schedule 'cosine' steps ({self.steps}) must be more than warmup ({self.warmup})"
            )
        if self.decoded not in range(1, 12, 2):
            raise TrainingError(f"decoded is {self.decoded}; it must be odd, from 1 to 11")
        for name in ("rate", "clip", "keep", "log"):
            if getattr(self, name) <= 0:
                raise TrainingError(f"{name} is {getattr(self, name)}; it must be more than 0")


# What stage 2 has otherwise.
FUSION_DEFAULTS: dict[str, Any] = {"warmup": 30_000, "factor": 0.3, "patience": 9, "least_rate": 3.5e-7}


def save_config(folder: Path, config: TrainingConfig, about: dict[str, Any]) -> None:
    """Write the settings, and what the run is `about`, into a run's folder."""
    text = json.dumps({"training": asdict(config), **about}, indent=2)
    (folder / CONFIG_FILE).write_text(text + "\n", "utf-8")


def check_config(folder: Path, config: TrainingConfig, about: dict[str, Any]) -> None:
    """Refuse to resume a run with other settings than it began with.

    Raises
    ------
    TrainingError
        The message names the first setting that differs. Length, log and checkpoints may.
    """
    saved = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
    free = {"keep", "log"} | ({"steps"} if config.schedule == "plateau" else set())
    for name in (f.name for f in fields(config)):
        then, now = saved["training"].get(name), getattr(config, name)
        if name not in free and then != now:
            raise TrainingError(
                f"The run in {folder} was begun with {name} = {then!r}, not {now!r}: resume it as it was"
            )
    for name, now in json.loads(json.dumps(about)).items():
        if saved.get(name) != now:
            raise TrainingError(
                f"The run in {folder} was begun with {name} = {saved.get(name)!r}, not {now!r}: resume it as it was"
            )
