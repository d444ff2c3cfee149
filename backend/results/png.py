"""PNG: a picture of one, three or four bands, transparent where there is no data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from PIL import Image

from backend.results.base import Option, Options, check_options, invalid_option, unsuitable
from backend.results.raster import check_raster, north_up

PERCENTILES = (2, 98)
# Percentiles of this many values, evenly picked, are as good as those of all.
SAMPLE = 1_000_000
# Values from 0 to 255 are taken for those of a picture where some are brighter than a percentage could be.
BRIGHT = 100
LONGEST_SIDE = 30_000


class Png:
    """PNG for looking at: grey, RGB or RGB with opacity."""

    name: ClassVar[str] = "PNG"
    title: ClassVar[str] = "Portable Network Graphics"
    description: ClassVar[str] = (
        "A picture without georeference: 1 band is shown grey, 3 as red, green, blue, 4 as red, green, blue, opacity. "
        "Values between minimum and maximum become 0 to 255. Where these are not given, 8-bit values stay as they are, "
        "others, too, where all are from 0 to 255 and some above 100 (as linear_scale_range makes them); all else is "
        "stretched from the 2nd to the 98th percentile. Pixels without data are transparent. There must be one date: "
        "reduce the temporal dimension first."
    )
    media_type: ClassVar[str] = "image/png"
    suffix: ClassVar[str] = ".png"
    gis_data_types: ClassVar[tuple[str, ...]] = ("raster",)
    copies: ClassVar[int] = 0
    options: ClassVar[Mapping[str, Option]] = {
        "minimum": Option("the number that becomes 0 (black)."),
        "maximum": Option("the number that becomes 255 (white)."),
    }

    def check(self, value: Any, options: Options) -> None:
        """Refuse several dates, other numbers of bands than 1, 3 and 4, and a range that is none."""
        check_options(self, options)
        cube = check_raster(value, self.name)
        for dim, size in cube.sizes.items():
            if dim == "t" and size > 1:
                raise unsuitable(
                    self.name, f"it has {size} dates; reduce the dimension t (reduce_dimension) or pick one"
                )
            if dim not in ("t", "bands", "y", "x") and size > 1:
                raise unsuitable(self.name, f"it has {size} labels along {dim}; reduce that dimension")
        if cube.sizes.get("bands", 1) not in (1, 3, 4):
            raise unsuitable(self.name, f"it has {cube.sizes['bands']} bands; pick 1, 3 or 4 (filter_bands)")
        if max(cube.sizes["x"], cube.sizes["y"]) > LONGEST_SIDE:
            raise unsuitable(self.name, f"it is longer than {LONGEST_SIDE} pixels; save it as GTiff")
        low, high = options.get("minimum"), options.get("maximum")
        if low is not None and high is not None and not low < high:
            raise invalid_option("maximum", f"{high} is not above the minimum {low}")

    def write(self, value: Any, options: Options, path: Path) -> None:
        """Write a computed raster cube."""
        bands = _bands(value)
        missing = ~np.isfinite(bands) if bands.dtype.kind == "f" else np.zeros(bands.shape, bool)
        picture = _to_bytes(bands, options)
        opacity = np.where(missing.any(axis=0), 0, picture[3] if len(picture) == 4 else 255).astype(np.uint8)
        shown = np.where(missing.any(axis=0), 0, picture[: 3 if len(picture) > 1 else 1])
        pixels = np.moveaxis(np.concatenate([shown, opacity[np.newaxis]]), 0, -1).astype(np.uint8)
        Image.fromarray(np.ascontiguousarray(pixels)).save(path, format="PNG")


def _bands(cube: xr.DataArray) -> np.ndarray[Any, Any]:
    """Return the values (bands, y, x)."""
    dims = [dim for dim in cube.dims if dim not in ("bands", "y", "x")]
    cube = north_up(cube.squeeze(dims, drop=True))
    if "bands" not in cube.dims:
        cube = cube.expand_dims("bands")
    return np.asarray(cube.transpose("bands", "y", "x").data)


def _to_bytes(bands: np.ndarray[Any, Any], options: Options) -> np.ndarray[Any, Any]:
    """Scale values to 0..255; all bands alike, so that colours keep their hue."""
    if bands.dtype == np.uint8 and not options:
        return bands
    colours = bands[:3]
    step = max(1, colours.size // SAMPLE)
    sample = colours.reshape(-1)[::step].astype(np.float64)
    sample = sample[np.isfinite(sample)]
    stretch = _range(sample)
    low = float(options.get("minimum", stretch[0]))
    high = float(options.get("maximum", stretch[1]))
    if not high > low:  # all values alike
        high = low + 1
    scaled = (bands.astype(np.float64) - low) * (255 / (high - low))
    return np.clip(np.round(np.nan_to_num(scaled, nan=0.0)), 0, 255).astype(np.uint8)


def _range(sample: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Return what becomes 0 and 255 unless the caller says."""
    if not sample.size:
        return 0.0, 1.0
    if sample.min() >= 0 and BRIGHT < sample.max() <= 255:
        return 0.0, 255.0
    low, high = np.percentile(sample, PERCENTILES)
    return float(low), float(high)
