"""`load_stac`'s values: whatever granules lie where, each pixel has the value of the place of its centre."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processes.environment import Environment
from processes.implementations.load_stac import load_stac
from tests.processes.rasters import ORIGIN
from tests.processes.site import serve
from tests.processes.stac import constant, item, raster, static

WEST, NORTH = ORIGIN


@st.composite
def granules(draw: Any) -> dict[str, Any]:
    """Return where a granule lies (pixels of 10 m from the origin), its pixel size, and its size in pixels."""
    step = draw(st.sampled_from([10, 20, 60]))
    return {
        "step": step,
        "left": draw(st.integers(-20, 20)),
        "top": draw(st.integers(-20, 20)),
        "rows": draw(st.integers(2, 240 // step)),
        "columns": draw(st.integers(2, 240 // step)),
    }


def expected(cube: xr.DataArray, granule: dict[str, Any], data: Any, nodata: int) -> Any:
    """Return the values at the cube's centres by looking each of them up in the granule."""
    out = np.full((cube.sizes["y"], cube.sizes["x"]), np.nan)
    west, north = WEST + 10 * granule["left"], NORTH + 10 * granule["top"]
    for i, y in enumerate(cube["y"].values):
        for j, x in enumerate(cube["x"].values):
            row, column = int((north - y) // granule["step"]), int((x - west) // granule["step"])
            if 0 <= row < granule["rows"] and 0 <= column < granule["columns"] and data[row, column] != nodata:
                out[i, j] = data[row, column]
    return out


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(granules(), min_size=1, max_size=3), st.integers(0, 2**32), st.booleans())
def test_each_pixel_has_the_value_of_its_place(found: list[dict[str, Any]], seed: int, cut: bool) -> None:
    random = np.random.default_rng(seed)
    # A fine granule in the middle makes the cube's pixels those of 10 m, where brute force looks places up.
    found = [{"step": 10, "left": 0, "top": 0, "rows": 4, "columns": 4}, *found]
    with serve() as site:
        items, data = [], []
        for day, one in enumerate(found, 1):
            data.append(random.integers(0, 5, (one["rows"], one["columns"])).astype(np.uint8))
            corner = (WEST + 10 * one["left"], NORTH + 10 * one["top"])
            outline = (
                corner[0],
                corner[1] - one["rows"] * one["step"],
                corner[0] + one["columns"] * one["step"],
                corner[1],
            )
            band = raster(site, f"/{day}.tif", data[-1], "r", one["step"], corner, nodata=day % 4)
            items.append(item(str(day), f"2024-05-{day:02d}T10:00:00Z", {"r": band}, outline))
        box = {"west": WEST - 95, "east": WEST + 101, "south": NORTH - 77, "north": NORTH + 64, "crs": 32631}
        env = Environment(catalog=SimpleNamespace(), models=SimpleNamespace(), fetch=site.rules())  # type: ignore[arg-type]
        cube = load_stac(static(site, *items), box if cut else None, env=env)
        got = cube.compute(scheduler="synchronous")
    for number, label in enumerate(cube["t"].dt.day.values.tolist()):
        wanted = expected(cube, found[label - 1], data[label - 1], label % 4)
        np.testing.assert_array_equal(got[number, 0], wanted)


def test_blocks_of_the_cube_are_those_of_the_files() -> None:
    """A cube that begins amid a block has a shorter first block, so that no block is read twice."""
    with serve() as site:
        red = raster(site, "/a.tif", constant(1, 8), "r")
        red["proj:shape"] = [4096, 4096]
        one = item("a", "2024-05-01T10:00:00Z", {"r": red}, (WEST, NORTH - 40960, WEST + 40960, NORTH))
        box = {"west": WEST + 3000, "east": WEST + 20000, "south": NORTH - 10000, "north": NORTH - 7000, "crs": 32631}
        env = Environment(catalog=SimpleNamespace(), models=SimpleNamespace(), fetch=site.rules())  # type: ignore[arg-type]
        cube = load_stac(static(site, one), box, env=env)
    starts = [np.cumsum((first, *cube.chunksizes[axis][:-1])) for axis, first in (("x", 300), ("y", 700))]
    assert starts[0].tolist() == [300, 512, 1024, 1536]
    assert starts[1].tolist() == [700]
