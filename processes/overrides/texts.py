"""Texts searched. Null is passed through; arrays of texts, such as labels, are searched one by one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np


def text_begins(data: str | None, pattern: str, case_sensitive: bool = True) -> Any:
    """Return whether the text begins with the pattern."""
    found = _searcher(rf"\A{re.escape(pattern)}", case_sensitive)
    return _each(lambda text: found(text) is not None, data, bool)


def text_contains(data: str | None, pattern: str, case_sensitive: bool = True) -> Any:
    """Return whether the text contains the pattern."""
    found = _searcher(re.escape(pattern), case_sensitive)
    return _each(lambda text: found(text) is not None, data, bool)


def text_ends(data: str | None, pattern: str, case_sensitive: bool = True) -> Any:
    """Return whether the text ends with the pattern."""
    found = _searcher(rf"{re.escape(pattern)}\Z", case_sensitive)
    return _each(lambda text: found(text) is not None, data, bool)


def text_find(data: str | None, pattern: str, case_sensitive: bool = True) -> Any:
    """Return the position of the pattern's first occurrence in the text, null (NaN in arrays) if there is none."""
    found = _searcher(re.escape(pattern), case_sensitive)

    def position(text: str) -> int | None:
        match = found(text)
        return None if match is None else match.start()

    return _each(position, data, float)


def _searcher(expression: str, case_sensitive: bool) -> Callable[[str], re.Match[str] | None]:
    # The letters' case is left to the expression: lower-case letters may be more or fewer than upper-case ones, so
    # that positions in a lower-case copy would not be those in the text.
    return re.compile(expression, re.NOFLAG if case_sensitive else re.IGNORECASE).search


def _each(function: Callable[[str], Any], data: Any, kind: type) -> Any:
    if data is None:
        return None
    if not isinstance(data, np.ndarray):
        return function(str(data))
    found = [function(str(text)) for text in data.ravel()]
    return np.array(found, dtype=kind).reshape(data.shape)
