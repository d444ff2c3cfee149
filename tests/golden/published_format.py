"""A checkpoint of the published format made from seeded weights; its names are written down apart from the importer."""

from __future__ import annotations

import re

import torch

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


def seeded_checkpoint() -> dict:
    """Return what `torch.save` writes as such a file."""
    state = {}
    for name, value in seeded_model().state_dict().items():
        for theirs in published_name(name):
            state[theirs] = value
    state["bottleneck_expander.0.weight"] = torch.zeros(128, 7)
    return {"state_dict": state, "hyper_parameters": {"dbottleneck": 7}, "epoch": 3}


def seeded_stage1(sensor: str) -> dict:
    """Return what `torch.save` writes as the checkpoint of one sensor's stage 1."""
    state = {}
    for name, value in seeded_checkpoint()["state_dict"].items():
        if name.startswith((f"enc_{sensor}.", f"dec_{sensor}.")):
            state[name.replace(f"enc_{sensor}", "encoder").replace(f"dec_{sensor}", "decoder")] = value
    for name in [n for n in state if n.startswith("encoder.positional_embedding_shared.")]:
        state[name.removeprefix("encoder.")] = state[name]
    parameters = {"channels": 2, "dbottleneck": 2, "num_reduced_tokens": 7}
    return {"state_dict": state, "hyper_parameters": parameters, "epoch": 3}
