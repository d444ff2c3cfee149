"""Add Landsat 8 (reflectance and surface temperature) to a model of Sentinel-1 and 2: no code, a declaration.

    python examples/add_a_sensor.py ../shared/data/flanders

What a sensor is stands in `examples/landsat8.json`: bands, units, preprocessing, sizes. This script only brings the
site's Landsat file into a Zarr group with the attributes that any collection has, and then runs two commands:

    openeo-embed model train modality --modality examples/landsat8.json --site landsat8=WORK/LANDSAT8.zarr ...
    openeo-embed model train fusion --encoders demo landsat8-stage1 --optional landsat8 --site ...

The encoders of `demo` stay as they are, bit for bit. `--steps 4` shows that it runs; a useful model takes thousands.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import xarray as xr
import zarr

from backend.cli import run

DECLARATION = Path(__file__).with_name("landsat8.json")
CLEAR = 0b110  # bits of pixel_qa: clear land, water
SHORT = (  # noqa: SIM905
    "--schedule cosine --warmup 2 --rates by_width --rate 0.01 --no-dropout --decoded 1 --draws 4 --precision bf16 "
    "--block 32 --held-out 0.25 --validation-windows 16 --quiet"
).split()


def write_collection(file: Path, target: Path) -> None:
    """Write a patch's Landsat file, clouds masked, as a Zarr group that `catalog add` and `--site` take."""
    with xr.open_dataset(file, mask_and_scale=False) as stored:
        clear = (stored["pixel_qa"] & CLEAR) > 0
        bands = {b: _physical(stored[b], clear) for b in map(str, stored.data_vars) if b.startswith("B")}
        axes = {name: stored[name].values for name in ("timestamp", "y", "x")}
        epsg = int(stored.attrs["epsg"])
        about = {
            "id": "LANDSAT8",
            "title": "Landsat 8: surface reflectance, brightness temperature (K)",
            "bands": [{"name": b, "unit": "K" if b in ("B10", "B11") else "1"} for b in bands],
        }
        group = zarr.create_group(target, overwrite=True, attributes={"openeo_collection": about})
        nanoseconds = axes["timestamp"].astype("datetime64[ns]").astype(np.int64)
        _vector(group, "t", nanoseconds, {"units": "nanoseconds since 1970-01-01", "calendar": "proleptic_gregorian"})
        for name in ("y", "x"):
            _vector(group, name, axes[name], {"units": "metre", "standard_name": f"projection_{name}_coordinate"})
        for name, values in bands.items():
            array = group.create_array(
                name, data=values.values, chunks=(8, 64, 64), dimension_names=("t", "y", "x"), fill_value=np.nan
            )
            array.attrs["grid_mapping"] = "spatial_ref"
    from pyproj import CRS

    crs = CRS.from_epsg(epsg)
    attributes = {**crs.to_cf(), "spatial_ref": crs.to_wkt()}
    group.create_array("spatial_ref", shape=(), dtype="int32", dimension_names=(), attributes=attributes)[...] = epsg


def _physical(band: xr.DataArray, clear: xr.DataArray) -> xr.DataArray:
    seen = clear & (band != band.attrs["_FillValue"])
    return (band * band.attrs["scale_factor"]).where(seen).astype("float32")


def _vector(group: zarr.Group, name: str, values: np.ndarray, attributes: dict) -> None:
    group.create_array(name, data=values, dimension_names=(name,), attributes=attributes)


def main() -> None:
    """Bring the collection in, train both stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path, help="folder with a site's Sentinel-1, Sentinel-2 and Landsat 8 files")
    parser.add_argument(
        "--work", type=Path, default=Path("sensor-demo"), help="folder of the collection and the models"
    )
    parser.add_argument("--model", default="demo", help="model whose encoders are kept")
    parser.add_argument("--steps", default="400")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    collection, data = options.work / "LANDSAT8.zarr", options.work / "data"
    write_collection(options.site / "L8_SR_10m.nc", collection)
    common = [*SHORT, "--steps", options.steps, "--data", str(data)]
    stage1 = ["--modality", str(DECLARATION), "--start", "data", "--site", f"landsat8={collection}"]
    stage2 = ["--encoders", options.model, "landsat8-stage1", "--optional", "landsat8", "--start", "data"]
    sites = f"s2={options.site},s1={options.site},landsat8={collection}"
    for arguments in (["modality", *stage1], ["fusion", *stage2, "--name", "demo-landsat8", "--site", sites]):
        print("openeo-embed model train", *arguments, *common, flush=True)
        if status := run(["model", "train", *arguments, *common]):
            raise SystemExit(status)


if __name__ == "__main__":
    main()
