"""Common names and wavelengths of the bands, from the collection through the processes to files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from processes.errors import OpenEOError
from processes.overrides import cubes
from processes.overrides.aggregate_temporal import aggregate_temporal
from processes.overrides.apply import apply, apply_dimension
from processes.overrides.filters import filter_bands, filter_temporal
from processes.overrides.mask import mask
from processes.overrides.merge import merge_cubes
from processes.overrides.reduce import reduce_dimension
from processes.overrides.resample import resample_spatial
from processes.sources import LoadRequest, open_source
from tests.processes.overrides.conftest import nanmean
from tests.processes.sources.archives import Stored

RADAR = {"name": "VV", "data_type": "float32", "scaled": False, "unit": "1"}
MARCH = [["2022-03-01", "2022-04-01"]]


@pytest.fixture(scope="module")
def optical(tmp_path_factory: pytest.TempPathFactory) -> xr.DataArray:
    """Bands B04 (red), B08 (nir) and SCL."""
    return open_source(Stored(size=8).write(tmp_path_factory.mktemp("s2") / "S2.zarr"))[0].load(LoadRequest())


@pytest.fixture(scope="module")
def radar(tmp_path_factory: pytest.TempPathFactory) -> xr.DataArray:
    """The band VV, which has neither common name nor wavelength."""
    archive = Stored(size=8, bands=[RADAR]).write(tmp_path_factory.mktemp("s1") / "S1.zarr")
    return open_source(archive)[0].load(LoadRequest())


def names(cube: xr.DataArray) -> dict[str, str]:
    return dict(zip(cube["bands"].values.tolist(), cube["common_name"].values.tolist(), strict=True))


def test_ndvi_finds_its_bands(optical: xr.DataArray) -> None:
    index = cubes.ndvi(optical)
    xr.testing.assert_identical(index, cubes.ndvi(optical, nir="B08", red="B04"))
    assert set(index.coords) == {"t", "y", "x", "spatial_ref"}
    assert names(cubes.ndvi(optical, target_band="index")) == {"B04": "red", "B08": "nir", "SCL": "", "index": ""}


def test_bands_are_filtered_by_common_name_and_wavelength(optical: xr.DataArray) -> None:
    assert names(filter_bands(optical, ["nir", "SCL"])) == {"B08": "nir", "SCL": ""}
    assert names(filter_bands(optical, wavelengths=[[0.6, 0.7]])) == {"B04": "red"}


def test_an_unknown_band_lists_names_and_common_names(optical: xr.DataArray) -> None:
    with pytest.raises(OpenEOError, match=r"no band 'blue'.*B04 \(red\), B08 \(nir\), SCL"):
        filter_bands(optical, ["blue"])


KEPT: dict[str, Callable[[xr.DataArray], xr.DataArray]] = {
    "aggregate_temporal": lambda cube: aggregate_temporal(cube, MARCH, nanmean),
    "apply": lambda cube: apply(cube, lambda x, **_: x * 2),
    "drop_dimension": lambda cube: cubes.drop_dimension(cube.isel(t=[0]), "t"),
    "filter_temporal": lambda cube: filter_temporal(cube, MARCH[0]),
    "mask": lambda cube: mask(cube, filter_bands(cube, ["nir"]).isel(bands=0, drop=True) > 0.1),
    "mask_by_band": lambda cube: mask(cube, cube.drop_vars("common_name") > 0.1),
    "merge_overlap": lambda cube: merge_cubes(cube, cube, lambda x, y, **_: x + y),
    "reduce_t": lambda cube: reduce_dimension(cube, nanmean, "t"),
    "resample_spatial": lambda cube: resample_spatial(cube, resolution=20),
}


@pytest.mark.parametrize("process", list(KEPT))
def test_processes_that_leave_bands_alone_keep_their_names(optical: xr.DataArray, process: str) -> None:
    result = KEPT[process](optical)
    assert names(result) == {"B04": "red", "B08": "nir", "SCL": ""}
    np.testing.assert_array_equal(result["center_wavelength"], [0.665, 0.842, np.nan])


def test_renamed_bands_keep_their_common_names(optical: xr.DataArray) -> None:
    renamed = cubes.rename_labels(optical, "bands", ["near"], ["B08"])
    assert names(renamed) == {"B04": "red", "near": "nir", "SCL": ""}
    moved = cubes.rename_dimension(optical, "bands", "band")
    assert moved["common_name"].dims == ("band",)


@pytest.mark.parametrize("lazy", [True, False])
def test_merged_bands_have_the_names_of_both_cubes(optical: xr.DataArray, radar: xr.DataArray, lazy: bool) -> None:
    first, second = (optical, radar) if lazy else (optical.compute(), radar.compute())
    assert names(merge_cubes(first, second)) == {"B04": "red", "B08": "nir", "SCL": "", "VV": ""}
    back = merge_cubes(second, first)
    assert names(back) == {"VV": "", "B04": "red", "B08": "nir", "SCL": ""}
    np.testing.assert_array_equal(back["center_wavelength"], [np.nan, 0.665, 0.842, np.nan])
    xr.testing.assert_identical(cubes.ndvi(back).compute(), cubes.ndvi(optical).compute())


@pytest.mark.parametrize(
    "process",
    [
        lambda cube: reduce_dimension(cube, nanmean, "bands"),
        lambda cube: apply_dimension(cube, lambda data, **_: data[..., :2], "bands"),
        lambda cube: apply_dimension(cube, lambda data, **_: data[..., :1], "bands", "t0"),
    ],
)
def test_names_go_where_bands_become_something_else(optical: xr.DataArray, process: Any) -> None:
    result = process(optical)
    assert not {"common_name", "center_wavelength"} & set(result.coords)


def test_cubes_with_names_can_be_stored(optical: xr.DataArray, tmp_path: Path) -> None:
    optical.to_dataset(name="cube").to_netcdf(tmp_path / "cube.nc")
    with xr.open_dataset(tmp_path / "cube.nc") as stored:
        assert names(stored["cube"]) == names(optical)
