"""Cropping: exactly the pixels whose centres lie inside."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from processes.errors import OpenEOError
from processes.sources import Bbox
from processes.sources._grid import Grid, Window

UTM = "EPSG:32633"
X, Y = 500_005.0 + 10 * np.arange(40), 5_699_995.0 - 10 * np.arange(30)
GRID = Grid.of(X, Y, UTM)


def centres(window: Window) -> tuple[np.ndarray, np.ndarray]:
    return X[slice(*window.cols)], Y[slice(*window.rows)]


edges = st.floats(-50, 450).map(lambda value: round(value, 1))


@given(edges, edges, edges, edges)
def test_the_window_is_the_centres_inside(a: float, b: float, c: float, d: float) -> None:
    west, east, south, north = 5e5 + min(a, b), 5e5 + max(a, b), 5.7e6 - max(c, d), 5.7e6 - min(c, d)
    wanted_x, wanted_y = X[(west <= X) & (east >= X)], Y[(south <= Y) & (north >= Y)]
    if wanted_x.size and wanted_y.size and west < east and south < north:
        x, y = centres(GRID.window(Bbox(west, south, east, north, UTM)))
        np.testing.assert_array_equal(x, wanted_x)
        np.testing.assert_array_equal(y, wanted_y)
    else:
        with pytest.raises(OpenEOError, match="spatial_extent"):
            GRID.window(Bbox(west, south, east, north, UTM))


def test_edges_on_pixel_borders_take_the_pixels_between() -> None:
    assert GRID.window(Bbox(500_100, 5_699_800, 500_200, 5_699_900, UTM)) == Window((10, 20), (10, 20))


def test_no_box_is_the_whole_grid() -> None:
    assert GRID.window(None, margin=7) == Window((0, 30), (0, 40))


def test_a_margin_ends_where_the_grid_ends() -> None:
    assert GRID.window(Bbox(500_100, 5_699_900, 500_200, 5_699_990, UTM), margin=4) == Window((0, 14), (6, 24))


def test_a_box_in_degrees_becomes_the_bounds_of_its_edges() -> None:
    to_degrees = pyproj.Transformer.from_crs(UTM, 4326, always_xy=True)
    lon, lat = to_degrees.transform(*np.meshgrid([500_102.0, 500_198.0], [5_699_802.0, 5_699_898.0]))
    window = GRID.window(Bbox(lon.min(), lat.min(), lon.max(), lat.max()))
    assert window == Window((10, 20), (10, 20))


def test_a_curved_edge_counts() -> None:
    # A parallel of 6 degrees bends by kilometres in UTM: its middle reaches further south than its ends.
    wide = Grid.of(np.arange(300_000.0, 700_000.0, 1000.0), np.arange(5_800_000.0, 5_600_000.0, -1000.0), UTM)
    box = Bbox(12.5, 51.0, 17.5, 52.0)
    to_utm = pyproj.Transformer.from_crs(4326, UTM, always_xy=True)
    southernmost = to_utm.transform(15.0, 51.0)[1]
    rows = wide.window(box).rows
    assert wide.y[rows[1] - 1] - southernmost < 1000.0 <= to_utm.transform(12.5, 51.0)[1] - wide.y[rows[1] - 1]


@pytest.mark.parametrize("box", [Bbox(-180, -90, 180, 90), Bbox(-170, 0, 170, 89), Bbox(10, 40, 100, 60)])
def test_a_box_round_the_world_is_the_whole_grid(box: Bbox) -> None:
    assert GRID.window(box) == Window((0, 30), (0, 40))


@pytest.mark.parametrize(
    "box",
    [
        Bbox(-100, 10, -90, 20),
        Bbox(0, 0, 1, 1, UTM),
        Bbox(500_101, 5_699_801, 500_104, 5_699_804, UTM),
        Bbox(0, 0, 1, 1, "EPSG:3857"),
    ],
)
def test_a_box_without_pixels_names_both_extents(box: Bbox) -> None:
    with pytest.raises(OpenEOError, match="the collection covers") as failure:
        GRID.window(box)
    assert failure.value.code == "NoDataAvailable"


def test_other_libraries_read_crs_and_position_of_a_crop() -> None:
    cube = xr.DataArray(
        np.zeros((5, 6)), dims=("y", "x"), coords={"y": Y[3:8], "x": X[2:8], "spatial_ref": GRID.spatial_ref()}
    )
    assert cube.odc.crs.epsg == 32633
    assert cube.rio.crs.to_epsg() == 32633
    assert cube.rio.bounds() == (500_020.0, 5_699_920.0, 500_080.0, 5_699_970.0)
    assert cube.odc.geobox.boundingbox.bbox == cube.rio.bounds()


@pytest.mark.parametrize(
    ("x", "y"), [(X[::-1], Y), (X, Y[::-1]), (np.array([1.0, 2.0, 4.0]), Y), (X[:1], Y[:1]), (X[None], Y)]
)
def test_grids_that_are_not_regular_and_north_up_are_refused(x: np.ndarray, y: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"^x "):
        Grid.of(x, y, UTM)


def test_a_single_row_has_square_pixels() -> None:
    assert Grid.of(X, Y[:1], UTM).bounds == (500_000.0, 5_699_990.0, 500_400.0, 5_700_000.0)
