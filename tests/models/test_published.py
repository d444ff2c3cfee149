"""Import of published-format checkpoints: a file of that format made from seeded weights, and what is refused."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch

from models import load_model
from models.card import CardError, Modality, published_modalities, read_card
from models.network import TwoStageModel
from models.published import CheckpointError, read_published
from models.store import read_weights, save_model
from tests.golden.published_format import seeded_checkpoint, seeded_stage1
from tests.golden.seeded import seeded_model


@pytest.fixture(scope="module")
def checkpoint():
    return seeded_checkpoint()


@pytest.fixture
def save(tmp_path):
    def save(checkpoint):
        torch.save(checkpoint, tmp_path / "model.ckpt")
        return tmp_path / "model.ckpt"

    return save


def test_every_weight_finds_its_place(checkpoint, save):
    card, weights = read_published(save(checkpoint), "mine")
    ours = seeded_model().state_dict()
    assert len(checkpoint["state_dict"]) == 327  # as published, but for the bias of the unused layer
    assert weights.keys() == ours.keys()
    assert all(torch.equal(weights[k], ours[k]) for k in ours)
    assert (card.name, card.attention, card.size) == ("mine", "self", 7)
    assert [(m.id, m.tokens, m.bottleneck) for m in card.modalities] == [("s1", 7, 2), ("s2", 6, 9)]


def test_copies_that_differ_are_refused(checkpoint, save):
    state = dict(checkpoint["state_dict"])
    state["dec_s1.transformer_dec.layers.0.linear1.bias"] = state["dec_s1.transformer_dec.layers.0.linear1.bias"] + 1
    with pytest.raises(CheckpointError, match="differs from the encoder's own copy"):
        read_published(save({**checkpoint, "state_dict": state}), "mine")


@pytest.mark.parametrize("sensor", ["s1", "s2"])
def test_a_checkpoint_of_stage_1_is_told_by_its_channels(save, sensor):
    card, weights = read_published(save(seeded_stage1(sensor)), "mine")
    assert (card.stage, card.reference, [m.id for m in card.modalities]) == ("stage1", sensor, [sensor])
    sizes = {"s1": (7, 2), "s2": (6, 9)}
    assert (card.modalities[0].tokens, card.modalities[0].bottleneck) == sizes[sensor]
    ours = seeded_model().state_dict()
    own = {k for k in ours if k.startswith((f"encoders.{sensor}.", f"decoders.{sensor}."))}
    assert weights.keys() == own
    assert all(torch.equal(weights[k], ours[k]) for k in own)


def test_stage_1_of_another_sensor_is_declared(save, tmp_path):
    modality = Modality("c_band", ("XX", "XY"), "sentinel1-power", tokens=1, bottleneck=1)
    path = save(seeded_stage1("s1"))
    card, weights = read_published(path, "mine", modality=modality)
    assert card.modalities == (replace(modality, tokens=7, bottleneck=2),)
    assert all(k.split(".")[1] == "c_band" for k in weights)
    with pytest.raises(CheckpointError, match="c_band has 2 channels in the checkpoint, but the 1 bands XX"):
        read_published(path, "mine", modality=replace(modality, bands=("XX",)))
    save_model(tmp_path / "mine", card, weights, torch.float32)
    assert read_weights(tmp_path / "mine", read_card(tmp_path / "mine")).keys() == weights.keys()
    with pytest.raises(CardError, match="stage 1 of c_band alone"):
        load_model(tmp_path / "mine")


def test_channels_of_no_known_sensor_ask_for_a_declaration(save):
    checkpoint = seeded_stage1("s1")
    checkpoint["state_dict"]["encoder.dim_reducer.conv0.0.weight"] = torch.zeros(149, 4, 1, 1)
    with pytest.raises(CheckpointError, match=r"4 channels, .* declare it as a modality"):
        read_published(save(checkpoint), "mine")


def test_a_fusion_takes_no_modality(checkpoint, save):
    with pytest.raises(CheckpointError, match="takes no modality"):
        read_published(save(checkpoint), "mine", modality=published_modalities()[0])


def test_a_checkpoint_of_something_else_is_named(save):
    with pytest.raises(CheckpointError, match="neither `enc_s2"):
        read_published(save({"state_dict": {"layer.x": torch.zeros(1)}}), "mine")


def test_a_fusion_without_decoders(checkpoint, save):
    state = {k: v for k, v in checkpoint["state_dict"].items() if not k.startswith(("dec_", "head_"))}
    card, weights = read_published(save({"state_dict": state}), "mine")
    assert not card.decoders
    assert TwoStageModel(card).load_state_dict(weights)


LINEAR = "enc_s1.transformer_enc.layers.1.linear1.weight"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("norm_out.bias"), r"it lacks fusion\.norm\.bias$"),
        (lambda s: s.pop("dec_s2.upscaler.conv1.0.bias"), r"it lacks decoders\.s2\.frame\.up1\.bias$"),
        (lambda s: s.update({"ssim.window": torch.zeros(3)}), r"it has, but the model has not, ssim\.window$"),
        (lambda s: s.update({"enc_l8.x": torch.zeros(3)}), r"has not, enc_l8\.x$"),
        (
            lambda s: s.update({"norm_out.bias": torch.zeros(7)}),
            r"it has in another shape norm_out\.bias \(7,\), not \(128,\)$",
        ),
        (lambda s: s.update({LINEAR: torch.zeros(())}), r"linear1\.weight \(\), not \(8, 256\)$"),
        (lambda s: s.update({"norm_out.bias": torch.full((128,), torch.nan)}), r"no finite numbers in norm_out\.bias$"),
        (lambda s: s.update({"bottleneck_reducer.0.weight": torch.zeros(())}), r"has the shape \(\)"),
        (lambda s: [s.pop(k) for k in list(s) if "upscaler" in k], r"it lacks decoders\.s1.* and \d+ more$"),
    ],
)
def test_tensors_that_do_not_fit_are_named(checkpoint, save, change, message):
    state = dict(checkpoint["state_dict"])
    change(state)
    if LINEAR in state and not state[LINEAR].ndim:
        state[LINEAR.replace("enc", "dec")] = state[LINEAR]
    with pytest.raises(CheckpointError, match=message):
        read_published(save({"state_dict": state}), "mine")


def test_a_missing_part_is_named(checkpoint, save):
    state = {k: v for k, v in checkpoint["state_dict"].items() if not k.startswith("enc_s2.token_reducer")}
    with pytest.raises(CheckpointError, match=r"model\.ckpt does not fit .* lacks enc_s2\.token_reducer\.0\.weight$"):
        read_published(save({"state_dict": state}), "mine")


def test_a_pickle_is_never_executed(tmp_path, save):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "executed"),))

    with pytest.raises(CheckpointError, match="can be read safely"):
        read_published(save({"state_dict": {}, "bomb": Bomb()}), "mine")
    assert not (tmp_path / "executed").exists()


def test_no_such_file(tmp_path):
    with pytest.raises(CheckpointError, match="does not exist"):
        read_published(tmp_path / "none.ckpt", "mine")
