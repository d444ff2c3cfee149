"""Which bands a request gets, and of which type."""

from __future__ import annotations

import pytest

from processes.errors import OpenEOError
from processes.sources._bands import Band, cube_dtype, select_bands

BANDS = (
    Band("B04", "uint16", scaled=True, common_name="red"),
    Band("B05", "uint16", scaled=True, common_name="rededge"),
    Band("B06", "uint16", scaled=True, common_name="rededge"),
    Band("red", "float32"),
    Band("SCL", "uint8", nodata=0.0),
    Band("QA", "uint16"),
)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, ["B04", "B05", "B06", "red", "SCL", "QA"]),
        (["SCL", "B04"], ["SCL", "B04"]),
        (["red"], ["red"]),  # its own name goes before the common name of B04
        (["B06", "rededge"], ["B06", "B05"]),
        (["B04", "B04"], ["B04"]),
    ],
)
def test_bands_come_in_the_order_asked_for(names: list[str] | None, expected: list[str]) -> None:
    assert [band.name for band in select_bands(BANDS, names)] == expected


def test_an_unknown_band_lists_those_that_exist() -> None:
    with pytest.raises(OpenEOError, match=r"'B99'.*B04 \(red\), B05 \(rededge\).*SCL"):
        select_bands(BANDS, ["B04", "B99"])


@pytest.mark.parametrize(
    ("names", "dtype"), [(["SCL"], "uint8"), (["SCL", "QA"], "uint16"), (["SCL", "B04"], "float32"), (None, "float32")]
)
def test_only_cubes_of_classes_are_integers(names: list[str] | None, dtype: str) -> None:
    assert cube_dtype(select_bands(BANDS, names)) == dtype
