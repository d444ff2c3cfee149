"""Models on disk: round trip, damage, names."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from models import load_model
from models.card import CARD_FILE, CardError, read_card
from models.folders import PACKAGED, ModelNotFound, list_models
from models.store import WEIGHTS_FILE, WeightsError, expected_shapes, save_model
from tests.golden.seeded import seeded_model, seeded_windows


@pytest.fixture(scope="module")
def model():
    return seeded_model()


@pytest.fixture
def saved(model, tmp_path):
    save_model(tmp_path / "models" / "seeded", model.card, model.state_dict(), torch.float32)
    return tmp_path / "models"


def embed(model):
    windows = {k: torch.from_numpy(v) for k, v in seeded_windows(2).items()}
    gaps = {m: windows[f"gaps_{m}"] for m in ("s1", "s2")}
    return model(windows, gaps, windows["delta"]).numpy()


def test_a_saved_model_gives_the_same_numbers(model, saved):
    np.testing.assert_array_equal(embed(load_model("seeded", folders=[saved])), embed(model))


def test_by_path(model, saved):
    assert load_model(saved / "seeded").card.modalities == model.card.modalities


def test_an_unknown_name_lists_the_known(saved):
    with pytest.raises(ModelNotFound, match=r"no model 'other'\. Models: seeded"):
        load_model("other", folders=[saved])


def test_damaged_weights_are_refused(saved):
    file = saved / "seeded" / WEIGHTS_FILE
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)
    with pytest.raises(WeightsError, match=r"sha256 .* its card says"):
        load_model("seeded", folders=[saved])


def test_weights_that_do_not_fit_are_not_saved(model, tmp_path):
    weights = dict(model.state_dict())
    weights.pop("fusion.norm.bias")
    with pytest.raises(WeightsError, match=r"fusion\.norm\.bias"):
        save_model(tmp_path / "bad", model.card, weights, torch.float32)
    assert list(tmp_path.iterdir()) == []


def test_weights_of_another_model_are_refused_by_name(saved):
    file = saved / "seeded" / CARD_FILE
    item = json.loads(file.read_text())
    item["properties"]["openeo_embed:modalities"][0]["bottleneck"] = 3
    file.write_text(json.dumps(item))
    with pytest.raises(
        WeightsError, match=r"has in another shape encoders\.s1\.bottleneck\.weight \(2, 112\), not \(3, 112\)"
    ):
        load_model("seeded", folders=[saved])


def test_the_shapes_are_those_of_a_model(model):
    assert expected_shapes(model.card) == {key: tuple(value.shape) for key, value in model.state_dict().items()}


def test_loading_a_model_needs_no_compiler_of_torch():
    """To import it takes longer than all else that there is to a model of this size."""
    code = "import sys; from models import load_model; load_model('demo'); print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "False"


def test_names_that_torch_has_taken_are_no_modalities(model):
    card = replace(model.card, modalities=(replace(model.card.modalities[0], id="values"), model.card.modalities[1]))
    with pytest.raises(CardError, match="no model can be built"):
        expected_shapes(card)


def test_saving_again_replaces_the_model(model, saved):
    other = seeded_model(seed=8)
    save_model(saved / "seeded", other.card, other.state_dict(), torch.float32)
    np.testing.assert_array_equal(embed(load_model("seeded", folders=[saved])), embed(other))
    assert [p.name for p in saved.iterdir()] == ["seeded"]


def test_the_demo_model_comes_with_the_package():
    card = read_card(list_models([PACKAGED])["demo"])
    weights = PACKAGED / "demo" / WEIGHTS_FILE
    assert weights.stat().st_size < 16e6
    assert card.attention == "frames"
    assert card.training["data"]
    assert card.metrics
    assert np.isfinite(embed(load_model("demo"))).all()
