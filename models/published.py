"""Checkpoints in the published format: their names for ours, and what must be true of them.

The published fusion checkpoint is a Lightning file whose `state_dict` holds two encoders, two decoders and the
fusion. Two of its parts have no counterpart here: `bottleneck_expander`, which nothing uses, and the decoders' copies
of the encoders' transformer and positions, which must equal the originals.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from models.card import Modality, ModelCard, published_modalities

_LAYER = (
    (r"self_attn\.in_proj_", "qkv."),
    (r"self_attn\.out_proj\.", "out."),
    (r"linear1\.", "up."),
    (r"linear2\.", "down."),
)
_CBAM = ((r"attention\.ca\.se\.0", "attention.squeeze"), (r"attention\.ca\.se\.2", "attention.excite"),
         (r"attention\.sa\.conv", "attention.spatial"))  # fmt: skip
_MULTI_SCALE = ((r"convs\.0\.0", "conv3"), (r"convs\.1\.0", "conv7"), (r"fusion\.0", "fuse"))
_CONTEXT = ((r"positional_embedding_shared\.position_embeddings", "context.positions.table"),)
_ENCODER = (
    (r"dim_reducer\.(conv\d)\.0", r"frame.\1"),
    (r"dim_reducer\.(block[23])\.conv\.0", r"frame.\1.conv"),
    (r"dim_reducer\.", "frame."),
    (r"transformer_enc\.layers", "context.layers"),
    (r"encoder_linear\.0", "narrow"),
    (r"token_reducer\.0", "reduce_frames"),
    (r"bottleneck_reducer\.0", "bottleneck"),
    *_CONTEXT, *_CBAM, *_MULTI_SCALE, *_LAYER,
)  # fmt: skip
_DECODER = (
    (r"upscaler\.conv1\.0", "frame.up1"),
    (r"upscaler\.upsample2", "frame.up2"),
    (r"upscaler\.final_refinement\.0", "frame.refine1"),
    (r"upscaler\.final_refinement\.2", "frame.refine2"),
    (r"upscaler\.(block[12])\.conv\.0", r"frame.\1.conv"),
    (r"upscaler\.", "frame."),
    (r"transformer_dec\.layers", "context.layers"),
    (r"decoder_linear\.0", "widen"),
    (r"token_upsampler\.0", "expand_frames"),
    (r"bottleneck_expander\.0", "expand"),
    *_CONTEXT, *_CBAM, *_MULTI_SCALE, *_LAYER,
)  # fmt: skip
_FUSION = (
    (r"^proj_(s\d)", r"fusion.project.\1"),
    (r"^head_(s\d)", r"heads.\1"),
    (r"^type_embed", "fusion.types"),
    (r"^pair_pos_emb\.position_embeddings", "fusion.positions.table"),
    (r"^fuser\.layers", "fusion.layers"),
    (r"^norm_out", "fusion.norm"),
    (r"^bottleneck_reducer\.0", "fusion.reduce"),
    *_LAYER,
)


class CheckpointError(ValueError):
    """A file that is no checkpoint of the published format; the message says what is wrong."""


def read_published(
    path: Path, name: str, attention: Literal["frames", "self"] = "self"
) -> tuple[ModelCard, dict[str, Tensor]]:
    """Read a published fusion checkpoint: its card and its weights under our names, float32.

    Raises
    ------
    CheckpointError
        The file holds anything but tensors and plain values (a pickle is never executed), lacks parts, or its
        decoders' copies of the shared transformer differ from the encoders'.
    """
    state = _load_state(path)
    if not any(key.startswith("enc_s2.") for key in state):
        raise CheckpointError(
            f"{path} holds no `enc_s2.*`: only checkpoints of the fused model can be imported, not those of stage 1"
        )
    weights = _translate(state)
    card = ModelCard(
        name=name,
        modalities=tuple(_with_sizes(m, weights) for m in published_modalities()),
        reference="s2",
        attention=attention,
        size=_size(weights, "fusion.reduce.weight"),
        description=f"Imported from a checkpoint of the published format, {path.name}",
        training={"source": path.name},
    )
    return card, weights


def _load_state(path: Path) -> dict[str, Tensor]:
    try:
        checkpoint: Any = torch.load(path, map_location="cpu", weights_only=True)
        state = checkpoint["state_dict"]
        return {str(key): value.float() for key, value in state.items()}
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} does not exist") from error
    except Exception as error:  # torch raises a dozen types for files that are no checkpoints
        raise CheckpointError(
            f"{path} is not a checkpoint that can be read safely: it is damaged, or holds more than tensors and plain "
            f"values ({type(error).__name__})"
        ) from error


def _translate(state: dict[str, Tensor]) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.startswith("bottleneck_expander."):
            continue
        new = _our_name(key)
        if new in weights and not torch.equal(weights[new], value):
            raise CheckpointError(f"{key} differs from the encoder's own copy, {new}: they must be equal")
        weights[new] = value
    return weights


def _our_name(key: str) -> str:
    part, _, rest = key.partition(".")
    if part.startswith("enc_"):
        return f"encoders.{part[4:]}." + _rename(rest, _ENCODER)
    if part.startswith("dec_"):
        new = _rename(rest, _DECODER)
        owner = "encoders" if new.startswith("context.") else "decoders"
        return f"{owner}.{part[4:]}.{new}"
    return _rename(key, _FUSION)


def _rename(key: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, new in rules:
        key = re.sub(pattern, new, key)
    return key


def _with_sizes(modality: Modality, weights: dict[str, Tensor]) -> Modality:
    """Take tokens and bottleneck from the shapes: fusion checkpoints do not name them."""
    prefix = f"encoders.{modality.id}."
    channels = weights[prefix + "frame.conv0.weight"].shape[1]
    if channels != len(modality.bands):
        raise CheckpointError(f"{modality.id} has {channels} channels where {len(modality.bands)} are known by name")
    tokens, bottleneck = (
        _size(weights, prefix + "reduce_frames.weight"),
        _size(weights, prefix + "bottleneck.weight"),
    )
    return replace(modality, tokens=tokens, bottleneck=bottleneck)


def _size(weights: dict[str, Tensor], key: str) -> int:
    if key not in weights:
        raise CheckpointError(f"the checkpoint has no counterpart of {key}")
    return int(weights[key].shape[0])
