"""`openeo-embed model train` on a third, declared sensor: both stages, what they leave, and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest

from backend.cli import run
from tests.backend.made_sites import DECLARED, write_site

pytest.importorskip("lightning")

SHORT = (  # noqa: SIM905
    "--schedule cosine --steps 2 --warmup 1 --rates by_width --rate 0.01 --decoded 1 --batch 4 --draws 4 --span 12 "
    "--block 16 --held-out 0.25 --validation-windows 2 --log 1 --quiet"
).split()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two collections and two declared sensors."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "thermal.json").write_text(json.dumps(DECLARED))
    optical = {"id": "optical", "bands": ["G"], "preprocessing": "sentinel2-reflectance", "tokens": 2, "bottleneck": 1}
    (folder / "optical.json").write_text(json.dumps(optical))
    write_site(folder, "thermal", {"B1": 0.3, "T": 290.0})
    write_site(folder, "optical", {"G": 0.2})
    return folder


def train(place, *arguments):
    return run(["model", "train", *map(str, arguments), *SHORT, "--data", str(place / "data")])


@pytest.fixture(scope="module")
def stage1(place):
    """Stage 1 of both, by the command line."""
    for name in ("optical", "thermal"):
        options = ["--modality", place / f"{name}.json", "--start", "data", "--no-wide-kernels"]
        assert train(place, "modality", *options, "--site", f"{name}={place}/{name}.zarr") == 0
    return place


def test_a_declared_sensor_is_trained_without_code(stage1, capsys):
    from models.card import read_card

    card = read_card(stage1 / "data" / "models" / "thermal-stage1")
    assert card.stage == "stage1"
    assert card.modalities[0].bands == ("B1", "T")
    assert card.training["settings"]["rates"] == "by_width"
    assert np.isfinite(card.metrics["center_error_validation"]["thermal"])
    folder = stage1 / "data" / "runs" / "thermal-stage1"
    assert {"config.json", "metrics.csv", "curves.png"} <= {p.name for p in folder.iterdir()}
    assert run(["model", "list", "--data", str(stage1 / "data")]) == 0
    assert "thermal-stage1" in capsys.readouterr().out


def test_the_fusion_keeps_the_encoders_and_can_do_without_the_third(stage1):
    import torch

    from models.embed import embed_cube
    from models.store import load_model
    from models.training.folders import read_trained

    site = f"optical={stage1}/optical.zarr,thermal={stage1}/thermal.zarr"
    names = ["optical-stage1", "thermal-stage1"]
    options = [
        "--encoders",
        *names,
        "--optional",
        "thermal",
        "--reference",
        "optical",
        "--name",
        "both",
        "--site",
        site,
    ]
    assert train(stage1, "fusion", *options) == 0
    folders = (stage1 / "data" / "models",)
    model = load_model("both", folders=folders)
    for name in names:
        for key, value in read_trained(name, folders).weights.items():
            if key.startswith("encoders."):
                assert torch.equal(model.state_dict()[key], value), key
    cube = np.random.default_rng(0).random((1, 13, 15, 15)).astype(np.float32)
    days = np.datetime64("2022-01-01", "ns") + np.arange(13) * np.timedelta64(8, "D")
    out = embed_cube(model, {"optical": cube}, {"optical": days})
    assert np.isfinite(out[:, 5:8, 7, 7]).all()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["modality", "--modality", "s2"], "nothing to train on"),
        (["modality", "--modality", "nothing", "--simulated", "1"], "nothing"),
        (
            ["modality", "--modality", "{place}/thermal.json", "--site", "{place}/optical.zarr", "--name", "a"],
            "needs the bands B1, T",
        ),
        (
            ["modality", "--modality", "{place}/thermal.json", "--site", "{place}/thermal.zarr", "--name", "demo"],
            "demo",
        ),
        (["modality", "--modality", "{place}/thermal.json", "--site", "{place}/thermal.zarr", "--resume"], "resume"),
        (["fusion", "--encoders", "demo", "--name", "x", "--optional", "s2", "--simulated", "1"], "reference"),
    ],
)
def test_what_cannot_be_is_said(place, capsys, arguments, told):
    given = [a.format(place=place) for a in arguments]
    if "--resume" in given:
        given += ["--name", "never"]
    assert train(place, *given) != 0
    assert told in capsys.readouterr().err


def test_too_few_dates(place, capsys):
    path = write_site(place, "short", {"B1": 0.3, "T": 290.0}, dates=8)
    assert train(place, "modality", "--modality", place / "thermal.json", "--name", "few", "--site", path) == 1
    assert "too few dates" in capsys.readouterr().err
