"""Texts searched: what is null, what is empty, and letters of either case."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from processes.overrides import texts

ALL = [texts.text_begins, texts.text_contains, texts.text_ends, texts.text_find]


@pytest.mark.parametrize("function", ALL)
def test_null_is_passed_through_and_the_empty_text_is_a_text(function: Callable[..., Any]) -> None:
    assert function(None, "a") is None
    assert function("", "a") == (None if function is texts.text_find else False)
    assert function("", "") == (0 if function is texts.text_find else True)


@pytest.mark.parametrize("function", ALL)
def test_patterns_are_no_regular_expressions(function: Callable[..., Any]) -> None:
    assert function("a+b", "a+b") in (True, 0)
    assert not function("aab\n", "a.b")
    assert not function("aab", "^a")


def test_ends_are_those_of_the_whole_text() -> None:
    assert not texts.text_ends("band\n", "band")
    assert not texts.text_begins("x\nband", "band")
    assert texts.text_ends("x\nBAND", "band", case_sensitive=False)
    assert not texts.text_ends("x\nBAND", "band")


def test_positions_are_those_in_the_text_itself() -> None:
    # In lower case, İ has two letters.
    assert texts.text_find("İstanbul", "TAN", case_sensitive=False) == 2
    assert texts.text_find("İstanbul", "TAN") is None
    assert texts.text_find("abab", "b") == 1


def test_arrays_of_texts() -> None:
    labels = np.array([["B02", "b03"], ["SCL", "B04"]])
    assert texts.text_begins(labels, "B").tolist() == [[True, False], [False, True]]
    assert texts.text_contains(labels, "b0", case_sensitive=False).tolist() == [[True, True], [False, True]]
    np.testing.assert_array_equal(texts.text_find(labels, "0"), [[1, 1], [np.nan, 1]])
    dates = np.array(["2024-01-28", "2024-02-01"], "datetime64[ns]")
    assert texts.text_begins(dates, "2024-02").tolist() == [False, True]
