"""Import of published-format checkpoints: a file of that format made from seeded weights, and what is refused."""

from __future__ import annotations

import os

import pytest
import torch

from models.published import CheckpointError, read_published
from tests.golden.published_format import seeded_checkpoint
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


def test_checkpoints_of_stage_1_are_named_as_such(save):
    with pytest.raises(CheckpointError, match="not those of stage 1"):
        read_published(save({"state_dict": {"encoder.x": torch.zeros(1)}}), "mine")


def test_a_missing_part_is_named(checkpoint, save):
    state = {k: v for k, v in checkpoint["state_dict"].items() if not k.startswith("enc_s2.token_reducer")}
    with pytest.raises(CheckpointError, match=r"reduce_frames\.weight"):
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
