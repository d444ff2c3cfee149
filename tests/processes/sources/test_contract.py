"""What every source promises, whatever its files are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from processes.environment import Halo
from processes.errors import OpenEOError
from processes.sources import Bbox, CollectionSource, LoadRequest, open_source

KINDS = ["zarr", "worldcereal optical", "worldcereal radar"]


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest, archive: Path, patch: Path) -> CollectionSource:
    """One source of each kind."""
    kind = KINDS.index(request.param)
    return open_source(archive)[0] if kind == 0 else open_source(patch)[kind - 1]


def window(cube: xr.DataArray, rows: slice, cols: slice) -> Bbox:
    """Return the box round these pixels of a cube."""
    x, y = cube.x.values[cols], cube.y.values[rows]
    return Bbox(x[0] - 5, y[-1] - 5, x[-1] + 5, y[0] + 5, str(cube.rio.crs))


def test_cubes_have_the_agreed_form(source: CollectionSource, no_compute: None) -> None:
    cube = source.load(LoadRequest())
    assert cube.dims == ("t", "bands", "y", "x")
    assert cube.chunks is not None
    assert cube.dtype == "float32"
    assert cube.t.dtype == "datetime64[ns]"
    assert (np.diff(cube.t.values) > np.timedelta64(0)).all()
    assert (np.diff(cube.y.values) < 0).all()
    assert cube.odc.crs.epsg == cube.rio.crs.to_epsg() == 32633
    assert not any(isinstance(cube[name].data, type(cube.data)) for name in cube.coords)


def test_nothing_on_a_cube_speaks_of_scale(source: CollectionSource) -> None:
    cube = source.load(LoadRequest())
    assert cube.attrs == {}
    assert cube.name is None
    for variable in (cube, *cube.coords.values()):
        assert not {"scale_factor", "add_offset", "_FillValue", "GeoTransform"} & {*variable.attrs, *variable.encoding}


def test_nothing_computes_while_a_cube_is_built(source: CollectionSource, no_compute: None) -> None:
    whole = source.load(LoadRequest())
    request = LoadRequest(window(whole, slice(2, 5), slice(1, 6)), halo=Halo(2, 3))
    assert source.load(request).sizes["x"] == 8
    assert source.metadata()
    with pytest.raises(AssertionError, match="computed while"):
        whole.compute()


def test_a_crop_is_the_part_of_the_whole(source: CollectionSource) -> None:
    whole = source.load(LoadRequest()).compute()
    rows, cols = slice(1, 6), slice(3, 8)
    part = source.load(LoadRequest(window(whole, rows, cols))).compute()
    xr.testing.assert_identical(part, whole.isel(y=rows, x=cols))


def test_a_halo_is_more_of_the_whole(source: CollectionSource) -> None:
    whole = source.load(LoadRequest()).compute()
    interval = (whole.t.values[1], whole.t.values[1] + np.timedelta64(1, "s"))
    box = window(whole, slice(3, 5), slice(1, 4))
    days = float((whole.t.values[1] - whole.t.values[0]) / np.timedelta64(1, "D"))
    wide = source.load(LoadRequest(box, interval, halo=Halo(2, days))).compute()
    expected = whole.sel(t=slice(interval[0] - np.timedelta64(round(days * 86400), "s"), interval[1]))
    xr.testing.assert_identical(wide, expected.isel(y=slice(1, 7), x=slice(0, 6)))


def test_bands_come_in_the_order_asked_for(source: CollectionSource) -> None:
    whole = source.load(LoadRequest()).compute()
    names = whole.bands.values.tolist()[:2][::-1]
    part = source.load(LoadRequest(bands=tuple(names))).compute()
    xr.testing.assert_identical(part, whole.sel(bands=names))


def test_lazy_selection_equals_eager_selection(source: CollectionSource) -> None:
    whole = source.load(LoadRequest())
    for selection in ({"t": 1}, {"bands": [1, 0]}, {"y": slice(None, None, -2), "x": [3, 1]}, {"t": slice(0, 0)}):
        part: Any = selection
        xr.testing.assert_identical(whole.isel(part).compute(), whole.compute().isel(part))


def test_what_is_outside_is_not_there(source: CollectionSource) -> None:
    before = (None, np.datetime64("1990-01-01", "ns"))
    for request in (LoadRequest(Bbox(-60, -10, -50, 0)), LoadRequest(interval=before)):
        with pytest.raises(OpenEOError) as failure:
            source.load(request)
        assert failure.value.code == "NoDataAvailable"


def test_metadata_and_cube_agree(source: CollectionSource) -> None:
    cube, described = source.load(LoadRequest()), source.metadata()
    dimensions = described["cube:dimensions"]
    assert set(dimensions) == set(cube.dims)
    assert dimensions["bands"]["values"] == cube.bands.values.tolist()
    assert [band["name"] for band in described["summaries"]["bands"]] == cube.bands.values.tolist()
    west, south, east, north = cube.rio.bounds()
    assert dimensions["x"]["extent"] == [west, east]
    assert dimensions["y"]["extent"] == [south, north]
    start, end = (np.datetime64(text.rstrip("Z"), "ns") for text in dimensions["t"]["extent"])
    assert (start, end) == (cube.t.values[0], cube.t.values[-1])


def test_loading_by_the_metadatas_own_extent_loads_all(source: CollectionSource) -> None:
    whole, described = source.load(LoadRequest()), source.metadata()
    west, south, east, north = described["extent"]["spatial"]["bbox"][0]
    assert source.load(LoadRequest(Bbox(west, south, east, north))).sizes == whole.sizes


def test_item_properties_can_be_filtered_by(source: CollectionSource) -> None:
    known = source.properties()
    assert known
    everything = {name: (lambda _: True) for name in known}
    assert source.load(LoadRequest(properties=everything)).sizes == source.load(LoadRequest()).sizes


def test_a_sound_archive_has_no_problems(source: CollectionSource) -> None:
    assert source.check() == []
