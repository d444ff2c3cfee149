"""The commands `model` and `embed`."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import xarray as xr

from models import load_model
from processes.simulation import SceneSpec, write_archive
from tests.backend.server import run_command
from tests.golden.published_format import seeded_checkpoint
from tests.golden.seeded import seeded_model


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with an imported model."""
    folder = tmp_path_factory.mktemp("cli") / "data"
    checkpoint = folder.parent / "fuse_model.ckpt"
    torch.save(seeded_checkpoint(), checkpoint)
    done = run_command("model", "import", checkpoint, "--name", "mine", "--attention", "frames", "--data", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_an_imported_model_has_the_checkpoints_weights(data):
    state = load_model("mine", folders=[data / "models"]).state_dict()
    assert all(torch.equal(state[k], v) for k, v in seeded_model().state_dict().items())


def test_list_and_show(data):
    listed = run_command("model", "list", "--data", data).stdout
    assert [line.split("\t")[0] for line in listed.splitlines()] == ["demo", "mine"]
    card = json.loads(run_command("model", "show", "mine", "--data", data).stdout)
    assert card["attention"] == "frames"
    assert card["training"] == {"source": "fuse_model.ckpt"}


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["show", "nope"], 1, "There is no model 'nope'. Models: demo, mine."),
        (["import", "none.ckpt", "--name", "x"], 2, "none.ckpt"),
        (["import", __file__, "--name", "x"], 1, "not a checkpoint that can be read safely"),
        (["import", __file__, "--name", "../x"], 2, "must begin with a letter or digit"),
        (["import", __file__, "--name", "demo"], 2, "comes with the package"),
    ],
)
def test_failures_are_one_line(data, arguments, status, message):
    done = run_command("model", *arguments, "--data", data)
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_embed_writes_a_zarr_group(data, tmp_path):
    spec = SceneSpec(height=24, width=24, start=np.datetime64("2022-05-20"), stop=np.datetime64("2022-08-01"))
    write_archive(tmp_path, spec)
    area = (679100, 5151100, 679120, 5151120)  # 2 x 2 pixels
    arguments = ["embed", "--model", "mine", "--data", data, "--output", tmp_path / "out.zarr"]
    arguments += ["--s2", tmp_path / "SENTINEL2_L2A.zarr", "--s1", tmp_path / "SENTINEL1_RTC.zarr"]
    arguments += ["--bbox", *area, "--crs", "EPSG:32632", "--interval", "2022-06-24", "2022-07-03"]
    done = run_command(*arguments)
    assert done.returncode == 0, done.stderr
    with xr.open_zarr(tmp_path / "out.zarr", consolidated=False) as group:
        cube = group["embedding"]
        assert cube.sizes == {"t": 4, "bands": 7, "y": 2, "x": 2}
        assert np.isfinite(cube).any()
    again = run_command(*arguments)
    assert again.returncode == 2
    assert "exists" in again.stderr
