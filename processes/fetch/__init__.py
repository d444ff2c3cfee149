"""The fetch gate: everything that a client names by URL comes in through here.

May import urllib3, rasterio and h5py, nothing else of ours. No other module opens connections to places that clients
name. `gate` fetches documents, `remote` reads files piece by piece, `rasters` and `netcdf` open them; this package
itself is light, because settings are made of its rules.
"""

from __future__ import annotations

from processes.fetch.errors import FetchError, FetchFailed, TooLarge, UrlRefused, WrongFormat
from processes.fetch.rules import FetchRules

__all__ = ["FetchError", "FetchFailed", "FetchRules", "TooLarge", "UrlRefused", "WrongFormat"]
