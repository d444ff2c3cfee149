"""What the archive says about itself: one collection description for each Zarr group."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from processes.simulation.bands import (
    LAND_COVER_BAND,
    LAND_COVER_CLASSES,
    S2_BAND_FACTS,
    SCL_CLASSES,
    ClassValue,
)
from processes.simulation.scene import HIGHEST

_SIMULATED = (
    "**Simulated data, no real observation.** A made-up landscape of fields, forests, a river, a village and a lake, "
    "under made-up weather, as the satellites of 2022 would have seen it. Good for trying out software, not for "
    "learning about any place. "
)
_COMMON: dict[str, Any] = {
    "license": "CC0-1.0",
    "providers": [
        {
            "name": "openeo-embed",
            "description": "Simulated by openeo-embed's command sample-data.",
            "roles": ["producer", "processor", "host"],
        }
    ],
}


def sentinel2_collection(bands: Iterable[str]) -> dict[str, Any]:
    """Describe the Sentinel-2 group, with its spectral bands and SCL."""
    return _COMMON | {
        "id": "SENTINEL2_L2A",
        "title": "Simulated Sentinel-2 L2A surface reflectance (sample data)",
        "description": _SIMULATED
        + "Surface reflectance of Sentinel-2's level 2A on a 10 m grid, with the scene classification SCL. "
        "Bands of 20 m and 60 m repeat their values on the finer grid. Two relative orbits with a repeat of five "
        "days each; the swath of orbit 22 ends within the scene. No-data lies outside of the swath only: clouds "
        "are left in, mask them with SCL.",
        "keywords": ["simulated", "sample data", "Sentinel-2", "MSI", "surface reflectance", "time series"],
        "constellation": "sentinel-2",
        "platform": ["sentinel-2a", "sentinel-2b"],
        "instruments": ["msi"],
        "gsd": 10,
        "bands": [*map(_reflectance_band, bands), _scl_band()],
    }


def sentinel1_collection() -> dict[str, Any]:
    """Describe the Sentinel-1 group."""
    return _COMMON | {
        "id": "SENTINEL1_RTC",
        "title": "Simulated Sentinel-1 radiometrically terrain corrected backscatter (sample data)",
        "description": _SIMULATED
        + "Backscatter gamma0 in linear power on a 10 m grid, in VV and VH, with speckle. One ascending and one "
        "descending orbit, each every 12 days; the swath of the descending one ends within the scene.",
        "keywords": ["simulated", "sample data", "Sentinel-1", "SAR", "backscatter", "gamma0", "RTC"],
        "constellation": "sentinel-1",
        "platform": ["sentinel-1a"],
        "instruments": ["c-sar"],
        "gsd": 10,
        "bands": [_backscatter_band("VV", "vertical"), _backscatter_band("VH", "horizontal")],
    }


def land_cover_collection() -> dict[str, Any]:
    """Describe the land-cover group."""
    return _COMMON | {
        "id": "LAND_COVER",
        "title": "Land cover of the simulated landscape (sample data)",
        "description": _SIMULATED
        + "The land cover from which the simulated Sentinel-1 and Sentinel-2 data of this archive were made: "
        "the truth that a classification should find. One map for the year. The tens digit of a class is that of ESA "
        "WorldCover (10 trees, 30 grassland, 40 cropland, 50 built-up, 80 water); the last digit tells kinds of "
        "forests and crops apart.",
        "keywords": ["simulated", "sample data", "land cover", "reference data", "crop types"],
        "gsd": 10,
        "bands": [
            _class_band(LAND_COVER_BAND, "Land-cover class", LAND_COVER_CLASSES, unit_gsd=10),
        ],
    }


def _reflectance_band(name: str) -> dict[str, Any]:
    facts = S2_BAND_FACTS[name]
    return {
        "name": name,
        "description": f"{facts.description}, surface reflectance",
        "common_name": facts.common_name,
        "center_wavelength": facts.center_wavelength,
        "full_width_half_max": facts.full_width_half_max,
        "gsd": facts.gsd,
        "unit": "1",
        "data_type": "uint16",
        "nodata": 0,
        "minimum": -0.1,
        "maximum": HIGHEST,
        "scaled": True,
    }


def _scl_band() -> dict[str, Any]:
    return _class_band("SCL", "Scene classification: kind of surface, clouds and shadows", SCL_CLASSES, unit_gsd=20)


def _class_band(name: str, description: str, classes: tuple[ClassValue, ...], unit_gsd: int) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "gsd": unit_gsd,
        "unit": "1",
        "data_type": "uint8",
        "nodata": 0,
        "minimum": 0,
        "maximum": max(item.value for item in classes),
        "scaled": False,
        "classes": [
            {
                "value": item.value,
                "name": item.name,
                "description": item.description,
                "color_hint": item.color_hint,
            }
            for item in classes
        ],
    }


def _backscatter_band(name: str, received: str) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"gamma0, sent with vertical, received with {received} polarization, linear power",
        "gsd": 10,
        "unit": "1",
        "data_type": "float32",
        "nodata": "nan",
        "minimum": 0.0,
        "maximum": 100.0,
        "scaled": False,
    }
