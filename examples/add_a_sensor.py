"""Add Landsat 8 (reflectance and surface temperature) to a model of Sentinel-1 and 2: no code, a declaration.

    python examples/add_a_sensor.py ../shared/data/flanders

What a sensor is stands in `examples/landsat8.json`: bands, units, preprocessing, sizes. This script brings the site's
Landsat file into a Zarr group with the attributes that any collection has, and then runs three commands:

    openeo-embed model train modality --modality examples/landsat8.json --start data --no-wide-kernels ...
    openeo-embed model train modality --modality examples/landsat8.json --start landsat8-warm ...
    openeo-embed model train fusion --encoders demo landsat8-stage1 --optional landsat8 --start data ...

The encoders of `demo` stay as they are, bit for bit: that is checked at the end. Then the errors at the centre pixel in
held-out blocks are printed, beside those of always guessing the mean. It takes about a quarter of an hour of one core;
`--effort 0.01` goes through everything in two minutes. What is done already in `--work` is not done again: the script
can be killed and started anew with the same options.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr
import zarr

from backend.cli import run
from models.card import Modality
from models.card_item import parse_modality
from models.folders import PACKAGED
from models.training.batches import WindowBatch
from models.training.folders import Trained, fill_task, read_trained
from models.training.loop import evaluate
from models.training.sampler import BlockSampler, Sampling, Sensors
from models.training.tasks import FusionTask, ModalityTask, centre
from processes.training import Holdout, open_site, site_blocks

DECLARATION = Path(__file__).with_name("landsat8.json")
SENSOR, RESULT = "landsat8", "demo-landsat8"
CLEAR = 0b110  # bits of pixel_qa: clear land, water
# The settings of short runs, see docs/training.md. Steps and rates: without and with the wide kernels, of the fusion.
SHORT = (  # noqa: SIM905
    "--schedule cosine --rates by_width --no-dropout --decoded 1 --draws 8 --batch 32 --block 32 --held-out 0.25 "
    "--validation-windows 64 --keep 50 --log 10 --quiet"
).split()
STEPS = {"warm": (500, 0.03), "stage1": (100, 0.01), "fusion": (200, 0.01)}
HELD_OUT = Holdout(share=0.25, side=32)


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
    """Bring the collection in, train both stages, check and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=Path, help="folder with a site's Sentinel-1, Sentinel-2 and Landsat 8 files")
    parser.add_argument("--work", type=Path, default=Path("sensor-demo"), help="folder of the collection, models, runs")
    parser.add_argument("--model", default="demo", help="model whose encoders are kept")
    parser.add_argument("--effort", type=float, default=1.0, help="factor on all numbers of steps")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
    options = parser.parse_args()
    begin = time.monotonic()
    options.work.mkdir(parents=True, exist_ok=True)
    collection = options.work / "LANDSAT8.zarr"
    if not collection.exists():
        write_collection(options.site / "L8_SR_10m.nc", collection)
    paths = {"s2": options.site, "s1": options.site, SENSOR: collection}
    sensor, own_site = ["--modality", str(DECLARATION)], ["--site", f"{SENSOR}={collection}"]
    all_sites = ["--site", ",".join(f"{id}={path}" for id, path in paths.items())]
    warm, stage1 = f"{SENSOR}-warm", f"{SENSOR}-stage1"
    _train("warm", warm, ["modality", *sensor, "--start", "data", "--no-wide-kernels", *own_site], options)
    _train("stage1", stage1, ["modality", *sensor, "--start", warm, *own_site], options)
    fusion = ["fusion", "--encoders", options.model, stage1, "--optional", SENSOR, "--start", "data", *all_sites]
    _train("fusion", RESULT, fusion, options)
    _report(options, paths)
    print(f"{(time.monotonic() - begin) / 60:.0f} minutes")


def _train(stage: str, name: str, arguments: Sequence[str], options: argparse.Namespace) -> None:
    """Run one command, unless its model is there; go on with its run, if there is one."""
    data = options.work / "data"
    if (data / "models" / name).exists():
        print(f"{name} is trained already")
        return
    steps, rate = STEPS[stage]
    steps = max(round(steps * options.effort), 4)
    length = ["--steps", steps, "--warmup", max(steps // 20, 2), "--epoch", max(steps // 4, 2), "--rate", rate]
    where = ["--precision", options.precision, "--name", name, "--data", data]
    resume = ["--resume"] if (data / "runs" / name).exists() else []
    line = ["model", "train", *arguments, *SHORT, *map(str, length), *map(str, where), *resume]
    print("openeo-embed", *line, flush=True)
    if status := run(line):
        raise SystemExit(status)


def _report(options: argparse.Namespace, paths: dict[str, Path]) -> None:
    """Print whether the encoders are those of the model, and the errors in held-out blocks."""
    models = options.work / "data" / "models"
    before, alone, fused = (
        read_trained(name, (models, PACKAGED)) for name in (options.model, f"{SENSOR}-stage1", RESULT)
    )
    kept = [m.id for m in before.card.modalities]
    same = all(torch.equal(fused.weights[k], v) for k, v in before.weights.items() if k.startswith("encoders."))
    print(f"The encoders of {' and '.join(kept)} are {'' if same else 'NOT '}bit for bit those of {options.model}.")
    declared = parse_modality(json.loads(DECLARATION.read_text("utf-8")))
    print("Mean absolute error of the centre pixel in held-out blocks, preprocessed units:")
    task = ModalityTask(declared, decoded=1)
    fill_task(task, alone)
    batches = _held_out(paths, (declared,), Sensors((SENSOR,), SENSOR))
    _print_errors("stage 1", evaluate(task, batches), batches)
    _print_errors("fusion", *_of_fusion(fused, paths))


def _of_fusion(fused: Trained, paths: dict[str, Path]) -> tuple[dict[str, float], list[WindowBatch]]:
    sensors = Sensors(tuple(m.id for m in fused.card.modalities), "s2", frozenset([SENSOR]))
    batches = _held_out(paths, fused.card.modalities, sensors)
    task = FusionTask(fused.card, decoded=1)
    task.model.load_state_dict(fused.weights)
    return evaluate(task, batches), batches


def _held_out(paths: dict[str, Path], modalities: Sequence[Modality], sensors: Sensors) -> list[WindowBatch]:
    """Windows in the blocks that no training here has seen."""
    _, blocks = site_blocks(open_site(paths, modalities), modalities, sensors.reference, HELD_OUT)
    sampler = BlockSampler(blocks, blocks, sensors, Sampling(batch=32, draws=8), validation_windows=128)
    return list(sampler.validation())


def _print_errors(stage: str, errors: dict[str, float], batches: Sequence[WindowBatch]) -> None:
    for id, error in errors.items():
        values = torch.cat([centre(b, id)[b.present[id].flatten()] for b in batches])
        guess = float((values - values.nanmean(0)).abs().nanmean())
        print(
            f"  {stage}, {id}: {error:.5f}; always guessing the mean: {guess:.5f} ({guess / error:.1f} times as much)"
        )


if __name__ == "__main__":
    main()
