"""The names and fixed facts of the bands and classes that are simulated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class S2Band(NamedTuple):
    """A Sentinel-2 band: resolution in m, wavelengths in micrometres, delay against B02 on the focal plane in s."""

    gsd: int
    center_wavelength: float
    full_width_half_max: float
    common_name: str
    description: str
    delay: float


# Wavelengths and widths: Sentinel-2A, as the public STAC catalogues round them. Delays: Sentinel-2 user handbook,
# inter-band sampling times; they displace clouds between bands (see clouds.py).
S2_BAND_FACTS: dict[str, S2Band] = {
    "B01": S2Band(60, 0.443, 0.027, "coastal", "Coastal aerosol", 2.314),
    "B02": S2Band(10, 0.490, 0.098, "blue", "Blue", 0.0),
    "B03": S2Band(10, 0.560, 0.045, "green", "Green", 0.527),
    "B04": S2Band(10, 0.665, 0.038, "red", "Red", 1.005),
    "B05": S2Band(20, 0.704, 0.019, "rededge", "Red edge 1", 1.269),
    "B06": S2Band(20, 0.740, 0.018, "rededge", "Red edge 2", 1.525),
    "B07": S2Band(20, 0.783, 0.028, "rededge", "Red edge 3", 1.790),
    "B08": S2Band(10, 0.842, 0.145, "nir", "Near infrared, wide", 0.264),
    "B8A": S2Band(20, 0.865, 0.033, "nir08", "Near infrared, narrow", 2.055),
    "B09": S2Band(60, 0.945, 0.026, "nir09", "Water vapour", 2.586),
    "B11": S2Band(20, 1.610, 0.143, "swir16", "Shortwave infrared 1", 1.468),
    "B12": S2Band(20, 2.190, 0.242, "swir22", "Shortwave infrared 2", 2.085),
}
S2_BANDS: tuple[str, ...] = tuple(S2_BAND_FACTS)
S1_BANDS: tuple[str, ...] = ("VV", "VH")
LAND_COVER_BAND = "land_cover"


@dataclass(frozen=True)
class ClassValue:
    """One value of a class band: `color_hint` is RRGGBB."""

    value: int
    name: str
    description: str
    color_hint: str


# Names and colours of Sen2Cor's scene classification.
SCL_CLASSES: tuple[ClassValue, ...] = (
    ClassValue(0, "no_data", "No data", "000000"),
    ClassValue(1, "saturated_or_defective", "Saturated or defective", "FF0000"),
    ClassValue(2, "dark_area", "Dark area pixels", "2F2F2F"),
    ClassValue(3, "cloud_shadow", "Cloud shadows", "643200"),
    ClassValue(4, "vegetation", "Vegetation", "00A000"),
    ClassValue(5, "not_vegetated", "Bare soils", "FFE65A"),
    ClassValue(6, "water", "Water", "0000FF"),
    ClassValue(7, "unclassified", "Unclassified or cloud of low probability", "808080"),
    ClassValue(8, "cloud_medium_probability", "Cloud, medium probability", "C0C0C0"),
    ClassValue(9, "cloud_high_probability", "Cloud, high probability", "FFFFFF"),
    ClassValue(10, "thin_cirrus", "Thin cirrus", "64C8FF"),
    ClassValue(11, "snow", "Snow or ice", "FF96FF"),
)

DECIDUOUS, CONIFEROUS, GRASSLAND = 11, 12, 30
CEREAL, MAIZE, RAPESEED, BUILT_UP, WATER = 41, 42, 43, 50, 80

# The tens digit is ESA WorldCover's class (10 tree cover, 30 grassland, 40 cropland, 50 built-up, 80 water);
# forests and crops are split further by the last digit. Colours: WorldCover's, shaded within a class.
LAND_COVER_CLASSES: tuple[ClassValue, ...] = (
    ClassValue(0, "no_data", "No data", "000000"),
    ClassValue(DECIDUOUS, "tree_cover_deciduous", "Tree cover, deciduous (WorldCover 10)", "3F9B1F"),
    ClassValue(CONIFEROUS, "tree_cover_coniferous", "Tree cover, coniferous (WorldCover 10)", "006400"),
    ClassValue(GRASSLAND, "grassland", "Grassland (WorldCover 30)", "FFFF4C"),
    ClassValue(CEREAL, "cropland_winter_cereal", "Cropland, winter cereal (WorldCover 40)", "F096FF"),
    ClassValue(MAIZE, "cropland_maize", "Cropland, maize (WorldCover 40)", "C85AE0"),
    ClassValue(RAPESEED, "cropland_rapeseed", "Cropland, rapeseed (WorldCover 40)", "FFC8B4"),
    ClassValue(BUILT_UP, "built_up", "Built-up: houses, gardens and roads (WorldCover 50)", "FA0000"),
    ClassValue(WATER, "permanent_water", "Permanent water bodies (WorldCover 80)", "0064C8"),
)
