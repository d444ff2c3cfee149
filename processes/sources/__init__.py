"""Collections: where their data lie and how they become lazy cubes. Knows storage, not process graphs.

May import numpy, xarray, Dask and the libraries that read files; from `processes` only `errors` and `environment`.
"""

from __future__ import annotations

from processes.sources._bands import BAND_COORDINATES
from processes.sources.base import Catalog, CollectionSource, LoadRequest, bands_of, first_with
from processes.sources.catalog import CatalogEntry, FileCatalog, open_source
from processes.sources.extents import Bbox, parse_bbox, parse_crs, parse_instant, parse_interval
from processes.sources.footprint import Footprint, mask_outside, parse_footprint

__all__ = [
    "BAND_COORDINATES",
    "Bbox",
    "Catalog",
    "CatalogEntry",
    "CollectionSource",
    "FileCatalog",
    "Footprint",
    "LoadRequest",
    "bands_of",
    "first_with",
    "mask_outside",
    "open_source",
    "parse_bbox",
    "parse_crs",
    "parse_footprint",
    "parse_instant",
    "parse_interval",
]
