"""Frame vectors on a GPU: matrix products, and Triton's kernels for all between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.engine.dense.gpu import fill_kernels, kernels
from models.engine.dense.gpu.launch import launch, programs
from models.engine.dense.gpu.products import Join, Product, Setting, bias_of
from models.engine.dense.gpu.weights import WIDE, AttentionWeights, Taps, widened
from models.engine.dense.kinds import KINDS, REACH
from models.engine.dense.maps import patch_offsets
from models.frames import PATCH
from models.network.frame_encoder import WIDTH, FrameEncoder

STRIP = 128 << 20  # bytes of tap products at once
SHARED, OWNED = 8192, 4096  # bytes of a number times patches at once: 2048 and 1024 of float32
POSITIONS = PATCH * PATCH
NARROW = 16  # channels of block3


class Rows(NamedTuple):
    """Rows of ``data`` that patches read: ``first[patch] + table[position]``."""

    data: Tensor
    first: Tensor
    table: Tensor

    def part(self, of: slice) -> Rows:
        """Some patches' rows."""
        return self._replace(first=self.first[of])


@dataclass(frozen=True)
class GpuMaps:
    """Maps of one frame, valid until the next frame is loaded; see `FrameMaps`.

    ``y`` and ``missing`` have `REACH` pixels more on every side: rows of `pitch` pixels.
    """

    width: int
    pitch: int
    y: Tensor
    missing: Tensor
    joined: Tensor
    sums7: Tensor | None
    sums3: Tensor | None


class Attention:
    """A block's attention over patches read by `Rows`."""

    def __init__(self, weights: AttentionWeights, side: int, width: int, wide: int, setting: Setting) -> None:
        self.weights, self.side, self.width, self.wide, self.setting = weights, side, width, wide, setting

    def weigh(self, f: Rows, y: Rows, filled: tuple[Tensor, Tensor] | None, out: Tensor, padding: int) -> None:
        """Attention, pooling, y: what the next convolution multiplies into ``out`` (n, positions * 4, wide)."""
        n, s, b = len(f.first), self.side * self.side, self.setting.blocks
        channel, spatial = self._of_channels(f), self.weights.first.new_empty(n, 2 * s)
        launch(
            kernels.position_statistics, (n, programs(s, b.positions)), *f, channel, spatial, P=s, W=self.wide,
            C=self.width, POSITIONS=b.positions, CHANNELS=b.channels,
        )  # fmt: skip
        spatial = self.weights.of_positions(spatial)
        missing, fill = filled or (channel, channel)
        side = (self.side + 2 * padding) // 2
        launch(
            kernels.weigh_and_pool, (n, programs(4 * side * side, b.positions), programs(self.wide, b.channels)), *f,
            channel, spatial, *y, missing, fill, out, S=self.side, OUT=side, PAD=padding, W=self.wide,
            FILLED=filled is not None, POSITIONS=b.positions, CHANNELS=b.channels,
        )  # fmt: skip

    def _of_channels(self, f: Rows) -> Tensor:
        """Every channel's weight in every patch, (n, wide)."""
        n, s, wide, channels, own = (
            len(f.first),
            self.side * self.side,
            self.wide,
            self.setting.blocks.channels,
            self.weights,
        )
        statistics, out = own.first.new_empty(n, 2, wide), own.first.new_empty(n, wide)
        launch(
            kernels.channel_statistics, (n, programs(wide, channels)), *f, statistics, P=s, W=wide,
            POSITIONS=power_of_two(s), CHANNELS=channels,
        )  # fmt: skip
        launch(
            kernels.channel_weights, (n,), statistics, own.first, own.second, out, HIDDEN=own.hidden, W=wide,
            UNITS=power_of_two(own.hidden), LANES=power_of_two(wide),
        )  # fmt: skip
        return out


