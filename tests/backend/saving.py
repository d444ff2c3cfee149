"""Saving values the way `POST /result` does: check the lazy value, compute it, write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import xarray as xr

from backend.results import find_format
from processes.errors import OpenEOError


def save(form: str, value: Any, folder: Path, **options: Any) -> Path:
    """Check the lazy value, compute it, write it; returns the file."""
    found = find_format(form)
    found.check(value, options)
    path = folder / f"result{found.suffix}"
    found.write(value.compute() if isinstance(value, xr.DataArray) else value, options, path)
    assert [item.name for item in folder.iterdir()] == [path.name]
    return path


def refused(form: str, value: Any, **options: Any) -> OpenEOError:
    """Return the error with which a format refuses a lazy value."""
    with pytest.raises(OpenEOError) as error:
        find_format(form).check(value, options)
    return error.value
