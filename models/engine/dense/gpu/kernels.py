"""Triton kernels of a frame: what lies between its matrix products.

Rows hold `W` channels of which the last few are zeros, so that all begin at 16 bytes. A patch's features are read
where they lie: row ``first[patch] + table[position]``. Sums and statistics are float32, whatever type is stored.
Sizes of frames and lists are arguments that nothing is specialised for: no size compiles a kernel again.
"""
# ruff: noqa: RUF005 (Triton unpacks no tuples)

from __future__ import annotations

import triton
import triton.language as tl

from models.engine.dense.gpu.product_kernels import sigmoid, small_kind


@triton.jit
def truncated(taps, N: tl.constexpr):
    """Sums over the taps that each kind of position keeps: N taps -> N kinds; see `maps.truncated_sums`."""
    R: tl.constexpr = N // 2
    right = taps[R]
    for i in tl.static_range(R + 1, N):
        right = right + taps[i]
    kinds = (right,)
    left = taps[R - 1]
    for k in tl.static_range(1, R + 1):
        if k > 1:
            left = left + taps[R - k]
        kinds = kinds + (right + left,)
    cut = left + taps[R]
    tail = (cut,)
    for k in tl.static_range(1, R):
        cut = cut + taps[R + k]
        tail = (cut,) + tail
    return kinds + tail