class TritonFrames:
    """Computes frame vectors of one sensor; see `models.engine.dense.torch_frames.TorchFrames`.

    Parameters
    ----------
    encoder : FrameEncoder
    setting : Setting
    """

    def __init__(self, encoder: FrameEncoder, setting: Setting) -> None:
        block = encoder.block1
        self.setting, self.buffers, self.blocks = setting, setting.buffers, setting.blocks
        self.weight0 = F.pad(encoder.conv0.weight.detach().flatten(1), (0, 0, 0, WIDE - WIDTH))
        self.bias0 = widened(bias_of(encoder.conv0))
        self.taps7, self.taps3 = (Taps.of(conv, setting.dtype) for conv in (block.conv7, block.conv3))
        self.join = Join(block.fuse, setting)
        self.conv1, self.conv2 = Product.strided(encoder.conv1, setting, WIDE), Product.strided(encoder.conv2, setting)
        self.block2, self.block3 = (Product.padded(b.conv, setting) for b in (encoder.block2, encoder.block3))
        of = AttentionWeights
        self.attention1 = Attention(of(block.attention, PATCH, WIDE), PATCH, WIDTH, WIDE, setting)
        self.attention2 = Attention(of(encoder.block2.attention, 7, 128), 7, 128, 128, setting)
        self.attention3 = of(encoder.block3.attention, 4, NARROW)
        self.like = self.taps7.by_row  # whose type maps and products have

    def load(self, values: Tensor, missing: Tensor, keep_sums: bool) -> GpuMaps:
        """Prepare a frame."""
        height, width, _ = values.shape
        around = (REACH,) * 4
        y = self._after_conv0(values).masked_fill_(missing[..., None], 0)
        y = F.pad(y, (0, 0, *around)).to(self.like.dtype)
        pixels = height * width
        maps = GpuMaps(
            width,
            width + 2 * REACH,
            y.view(-1, WIDE),
            F.pad(missing, around).view(torch.uint8),
            self._get("joined", pixels * KINDS**2),
            self._get("sums7", pixels * KINDS**2) if keep_sums else None,
            self._get("sums3", pixels * 9) if keep_sums else None,
        )
        rows = max(1, STRIP // (KINDS**2 * WIDE * y.element_size() * maps.pitch))
        for top in range(0, height, rows):
            self._strip(maps, top, min(rows, height - top))
        return maps

    def _strip(self, maps: GpuMaps, top: int, height: int) -> None:
        """Joined features of some rows of a frame."""
        part = slice(top * maps.width, (top + height) * maps.width)
        part3 = self.join.part(self._kinds(maps, part, self.taps3, maps.sums3), "joined3")
        joined = maps.joined[part.start * KINDS**2 : part.stop * KINDS**2]
        self.join.kinds(self._kinds(maps, part, self.taps7, maps.sums7), part3, joined)

    def _kinds(self, maps: GpuMaps, part: slice, taps: Taps, sums: Tensor | None) -> Tensor:
        """All kinds of a convolution of a slice of pixels, whole rows: (pixels * kinds, 152), activated."""
        n, pitch, pixels = taps.size, maps.pitch, part.stop - part.start
        rows = pixels // maps.width * pitch
        lead = part.start // maps.width + REACH - n // 2
        source = maps.y.as_strided((n, rows, WIDE), (pitch * WIDE, WIDE, 1), lead * pitch * WIDE)  # they overlap
        products = self.buffers.get("wide", (n, rows, n * WIDE), self.like)
        torch.bmm(source, taps.by_row, out=products)
        out = self._get("kinds", pixels * n * n)
        kept = out if sums is None else sums[part.start * n * n : part.stop * n * n]
        block = self.blocks.sums // out.element_size()
        launch(
            kernels.sum_taps, (programs(pixels * WIDE, block),), products, taps.bias, kept, out, pixels, maps.width,
            rows * n, N=n, W=WIDE, REACH=REACH, KEEP=sums is not None, BLOCK=block,
        )  # fmt: skip
        return out

    def shared(self, maps: GpuMaps, row: Tensor, column: Tensor, slot: Tensor, pool: Tensor) -> None:
        """Vectors of patches without missing values into the slots of the pool."""
        pixel, kind7, _ = patch_offsets(maps.width, row.device)
        f = Rows(maps.joined, (row * maps.width + column) * KINDS**2, pixel * KINDS**2 + kind7)
        y, slot = self._surroundings(maps, row, column), slot.contiguous()
        for part in self._batches(len(row), SHARED):
            self._finish(f.part(part), y.part(part), None, slot[part], pool)

    def owned(self, maps: GpuMaps, row: Tensor, column: Tensor, slot: Tensor, fill: Tensor, pool: Tensor) -> None:
        """Vectors of patches with missing values, all bands alike, into the slots of the pool."""
        y, slot = self._surroundings(maps, row, column), slot.contiguous()
        own = torch.arange(POSITIONS, device=row.device)
        for part in self._batches(len(row), OWNED):
            m = self._after_conv0(fill[part]).to(self.like.dtype)
            joined = self._filled(maps, row[part], column[part], y.part(part), m)
            f = Rows(joined, torch.arange(0, len(m) * POSITIONS, POSITIONS, device=row.device), own)
            self._finish(f, y.part(part), (maps.missing, m), slot[part], pool)

    def forget(self) -> None:
        """Let go of the buffers."""
        self.buffers.forget()

    def _filled(self, maps: GpuMaps, row: Tensor, column: Tensor, y: Rows, m: Tensor) -> Tensor:
        """Joined features (n * 225, 152) of patches whose missing pixels hold ``m`` (n, 152) after `conv0`."""
        assert maps.sums7 is not None  # for the type checker: asked for when the frame was loaded
        assert maps.sums3 is not None
        pixel, kind7, kind3 = patch_offsets(maps.width, row.device)
        at = row * maps.width + column
        rows7 = Rows(maps.sums7, at * KINDS**2, pixel * KINDS**2 + kind7)
        rows3 = Rows(maps.sums3, at * 9, pixel * 9 + kind3)
        if self.setting.units:
            return self._joined(maps, rows7, rows3, y, m)
        joined = self.join.part(self._met(maps, rows3, self.taps3, m, y), "filled")
        self.join.add(self._met(maps, rows7, self.taps7, m, y), joined)
        return joined

    def _joined(self, maps: GpuMaps, rows7: Rows, rows3: Rows, y: Rows, m: Tensor) -> Tensor:
        """`_filled` in one: sums with what fills add are multiplied where they come about."""
        n, b, join, out = len(m), self.blocks, self.join, self._get("filled", len(m) * POSITIONS)
        met7, met3 = self._met_by_tap(self.taps7, m, "wide"), self._met_by_tap(self.taps3, m, "kinds")
        launch(
            fill_kernels.join_filled, (n, programs(POSITIONS, b.filled)), *rows7, met7, self.taps7.bias, join.large,
            *rows3, met3, self.taps3.bias, join.small, join.bias, maps.missing, y.first, maps.pitch, out, S=PATCH,
            W=WIDE, SPLIT=not self.setting.rounded, ROWS=b.filled, DEPTH=b.joined_depth, STAGES=b.filled_stages,
            warps=8,
        )  # fmt: skip
        return out

    def _met_by_tap(self, taps: Taps, m: Tensor, name: str) -> Tensor:
        """What a tap adds where it meets a missing pixel, (n, taps * 152)."""
        return torch.mm(m, taps.at_once, out=self.buffers.get(name, (len(m), taps.size**2 * WIDE), self.like))

    def _met(self, maps: GpuMaps, sums: Rows, taps: Taps, m: Tensor, y: Rows) -> Tensor:
        """A convolution's activated sums (n * 225, 152) of patches, with what their fills add."""
        n, size, b = len(m), taps.size, self.blocks
        added, out = self._met_by_tap(taps, m, "wide"), self._get("kinds", n * POSITIONS)
        launch(
            kernels.fill_taps, (n, programs(POSITIONS, b.positions), programs(WIDE, b.channels)), *sums, added,
            taps.bias, maps.missing, y.first, maps.pitch, out, S=PATCH, N=size, W=WIDE, POSITIONS=b.positions,
            CHANNELS=b.channels,
        )  # fmt: skip
        return out

    def _surroundings(self, maps: GpuMaps, row: Tensor, column: Tensor) -> Rows:
        """Patches' rows in maps with a border."""
        table, _, _ = patch_offsets(maps.pitch, row.device)
        return Rows(maps.y, (row + REACH) * maps.pitch + column + REACH, table)

    def _finish(self, f: Rows, y: Rows, filled: tuple[Tensor, Tensor] | None, slot: Tensor, pool: Tensor) -> None:
        """From joined features and y after `conv0` to vectors in the slots (n,) of the pool."""
        n, get, own = len(slot), self.buffers.get, self.attention3
        rows = get("wide", (n * 49, 4 * WIDE), self.like)
        self.attention1.weigh(f, y, filled, rows, padding=0)
        x = self.conv1(rows, "after conv1")
        h = self.block2(x, "after block2", side=7)
        first, table = torch.arange(0, 49 * n, 49, device=x.device), torch.arange(49, device=x.device)
        rows = get("wide", (n * 16, 4 * 128), self.like)
        self.attention2.weigh(Rows(h, first, table), Rows(x, first, table), None, rows, padding=1)
        h = self.block3(self.conv2(rows, "after conv2"), "after block3", side=4)
        launch(
            kernels.last_attention, (n,), h, own.first, own.second, own.spatial, own.bias, slot, pool,
            HIDDEN=own.hidden, W=NARROW, P=16, warps=1,
        )  # fmt: skip

    def _after_conv0(self, values: Tensor) -> Tensor:
        """`conv0` and SiLU, exactly: (..., channels) -> (..., 152)."""
        return F.silu(F.linear(values, self.weight0, self.bias0), inplace=True)

    def _get(self, name: str, rows: int) -> Tensor:
        return self.buffers.get(name, (rows, WIDE), self.like)

    def _batches(self, n: int, most: int) -> list[slice]:
        size = most // self.like.element_size()
        if not self.setting.units:  # what cuBLAS multiplies is written out, nine times as much
            size = max(size // 2, 1)
        return [slice(i, min(i + size, n)) for i in range(0, n, size)]


def power_of_two(n: int) -> int:
    """The next power of two."""
    return 1 << (n - 1).bit_length()
