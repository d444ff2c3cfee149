"""Frame vectors from maps: plain torch, on any device."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from models.engine.dense.kinds import KINDS
from models.engine.dense.maps import FrameMaps, MapMaker, patch_offsets
from models.frames import PATCH
from models.network.attention import AttentionAxis
from models.network.frame_encoder import WIDTH, FrameEncoder
from models.network.modality import ModalityEncoder

BATCH = {"cpu": 32, "cuda": 512}  # patches at once, each 134 kB for the joined features
WINDOWS = {"cpu": 512, "cuda": 2048}  # at once


class TorchFrames:
    """Computes frame vectors of one sensor.

    Parameters
    ----------
    encoder : FrameEncoder
    """

    def __init__(self, encoder: FrameEncoder) -> None:
        self.encoder = encoder
        self.maker = MapMaker(encoder)

    def load(self, values: Tensor, missing: Tensor, keep_sums: bool) -> FrameMaps:
        """Prepare a frame; see `MapMaker.maps`."""
        return self.maker.maps(values, missing, keep_sums)

    def shared(self, maps: FrameMaps, row: Tensor, column: Tensor, slot: Tensor, pool: Tensor) -> None:
        """Vectors of patches without missing values into the slots of the pool.

        Parameters
        ----------
        row, column, slot : (n,) int64
            The patches' first pixels, and where their vectors go.
        pool : (slots, 256)
        """
        pixel, kind, _ = patch_offsets(maps.width, row.device)
        for part in _batches(len(row), BATCH, row.device):
            at = (row[part] * maps.width + column[part])[:, None] + pixel
            pool[slot[part]] = self._finish(maps.joined[at * KINDS**2 + kind], maps.y[at]).float()

    def owned(self, maps: FrameMaps, row: Tensor, column: Tensor, slot: Tensor, fill: Tensor, pool: Tensor) -> None:
        """Vectors of patches with missing values, all bands alike, into the slots of the pool.

        ``fill`` (n, channels) stands for missing values in the patches' windows; for the others see `shared`.
        """
        patches = maps.missing.unfold(0, PATCH, 1).unfold(1, PATCH, 1)
        for part in _batches(len(row), BATCH, row.device):
            places = (row[part], column[part])
            filled = self._filled(maps, patches[places], *places, fill[part])
            pool[slot[part]] = self._finish(*filled).float()

    def forget(self) -> None:
        """Let go of memory kept for the next call, the temporal part's included: there is none."""

    def _filled(
        self, maps: FrameMaps, missing: Tensor, row: Tensor, column: Tensor, fill: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Joined features and y (n, 225, 149) of patches whose ``missing`` (n, 15, 15) pixels hold the fill.

        The maps hold zeros there; what the fill adds is the same for every missing pixel that a tap meets.
        """
        assert maps.sums7 is not None  # for the type checker: asked for when the frame was loaded
        assert maps.sums3 is not None
        maker, n = self.maker, len(row)
        pixel, kind7, kind3 = patch_offsets(maps.width, row.device)
        at = (row * maps.width + column)[:, None] + pixel
        m = maker.after_conv0(fill)  # (n, 149)
        mask = missing.to(m.dtype)
        sums = []
        for taps, kept, kind, bias in (
            (maker.taps7, maps.sums7, at * KINDS**2 + kind7, maker.bias7),
            (maker.taps3, maps.sums3, at * 9 + kind3, maker.bias3),
        ):
            size = taps.shape[0]
            u = F.linear(m, taps.flatten(0, 1)).view(n, size * size, WIDTH)
            met = F.unfold(mask[:, None], size, padding=size // 2)  # (n, taps, 225): is the tap's pixel missing?
            sums.append(F.leaky_relu_(torch.baddbmm(kept[kind] + bias, met.transpose(1, 2), u), 0.1))
        joined = maker.join.positions(*sums)
        y = torch.where(missing.flatten(1)[..., None], m[:, None], maps.y[at])
        return joined, y

    def _finish(self, joined: Tensor, y: Tensor) -> Tensor:
        """(n, 225, 149) each -> (n, 256)."""
        f, y = (x.view(-1, PATCH, PATCH, WIDTH).permute(0, 3, 1, 2) for x in (joined, y))
        return self.encoder.encode_features(f, y)


class TorchContext:
    """The temporal part of an encoder."""

    def __init__(self, encoder: ModalityEncoder, attention: AttentionAxis) -> None:
        self.encoder, self.attention = encoder, attention

    def encode(self, pool: Tensor, index: Tensor, days: Tensor) -> Tensor:
        """Bottlenecks of windows: vectors ``pool[index]`` (n, 11, 256) at ``days`` (n, 11) from the first frame."""
        gaps = days.diff(dim=1)
        parts = _batches(len(index), WINDOWS, index.device)
        return torch.cat([self.encoder.encode_vectors(pool[index[p]], gaps[p], self.attention) for p in parts])


def _batches(n: int, sizes: Mapping[str, int], device: torch.device) -> list[slice]:
    size = sizes.get(device.type, sizes["cpu"])
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]
