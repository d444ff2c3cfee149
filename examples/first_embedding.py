"""Embed a part of the sample archive over HTTP, and look at it.

Start a server (`make serve`), then run ``python examples/first_embedding.py``. It writes to ``demo-output``:

- ``embedding.tif``: the median over time of the seven embedding bands, and the NDVI beside them
- ``embedding.png``: the first three principal components of those seven as red, green and blue
- ``true_colour.png``: the Sentinel-2 image of the same place, for comparison
- ``overview.png``: all three side by side
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import openeo
import rasterio
from PIL import Image, ImageDraw

BANDS = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
AREA = {"west": 679800, "south": 5152120, "east": 680200, "north": 5152520, "crs": "EPSG:32632"}
DATES = ["2022-06-25", "2022-07-02"]
COLLECTIONS = ("SENTINEL2_L2A", "SENTINEL1_RTC")


def main() -> None:
    """Connect, compute, download, draw."""
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    connection = openeo.connect(options.url).authenticate_basic(options.user, options.password)
    s2 = connection.load_collection(options.s2, options.area, options.dates, [*BANDS, "SCL"])
    s1 = connection.load_collection(options.s1, options.area, options.dates, ["VV", "VH"])

    # Only what is to be embedded is asked for: the surroundings of each pixel and date are loaded by themselves.
    embedding = connection.datacube_from_process("multimodal_embed", data=s2, others=[s1])
    median = embedding.reduce_dimension(dimension="t", reducer="median")
    scl = s2.band("SCL")
    clear = s2.mask((scl == 3) | (scl == 8) | (scl == 9) | (scl == 10))  # shadow, clouds, cirrus
    ndvi = clear.ndvi(nir="B08", red="B04", target_band="NDVI").filter_bands(["NDVI"])
    both = median.merge_cubes(ndvi.reduce_dimension(dimension="t", reducer="median"))

    begin = time.monotonic()
    print(f"Embedding {options.dates[0]} to {options.dates[1]} ...", flush=True)
    both.download(options.output / "embedding.tif", format="GTiff")
    print(f"  {options.output / 'embedding.tif'} after {time.monotonic() - begin:.0f} s", flush=True)
    colour = clear.filter_bands(["B04", "B03", "B02"]).reduce_dimension(dimension="t", reducer="median")
    colour.download(options.output / "true_colour.png", format="PNG")
    _draw(options.output)


def _draw(folder: Path) -> None:
    """Write the embedding's picture and the overview."""
    with rasterio.open(folder / "embedding.tif") as file:
        values = dict(zip(file.descriptions, file.read(), strict=True))
    bands = np.stack([v for name, v in values.items() if name.startswith("F")])
    print(f"  {len(bands)} embedding bands of {bands.shape[1]} x {bands.shape[2]} pixels", flush=True)
    picture = Image.fromarray(principal_colours(bands))
    picture.save(folder / "embedding.png")
    colour = Image.open(folder / "true_colour.png").convert("RGB")
    ndvi = Image.fromarray(green_scale(values["NDVI"]))
    panels = {"Sentinel-2, true colour": colour, "Embedding, three components": picture, "NDVI": ndvi}
    overview(panels).save(folder / "overview.png")
    print(f"  {folder / 'embedding.png'}, {folder / 'overview.png'}", flush=True)


def principal_colours(bands: np.ndarray) -> np.ndarray:
    """The first three principal components of ``bands`` (n, y, x) as colours (y, x, 3), black where missing."""
    known = np.isfinite(bands).all(axis=0)
    colours = np.zeros((*known.shape, 3), np.uint8)
    samples = bands[:, known].T  # (pixels, n)
    if len(samples) > 3:
        centred = samples - samples.mean(0)
        _, _, axes = np.linalg.svd(centred, full_matrices=False)
        colours[known] = _stretch(centred @ axes[:3].T)
    return colours


def green_scale(ndvi: np.ndarray) -> np.ndarray:
    """NDVI -0.2 to 0.9 from brown over yellow to green, (y, x, 3)."""
    stops = np.array([[120, 85, 60], [235, 225, 160], [60, 150, 50], [10, 70, 25]])
    share = np.clip((np.nan_to_num(ndvi, nan=-0.2) + 0.2) / 1.1, 0, 1) * (len(stops) - 1)
    channels = [np.interp(share, np.arange(len(stops)), stops[:, c]) for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.uint8)


def overview(panels: dict[str, Image.Image], side: int = 384) -> Image.Image:
    """Pictures side by side under their titles, enlarged without smoothing."""
    canvas = Image.new("RGB", (len(panels) * (side + 12) + 12, side + 44), "white")
    draw = ImageDraw.Draw(canvas)
    for i, (title, picture) in enumerate(panels.items()):
        x = 12 + i * (side + 12)
        draw.text((x, 10), title, fill="black", font_size=18)
        canvas.paste(picture.convert("RGB").resize((side, side), Image.Resampling.NEAREST), (x, 38))
    return canvas


def _stretch(values: np.ndarray) -> np.ndarray:
    """2 to 98 % of each column to 0 to 255."""
    low, high = np.percentile(values, (2, 98), axis=0)
    return (np.clip((values - low) / (high - low + 1e-9), 0, 1) * 255).astype(np.uint8)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--user", default="demo")
    parser.add_argument("--password", default="demo")
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    parser.add_argument("--s2", default=COLLECTIONS[0], help="Sentinel-2 collection")
    parser.add_argument("--s1", default=COLLECTIONS[1], help="Sentinel-1 collection")
    parser.add_argument("--dates", nargs=2, default=DATES, metavar=("START", "END"))
    parser.add_argument("--area", type=_area, default=AREA, help="west,south,east,north,crs")
    return parser.parse_args()


def _area(text: str) -> dict:
    *bounds, crs = text.split(",")
    return {**dict(zip(("west", "south", "east", "north"), map(float, bounds), strict=True)), "crs": crs}


if __name__ == "__main__":
    main()
