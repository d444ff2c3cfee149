"""Items in time: their properties, how granules form acquisitions, and which of them a request wants.

An acquisition is one pass of a sensor: the granules of one platform, orbit and solar day. It is one time label of a
cube; where its granules overlap, the first valid value is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processes.environment import Halo
from processes.errors import OpenEOError
from processes.sources.extents import Interval, invalid

# Granules of one pass follow each other within seconds; this tells passes apart where no orbit number is known.
PASS_GAP = np.timedelta64(10, "m")
_TRACK = ("platform", "sat:relative_orbit", "sat:orbit_state")


@dataclass(frozen=True)
class Acquisition:
    """One pass: its time label, and its granules as indices into the storage, the best first."""

    time: np.datetime64
    items: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Items:
    """The stored granules: times (n,) datetime64[ns] UTC and, per STAC property, n values (None = not known)."""

    time: NDArray[np.datetime64]
    properties: Mapping[str, Sequence[Any]]

    def acquisitions(self, longitude: float) -> tuple[Acquisition, ...]:
        """Return the passes in order of time; `longitude` (degrees) tells one solar day from the next.

        ValueError when two passes share a time label: nothing could tell them apart in a cube.
        """
        passes: list[list[int]] = []
        latest: dict[tuple[Any, ...], list[int]] = {}
        for index in np.argsort(self.time, kind="stable").tolist():
            track = self._track(index)
            last = latest.get(track)
            if last is not None and self._same_pass(last[-1], index, longitude):
                last.append(index)
            else:
                latest[track] = [index]
                passes.append(latest[track])
        found = tuple(Acquisition(self.time[p[0]], self._best_first(p)) for p in passes)
        _refuse_twins(found)
        return found

    def select(
        self,
        acquisitions: Sequence[Acquisition],
        interval: Interval | None,
        predicates: Mapping[str, Callable[[Any], Any]],
        halo: Halo | None,
    ) -> tuple[Acquisition, ...]:
        """Return the acquisitions inside the half-open interval, reduced to the items that meet all predicates.

        `OpenEOError` NoDataAvailable when nothing is left (before the halo's days are added).
        """
        self._refuse_unknown(predicates)
        asked = self._meeting(_within(acquisitions, interval, 0.0), predicates)
        if not asked:
            raise self._nothing(acquisitions, interval, predicates)
        if halo is None or halo.days <= 0:
            return asked
        return self._meeting(_within(acquisitions, interval, halo.days), predicates)

    def _track(self, index: int) -> tuple[Any, ...]:
        return tuple(self.properties[name][index] for name in _TRACK if name in self.properties)

    def _same_pass(self, first: int, second: int, longitude: float) -> bool:
        to_solar = np.timedelta64(round(longitude / 15 * 3600), "s")
        days = [(self.time[i] + to_solar).astype("datetime64[D]") for i in (first, second)]
        orbits = self.properties.get("sat:relative_orbit")
        known = orbits is not None and orbits[first] is not None
        return bool(days[0] == days[1] and (known or self.time[second] - self.time[first] <= PASS_GAP))

    def _best_first(self, granules: list[int]) -> tuple[int, ...]:
        """Return granules with the newest processing baseline first, else in order of time."""
        baselines = self.properties.get("s2:processing_baseline")
        if baselines is None:
            return tuple(granules)
        return tuple(sorted(granules, key=lambda index: str(baselines[index] or ""), reverse=True))

    def _meeting(
        self, acquisitions: Sequence[Acquisition], predicates: Mapping[str, Callable[[Any], Any]]
    ) -> tuple[Acquisition, ...]:
        if not predicates:
            return tuple(acquisitions)
        kept = (replace(a, items=tuple(i for i in a.items if self._meets(i, predicates))) for a in acquisitions)
        return tuple(a for a in kept if a.items)

    def _meets(self, index: int, predicates: Mapping[str, Callable[[Any], Any]]) -> bool:
        return all(holds(name, test(self.properties[name][index])) for name, test in predicates.items())

    def _refuse_unknown(self, predicates: Mapping[str, Any]) -> None:
        for name in predicates:
            if name not in self.properties:
                known = ", ".join(sorted(self.properties)) or "none"
                raise invalid("properties", f"items have no property '{name}'; known: {known}.")

    def _nothing(
        self, acquisitions: Sequence[Acquisition], interval: Interval | None, predicates: Mapping[str, Any]
    ) -> OpenEOError:
        inside = len(_within(acquisitions, interval, 0.0))
        if inside:
            names = ", ".join(sorted(predicates))
            message = f"None of the {inside} acquisitions meets the conditions on {names}; relax 'properties'."
        else:
            start, end = (("open" if e is None else text_of(e)) for e in interval or (None, None))
            covered = f"{text_of(acquisitions[0].time)} to {text_of(acquisitions[-1].time)}"
            message = (
                f"There is no data in the interval from {start} to before {end} of parameter 'temporal_extent'; "
                f"the collection's acquisitions are from {covered}."
            )
        return OpenEOError("NoDataAvailable", message)


def holds(name: str, outcome: Any) -> bool:
    """Return what a condition on property `name` said; null counts as false, other things are errors."""
    if outcome is None:
        return False
    value = np.asarray(outcome)
    if value.dtype != bool or value.size != 1:
        raise invalid("properties", f"the condition on '{name}' returned {outcome!r} instead of true or false.")
    return bool(value)


def summarise(values: Sequence[Any]) -> dict[str, Any]:
    """Return type and values (texts, a few integers) or minimum and maximum (numbers) of a property."""
    known = [value for value in values if value is not None]
    if any(isinstance(value, str) for value in known) or not known:
        return {"type": "string", "values": sorted({str(value) for value in known})}
    kind = _number_type(known)
    distinct = sorted(set(known))
    if kind != "number" and len(distinct) <= 20:
        return {"type": kind, "values": distinct}
    return {"type": kind, "minimum": distinct[0], "maximum": distinct[-1]}


def plain_values(values: NDArray[Any]) -> tuple[Any, ...]:
    """Return array elements as Python values: times as RFC 3339 text, NaN and empty text as None."""
    if values.dtype.kind == "M":
        return tuple(None if np.isnat(value) else text_of(value) for value in values)
    elements = [v.item() if isinstance(v, np.generic) else v for v in values]
    return tuple(None if v is None or v == "" or v != v else v for v in elements)


def text_of(instant: np.datetime64) -> str:
    """Return RFC 3339 text in UTC."""
    whole = instant == instant.astype("datetime64[s]")
    return str(np.datetime_as_string(instant, unit="s" if whole else "ms", timezone="UTC"))


def _number_type(values: Sequence[Any]) -> str:
    if all(isinstance(value, bool) for value in values):
        return "boolean"
    return "integer" if all(isinstance(value, int) for value in values) else "number"


def _within(acquisitions: Sequence[Acquisition], interval: Interval | None, days: float) -> tuple[Acquisition, ...]:
    start, end = interval or (None, None)
    margin = np.timedelta64(round(days * 86400e9), "ns")
    return tuple(
        a
        for a in acquisitions
        if (start is None or a.time >= start - margin) and (end is None or a.time < end + margin)
    )


def _refuse_twins(acquisitions: Sequence[Acquisition]) -> None:
    for first, second in pairwise(acquisitions):
        if first.time == second.time:
            raise ValueError(
                f"two passes (platform or orbit differ) have the same time {text_of(first.time)}: an acquisition "
                "is one pass, and its time must tell it from others"
            )
