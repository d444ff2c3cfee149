"""Triton kernels of patches with missing values: what a window's fill adds, met by the taps that touch it."""

from __future__ import annotations

import triton
import triton.language as tl

from models.engine.dense.gpu.product_kernels import add_product, leading


@triton.jit
def met_by(missing, pitch, p, S: tl.constexpr, N: tl.constexpr, TAPS: tl.constexpr):
    """Whether the taps of a convolution at positions ``p`` meet missing pixels inside the patch: (positions, TAPS)."""
    p, t = p[:, None], tl.arange(0, TAPS)[None, :]
    u, v = p // S + t // N - N // 2, p % S + t % N - N // 2
    inside = (p < S * S) & (t < N * N) & (u >= 0) & (u < S) & (v >= 0) & (v < S)
    return tl.load(missing + u * pitch + v, mask=inside, other=0).to(tl.float32)


@triton.jit
def add_scale(
    total, beyond, sums, row, inside, met, products, bias, weight, N: tl.constexpr, TAPS: tl.constexpr,
    W: tl.constexpr, SPLIT: tl.constexpr, DEPTH: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Add a scale's part in the joined features: of its sums, with what the fill adds, its bias and LeakyReLU."""
    d, t = tl.arange(0, DEPTH), tl.arange(0, TAPS)
    most = weight + tl.arange(0, 128)[:, None] * 160 + d[None, :]
    last = weight + (tl.arange(0, 32) + 128)[:, None] * 160 + d[None, :]
    for begin in tl.range(0, 160, DEPTH, num_stages=STAGES):
        c = begin + d
        known = inside[:, None] & (c < W)[None, :]
        value = tl.load(sums + row[:, None] * W + c[None, :], mask=known, other=0.0).to(tl.float32)
        brought = (t < N * N)[:, None] & (c < W)[None, :]
        u = tl.load(products + t[:, None] * W + c[None, :], mask=brought, other=0.0)
        if SPLIT:
            lead = leading(u)
            value = tl.dot(met, u - lead, value, input_precision="tf32")
            value = tl.dot(met, lead, value, input_precision="tf32")
        else:
            value = tl.dot(met, u, value)
        value += tl.load(bias + c, mask=c < W, other=0.0)[None, :]
        a = tl.where(value > 0, value, 0.1 * value).to(u.dtype)
        total = add_product(total, a, most + begin, most + (25600 + begin), SPLIT)
        beyond = add_product(beyond, a, last + begin, last + (25600 + begin), SPLIT)
    return total, beyond


@triton.jit
def store_filled(total, n, p, patch, bias, out, S: tl.constexpr, W: tl.constexpr):
    """Finish some columns of `join_filled`."""
    total += tl.load(bias + n, mask=n < W, other=0.0)[None, :]
    total = tl.where(total > 0, total, 0.01 * total)
    to = out + (patch * (S * S) + p)[:, None] * W + n[None, :]
    tl.store(to, total.to(out.dtype.element_ty), mask=(p < S * S)[:, None] & (n < W)[None, :])


@triton.jit(do_not_specialize=["pitch"])
def join_filled(
    sums7, first7, table7, products7, bias7, weight7, sums3, first3, table3, products3, bias3, weight3, bias, missing,
    y_first, pitch, out, S: tl.constexpr, W: tl.constexpr, SPLIT: tl.constexpr, ROWS: tl.constexpr,
    DEPTH: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Joined features ``out`` (n, S * S, W) of patches whose ``missing`` pixels hold a fill.

    ``products7`` (n, 49, W), ``products3`` (n, 9, W) are the fill's by tap; for weights see `product_kernels.join`.
    ``missing`` is a byte for each pixel of a map, in rows `pitch` apart, of which a patch's begins at ``y_first``.
    """
    patch = tl.program_id(0).to(tl.int64)
    p = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    inside = p < S * S
    missing += tl.load(y_first + patch)
    total, beyond = tl.zeros((ROWS, 128), tl.float32), tl.zeros((ROWS, 32), tl.float32)
    row = tl.load(first7 + patch) + tl.load(table7 + p, mask=inside, other=0)
    met = met_by(missing, pitch, p, S, 7, 64).to(products7.dtype.element_ty)
    total, beyond = add_scale(
        total, beyond, sums7, row, inside, met, products7 + patch * (49 * W), bias7, weight7, 7, 64, W, SPLIT, DEPTH,
        STAGES,
    )  # fmt: skip
    row = tl.load(first3 + patch) + tl.load(table3 + p, mask=inside, other=0)
    met = met_by(missing, pitch, p, S, 3, 16).to(products3.dtype.element_ty)
    total, beyond = add_scale(
        total, beyond, sums3, row, inside, met, products3 + patch * (9 * W), bias3, weight3, 3, 16, W, SPLIT, DEPTH,
        STAGES,
    )  # fmt: skip
    store_filled(beyond, tl.arange(0, 32) + 128, p, patch, bias, out, S, W)
    store_filled(total, tl.arange(0, 128), p, patch, bias, out, S, W)
