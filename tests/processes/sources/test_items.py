"""Granules, passes, and which of them a request gets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from processes.environment import Halo
from processes.errors import OpenEOError
from processes.sources._items import Items, holds, plain_values, summarise


def items(*times: str, **properties: list[Any]) -> Items:
    named = {name.replace("__", ":"): values for name, values in properties.items()}
    return Items(np.array(times, dtype="datetime64[ns]"), named)


def groups(found: Items, longitude: float = 15.0) -> list[tuple[int, ...]]:
    return [acquisition.items for acquisition in found.acquisitions(longitude)]


def test_granules_of_one_orbit_and_day_are_one_acquisition() -> None:
    found = items(
        "2024-05-01T10:00:10", "2024-05-03T10:00:00", "2024-05-01T10:00:00", sat__relative_orbit=[22, 122, 22]
    )
    assert groups(found) == [(2, 0), (1,)]
    assert found.acquisitions(15.0)[0].time == np.datetime64("2024-05-01T10:00:00")


def test_platforms_and_orbits_are_kept_apart() -> None:
    times = ("2024-05-01T10:00:00", "2024-05-01T10:00:30", "2024-05-01T10:01:00")
    assert len(groups(items(*times, platform=["a", "b", "c"], sat__relative_orbit=[22, 22, 22]))) == 3
    assert len(groups(items(*times, platform=["a", "a", "a"], sat__relative_orbit=[22, 22, 23]))) == 2
    assert len(groups(items(*times, sat__orbit_state=["ascending", "ascending", "descending"]))) == 2


def test_without_orbit_numbers_minutes_tell_passes_apart() -> None:
    assert groups(items("2024-05-01T10:00", "2024-05-01T10:01", "2024-05-01T11:40")) == [(0, 1), (2,)]


def test_the_day_is_the_suns() -> None:
    # At 175 degrees east, midnight UTC is noon: one pass, although the UTC dates differ.
    found = items("2024-05-01T23:59:50", "2024-05-02T00:00:10", sat__relative_orbit=[3, 3])
    assert groups(found, longitude=175.0) == [(0, 1)]
    assert groups(found, longitude=0.0) == [(0,), (1,)]


def test_the_newest_processing_comes_first() -> None:
    found = items(
        "2021-05-01T10", "2021-05-01T10", sat__relative_orbit=[3, 3], s2__processing_baseline=["03.01", "05.00"]
    )
    assert groups(found) == [(1, 0)]


def test_passes_with_the_same_time_are_refused() -> None:
    with pytest.raises(ValueError, match="same time 2024-05-01T00:00:00Z"):
        items("2024-05-01", "2024-05-01", sat__relative_orbit=[1, 2]).acquisitions(0.0)


MONTHS = items(
    "2024-01-01", "2024-02-01", "2024-03-01", "2024-04-01", eo__cloud_cover=[10.0, None, 80.0, 30.0], tile=["a"] * 4
)


def chosen(interval: Any, predicates: Any = None, halo: Halo | None = None) -> list[int]:
    ends = None if interval is None else tuple(None if e is None else np.datetime64(e, "ns") for e in interval)
    passes = MONTHS.acquisitions(0.0)
    return [a.items[0] for a in MONTHS.select(passes, ends, predicates or {}, halo)]  # type: ignore[arg-type]


def test_intervals_are_half_open() -> None:
    assert chosen(("2024-02-01", "2024-04-01")) == [1, 2]
    assert chosen(("2024-02-01", None)) == [1, 2, 3]
    assert chosen((None, "2024-02-01")) == [0]
    assert chosen(None) == [0, 1, 2, 3]


def test_a_halo_widens_the_interval_on_both_sides() -> None:
    assert chosen(("2024-02-01", "2024-03-02"), halo=Halo(0, 31)) == [0, 1, 2, 3]
    assert chosen(("2024-02-01", "2024-03-01"), halo=Halo(0, 31)) == [0, 1, 2]


def test_conditions_must_all_hold_and_unknown_values_do_not() -> None:
    few_clouds = {"eo:cloud_cover": lambda value: None if value is None else value <= 50}
    assert chosen(None, few_clouds) == [0, 3]
    assert chosen(("2024-03-15", None), few_clouds, Halo(0, 400)) == [0, 3]
    assert chosen(None, {**few_clouds, "tile": lambda value: np.bool_(value == "a")}) == [0, 3]


def test_a_condition_on_an_unknown_property_names_the_known_ones() -> None:
    with pytest.raises(OpenEOError, match=r"'eo:cloud'; known: eo:cloud_cover, tile"):
        chosen(None, {"eo:cloud": lambda _: True})


def test_nothing_found_says_why() -> None:
    with pytest.raises(OpenEOError, match="from 2024-01-01T00:00:00Z to 2024-04-01T00:00:00Z") as failure:
        chosen(("2025-01-01", "2026-01-01"), halo=Halo(0, 1000))
    assert failure.value.code == "NoDataAvailable"
    with pytest.raises(OpenEOError, match="None of the 2 acquisitions meets the conditions on tile"):
        chosen(("2024-01-01", "2024-03-01"), {"tile": lambda _: False})


@pytest.mark.parametrize("outcome", [1, "true", 0.5, [True, False]])
def test_conditions_return_true_or_false(outcome: object) -> None:
    with pytest.raises(OpenEOError, match="instead of true or false"):
        holds("tile", outcome)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3, 1, None, 3], {"type": "integer", "values": [1, 3]}),
        (list(range(30)), {"type": "integer", "minimum": 0, "maximum": 29}),
        ([0.5, None, 0.25], {"type": "number", "minimum": 0.25, "maximum": 0.5}),
        ([True, False, None], {"type": "boolean", "values": [False, True]}),
        ([], {"type": "string", "values": []}),
        (["b", "a", "b"], {"type": "string", "values": ["a", "b"]}),
    ],
)
def test_properties_are_summarised(values: list[Any], expected: dict[str, Any]) -> None:
    assert summarise(values) == expected


def test_stored_values_become_plain_ones() -> None:
    assert plain_values(np.array([1.5, np.nan])) == (1.5, None)
    assert plain_values(np.array(["a", ""])) == ("a", None)
    assert plain_values(np.array(["b", None], dtype=object)) == ("b", None)
    times = np.array(["2024-01-01T12:00:00.5", "NaT"], dtype="datetime64[ns]")
    assert plain_values(times) == ("2024-01-01T12:00:00.500Z", None)
    assert all(type(value) is int for value in plain_values(np.array([1, 2], dtype="int16")))
