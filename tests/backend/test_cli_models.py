"""The commands `model` and `embed`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from models import load_model
from models.card_item import card_from_item
from processes.simulation import SceneSpec, write_archive
from tests.backend.server import run_command, run_inside
from tests.golden.published_format import seeded_checkpoint, seeded_stage1
from tests.golden.seeded import seeded_model


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with an imported model."""
    folder = tmp_path_factory.mktemp("cli") / "data"
    checkpoint = folder.parent / "fuse_model.ckpt"
    torch.save(seeded_checkpoint(), checkpoint)
    done = run_inside("model", "import", checkpoint, "--name", "mine", "--attention", "frames", "--data", folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_an_imported_model_has_the_checkpoints_weights(data):
    state = load_model("mine", folders=[data / "models"]).state_dict()
    assert all(torch.equal(state[k], v) for k, v in seeded_model().state_dict().items())


def test_list_and_show(data):
    listed = run_inside("model", "list", "--data", data).stdout
    assert [line.split("\t")[0] for line in listed.splitlines()] == ["demo", "mine"]
    card = card_from_item(json.loads(run_inside("model", "show", "mine", "--data", data).stdout))
    assert card.attention == "frames"
    assert card.training == {"source": "fuse_model.ckpt"}


def test_a_model_goes_out_and_comes_back(data, tmp_path):
    for output, options in ((tmp_path / "mine.zip", ["--name", "zipped"]), (tmp_path / "mine", [])):
        assert run_inside("model", "export", "mine", output, "--data", data).returncode == 0
        done = run_inside("model", "import", output, *options, "--data", tmp_path / "data")
        assert done.returncode == 0, done.stderr
    listed = run_inside("model", "list", "--data", tmp_path / "data").stdout
    assert [line.split("\t")[0] for line in listed.splitlines()] == ["demo", "mine", "zipped"]
    states = [load_model(name, folders=[tmp_path / "data" / "models"]).state_dict() for name in ("mine", "zipped")]
    assert all(torch.equal(states[0][k], v) for k, v in states[1].items())
    again = run_inside("model", "import", tmp_path / "mine.zip", "--data", tmp_path / "data")
    assert again.returncode == 1
    assert "There is a model mine already" in again.stderr


def test_stage_1_of_a_declared_sensor(data, tmp_path):
    torch.save(seeded_stage1("s1"), tmp_path / "stage1.ckpt")
    declared = {"id": "alos", "bands": ["HH", "HV"], "preprocessing": "sentinel1-power", "tokens": 1, "bottleneck": 1}
    (tmp_path / "alos.json").write_text(json.dumps(declared))
    arguments = ["model", "import", tmp_path / "stage1.ckpt", "--name", "alos-1", "--data", tmp_path]
    done = run_inside(*arguments, "--modality", tmp_path / "alos.json")
    assert done.returncode == 0, done.stderr
    assert "alos-1\talos (stage 1)\t" in run_inside("model", "list", "--data", tmp_path).stdout
    again = run_inside(*arguments)
    assert again.returncode == 2
    assert "--replace" in again.stderr
    assert run_inside(*arguments, "--replace").returncode == 0
    (tmp_path / "alos.json").write_text(json.dumps({**declared, "bands": "HH"}))
    done = run_inside(*arguments, "--replace", "--modality", tmp_path / "alos.json")
    assert done.returncode == 1
    assert "modality 'alos': bands is 'HH'" in done.stderr


def test_a_damaged_model_is_listed_as_such(tmp_path):
    (tmp_path / "models" / "bad").mkdir(parents=True)
    (tmp_path / "models" / "bad" / "item.json").write_text("{}")
    listed = run_inside("model", "list", "--data", tmp_path)
    assert listed.returncode == 0
    assert "bad\t-\tcannot be used: " in listed.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["show", "nope"], 1, "There is no model 'nope'. Models: demo, mine."),
        (["import", "none.ckpt", "--name", "x"], 2, "none.ckpt"),
        (["import", __file__, "--name", "x"], 1, "not a checkpoint that can be read safely"),
        (["import", __file__, "--name", "../x"], 2, "must begin with a letter or digit"),
        (["import", __file__, "--name", "demo"], 2, "comes with the package"),
        (["import", __file__], 2, "give it one with --name"),
        (["import", Path(__file__).parent, "--name", "x"], 1, "item.json is not there"),
        (["import", Path(__file__).parent, "--name", "x", "--attention", "self"], 2, "are for checkpoints"),
        (["export", "nope", "out"], 1, "There is no model 'nope'. Models: demo, mine."),
        (["export", "mine", __file__], 1, "exists already"),
    ],
)
def test_failures_are_one_line(data, arguments, status, message):
    done = run_inside("model", *arguments, "--data", data)
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
    again = run_inside(*arguments)
    assert again.returncode == 2
    assert "exists" in again.stderr
