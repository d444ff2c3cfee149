"""The back-end's embedding models through `load_ml_model`, `ml_predict` and `multimodal_embed`."""

from __future__ import annotations

import dask.array as da
import numpy as np
import odc.geo.xr
import pytest
import torch
import xarray as xr
from odc.geo.geobox import GeoBox

from models.store import save_model
from processes.environment import Halo
from processes.errors import OpenEOError
from processes.machine_learning.models import ModelHandle
from processes.machine_learning.predict import halo, ml_predict
from tests.golden.seeded import seeded_cube, seeded_model
from tests.processes.graph.graphs import node, of, param
from tests.processes.machine_learning.cubes import build, embeddings, environment, lazy, sites, trained
from udf import ModelShelf

S2 = ["B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"]
LOAD = {"model": node("load_ml_model", uri="seeded")}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    model = seeded_model()
    save_model(folder / "seeded", model.card, model.state_dict(), torch.float32)
    return ModelShelf((folder,), "seeded")


@pytest.fixture(scope="module")
def merged():
    """Both sensors' bands in one cube of 11 dates and 15 x 15 pixels."""
    raw = seeded_cube(dates=11, s1_dates=28, size=(15, 15))
    box = GeoBox.from_bbox((600_000, 5_099_850, 600_150, 5_100_000), "EPSG:32632", resolution=10)
    grid = odc.geo.xr.xr_coords(box, dims=("y", "x"))
    s2, s1 = (
        xr.DataArray(
            da.from_array(values.transpose(1, 0, 2, 3), chunks=(5, -1, -1, -1)),
            dims=("t", "bands", "y", "x"),
            coords={"t": times, "bands": bands, **grid},
        )
        for values, times, bands in (
            (np.nan_to_num(raw["s2"], nan=0.3), raw["time"], S2),
            (raw["s1"] * np.float32(0.2), raw["s1_time"], ["VV", "VH"]),
        )
    )
    return xr.concat([s2, s1], dim="bands", join="outer", fill_value=np.float32(np.nan))


def test_the_three_ways_to_run_a_model_agree(shelf, merged):
    env = environment(models=shelf, cube=merged)
    named = build(env, result=node("multimodal_embed", data=param("cube"), model="seeded"))
    loaded = build(env, **LOAD, result=node("multimodal_embed", data=param("cube"), model=of("model")))
    predict = node("ml_predict", data=param("cube"), model=of("model"), dimensions=["bands"])
    predicted = build(env, **LOAD, result=predict)
    assert env.ledger.embeddings == 3 * merged.sizes["t"] * 15 * 15
    assert predicted.dims == ("t", "predictions", "y", "x")
    assert predicted["predictions"].values.tolist() == named["bands"].values.tolist()
    named, loaded, predicted = (cube.compute(scheduler="sync") for cube in (named, loaded, predicted))
    assert np.isfinite(named).any()
    np.testing.assert_array_equal(named, loaded)
    np.testing.assert_array_equal(named, predicted)


def test_a_model_looks_as_far_round_as_multimodal_embed_does(shelf):
    env = environment(models=shelf)
    assert halo({"model": ModelHandle("seeded")}, env) == Halo(7, 130)
    assert halo({"model": None}, env) is None
    assert ml_predict.halo_of == ("data",)


def test_names_are_told(shelf):
    with pytest.raises(OpenEOError, match=r"seeded.*Models that you saved: none") as caught:
        build(environment(models=shelf), model=node("load_ml_model", uri="other"))
    assert caught.value.code == "ModelNotFound"


def test_an_embedding_reduces_the_bands_alone(shelf, merged):
    env = environment(models=shelf, cube=merged)
    predict = node("ml_predict", data=param("cube"), model=of("model"), dimensions=["t"])
    with pytest.raises(OpenEOError, match="bands alone"):
        build(env, **LOAD, result=predict)


def test_what_is_no_embedding_model_does_not_embed(shelf, merged):
    env = environment(models=shelf, cube=lazy(embeddings()), data=merged)
    embed = node("multimodal_embed", data=param("data"), model=of("model"))
    with pytest.raises(OpenEOError, match="ml_predict") as caught:
        build(env, **trained(sites()), result=embed)
    assert caught.value.code == "ProcessParameterInvalid"


def test_embedding_models_are_not_saved(shelf, tmp_path):
    env = environment(tmp_path, models=shelf)
    with pytest.raises(OpenEOError, match="own models"):
        build(env, **LOAD, saved=node("save_ml_model", data=of("model")))
