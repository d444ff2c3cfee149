"""Import of published-format checkpoints: a file of that format made from seeded weights, and what is refused."""

from __future__ import annotations

import os
import re

import pytest
import torch

from models import published
from models.published import CheckpointError, read_published
from tests.golden.seeded import seeded_model

INVERSE_LAYER = {"qkv": "self_attn.in_proj", "out": "self_attn.out_proj", "up": "linear1", "down": "linear2"}


def published_name(name: str) -> list[str]:
    """The published names of one of our weights, written down independently of the importer."""
    owner, modality, rest = name.split(".", 2) if name.startswith(("encoders", "decoders")) else ("", "", name)
    rest = re.sub(r"layers\.(\d)\.(qkv|out|up|down)\.", lambda m: f"layers.{m[1]}.{INVERSE_LAYER[m[2]]}.", rest)
    rest = rest.replace("in_proj.", "in_proj_")
    rest = rest.replace("attention.squeeze", "attention.ca.se.0").replace("attention.excite", "attention.ca.se.2")
    rest = rest.replace("attention.spatial", "attention.sa.conv")
    rest = rest.replace(".conv3.", ".convs.0.0.").replace(".conv7.", ".convs.1.0.").replace(".fuse.", ".fusion.0.")
    if owner == "encoders":
        return _encoder_names(modality, rest)
    if owner == "decoders":
        return [f"dec_{modality}." + _decoder_name(rest)]
    for ours, theirs in (
        ("fusion.project.", "proj_"),
        ("heads.", "head_"),
        ("fusion.types", "type_embed"),
        ("fusion.positions.table", "pair_pos_emb.position_embeddings"),
        ("fusion.layers", "fuser.layers"),
        ("fusion.norm.", "norm_out."),
        ("fusion.reduce.", "bottleneck_reducer.0."),
    ):
        rest = rest.replace(ours, theirs)
    return [rest]


def _encoder_names(modality, rest):
    if rest.startswith("context.positions"):
        tail = "positional_embedding_shared.position_embeddings.weight"
        return [f"enc_{modality}.{tail}", f"dec_{modality}.{tail}"]
    if rest.startswith("context.layers"):
        tail = rest.removeprefix("context.layers")
        return [f"enc_{modality}.transformer_enc.layers{tail}", f"dec_{modality}.transformer_dec.layers{tail}"]
    rest = re.sub(r"^frame\.(conv\d)\.", r"dim_reducer.\1.0.", rest)
    rest = re.sub(r"^frame\.(block[23])\.conv\.", r"dim_reducer.\1.conv.0.", rest)
    rest = rest.replace("frame.", "dim_reducer.").replace("narrow.", "encoder_linear.0.")
    return [
        f"enc_{modality}."
        + rest.replace("reduce_frames.", "token_reducer.0.").replace("bottleneck.", "bottleneck_reducer.0.")
    ]


def _decoder_name(rest):
    rest = re.sub(r"^frame\.(block[12])\.conv\.", r"upscaler.\1.conv.0.", rest)
    rest = rest.replace("frame.up1.", "upscaler.conv1.0.").replace("frame.up2.", "upscaler.upsample2.")
    rest = rest.replace("frame.refine1.", "upscaler.final_refinement.0.")
    rest = rest.replace("frame.refine2.", "upscaler.final_refinement.2.").replace("frame.", "upscaler.")
    rest = rest.replace("widen.", "decoder_linear.0.").replace("expand_frames.", "token_upsampler.0.")
    return rest.replace("expand.", "bottleneck_expander.0.")


@pytest.fixture(scope="module")
def checkpoint():
    state = {}
    for name, value in seeded_model().state_dict().items():
        for theirs in published_name(name):
            state[theirs] = value
    state["bottleneck_expander.0.weight"] = torch.zeros(128, 7)
    return {"state_dict": state, "hyper_parameters": {"dbottleneck": 7}, "epoch": 3}


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
        published.read_published(tmp_path / "none.ckpt", "mine")
