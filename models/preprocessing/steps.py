"""Preprocessing as a card declares it: a tuple of steps, each with its numbers, applied one after the other.

Which steps there are stands in `OPERATIONS`; docs/models.md describes them to those who write cards.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from models.preprocessing.in_time import rolling_mean, rolling_mean_of_valid

Array = NDArray[np.float32]
Channels = tuple[int, ...] | None


class StepError(ValueError):
    """A declared step that cannot be used; the message says which one and why."""


class Step(Protocol):
    """One operation with its numbers; hashable."""

    def apply(self, values: Array, frames: str) -> Array:
        """Return new values of ``values`` (bands, t, y, x) for the frame rule `frames`; NaN stays NaN."""
        ...


@dataclass(frozen=True)
class RollingMean:
    """Mean over consecutive acquisitions in time; see `models.preprocessing.in_time` for the two frame rules."""

    acquisitions: int

    def __post_init__(self) -> None:
        if not isinstance(self.acquisitions, int) or self.acquisitions < 3 or self.acquisitions % 2 == 0:
            raise StepError(f"`acquisitions` is {self.acquisitions!r}; it must be an odd number from 3 on")

    def apply(self, values: Array, frames: str) -> Array:
        """Average in time."""
        return (rolling_mean_of_valid if frames == "local" else rolling_mean)(values, self.acquisitions)


@dataclass(frozen=True)
class _OfBands:
    """An operation on some channels, all by default."""

    channels: Channels = None

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name != "channels" and not _is_number(value):
                raise StepError(f"`{f.name}` is {value!r}; it must be a finite number")

    def apply(self, values: Array, frames: str) -> Array:
        """Apply to the own channels, keep the others."""
        if self.channels is None:
            return self.each(values)
        out = values.copy()
        own = list(self.channels)
        out[own] = self.each(values[own])
        return out

    def each(self, values: Array) -> Array:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Decibel(_OfBands):
    """Linear power in decibels, ``10 * log10(x)``; what lies below `floor`, or is no power at all, becomes `floor`."""

    floor: float

    def each(self, values: Array) -> Array:
        """Convert."""
        with np.errstate(divide="ignore", invalid="ignore"):
            decibels = 10 * np.log10(np.maximum(values, 0))
        return np.asarray(np.maximum(decibels, np.float32(self.floor)), np.float32)


@dataclass(frozen=True, kw_only=True)
class Linear(_OfBands):
    """``x * scale + offset``."""

    scale: float
    offset: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scale == 0:
            raise StepError("`scale` is 0: nothing would be left of the values")

    def each(self, values: Array) -> Array:
        """Scale, then shift."""
        return values * np.float32(self.scale) + np.float32(self.offset)


@dataclass(frozen=True, kw_only=True)
class _Range(_OfBands):
    min: float
    max: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.min < self.max:
            raise StepError(f"`min` is {self.min!r} and `max` {self.max!r}; `min` must be the smaller one")


@dataclass(frozen=True, kw_only=True)
class Valid(_Range):
    """Values beyond `min` and `max` are missing: what a sensor's files write for no data, saturation or clouds."""

    def each(self, values: Array) -> Array:
        """Make them NaN."""
        return np.where((values >= np.float32(self.min)) & (values <= np.float32(self.max)), values, np.float32(np.nan))


@dataclass(frozen=True, kw_only=True)
class Clip(_Range):
    """Values beyond `min` and `max` become these."""

    def each(self, values: Array) -> Array:
        """Clip."""
        return np.clip(values, np.float32(self.min), np.float32(self.max))


@dataclass(frozen=True, kw_only=True)
class MinMax(_Range):
    """``(x - min) / (max - min)``: `min` becomes 0 and `max` 1. Does not clip."""

    def each(self, values: Array) -> Array:
        """Scale."""
        return np.asarray((values - self.min) / (self.max - self.min), np.float32)


OPERATIONS: dict[str, type[Any]] = {
    "rolling_mean": RollingMean,
    "decibel": Decibel,
    "linear": Linear,
    "valid": Valid,
    "clip": Clip,
    "min_max": MinMax,
}


def parse_steps(entries: Sequence[Any], bands: Sequence[str]) -> tuple[Step, ...]:
    """Build steps from their JSON form, a list of objects with ``op``, numbers, and ``bands`` by name.

    Parameters
    ----------
    bands : sequence of str
        The modality's, in the order of its channels.

    Raises
    ------
    StepError
        Names the step and what is wrong with it.
    """
    steps = []
    for number, entry in enumerate(entries, 1):
        try:
            steps.append(_parse(entry, list(bands)))
        except (StepError, TypeError) as error:
            raise StepError(f"step {number} of the preprocessing: {error}") from error
    if sum(isinstance(s, RollingMean) for s in steps) > 1:
        raise StepError("the preprocessing has more than one rolling_mean; one is what the frame rules allow")
    return tuple(steps)


def steps_to_json(steps: Sequence[Step], bands: Sequence[str]) -> list[dict[str, Any]]:
    """Return the JSON form of steps, which `parse_steps` takes."""
    names = {kind: name for name, kind in OPERATIONS.items()}
    entries = []
    for step in steps:
        numbers = {f.name: getattr(step, f.name) for f in fields(step)}  # type: ignore[arg-type]
        channels = numbers.pop("channels", None)
        own = {} if channels is None else {"bands": [bands[i] for i in channels]}
        entries.append({"op": names[type(step)], **numbers, **own})
    return entries


def apply_steps(values: Array, steps: Sequence[Step], frames: str) -> Array:
    """Apply `steps` to ``values`` (bands, t, y, x) for the frame rule `frames`.

    What a rolling mean leaves `models.preprocessing.UNDECIDED` is so in the end.
    """
    values = np.asarray(values, np.float32)
    undecided = None
    for step in steps:
        values = step.apply(values, frames)
        if isinstance(step, RollingMean):
            undecided = np.isposinf(values)
    return values if undecided is None else np.where(undecided, np.float32(np.inf), values)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _parse(entry: Any, bands: list[str]) -> Step:
    if not isinstance(entry, Mapping):
        raise StepError(f"{entry!r} is no object with `op`")
    numbers = {k: v for k, v in entry.items() if k not in ("op", "bands")}
    kind = OPERATIONS.get(str(entry.get("op")))
    if kind is None:
        raise StepError(f"there is no `op` {entry.get('op')!r}; known: {', '.join(OPERATIONS)}")
    known = {f.name for f in fields(kind)}
    if "bands" in entry:
        if "channels" not in known:
            raise StepError(f"`{entry['op']}` takes all bands; leave `bands` out")
        numbers["channels"] = _channels(entry["bands"], bands)
    unknown = [k for k in entry if k not in known | {"op", "bands"} or k == "channels"]
    if unknown:
        takes = ", ".join(sorted(known - {"channels"}))
        raise StepError(f"`{entry['op']}` knows no {', '.join(map(repr, unknown))}; it takes {takes}")
    made: Step = kind(**numbers)
    return made


def _channels(names: Any, bands: list[str]) -> tuple[int, ...]:
    if not isinstance(names, list) or not names or len({str(n) for n in names}) < len(names):
        raise StepError(f"`bands` is {names!r}; it must be a list of different bands")
    for name in names:
        if name not in bands:
            raise StepError(f"`bands` names {name!r}, which is none of the sensor's: {', '.join(bands)}")
    return tuple(bands.index(name) for name in names)