@triton.jit(do_not_specialize=["pixels", "width", "stride"])
def sum_taps(
    products, bias, sums, out, pixels, width, stride, N: tl.constexpr, W: tl.constexpr, REACH: tl.constexpr,
    KEEP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """All kinds of a convolution from its tap products, with bias and LeakyReLU.

    ``products`` (N, rows, width + 2 REACH, N, W): by the tap's row, which has its own output rows, for all columns of
    the padded frame; a tap row's are `stride` rows of W. ``sums``, ``out`` (pixels, N * N, W): before bias, and after.
    """
    e = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    pixel, c = e // W, e % W
    inside = pixel < pixels
    at = ((pixel // width) * (width + 2 * REACH) + pixel % width + REACH - N // 2) * (N * W) + c
    columns = ()
    for i in tl.static_range(N):
        taps = ()
        for j in tl.static_range(N):
            tap = tl.load(products + i * stride * W + at + j * (N + 1) * W, mask=inside, other=0.0)
            taps = taps + (tap.to(tl.float32),)
        columns = columns + (truncated(taps, N),)
    add = tl.load(bias + c, mask=inside, other=0.0)
    to = pixel * (N * N * W) + c
    for b in tl.static_range(N):
        line = ()
        for i in tl.static_range(N):
            line = line + (columns[i][b],)
        kinds = truncated(line, N)
        for a in tl.static_range(N):
            kind = kinds[a]
            if KEEP:
                tl.store(sums + to + (a * N + b) * W, kind, mask=inside)
            kind = kind + add
            tl.store(out + to + (a * N + b) * W, tl.where(kind > 0, kind, 0.1 * kind), mask=inside)


@triton.jit(do_not_specialize=["rows"])
def join_kinds(joined, part3, rows, W: tl.constexpr, BLOCK: tl.constexpr):
    """Add the 3x3's part ``part3`` (rows / 49 * 9, W) to ``joined`` (rows, W) by kind, with LeakyReLU."""
    e = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row, c = e // W, e % W
    inside = row < rows
    value = tl.load(joined + e, mask=inside, other=0.0).to(tl.float32)
    other = row // 49 * 9 + small_kind(row % 49)
    value += tl.load(part3 + other * W + c, mask=inside, other=0.0).to(tl.float32)
    tl.store(joined + e, tl.where(value > 0, value, 0.01 * value), mask=inside)


@triton.jit
def channel_statistics(
    f, first, table, out, P: tl.constexpr, W: tl.constexpr, POSITIONS: tl.constexpr, CHANNELS: tl.constexpr
):
    """Maximum and mean of every channel over a patch's P positions: (n, 2, W)."""
    patch = tl.program_id(0).to(tl.int64)
    p = tl.arange(0, POSITIONS)[:, None]
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    row = tl.load(first + patch) + tl.load(table + p, mask=p < P, other=0)
    inside = (p < P) & (c < W)[None, :]
    value = tl.load(f + row * W + c[None, :], mask=inside, other=float("-inf")).to(tl.float32)
    out += patch * 2 * W + c
    tl.store(out, tl.max(value, 0), mask=c < W)
    tl.store(out + W, tl.sum(tl.where(inside, value, 0.0), 0) / P, mask=c < W)


@triton.jit
def both_weighed(
    most, mean, first, second, HIDDEN: tl.constexpr, W: tl.constexpr, UNITS: tl.constexpr, LANES: tl.constexpr
):
    """Channels' weights (LANES,) from their maxima and means (LANES,); ``first``, ``second`` (HIDDEN, W)."""
    k, c = tl.arange(0, UNITS)[:, None], tl.arange(0, LANES)[None, :]
    inside = (k < HIDDEN) & (c < W)
    w = tl.load(first + k * W + c, mask=inside, other=0.0)
    hidden = tl.maximum(tl.sum(w * most[None, :], 1), 0.0) + tl.maximum(tl.sum(w * mean[None, :], 1), 0.0)
    total = tl.sum(tl.load(second + k * W + c, mask=inside, other=0.0) * hidden[:, None], 0)
    return sigmoid(total)


@triton.jit
def channel_weights(
    statistics, first, second, out, HIDDEN: tl.constexpr, W: tl.constexpr, UNITS: tl.constexpr, LANES: tl.constexpr
):
    """Maxima and means (n, 2, W) -> weights (n, W)."""
    patch, c = tl.program_id(0).to(tl.int64), tl.arange(0, LANES)
    most = tl.load(statistics + patch * 2 * W + c, mask=c < W, other=0.0)
    mean = tl.load(statistics + (patch * 2 + 1) * W + c, mask=c < W, other=0.0)
    weight = both_weighed(most, mean, first, second, HIDDEN, W, UNITS, LANES)
    tl.store(out + patch * W + c, weight, mask=c < W)


@triton.jit
def position_statistics(
    f, first, table, weight, out, P: tl.constexpr, W: tl.constexpr, C: tl.constexpr, POSITIONS: tl.constexpr,
    CHANNELS: tl.constexpr,
):  # fmt: skip
    """Maximum and mean over C channels, weighed by ``weight`` (n, W), at a patch's P positions: (n, 2, P)."""
    patch = tl.program_id(0).to(tl.int64)
    p = tl.program_id(1) * POSITIONS + tl.arange(0, POSITIONS)
    row = tl.load(first + patch) + tl.load(table + p, mask=p < P, other=0)
    most = tl.full((POSITIONS,), float("-inf"), tl.float32)
    total = tl.zeros((POSITIONS,), tl.float32)
    for begin in range(0, W, CHANNELS):
        c = begin + tl.arange(0, CHANNELS)
        # Zeros are read, too: whole vectors are.
        a = tl.load(weight + patch * W + c, mask=c < W, other=0.0)
        inside = (p < P)[:, None] & (c < W)[None, :]
        value = tl.load(f + row[:, None] * W + c[None, :], mask=inside, other=0.0).to(tl.float32) * a[None, :]
        most = tl.maximum(most, tl.max(tl.where((c < C)[None, :], value, float("-inf")), 1))
        total += tl.sum(value, 1)
    out += patch * 2 * P + p
    tl.store(out, most, mask=p < P)
    tl.store(out + P, total / C, mask=p < P)


@triton.jit
def weigh_and_pool(
    f, first, table, weight, spatial, y, y_first, y_table, missing, fill, out, S: tl.constexpr, OUT: tl.constexpr,
    PAD: tl.constexpr, W: tl.constexpr, FILLED: tl.constexpr, POSITIONS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Weigh f by channel and position, pool 3x3 at stride 1, add y: what a 2x2 convolution at stride 2 multiplies.

    ``weight`` (n, W), ``spatial`` (n, S * S); ``out`` (n, OUT * OUT, 4, W), zeros where its taps lie outside the patch.
    With `FILLED`, y is ``fill`` (n, W) where ``missing``, a byte for each row of y, says so; y holds 0 there.
    """
    patch = tl.program_id(0).to(tl.int64)
    o = tl.program_id(1) * POSITIONS + tl.arange(0, POSITIONS)
    c = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    i = o // 4 // OUT * 2 + o % 4 // 2 - PAD
    j = o // 4 % OUT * 2 + o % 2 - PAD
    here = (o < 4 * OUT * OUT) & (i >= 0) & (i < S) & (j >= 0) & (j < S)
    begin = tl.load(first + patch)
    a = tl.load(weight + patch * W + c, mask=c < W, other=0.0)[None, :]
    most = tl.full((POSITIONS, CHANNELS), float("-inf"), tl.float32)
    for step in tl.static_range(9):
        u, v = i + step // 3 - 1, j + step % 3 - 1
        known = here & (u >= 0) & (u < S) & (v >= 0) & (v < S)
        at = u * S + v
        row = begin + tl.load(table + at, mask=known, other=0)
        s = tl.load(spatial + patch * (S * S) + at, mask=known, other=0.0)
        inside = known[:, None] & (c < W)[None, :]
        value = tl.load(f + row[:, None] * W + c[None, :], mask=inside, other=0.0).to(tl.float32)
        most = tl.maximum(most, tl.where(inside, value * a * s[:, None] + value, float("-inf")))
    inside = here[:, None] & (c < W)[None, :]
    row = tl.load(y_first + patch) + tl.load(y_table + i * S + j, mask=here, other=0)
    most += tl.load(y + row[:, None] * W + c[None, :], mask=inside, other=0.0).to(tl.float32)
    if FILLED:
        gone = tl.load(missing + row, mask=here, other=0).to(tl.float32)
        most += gone[:, None] * tl.load(fill + patch * W + c, mask=c < W, other=0.0).to(tl.float32)[None, :]
    to = out + (patch * (4 * OUT * OUT) + o)[:, None] * W + c[None, :]
    tl.store(to, tl.where(inside, most, 0.0), mask=(o < 4 * OUT * OUT)[:, None] & (c < W)[None, :])


@triton.jit(do_not_specialize=["pitch"])
def fill_taps(
    sums, first, table, products, bias, missing, y_first, pitch, out, S: tl.constexpr, N: tl.constexpr,
    W: tl.constexpr, POSITIONS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    """Add what a fill brings to a convolution's sums at a patch's positions, then bias and LeakyReLU.

    ``products`` (n, N * N, W) are the fill's, which stands wherever a tap meets a ``missing`` pixel inside the patch;
    the missing pixels' rows are `pitch` apart. ``out`` (n, S * S, W).
    """
    patch = tl.program_id(0).to(tl.int64)
    p = tl.program_id(1) * POSITIONS + tl.arange(0, POSITIONS)
    c = tl.program_id(2) * CHANNELS + tl.arange(0, CHANNELS)
    here = p < S * S
    inside = here[:, None] & (c < W)[None, :]
    row = tl.load(first + patch) + tl.load(table + p, mask=here, other=0)
    value = tl.load(sums + row[:, None] * W + c[None, :], mask=inside, other=0.0).to(tl.float32)
    value += tl.load(bias + c, mask=c < W, other=0.0)[None, :]
    missing += tl.load(y_first + patch)
    products += patch * (N * N * W) + c
    for tap in range(N * N):
        u, v = p // S + tap // N - N // 2, p % S + tap % N - N // 2
        met = here & (u >= 0) & (u < S) & (v >= 0) & (v < S)
        gone = tl.load(missing + u * pitch + v, mask=met, other=0).to(tl.float32)
        value += gone[:, None] * tl.load(products + tap * W, mask=c < W, other=0.0).to(tl.float32)[None, :]
    to = out + (patch * (S * S) + p)[:, None] * W + c[None, :]
    tl.store(to, tl.where(value > 0, value, 0.1 * value), mask=inside)


@triton.jit(do_not_specialize=["rows"])
def neighbours(x, out, rows, S: tl.constexpr, W: tl.constexpr, BLOCK: tl.constexpr):
    """What a padded 3x3 convolution multiplies: ``x`` (n, S * S, W) -> ``out`` (n, S * S, 9, W)."""
    e = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row, tap, c = e // (9 * W), e // W % 9, e % W
    i, j = tap // 3 - 1, tap % 3 - 1
    u, v = row // S % S + i, row % S + j
    inside = (row < rows) & (u >= 0) & (u < S) & (v >= 0) & (v < S)
    value = tl.load(x + (row + i * S + j) * W + c, mask=inside, other=0.0)
    tl.store(out + e, value, mask=row < rows)


@triton.jit
def last_attention(f, first, second, spatial, bias, slot, pool, HIDDEN: tl.constexpr, W: tl.constexpr, P: tl.constexpr):
    """All of block3's attention, ``f`` (n, P, W) -> its row of ``pool`` (slots, W * P), channel by channel."""
    patch = tl.program_id(0).to(tl.int64)
    p, q, c = tl.arange(0, P)[:, None], tl.arange(0, P)[None, :], tl.arange(0, W)[None, :]
    value = tl.load(f + patch * (P * W) + p * W + c).to(tl.float32)
    a = both_weighed(tl.max(value, 0), tl.sum(value, 0) / P, first, second, HIDDEN, W, HIDDEN, W)
    g = value * a[None, :]
    most, mean = tl.max(g, 1)[:, None], (tl.sum(g, 1) / W)[:, None]
    total = tl.sum(most * tl.load(spatial + p * P + q) + mean * tl.load(spatial + (p + P) * P + q), 0)
    s = sigmoid(total + tl.load(bias))
    to = pool + tl.load(slot + patch) * (P * W) + c * P + p
    tl.store(to, g * s[:, None] + value)
