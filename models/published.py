"""Checkpoints in the published format: their names for ours, and what must be true of them.

They are Lightning files. The `state_dict` of a fusion holds two encoders, two decoders and the fusion, that of a stage
1 one encoder and one decoder. Two parts have no counterpart here: a fusion's `bottleneck_expander`, which nothing
uses, and copies of the encoders' transformer and positions, which must equal the originals.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from models.card import Modality, ModelCard, published_modalities
from models.store import WeightsError, check_weights

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
    path: Path, name: str, attention: Literal["frames", "self"] = "self", modality: Modality | None = None
) -> tuple[ModelCard, dict[str, Tensor]]:
    """Read a published checkpoint, of a fusion or of a stage 1: its card and its weights under our names, float32.

    Parameters
    ----------
    modality : Modality, optional
        For a stage 1: its sensor. By default the published one with as many channels. Tokens and bottleneck are
        those of the checkpoint.

    Raises
    ------
    CheckpointError
        The file holds anything but tensors and plain values (a pickle is never executed), lacks tensors, has others
        or of other shapes, or its copies of the shared transformer differ.
    """
    state = _load_state(path)
    fused = any(key.startswith("enc_") for key in state)
    if not fused and not any(key.startswith("encoder.") for key in state):
        raise CheckpointError(f"{path} holds neither `enc_s2.*` of a fusion nor `encoder.*` of a stage 1")
    if fused and modality is not None:
        raise CheckpointError(f"{path} is a fusion of the published sensors: it takes no modality")
    _require_sizes(state, fused, str(path))
    own = modality or _sensor_of(state) if not fused else None
    weights, names = _translate(state, own.id if own else None)
    card = ModelCard(
        name=name,
        modalities=tuple(_with_sizes(m, weights) for m in ([own] if own else published_modalities())),
        reference=own.id if own else "s2",
        attention=attention,
        size=_size(weights, "fusion.reduce.weight") if fused else ModelCard.size,
        description=f"Imported from a checkpoint of the published format, {path.name}",
        training={"source": path.name},
        stage="fusion" if fused else "stage1",
        decoders=any(key.startswith(("decoders.", "heads.")) for key in weights),
    )
    try:
        check_weights(weights, card, str(path), names)
    except WeightsError as error:
        raise CheckpointError(str(error)) from error
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


def _require_sizes(state: dict[str, Tensor], fused: bool, source: str) -> None:
    """Refuse a checkpoint without the tensors that a model's sizes are read from, by the names that they have there."""
    encoders = [f"enc_{m.id}" for m in published_modalities()] if fused else ["encoder"]
    parts = ("dim_reducer.conv0.0", "token_reducer.0", "bottleneck_reducer.0")
    needed = [f"{e}.{part}.weight" for e in encoders for part in parts] + ["bottleneck_reducer.0.weight"] * fused
    if lacking := [key for key in needed if key not in state]:
        raise CheckpointError(f"{source} does not fit the model: it lacks {', '.join(lacking)}")


def _translate(state: dict[str, Tensor], own: str | None) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The weights under our names, and the published name of each; `own` is the sensor of a stage 1."""
    weights: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    for key, value in state.items():
        if key.startswith("bottleneck_expander."):
            continue
        new = _our_name(key) if own is None else _our_stage1_name(key, own)
        if new in weights and not torch.equal(weights[new], value):
            raise CheckpointError(f"{key} differs from the encoder's own copy, {names[new]}: they must be equal")
        weights[new], names[new] = value, key
    return weights, names


def _our_name(key: str) -> str:
    part, _, rest = key.partition(".")
    if part.startswith("enc_"):
        return _of_encoder(rest, part[4:])
    if part.startswith("dec_"):
        return _of_decoder(rest, part[4:])
    return _rename(key, _FUSION)


def _our_stage1_name(key: str, own: str) -> str:
    part, _, rest = key.partition(".")
    return _of_decoder(rest, own) if part == "decoder" else _of_encoder(rest if part == "encoder" else key, own)


def _of_encoder(key: str, sensor: str) -> str:
    return f"encoders.{sensor}." + _rename(key, _ENCODER)


def _of_decoder(key: str, sensor: str) -> str:
    new = _rename(key, _DECODER)
    return f"{'encoders' if new.startswith('context.') else 'decoders'}.{sensor}.{new}"


def _rename(key: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, new in rules:
        key = re.sub(pattern, new, key)
    return key


def _sensor_of(state: dict[str, Tensor]) -> Modality:
    """The published sensor with as many channels as a stage 1 takes."""
    channels = _size(state, "encoder.dim_reducer.conv0.0.weight", 1)
    for modality in published_modalities():
        if len(modality.bands) == channels:
            return modality
    raise CheckpointError(
        f"the checkpoint is of a sensor of {channels} channels, which is none of the published ones: declare it as a "
        f"modality"
    )


def _with_sizes(modality: Modality, weights: dict[str, Tensor]) -> Modality:
    """Take tokens and bottleneck from the shapes: fusion checkpoints do not name them."""
    prefix = f"encoders.{modality.id}."
    channels = _size(weights, prefix + "frame.conv0.weight", 1)
    if channels != len(modality.bands):
        raise CheckpointError(
            f"{modality.id} has {channels} channels in the checkpoint, but the {len(modality.bands)} bands "
            f"{', '.join(modality.bands)}"
        )
    tokens, bottleneck = (_size(weights, prefix + f"{part}.weight") for part in ("reduce_frames", "bottleneck"))
    return replace(modality, tokens=tokens, bottleneck=bottleneck)


def _size(weights: dict[str, Tensor], key: str, axis: int = 0) -> int:
    if key not in weights:
        raise CheckpointError(f"the checkpoint has no counterpart of {key}")
    shape = weights[key].shape
    if len(shape) <= axis or not shape[axis]:
        raise CheckpointError(f"the checkpoint's counterpart of {key} has the shape {tuple(shape)}")
    return int(shape[axis])
