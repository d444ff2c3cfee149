"""Run the server's embedding model inside a function of your own: how much does a place change from week to week?

The operator must allow it: start a server with ``OPENEO_EMBED_UDF_MODELS=1 make serve``, then run
``python examples/run_udf_embedding.py``. It writes ``demo-output/change.nc``: at each date, how far the embedding is
from that of the date before. For embeddings alone `multimodal_embed` is the faster way: it loads what lies round the
area by itself, and runs compiled kernels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import openeo

S2 = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12", "SCL"]
AREA = {"west": 679800, "south": 5152120, "east": 680000, "north": 5152320, "crs": "EPSG:32632"}
DATES = ["2022-05-01", "2022-09-01"]

CHANGE = """
import numpy as np
import xarray

import openeo_embed  # there where the operator lets models be run


def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    embedding = openeo_embed.embed(cube, model=context["model"])  # (t, bands F01 to F07, y, x)
    before, steps = np.nan, []
    for now in embedding.values:
        steps.append(now - before)
        before = np.where(np.isnan(now), before, now)
    distance = embedding.isel(bands=0, drop=True).copy(data=np.linalg.norm(steps, axis=1))
    # Within seven pixels of the edge there is no embedding: that is what the overlap of the windows is for.
    return distance.expand_dims(bands=cube["bands"]).transpose(*cube.dims)
"""


def main() -> None:
    """Merge the two sensors' cubes, and hand windows of them to the function."""
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    connection = openeo.connect(options.url).authenticate_basic(options.user, options.password)
    s2 = connection.load_collection("SENTINEL2_L2A", options.area, options.dates, S2)
    s1 = connection.load_collection("SENTINEL1_RTC", options.area, options.dates, ["VV", "VH"])
    both = s2.merge_cubes(s1.resample_cube_spatial(s2))
    size = [{"dimension": "x", "value": 32, "unit": "px"}, {"dimension": "y", "value": 32, "unit": "px"}]
    overlap = [{"dimension": "x", "value": 7, "unit": "px"}, {"dimension": "y", "value": 7, "unit": "px"}]
    udf = openeo.UDF(CHANGE, context={"model": options.model})
    change = both.apply_neighborhood(udf, size=size, overlap=overlap).filter_bands(["B02"])
    path = options.output / "change.nc"
    change.rename_labels("bands", ["change"], source=["B02"]).download(path, format="netCDF")
    print(path)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--user", default="demo")
    parser.add_argument("--password", default="demo")
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    parser.add_argument("--model", default="demo")
    parser.add_argument("--dates", nargs=2, default=DATES, metavar=("START", "END"))
    parser.add_argument("--area", type=_area, default=AREA, help="west,south,east,north,crs")
    return parser.parse_args()


def _area(text: str) -> dict:
    *bounds, crs = text.split(",")
    return {**dict(zip(("west", "south", "east", "north"), map(float, bounds), strict=True)), "crs": crs}


if __name__ == "__main__":
    main()
