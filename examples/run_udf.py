"""Run functions of your own on the server: on which day of the year was a place greenest?

Start a server (`make serve`), then run ``python examples/run_udf.py``. It writes ``demo-output/greenest.tif`` and
prints what the functions have said while they ran.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import openeo

AREA = {"west": 679800, "south": 5152120, "east": 680200, "north": 5152520, "crs": "EPSG:32632"}
DATES = ["2022-06-01", "2022-08-01"]

CLEAR_NDVI = """
import xarray


def apply_metadata(metadata, context):
    # Three bands become one; told this, the server need not find it out by a trial.
    return metadata.rename_labels(dimension="bands", target=["ndvi"])


def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    # A block (t, bands, y, x) with all bands.
    red, nir, scl = (cube.sel(bands=name, drop=True) for name in ("B04", "B08", "SCL"))
    ndvi = ((nir - red) / (nir + red)).where(scl.isin(context["clear"]))
    return ndvi.expand_dims(bands=["ndvi"], axis=1)
"""

GREENEST_DAY = """
import xarray
from openeo.udf import inspect


def apply_datacube(cube: xarray.DataArray, context: dict) -> xarray.DataArray:
    # A block (t, bands, y, x) with all dates, of which none is left.
    filled = cube.fillna(-2)
    day = cube["t"].dt.dayofyear.isel(t=filled.argmax("t")).drop_vars("t")
    seen = filled.max("t") > -2
    inspect(data={"pixels": seen.size, "share": float(seen.mean())}, message="pixels that were seen")
    return day.where(seen)
"""


def main() -> None:
    """Send the functions with the process graph, as a batch job."""
    options = _options()
    options.output.mkdir(parents=True, exist_ok=True)
    connection = openeo.connect(options.url).authenticate_basic(options.user, options.password)
    runtimes = connection.list_udf_runtimes()
    if "Python" not in runtimes:
        raise SystemExit("This server runs no functions of users.")
    print("Python", ", ".join(runtimes["Python"]["versions"]))
    cube = connection.load_collection("SENTINEL2_L2A", AREA, DATES, ["B04", "B08", "SCL"])
    clear = openeo.UDF(CLEAR_NDVI, context={"clear": [4, 5, 6]})  # vegetation, soil, water
    ndvi = cube.apply_dimension(clear, dimension="bands")
    day = ndvi.reduce_dimension(dimension="t", reducer=openeo.UDF(GREENEST_DAY))
    job = day.execute_batch(options.output / "greenest.tif", out_format="GTiff", print=lambda _: None)
    for entry in job.logs():
        if entry.get("code") == "User":
            print(entry["message"], entry["data"])
    print(options.output / "greenest.tif")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument("--user", default="demo")
    parser.add_argument("--password", default="demo")
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
