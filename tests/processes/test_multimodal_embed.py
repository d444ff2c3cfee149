"""The process `multimodal_embed`: what it finds, what it refuses, what it returns."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files

import dask.array as da
import numpy as np
import odc.geo.xr
import pytest
import torch
import xarray as xr
from odc.geo.geobox import GeoBox

from models import embed_cube, load_model
from models.card import ModelCard, published_modalities
from models.card_item import parse_modality
from models.network import TwoStageModel
from models.preprocessing import preprocess
from models.store import save_model
from processes.environment import Environment, Ledger
from processes.errors import OpenEOError
from processes.implementations.multimodal_embed import halo, multimodal_embed
from processes.sources import LoadRequest, open_source
from tests.golden.seeded import seeded_cube, seeded_model
from tests.models.engine.scenes import randomise
from udf import ModelShelf

S2 = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
TOLERANCE = 5e-6


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    model = seeded_model()
    save_model(folder / "seeded", model.card, model.state_dict(), torch.float32)
    return ModelShelf((folder,), "seeded")


@pytest.fixture
def env(shelf):
    return Environment(catalog=None, models=shelf, ledger=Ledger())


def as_cube(values, times, bands, resolution=10, crs="EPSG:32632"):
    """A lazy cube (t, bands, y, x) from (bands, t, y, x), its upper left corner at one place."""
    height, width = values.shape[2:]
    box = GeoBox.from_bbox(
        (600_000, 5_100_000 - height * resolution, 600_000 + width * resolution, 5_100_000), crs, resolution=resolution
    )
    cube = xr.DataArray(
        da.from_array(values.transpose(1, 0, 2, 3), chunks=(5, -1, -1, -1)),
        dims=("t", "bands", "y", "x"),
        coords={"t": times, "bands": bands, **odc.geo.xr.xr_coords(box, dims=("y", "x"))},
    )
    return cube


@pytest.fixture(scope="module")
def raw():
    cube = seeded_cube(dates=12, s1_dates=28, size=(16, 17))
    cube["s2"][:, 4:] = np.nan_to_num(cube["s2"][:, 4:], nan=0.3)  # few clouds: quick, and two dates to embed
    return cube


@pytest.fixture(scope="module")
def data(raw):
    return as_cube(raw["s2"], raw["time"], S2)


@pytest.fixture(scope="module")
def radar(raw):
    return as_cube(raw["s1"] * 0.2, raw["s1_time"], ["VV", "VH"])


@pytest.fixture(scope="module")
def whole(shelf, data, radar):
    env = Environment(catalog=None, models=shelf)
    return multimodal_embed(data, [radar], env=env).compute(scheduler="sync")


def test_the_cube_is_known_without_computing(data, radar, env):
    cube = multimodal_embed(data, [radar], env=env)
    assert cube.dims == ("t", "bands", "y", "x")
    assert cube.chunks is not None
    assert list(cube["bands"].values) == [f"F0{i}" for i in range(1, 8)]
    assert cube.dtype == np.float32
    assert cube.odc.crs == data.odc.crs
    assert cube.attrs == {}
    for axis in ("t", "y", "x"):
        np.testing.assert_array_equal(cube[axis], data[axis])
    assert env.ledger.embeddings == 12 * 16 * 17


def test_numbers_are_those_of_the_torch_level(whole, raw):
    cubes = {
        "s2": preprocess(raw["s2"], "sentinel2-reflectance", "local"),
        "s1": preprocess(raw["s1"] * np.float32(0.2), "sentinel1-power", "local"),
    }
    expected = embed_cube(seeded_model(), cubes, {"s2": raw["time"], "s1": raw["s1_time"]})
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(
        whole.transpose("bands", "t", "y", "x").values, expected, rtol=0, atol=TOLERANCE, equal_nan=True
    )


def test_bands_are_found_by_name_in_any_order_and_cube(data, radar, env, whole):
    merged = xr.concat(
        [radar.reindex(t=data["t"], method="nearest").isel(bands=[1, 0]), data.isel(bands=slice(None, None, -1))],
        dim="bands",
    )
    merged = merged.sel(bands=[*reversed(S2), "VH", "VV"])
    out = multimodal_embed(merged, [radar], env=env)  # both sensors in `data`, Sentinel-1 in `others` as well
    xr.testing.assert_allclose(out.compute(scheduler="sync"), whole, rtol=0, atol=TOLERANCE)


def test_merged_cubes(data, radar, env, whole):
    """Both sensors in `data`: every date is output, those of Sentinel-1 alone are missing."""
    merged = xr.concat([c.reindex(t=np.union1d(data["t"], radar["t"])) for c in (data, radar)], dim="bands")
    out = multimodal_embed(merged, env=env).compute(scheduler="sync")
    assert out.sizes["t"] == len(merged["t"]) > data.sizes["t"]
    xr.testing.assert_allclose(out.sel(t=data["t"]), whole, rtol=0, atol=TOLERANCE)
    assert np.isnan(out.sel(t=radar["t"])).all()


def test_a_coarser_grid_is_brought_to_that_of_data(data, raw, env):
    coarse = as_cube(raw["s1"][:, :, ::2, ::2] * np.float32(0.2), raw["s1_time"], ["VV", "VH"], resolution=20)
    fine = np.repeat(np.repeat(raw["s1"][:, :, ::2, ::2], 2, 2), 2, 3)[:, :, :16, :17] * np.float32(0.2)
    one = multimodal_embed(data, [coarse], env=env).compute(scheduler="sync")
    other = multimodal_embed(data, [as_cube(fine, raw["s1_time"], ["VV", "VH"])], env=env).compute(scheduler="sync")
    assert np.isfinite(one).any()
    xr.testing.assert_allclose(one, other, rtol=0, atol=TOLERANCE)


def test_dates_may_come_in_any_order(data, radar, env, whole):
    shuffled = data.isel(t=np.random.default_rng(0).permutation(data.sizes["t"]))
    out = multimodal_embed(shuffled, [radar], env=env).compute(scheduler="sync")
    np.testing.assert_array_equal(out["t"], shuffled["t"])
    xr.testing.assert_allclose(out.sortby("t"), whole, rtol=0, atol=TOLERANCE)


def test_what_was_asked_for_is_embedded_from_what_lies_around(data, radar, env, whole):
    asked = data.isel(t=slice(5, 7), y=slice(7, 9), x=slice(8, 10))
    narrow_radar = radar.isel(t=slice(10, 14))
    wide = {"data": data, "others": [radar]}
    out = multimodal_embed(asked, [narrow_radar], env=env, wide=wide).compute(scheduler="sync")
    assert np.isfinite(out).any()
    xr.testing.assert_allclose(out, whole.sel(t=asked["t"], y=asked["y"], x=asked["x"]), rtol=0, atol=TOLERANCE)
    assert env.ledger.embeddings == 2 * 2 * 2


def test_surroundings_that_do_not_hold_the_cube_in_one_piece_are_left_aside(data, radar, env, whole):
    scattered = data.isel(x=np.r_[0:8, 9:17, 8])
    out = multimodal_embed(data, [radar], env=env, wide={"data": scattered, "others": [radar]})
    xr.testing.assert_allclose(out.compute(scheduler="sync"), whole, rtol=0, atol=TOLERANCE)


def test_scene_classification_masks_clouds_unless_told_otherwise(data, radar, env, whole):
    classes = xr.full_like(data.isel(bands=[0]), 4).assign_coords(bands=["SCL"])
    classes = classes.where((data["t"] != data["t"][6]) | (data["x"] != data["x"][8]), 9)
    both = xr.concat([data, classes], dim="bands")
    masked = multimodal_embed(both, [radar], env=env).compute(scheduler="sync")
    assert np.isnan(masked.isel(t=6, x=8)).all()
    unmasked = multimodal_embed(both, [radar], mask_clouds=False, env=env).compute(scheduler="sync")
    xr.testing.assert_allclose(unmasked, whole, rtol=0, atol=TOLERANCE)


def test_quality_comes_as_two_more_bands(data, radar, env, whole, raw):
    cube = multimodal_embed(data, [radar], quality=True, env=env)
    assert cube["bands"].values.tolist() == [*(f"F0{i}" for i in range(1, 8)), "valid_fraction", "reconstruction_error"]
    assert env.ledger.embeddings == 3 * 12 * 16 * 17  # the decoders' work counts
    out = cube.compute(scheduler="sync")
    xr.testing.assert_allclose(out.isel(bands=slice(7)), whole, rtol=0, atol=TOLERANCE)
    cubes = {
        "s2": preprocess(raw["s2"], "sentinel2-reflectance", "local"),
        "s1": preprocess(raw["s1"] * np.float32(0.2), "sentinel1-power", "local"),
    }
    expected = embed_cube(seeded_model(), cubes, {"s2": raw["time"], "s1": raw["s1_time"]}, quality=True)
    np.testing.assert_allclose(
        out.transpose("bands", "t", "y", "x").values, expected, rtol=0, atol=TOLERANCE, equal_nan=True
    )
    fraction = out.sel(bands="valid_fraction").values
    assert np.isfinite(fraction).sum() == np.isfinite(whole.isel(bands=0)).sum() > 0
    assert 0 < np.nanmin(fraction) < 1


def test_a_model_without_decoders_tells_no_quality(data, radar, tmp_path):
    card, weights = replace(seeded_model().card, decoders=False), seeded_model().state_dict()
    weights = {k: v for k, v in weights.items() if not k.startswith(("decoders.", "heads."))}
    save_model(tmp_path / "bare", card, weights, torch.float32)
    env = Environment(catalog=None, models=ModelShelf((tmp_path,), "bare"))
    with pytest.raises(OpenEOError, match="without decoders") as caught:
        multimodal_embed(data, [radar], quality=True, env=env)
    assert caught.value.code == "ProcessParameterInvalid"
    assert multimodal_embed(data, [radar], env=env).sizes["bands"] == 7


LANDSAT = {
    "id": "l8",
    "bands": ["B02", "B04", "ST"],
    "units": ["reflectance", "reflectance", "kelvin"],
    "preprocessing": [
        {"op": "valid", "min": 0, "max": 1.5, "bands": ["B02", "B04"]},
        {"op": "clip", "min": 0, "max": 1, "bands": ["B02", "B04"]},
        {"op": "valid", "min": 200, "max": 350, "bands": ["ST"]},
        {"op": "min_max", "min": 250, "max": 330, "bands": ["ST"]},
    ],
    "tokens": 6,
    "bottleneck": 4,
}


def three_sensors(folder, optional):
    """A model of three sensors, the third of which is declared in its card alone."""
    card = ModelCard("three", (*published_modalities(), parse_modality({**LANDSAT, "optional": optional})), "s2")
    model = TwoStageModel(card)
    randomise(model)
    save_model(folder / "three", card, model.state_dict(), torch.float32)
    return Environment(catalog=None, models=ModelShelf((folder,), "three"))


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    return three_sensors(tmp_path_factory.mktemp("three"), optional=False)


@pytest.fixture(scope="module")
def third_optional(tmp_path_factory):
    return three_sensors(tmp_path_factory.mktemp("optional"), optional=True)


def test_a_third_sensor_is_declared_not_coded(data, radar, raw, three):
    """Its bands are called as those of Sentinel-2 are: the cubes are told apart by what each sensor took."""
    random = np.random.default_rng(6)
    times = raw["s1_time"][::2] + np.timedelta64(5, "h")
    values = np.stack([random.uniform(0, 1.6, (len(times), 16, 17)) for _ in range(2)])
    values = np.concatenate([values, random.uniform(190, 340, values[:1].shape)]).astype(np.float32)
    heat = as_cube(values, times, LANDSAT["bands"])
    out = multimodal_embed(data, [radar, heat], env=three).compute(scheduler="sync")
    model = load_model("three", folders=three.models.folders)
    cubes = {"s1": raw["s1"] * np.float32(0.2), "s2": raw["s2"], "l8": values}
    cubes = {m.id: preprocess(cubes[m.id], m.preprocessing, "local") for m in model.card.modalities}
    assert 0.05 < np.isnan(cubes["l8"]).mean() < 0.2
    expected = embed_cube(model, cubes, {"s1": raw["s1_time"], "s2": raw["time"], "l8": times})
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(
        out.transpose("bands", "t", "y", "x").values, expected, rtol=0, atol=TOLERANCE, equal_nan=True
    )
    with pytest.raises(OpenEOError, match=r"B02 \(reflectance\), B04 \(reflectance\), ST \(kelvin\)") as caught:
        multimodal_embed(data, [radar], env=three)
    assert caught.value.code == "LabelNotAvailable"


def test_an_optional_sensor_may_be_left_out_or_missing_on_some_dates(data, radar, raw, third_optional):
    model = load_model("three", folders=third_optional.models.folders)
    cubes = {"s1": raw["s1"] * np.float32(0.2), "s2": raw["s2"]}
    cubes = {m: preprocess(cube, model.card.modality(m).preprocessing, "local") for m, cube in cubes.items()}
    times = {"s1": raw["s1_time"], "s2": raw["time"]}

    def of_process(others, quality=False):
        out = multimodal_embed(data, [radar, *others], quality=quality, env=third_optional)
        return out.compute(scheduler="sync").transpose("bands", "t", "y", "x").values

    without = embed_cube(model, cubes, times, quality=True)
    assert np.isfinite(without[0]).sum(axis=(1, 2)).tolist() == [0] * 5 + [6, 6] + [0] * 5
    np.testing.assert_allclose(of_process([], quality=True), without, rtol=0, atol=TOLERANCE)
    # It sees nothing until 31 days after the first date to embed, which does without; the second one does not.
    since = raw["time"][5] + np.timedelta64(31, "D")
    heat_times = since + np.arange(-32, 24) * np.timedelta64(5, "D")
    values = np.random.default_rng(6).uniform(0.1, 0.9, (3, len(heat_times), 16, 17)).astype(np.float32)
    values[2] = 290 + 20 * values[2]
    values[:, heat_times < since] = np.nan
    own = preprocess(values, model.card.modality("l8").preprocessing, "local")
    expected = embed_cube(model, {**cubes, "l8": own}, {**times, "l8": heat_times})
    out = of_process([as_cube(values, heat_times, LANDSAT["bands"])])
    np.testing.assert_allclose(out, expected, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(out[:, 5], without[:7, 5], rtol=0, atol=TOLERANCE)
    assert np.nanmin(np.abs(out[:, 6] - without[:7, 6]).max(axis=0)) > 1e-4


def test_landsat_8_of_the_real_site(three, real_site):
    optical, sentinel1 = open_source(real_site)
    s2, s1 = (source.load(LoadRequest()).isel(y=slice(16, 31), x=slice(20, 35)) for source in (optical, sentinel1))
    files = [xr.open_dataset(real_site / f"L8_{kind}_10m.nc", mask_and_scale=False) for kind in ("SR", "ST")]
    reflectance, heat = (
        f.assign_coords(timestamp=f["timestamp"].astype("datetime64[D]")).drop_duplicates("timestamp") for f in files
    )
    bands = [reflectance[b] * 1e-4 for b in LANDSAT["bands"][:2]] + [heat["ST-B10"]]
    landsat = xr.concat(bands, "bands", join="inner", coords="minimal", compat="override").astype("float32")
    landsat = landsat.isel(y=slice(16, 31), x=slice(20, 35)).rename(timestamp="t")
    landsat = landsat.assign_coords(
        bands=LANDSAT["bands"], t=landsat["t"].astype("datetime64[ns]"), y=s2["y"], x=s2["x"]
    )
    around = s2.isel(t=slice(None, 60))
    out = multimodal_embed(around, [s1, landsat.transpose("t", "bands", "y", "x")], env=three).compute(scheduler="sync")
    warm = landsat.where(landsat["bands"] != "ST", landsat + 9).transpose("t", "bands", "y", "x")
    other = multimodal_embed(around, [s1, warm], env=three).compute(scheduler="sync")
    known = np.isfinite(out.values)
    assert known.sum() >= 7
    assert (np.abs(other.values - out.values)[known].reshape(-1) > 1e-4).any()


def test_halo(env):
    assert halo({}, env).pixels == 7
    assert halo({}, env).days >= 100 + 12


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [
        (lambda d, r: {"data": d.isel(t=0, drop=True), "others": [r]}, "DimensionMissing", r"`?'data'.*\bt\b"),
        (lambda d, r: {"data": d, "others": [r.isel(bands=0, drop=True)]}, "DimensionMissing", r"others\[0\].*bands"),
        (lambda d, r: {"data": d.drop_sel(bands="B8A"), "others": [r]}, "LabelNotAvailable", "but B8A is not"),
        (lambda d, r: {"data": d}, "LabelNotAvailable", "VV, VH is not available"),
        (lambda d, r: {"data": d.isel(t=slice(10)), "others": [r]}, "NoDataAvailable", r"10 Sentinel-2 date.*100 days"),
        (
            lambda d, r: {"data": d, "others": [r.assign_coords(x=r["x"] + 1e5)]},
            "IncompatibleDataCubes",
            "overlap `data` in space",
        ),
        (
            lambda d, r: {"data": d, "others": [r.assign_coords(t=r["t"] + np.timedelta64(900, "D"))]},
            "IncompatibleDataCubes",
            "no date within 100 days",
        ),
        (lambda d, r: {"data": d, "others": [r], "model": "best"}, "ModelNotFound", "'best'. Models: seeded"),
        (
            lambda d, r: {"data": d.assign_coords(t=[f"2022-{i}" for i in range(12)]), "others": [r]},
            "ProcessParameterInvalid",
            "no dates",
        ),
        (lambda d, r: {"data": 5, "others": [r]}, "ProcessParameterInvalid", "raster cube, not int"),
    ],
)
def test_bad_input_is_named(data, radar, env, call, code, message):
    with pytest.raises(OpenEOError, match=message) as caught:
        multimodal_embed(**call(data, radar), env=env)
    assert caught.value.code == code


def test_specification_names_the_parameters_and_exceptions():
    import inspect

    spec = json.loads(files("processes").joinpath("specs/multimodal_embed.json").read_text())
    parameters = inspect.signature(multimodal_embed).parameters.values()
    ours = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    assert [p["name"] for p in spec["parameters"]] == ours
    assert set(spec["exceptions"]) == {
        "DimensionMissing",
        "LabelNotAvailable",
        "NoDataAvailable",
        "IncompatibleDataCubes",
        "ModelNotFound",
    }
