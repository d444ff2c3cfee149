"""`apply_kernel`: axes, borders, invalid values and integers; in any chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import xarray as xr

from processes.errors import OpenEOError
from processes.overrides.kernel import apply_kernel
from tests.processes.overrides.conftest import equal, make_cube

KERNEL = [[1, 2, 3, 4, 5], [0, 0, 0, 0, 0], [-1, 0, 5, 0, 0]]
SCIPY = {"replicate": "nearest", "reflect": "reflect", "reflect_pixel": "mirror", "wrap": "wrap"}


@pytest.mark.parametrize("border", [0, 7.5, *SCIPY])
def test_borders_and_axes(cube: xr.DataArray, border: Any, raise_if_computes: Callable[[], None]) -> None:
    result = apply_kernel(cube, KERNEL, factor=0.5, border=border)
    mode = {"mode": SCIPY[border]} if border in SCIPY else {"mode": "constant", "cval": border}
    plain = np.nan_to_num(make_cube().values)
    planes = [scipy.ndimage.convolve(plane, np.array(KERNEL, float), **mode) for plane in plain.reshape(-1, 6, 7)]
    equal(result, np.reshape(planes, plain.shape) * 0.5, raise_if_computes)
    assert result.dims == cube.dims
    assert result.chunks == cube.chunks
    assert result.odc.crs == cube.odc.crs


def test_a_row_weighs_columns() -> None:
    spot = make_cube(gaps=False) * 0
    spot[..., 3, 3] = 1
    result = apply_kernel(spot, [[1, 2, 3]])
    np.testing.assert_array_equal(result.values[0, 0, 3], [0, 0, 1, 2, 3, 0, 0])
    np.testing.assert_array_equal(result.values[0, 0, 2], 0)


def test_integers_are_not_cut() -> None:
    cube = make_cube("uint8", gaps=False)
    result = apply_kernel(cube.chunk(x=3), [[1 / 3] * 3])
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.values[..., 1], cube.values[..., :3].mean(-1), rtol=1e-6)


def test_invalid_values_are_replaced() -> None:
    cube = make_cube()
    cube[0, 0, 0, 0] = np.inf
    result = apply_kernel(cube, [[1]], replace_invalid=-9)
    np.testing.assert_array_equal(result.values, np.where(np.isfinite(cube.values), cube.values, -9))


@pytest.mark.parametrize(
    ("kernel", "border", "code"),
    [
        ([[1, 2]], 0, "KernelDimensionsUneven"),
        ([[1], [2]], 0, "KernelDimensionsUneven"),
        ([], 0, "ProcessParameterInvalid"),
        ([[1], [1, 2, 3], [1]], 0, "ProcessParameterInvalid"),
        ([[1]], "mirror", "ProcessParameterInvalid"),
        ([[1] * 17], "wrap", "ProcessParameterInvalid"),
    ],
)
def test_what_is_no_kernel(kernel: Any, border: Any, code: str) -> None:
    with pytest.raises(OpenEOError) as caught:
        apply_kernel(make_cube(), kernel, border=border)
    assert caught.value.code == code


def test_a_cube_without_space() -> None:
    with pytest.raises(OpenEOError) as caught:
        apply_kernel(make_cube().isel(x=0), [[1]])
    assert caught.value.code == "DimensionNotAvailable"
