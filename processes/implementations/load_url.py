"""`load_url`: one file at a URL, as a raster or a vector cube."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from processes.environment import Environment
from processes.fetch.gate import Gate
from processes.implementations.input_formats import find_input_format, read_file
from processes.sources.origin import Origin

_PROCESS = "load_url"


def load_url(url: str, format: str, options: Mapping[str, Any] | None = None, *, env: Environment) -> xr.DataArray:
    """Load a file from the web.

    Parameters
    ----------
    url : str
    format : str
        One of `INPUT_FORMATS`, in upper or lower case.
    options : mapping, optional
        No format has any.
    env : Environment
        Its fetch rules say what may be read.

    Returns
    -------
    xr.DataArray
        A lazy raster cube (GTiff, netCDF), or a vector cube (GeoJSON, Parquet).

    Raises
    ------
    OpenEOError
        FormatUnsuitable, ProcessParameterInvalid.
    """
    form = find_input_format(format, options, _PROCESS)
    return env.ledger.note(read_file(form, url, Origin(Gate(env.fetch), env.fetch, "url", _PROCESS)))
