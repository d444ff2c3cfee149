"""`load_stac` as tests call it: from a site on loopback, without letting anything compute."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import dask
import xarray as xr

from processes.environment import Environment, Halo
from processes.implementations.load_stac import load_stac
from tests.processes.rasters import ORIGIN, ramp
from tests.processes.site import Site
from tests.processes.stac import item, raster, static

WEST, NORTH = ORIGIN


def environment(site: Site, halo: Halo | None = None, **rules: Any) -> Environment:
    fetch = site.rules(**rules)
    return Environment(catalog=SimpleNamespace(), models=SimpleNamespace(), halo=halo, fetch=fetch)  # type: ignore[arg-type]


def load(site: Site, url: str, halo: Halo | None = None, rules: Any = None, **arguments: Any) -> xr.DataArray:
    """Load without letting anything compute."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed while the graph was built")

    with dask.config.set(scheduler=refuse):
        return load_stac(url, **arguments, env=environment(site, halo, **(rules or {})))


def values(cube: xr.DataArray) -> Any:
    return cube.compute(scheduler="threads").to_numpy()


def box(west: float, south: float, east: float, north: float, crs: Any = 32631) -> dict[str, Any]:
    """Return a bounding box, in metres from the upper left corner of the data."""
    return {"west": WEST + west, "south": NORTH - south, "east": WEST + east, "north": NORTH - north, "crs": crs}


def two_dates(site: Site) -> str:
    first = item("a", "2024-05-01T10:00:00Z", {"red": raster(site, "/a.tif", ramp(64, 64), "B04")}, platform="s2a")
    second = item("b", "2024-05-11T10:00:00Z", {"red": raster(site, "/b.tif", ramp(64, 64, start=9), "B04")}, cloud=5)
    return static(site, first, second)
