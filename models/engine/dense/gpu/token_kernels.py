"""Triton kernels of the transformer over a window's frames: what lies between its matrix products."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit(do_not_specialize=["rows"])
def place_tokens(
    pool, index, days, positions, x, rounded, rows, W: tl.constexpr, ROUNDED: tl.constexpr, ROWS: tl.constexpr
):
    """Windows' vectors ``pool[index]`` plus ``positions[days]``: (rows, W); with `ROUNDED` in ``rounded``, too."""
    r = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    known = r < rows
    inside = known[:, None]
    c = tl.arange(0, W)[None, :]
    at = tl.load(index + r, mask=known, other=0)[:, None]
    day = tl.load(days + r, mask=known, other=0)[:, None]
    value = tl.load(pool + at * W + c, mask=inside, other=0.0) + tl.load(
        positions + day * W + c, mask=inside, other=0.0
    )
    tl.store(x + r[:, None] * W + c, value, mask=inside)
    if ROUNDED:
        tl.store(rounded + r[:, None] * W + c, value, mask=inside)


@triton.jit
def attend(qkv, out, scale, T: tl.constexpr, W: tl.constexpr, TOKENS: tl.constexpr, DEPTH: tl.constexpr):
    """One head of one window: softmax(q k' scale) v of T tokens; ``qkv`` (n, T, 3, heads, DEPTH), ``out`` (n, T, W)."""
    window = tl.program_id(0).to(tl.int64)
    t = tl.arange(0, TOKENS)
    c = tl.program_id(1) * DEPTH + tl.arange(0, DEPTH)
    inside = (t < T)[:, None]
    at = (window * T + t)[:, None] * (3 * W) + c[None, :]
    q = tl.load(qkv + at, mask=inside, other=0.0).to(tl.float32)
    k = tl.load(qkv + at + W, mask=inside, other=0.0).to(tl.float32)
    v = tl.load(qkv + at + 2 * W, mask=inside, other=0.0).to(tl.float32)
    score = tl.dot(q, tl.trans(k), input_precision="ieee") * scale
    score = tl.where((t < T)[None, :], score, float("-inf"))
    share = tl.exp(score - tl.max(score, 1)[:, None])
    mixed = tl.dot(share, v, input_precision="ieee") / tl.sum(share, 1)[:, None]
    tl.store(out + (window * T + t)[:, None] * W + c[None, :], mixed, mask=inside)


@triton.jit
def normalise(x, gain, shift, c, W: tl.constexpr):
    """LayerNorm of rows (ROWS, W)."""
    x = x - (tl.sum(x, 1) / W)[:, None]
    x = x / tl.sqrt_rn(tl.sum(x * x, 1) / W + 1e-5)[:, None]
    return x * tl.load(gain + c)[None, :] + tl.load(shift + c)[None, :]


@triton.jit(do_not_specialize=["rows"])
def feed_forward(
    x, attended, up, bias_up, down, bias_down, gain1, shift1, gain2, shift2, rounded, rows,
    W: tl.constexpr, HIDDEN: tl.constexpr, ROUNDED: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """The rest of a layer, in place: norm(h + down(relu(up(h)))) with h = norm(x + attended); ``down`` (HIDDEN, W)."""
    r = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    inside = (r < rows)[:, None]
    c = tl.arange(0, W)
    at = r[:, None] * W + c[None, :]
    h = tl.load(x + at, mask=inside, other=0.0) + tl.load(attended + at, mask=inside, other=0.0).to(tl.float32)
    h = normalise(h, gain1, shift1, c, W)
    fed = h + tl.load(bias_down + c)[None, :]
    for k in tl.static_range(HIDDEN):
        unit = tl.sum(h * tl.load(up + k * W + c)[None, :], 1) + tl.load(bias_up + k)
        fed += tl.maximum(unit, 0.0)[:, None] * tl.load(down + k * W + c)[None, :]
    fed = normalise(fed, gain2, shift2, c, W)
    tl.store(x + at, fed, mask=inside)
    if ROUNDED:
        tl.store(rounded + at, fed, mask=inside)
