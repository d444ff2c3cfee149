"""`openeo-embed embed` with a model of declared sensors: what is written, with an optional sensor and without."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from backend.cli import run
from models import embed_cube
from models.card import ModelCard
from models.card_item import parse_modality
from models.network import TwoStageModel
from models.preprocessing import preprocess
from models.store import save_model
from tests.backend.made_sites import DECLARED, write_site

OPTICAL = {"id": "optical", "bands": ["G"], "preprocessing": "sentinel2-reflectance", "tokens": 2, "bottleneck": 1}
INTERVAL = "2022-03-01", "2022-03-20"  # dates 8 and 9 of 16
AREA = 600_095, 4_999_885, 600_115, 4_999_905  # columns and rows 10 and 11
TOLERANCE = 5e-6


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two collections and a model that can do without the second one's sensor."""
    folder = tmp_path_factory.mktemp("embed")
    write_site(folder, "optical", {"G": 0.2})
    write_site(folder, "thermal", {"B1": 0.3, "T": 290.0, "SPARE": 1.0})
    sensors = parse_modality(OPTICAL), parse_modality({**DECLARED, "optional": True})
    torch.manual_seed(5)
    model = TwoStageModel(ModelCard("two", sensors, "optical"))
    save_model(folder / "data" / "models" / "two", model.card, model.state_dict(), torch.float32)
    return folder, model.eval()


def embed(folder, *arguments):
    where = ["--bbox", *AREA, "--crs", "EPSG:32631", "--interval", *INTERVAL]
    line = ["embed", "--model", "two", "--data", folder / "data", *where, *arguments]
    return run(list(map(str, line)))


def expected(folder, model, ids):
    """The torch level: the same dates, with the seven pixels round the area that matter."""
    cubes, times = {}, {}
    for m in model.card.modalities:
        if m.id in ids:
            with xr.open_zarr(folder / f"{m.id}.zarr", consolidated=False) as group:
                values = np.stack([group[b].values for b in m.bands]).astype(np.float32)[..., 3:19, 3:19]
                cubes[m.id], times[m.id] = preprocess(values, m.preprocessing, "local"), group["t"].values
    wanted = np.isin(np.arange(16), [8, 9])
    return embed_cube(model, cubes, times, wanted=wanted, quality=True)[:, 8:10, 7:9, 7:9]


@pytest.mark.parametrize("ids", [("optical", "thermal"), ("optical",)])
def test_any_sensor_with_quality(place, tmp_path, ids):
    folder, model = place
    cubes = [text for id in ids for text in ("--cube", f"{id}={folder}/{id}.zarr")]
    assert embed(folder, *cubes, "--quality", "--output", tmp_path / "out.zarr") == 0
    with xr.open_zarr(tmp_path / "out.zarr", consolidated=False) as group:
        cube = group["embedding"].transpose("bands", "t", "y", "x").load()
    assert cube["bands"].values.tolist()[-2:] == ["valid_fraction", "reconstruction_error"]
    np.testing.assert_allclose(cube, expected(folder, model, ids), rtol=0, atol=TOLERANCE)
    share = cube.sel(bands="valid_fraction").values
    assert (share == 1).all() if len(ids) == 2 else np.allclose(share, 1 / 3)


def test_a_sensor_without_a_date_in_the_interval_is_taken_from_around(place, tmp_path):
    folder, _ = place
    cubes = ["--cube", f"optical={folder}/optical.zarr", "--cube", f"thermal={folder}/thermal.zarr"]
    one_day = "2022-03-05T12:00:00Z", "2022-03-06T12:00:00Z"
    shifted = tmp_path / "thermal.zarr"
    write_site(tmp_path, "thermal", {"B1": 0.3, "T": 290.0})
    with xr.open_zarr(shifted, consolidated=False) as group:
        later = group["t"].values + np.timedelta64(3, "D")
    import zarr

    zarr.open_group(shifted)["t"][:] = later.astype("datetime64[ns]").astype(np.int64)
    cubes[-1] = f"thermal={shifted}"
    assert embed(folder, *cubes, "--interval", *one_day, "--output", tmp_path / "out.zarr") == 0
    with xr.open_zarr(tmp_path / "out.zarr", consolidated=False) as group:
        assert group.sizes["t"] == 1
        assert np.isfinite(group["embedding"].values).all()


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["--cube", "thermal={place}/thermal.zarr"], 2, "the model two needs --cube optical=PATH"),
        (["--cube", "radar={place}/thermal.zarr"], 2, "no sensor radar. It has optical: G; thermal (optional): B1"),
        (["--cube", "optical={place}/optical.zarr", "--cube", "optical={place}/x"], 2, "there is no"),
        (["--cube", "optical={place}/optical.zarr"] * 2, 2, "names a sensor twice: optical"),
        (["--cube", "optical"], 2, "'optical' is not ID=PATH"),
        (["--cube", "optical={place}/thermal.zarr"], 1, "no collection at {place}/thermal.zarr has all of the bands G"),
        (["--s2", "{place}/optical.zarr"], 2, "no sensor s2"),
        (["--cube", "optical={place}/optical.zarr", "--interval", "2030-01-01", "2030-02-01"], 1, "optical: "),
    ],
)
def test_what_does_not_fit_is_said(place, tmp_path, capsys, arguments, status, told):
    folder, _ = place
    arguments = [a.format(place=folder) for a in arguments]
    assert embed(folder, *arguments, "--output", tmp_path / "out.zarr") == status
    assert told.format(place=folder) in capsys.readouterr().err
    assert not (tmp_path / "out.zarr").exists()


def test_a_sensor_is_not_taken_for_one_that_is_left_out(tmp_path, capsys):
    """Cubes are told apart by their bands: where two sensors share them, a left-out one cannot be told."""
    first = {**DECLARED, "id": "first", "optional": True}
    sensors = tuple(map(parse_modality, (OPTICAL, first, {**first, "id": "second"})))
    model = TwoStageModel(ModelCard("two", sensors, "optical"))
    save_model(tmp_path / "data" / "models" / "two", model.card, model.state_dict(), torch.float32)
    cubes = ["--cube", f"optical={tmp_path}", "--cube", f"second={tmp_path}"]
    assert embed(tmp_path, *cubes, "--output", tmp_path / "out.zarr") == 2
    assert "second has all bands of first" in capsys.readouterr().err
