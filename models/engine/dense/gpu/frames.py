"""Frame vectors on a GPU: cuBLAS for matrix products, Triton for all between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from models.engine.dense.gpu import kernels
from models.engine.dense.gpu.launch import ON_GPU, Blocks, launch, programs
from models.engine.dense.gpu.weights import WIDE, AttentionWeights, Buffers, Product, Taps, convolution, widened
from models.engine.dense.kinds import KINDS, REACH
from models.engine.dense.maps import patch_offsets
from models.frames import PATCH
from models.network.frame_encoder import WIDTH, FrameEncoder

STRIP = 128 << 20  # bytes of tap products at once
SHARED, OWNED = 4096, 2048  # bytes of a number times patches at once: 1024 and 512 of float32
POSITIONS = PATCH * PATCH


class Rows(NamedTuple):
    """Rows of ``data`` that patches read: ``first[patch] + table[position]``."""

    data: Tensor
    first: Tensor
    table: Tensor


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

    def __init__(self, weights: AttentionWeights, side: int, width: int, wide: int, blocks: Blocks) -> None:
        self.weights, self.side, self.width, self.wide, self.blocks = weights, side, width, wide, blocks

    def weigh(self, f: Rows, y: Rows, filled: tuple[Tensor, Tensor] | None, out: Tensor, padding: int) -> None:
        """Attention, pooling, y: what the next convolution multiplies into ``out`` (n, positions * 4, wide)."""
        n, s, b = len(f.first), self.side * self.side, self.blocks
        like = self.weights.squeeze
        statistics = like.new_empty(n, 2, self.wide)
        launch(
            kernels.channel_statistics, (n, programs(self.wide, b.channels)), *f, statistics, P=s, W=self.wide,
            POSITIONS=1 << (s - 1).bit_length(), CHANNELS=b.channels,
        )  # fmt: skip
        channel = self.weights.of_channels(statistics)
        statistics = like.new_empty(n, 2 * s)
        launch(
            kernels.position_statistics, (n, programs(s, b.positions)), *f, channel, statistics, P=s, W=self.wide,
            C=self.width, POSITIONS=b.positions, CHANNELS=b.channels,
        )  # fmt: skip
        spatial = self.weights.of_positions(statistics)
        missing, fill = filled or (channel, channel)
        side = (self.side + 2 * padding) // 2
        launch(
            kernels.weigh_and_pool, (n, programs(4 * side * side, b.positions), programs(self.wide, b.channels)), *f,
            channel, spatial, *y, missing, fill, out, S=self.side, OUT=side, PAD=padding, W=self.wide,
            FILLED=filled is not None, POSITIONS=b.positions, CHANNELS=b.channels,
        )  # fmt: skip


class TritonFrames:
    """Computes frame vectors of one sensor; see `models.engine.dense.torch_frames.TorchFrames`.

    Parameters
    ----------
    encoder : FrameEncoder
    buffers : Buffers
        May be shared with other sensors and with the temporal part: they take turns.
    rounded : bool
        Whether maps and what goes into matrix products are bf16; sums and statistics stay float32.
    blocks : Blocks
        How much of the work a program does.
    """

    def __init__(self, encoder: FrameEncoder, buffers: Buffers, rounded: bool = False, blocks: Blocks = ON_GPU) -> None:
        dtype = torch.bfloat16 if rounded else torch.float32
        block, more = encoder.block1, WIDE - WIDTH
        self.encoder, self.buffers, self.blocks = encoder, buffers, blocks
        self.weight0 = F.pad(encoder.conv0.weight.detach().flatten(1), (0, 0, 0, more))
        self.bias0 = widened(_bias(encoder.conv0))
        self.taps7, self.taps3 = Taps.of(block.conv7, dtype), Taps.of(block.conv3, dtype)
        join = F.pad(block.fuse.weight.detach().flatten(1).T.reshape(2, WIDTH, WIDTH), (0, more, 0, more)).to(dtype)
        self.join3 = Product(join[0].contiguous(), widened(_bias(block.fuse)).to(dtype))
        self.join7 = join[1].contiguous()
        self.conv1 = convolution(encoder.conv1, dtype, WIDE)
        self.block2 = convolution(encoder.block2.conv, dtype)
        self.conv2 = convolution(encoder.conv2, dtype)
        self.block3 = convolution(encoder.block3.conv, dtype)
        self.attention1 = Attention(AttentionWeights(block.attention, PATCH, WIDE), PATCH, WIDTH, WIDE, blocks)
        self.attention2 = Attention(AttentionWeights(encoder.block2.attention, 7, 128), 7, 128, 128, blocks)
        self.like = self.join7  # whose type maps and products have

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
        a7 = self._kinds(maps, part, self.taps7, maps.sums7)
        joined = maps.joined[part.start * KINDS**2 : part.stop * KINDS**2]
        torch.mm(a7, self.join7, out=joined)
        a3 = self._kinds(maps, part, self.taps3, maps.sums3)
        part3 = self.join3(a3, self._get("joined3", len(a3)))
        grid = (programs(joined.numel(), self.blocks.flat),)
        launch(kernels.join_kinds, grid, joined, part3, len(joined), W=WIDE, BLOCK=self.blocks.flat)

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
        table = pixel * KINDS**2 + kind7
        for part in _batches(len(row), SHARED // self.like.element_size()):
            first = row[part] * maps.width + column[part]
            y = self._surroundings(maps, row[part], column[part])
            pool[slot[part]] = self._finish(Rows(maps.joined, first * KINDS**2, table), y, None)

    def owned(self, maps: GpuMaps, row: Tensor, column: Tensor, slot: Tensor, fill: Tensor, pool: Tensor) -> None:
        """Vectors of patches with missing values, all bands alike, into the slots of the pool."""
        own = torch.arange(POSITIONS, device=row.device)
        for part in _batches(len(row), OWNED // self.like.element_size()):
            m = self._after_conv0(fill[part]).to(self.like.dtype)
            joined = self._filled(maps, row[part], column[part], m)
            f = Rows(joined, torch.arange(len(m), device=row.device) * POSITIONS, own)
            y = self._surroundings(maps, row[part], column[part])
            pool[slot[part]] = self._finish(f, y, (maps.missing, m))

    def forget(self) -> None:
        """Let go of the buffers."""
        self.buffers.forget()

    def _filled(self, maps: GpuMaps, row: Tensor, column: Tensor, m: Tensor) -> Tensor:
        """Joined features (n * 225, 152) of patches whose missing pixels hold ``m`` (n, 152) after `conv0`."""
        assert maps.sums7 is not None  # for the type checker: asked for when the frame was loaded
        assert maps.sums3 is not None
        pixel, kind7, kind3 = patch_offsets(maps.width, row.device)
        at = row * maps.width + column
        rows7 = Rows(maps.sums7, at * KINDS**2, pixel * KINDS**2 + kind7)
        rows3 = Rows(maps.sums3, at * 9, pixel * 9 + kind3)
        y = self._surroundings(maps, row, column)
        joined = self.join3(self._met(maps, rows3, self.taps3, m, y), self._get("filled", len(m) * POSITIONS))
        joined.addmm_(self._met(maps, rows7, self.taps7, m, y), self.join7)
        return F.leaky_relu_(joined, 0.01)

    def _met(self, maps: GpuMaps, sums: Rows, taps: Taps, m: Tensor, y: Rows) -> Tensor:
        """A convolution's activated sums (n * 225, 152) of patches, with what their fills add."""
        n, size, b = len(m), taps.size, self.blocks
        added = torch.mm(m, taps.at_once, out=self.buffers.get("wide", (n, size * size * WIDE), self.like))
        out = self._get("kinds", n * POSITIONS)
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

    def _finish(self, f: Rows, y: Rows, filled: tuple[Tensor, Tensor] | None) -> Tensor:
        """From joined features and y after `conv0` to vectors (n, 256)."""
        n, get = len(f.first), self.buffers.get
        rows = get("wide", (n * 49, 4 * WIDE), self.like)
        self.attention1.weigh(f, y, filled, rows, padding=0)
        x = F.silu(self.conv1(rows, get("after conv1", (n * 49, 128), self.like)), inplace=True)
        h = F.leaky_relu_(self.block2(self._neighbours(x, 7), get("block2", x.shape, self.like)), 0.01)
        first, table = (torch.arange(k, device=x.device) for k in (n, 49))
        rows = get("wide", (n * 16, 4 * 128), self.like)
        self.attention2.weigh(Rows(h, first * 49, table), Rows(x, first * 49, table), None, rows, padding=1)
        x = F.silu(self.conv2(rows), inplace=True)
        h = F.leaky_relu_(self.block3(self._neighbours(x, 4)), 0.01).float()
        h = h.view(n, 16, 16).transpose(1, 2).reshape(n, 16, 4, 4)  # positions, channels -> channels, positions
        out: Tensor = self.encoder.block3.attention(h)
        return out.flatten(1)

    def _neighbours(self, x: Tensor, side: int) -> Tensor:
        """What a padded 3x3 convolution multiplies: (n * side * side, c) -> (n * side * side, 9 * c)."""
        rows, width = x.shape
        out = self.buffers.get("wide", (rows, 9 * width), self.like)
        grid = (programs(out.numel(), self.blocks.flat),)
        launch(kernels.neighbours, grid, x, out, rows, S=side, W=width, BLOCK=self.blocks.flat)
        return out

    def _after_conv0(self, values: Tensor) -> Tensor:
        """`conv0` and SiLU, exactly: (..., channels) -> (..., 152)."""
        return F.silu(F.linear(values, self.weight0, self.bias0), inplace=True)

    def _get(self, name: str, rows: int) -> Tensor:
        return self.buffers.get(name, (rows, WIDE), self.like)


def _batches(n: int, size: int) -> list[slice]:
    return [slice(i, min(i + size, n)) for i in range(0, n, size)]


def _bias(conv: torch.nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias
