"""Bounding boxes, intervals and CRS as clients send them."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
from openeo_pg_parser_networkx.pg_schema import BoundingBox, TemporalInterval

from processes.errors import OpenEOError
from processes.sources import Bbox, parse_bbox, parse_interval

BOX = {"west": 5.0, "south": 50.0, "east": 6.0, "north": 51.0}


def when(text: str | None) -> np.datetime64 | None:
    return None if text is None else np.datetime64(text, "ns")


@pytest.mark.parametrize(
    ("crs", "expected"),
    [
        (32631, "EPSG:32631"),
        ("32631", "EPSG:32631"),
        ("epsg:32631", "EPSG:32631"),
        (None, "EPSG:4326"),
        (pyproj.CRS(32631).to_wkt(), "EPSG:32631"),
    ],
)
def test_a_crs_is_an_epsg_code_or_wkt(crs: object, expected: str) -> None:
    assert parse_bbox({**BOX, "crs": crs}) == Bbox(5.0, 50.0, 6.0, 51.0, expected)


def test_the_crs_is_longitude_and_latitude_when_it_is_not_given() -> None:
    assert parse_bbox(BOX) == Bbox(5.0, 50.0, 6.0, 51.0)


def test_the_graph_parsers_own_box_is_understood() -> None:
    assert parse_bbox(BoundingBox(**BOX, crs=32631)) == Bbox(5.0, 50.0, 6.0, 51.0, "EPSG:32631")


def test_metres_without_a_crs_are_no_degrees() -> None:
    metres = {"west": 500_000, "south": 5_600_000, "east": 500_100, "north": 5_600_100}
    with pytest.raises(OpenEOError, match="give the box the crs"):
        parse_bbox(metres)
    assert parse_bbox({**metres, "crs": 32631}).west == 500_000
    assert parse_bbox({"west": -180, "south": -90, "east": 540, "north": 90}).east == 540


@pytest.mark.parametrize("crs", [99999999, "EPSG:1", "+proj=utm +zone=31 +nadgrids=/etc/passwd", "utm", True, 3.5, ""])
def test_an_unknown_crs_is_named(crs: object) -> None:
    with pytest.raises(OpenEOError, match="crs") as failure:
        parse_bbox({**BOX, "crs": crs})
    assert failure.value.code == "ProcessParameterInvalid"
    assert str(crs) in failure.value.message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"west": 6.0}, r"west \(6\) must be less than east \(6\)"),
        ({"south": 52.0}, r"south \(52\) must be less than north \(51\)"),
        ({"east": "6"}, "east is '6'"),
        ({"north": float("nan")}, "north is nan"),
        ({"north": True}, "north is True"),
    ],
)
def test_a_wrong_edge_is_named(change: dict[str, object], words: str) -> None:
    with pytest.raises(OpenEOError, match=words):
        parse_bbox({**BOX, **change})


@pytest.mark.parametrize("value", [{"west": 1}, [5, 50, 6, 51], "5,50,6,51"])
def test_what_is_no_box_is_refused(value: object) -> None:
    with pytest.raises(OpenEOError, match="west, south, east and north"):
        parse_bbox(value)


@pytest.mark.parametrize(
    ("given", "start", "end"),
    [
        (["2024-01-01", "2024-02-01"], "2024-01-01", "2024-02-01"),
        (["2024-01-01T00:00:00Z", None], "2024-01-01", None),
        ([None, "2024-01-01T02:30:00+02:00"], None, "2024-01-01T00:30"),
        (["2024-01-01T12:00:00", "2024-01-01T12:00:00.250Z"], "2024-01-01T12", "2024-01-01T12:00:00.250"),
        (["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"], "1700-01-01", "2200-01-01"),
    ],
)
def test_intervals_are_dates_or_times_in_any_zone(given: list[str | None], start: str | None, end: str | None) -> None:
    assert parse_interval(given) == (when(start), when(end))


def test_the_graph_parsers_own_interval_is_understood() -> None:
    parsed = TemporalInterval.model_validate(["2024-01-01", "2024-02-01T12:00:00Z"])
    assert parse_interval(parsed) == (when("2024-01-01"), when("2024-02-01T12"))


def test_no_interval_is_no_limit() -> None:
    assert parse_interval(None) is None


@pytest.mark.parametrize("ends", [["2024-02-01", "2024-01-01"], ["2024-01-01", "2024-01-01T00:00:00Z"]])
def test_an_interval_that_does_not_end_after_its_start_is_empty(ends: list[str]) -> None:
    with pytest.raises(OpenEOError, match=ends[0]) as failure:
        parse_interval(ends)
    assert failure.value.code == "TemporalExtentEmpty"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([None, None], "both null"),
        (["2024-01-01"], "two elements"),
        ("2024-01-01", "two elements"),
        (["2024", "2025"], "'2024' is neither"),
        (["2024-13-01", None], "'2024-13-01' is neither"),
        (["2024-W01-1", None], "neither"),
        ([20240101, None], "20240101 is neither"),
    ],
)
def test_what_is_no_interval_is_refused(value: object, words: str) -> None:
    with pytest.raises(OpenEOError, match=words) as failure:
        parse_interval(value)
    assert failure.value.code == "ProcessParameterInvalid"
