"""A user's code as a module; each call is a process of its own and loads it anew."""

from __future__ import annotations

import linecache
import math
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from udf.guest.failure import FILE, blamed

NAME = "openeo_user_udf"


def load(code: str, paths: Sequence[str] = ()) -> ModuleType:
    """Return the module that the code makes.

    `paths` are folders with packages that are found after those that are installed anyway.
    """
    for path in paths:
        if path not in sys.path:
            sys.path.append(path)
    module = ModuleType(NAME)
    module.__dict__.update(_names(), __file__=FILE)
    sys.modules[NAME] = module  # classes of the user's find the module that they are from
    linecache.cache[FILE] = (len(code), None, code.splitlines(keepends=True), FILE)
    with blamed():
        # What makes this safe is the sandbox around it.
        exec(compile(code, FILE, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    return module


def _names() -> dict[str, Any]:
    """Return the names that user-defined functions may use without importing them, as elsewhere in openEO."""
    import numpy
    import pandas
    import shapely
    import xarray
    from openeo.udf import FeatureCollection, StructuredData, UdfData, XarrayDataCube, inspect

    return {
        "numpy": numpy, "np": numpy, "pandas": pandas, "pd": pandas, "xarray": xarray, "xr": xarray,
        "shapely": shapely, "math": math, "inspect": inspect, "UdfData": UdfData, "XarrayDataCube": XarrayDataCube,
        "DataCube": XarrayDataCube, "StructuredData": StructuredData, "FeatureCollection": FeatureCollection,
    }  # fmt: skip
