"""What WorldCereal patches hold: the bands of both sensors, and words about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from processes.sources._bands import Band
from processes.sources._stac import Description

CLOUDS = (8, 9, 10)
_PROVIDERS: tuple[dict[str, Any], ...] = (
    {"name": "European Space Agency", "roles": ["producer", "licensor"], "url": "https://sentinels.copernicus.eu"},
    {"name": "ESA WorldCereal", "roles": ["processor"], "url": "https://esa-worldcereal.org"},
)


@dataclass(frozen=True)
class Sensor:
    """One product of a patch.

    `files_share_times`: its files hold bands of the same acquisitions; else they hold different orbits.
    """

    product: str
    suffix: str
    title: str
    text: str
    bands: tuple[Band, ...]
    decibel: bool
    files_share_times: bool
    constellation: str
    instrument: str

    def describe(self, patch: str, missing: Sequence[str]) -> Description:
        """Return the words for the collection of `patch`, whose files lack the bands `missing`."""
        lacks = f" The files of this patch have no band {', '.join(missing)}." if missing else ""
        return Description(
            title=f"{self.title}, patch {patch}",
            description=self.text + lacks,
            keywords=(self.constellation, "WorldCereal", "time series"),
            providers=_PROVIDERS,
            constellation=self.constellation,
            instruments=(self.instrument,),
            gsd=10.0,
        )


def _optical(name: str, text: str, common_name: str, wavelength: float, width: float, gsd: float) -> Band:
    return Band(
        name,
        "uint16",
        scaled=True,
        description=text,
        unit="1",
        common_name=common_name,
        center_wavelength=wavelength,
        full_width_half_max=width,
        gsd=gsd,
    )


def _radar(name: str, text: str) -> Band:
    return Band(name, "int32", scaled=True, description=text, unit="1", gsd=20.0)


def _class(value: int, name: str, color: str) -> dict[str, Any]:
    return {"value": value, "name": name.replace(" ", "_"), "description": name, "color_hint": color}


SCL = Band(
    "SCL",
    "uint8",
    nodata=0.0,
    description="Scene classification of the Level-2A processor",
    gsd=20.0,
    classes=(
        _class(0, "no data", "000000"),
        _class(1, "saturated or defective", "FF0000"),
        _class(2, "dark area", "2F2F2F"),
        _class(3, "cloud shadow", "643200"),
        _class(4, "vegetation", "00A000"),
        _class(5, "bare soil", "FFE65A"),
        _class(6, "water", "0000FF"),
        _class(7, "unclassified", "808080"),
        _class(8, "cloud medium probability", "C0C0C0"),
        _class(9, "cloud high probability", "FFFFFF"),
        _class(10, "thin cirrus", "64C8FF"),
        _class(11, "snow or ice", "FF96FF"),
    ),
)

SENTINEL2 = Sensor(
    product="S2_L2A",
    suffix="SENTINEL2_L2A",
    title="Sentinel-2 Level-2A surface reflectance",
    text=(
        "Surface reflectance (1 = all light reflected) of Sentinel-2 at 10 m, NaN where there is no data, and the "
        "scene classification SCL. Bands of 20 m are repeated to 10 m. The item property eo:cloud_cover is the share "
        "of the patch's own valid pixels in the SCL classes 8, 9 and 10."
    ),
    bands=(
        _optical("B02", "Blue", "blue", 0.490, 0.098, 10.0),
        _optical("B03", "Green", "green", 0.560, 0.045, 10.0),
        _optical("B04", "Red", "red", 0.665, 0.038, 10.0),
        _optical("B05", "Red edge 1", "rededge", 0.704, 0.019, 20.0),
        _optical("B06", "Red edge 2", "rededge", 0.740, 0.018, 20.0),
        _optical("B07", "Red edge 3", "rededge", 0.783, 0.028, 20.0),
        _optical("B08", "Near infrared", "nir", 0.842, 0.145, 10.0),
        _optical("B8A", "Narrow near infrared", "nir08", 0.865, 0.033, 20.0),
        _optical("B11", "Short-wave infrared 1", "swir16", 1.610, 0.143, 20.0),
        _optical("B12", "Short-wave infrared 2", "swir22", 2.190, 0.242, 20.0),
        SCL,
    ),
    decibel=False,
    files_share_times=True,
    constellation="sentinel-2",
    instrument="msi",
)

SENTINEL1 = Sensor(
    product="S1_GRD",
    suffix="SENTINEL1_GRD",
    title="Sentinel-1 GRD backscatter",
    text=(
        "Detected backscatter of Sentinel-1 (interferometric wide swath) as linear power, NaN where there is no data. "
        "It is not terrain-corrected; pixels of 20 m are repeated to 10 m."
    ),
    bands=(_radar("VV", "Backscatter, vertical transmit and receive"), _radar("VH", "Backscatter, cross-polarised")),
    decibel=True,
    files_share_times=False,
    constellation="sentinel-1",
    instrument="c-sar",
)
