"""Triton kernels that multiply matrices on matrix units, with what comes before and after in one.

A unit multiplies bf16, or of float32 the leading 11 bits. Of float32 numbers three products are taken, of leading parts
and remainders: what is left out is 2^-22 of a number. Weights come split (`products.split`).
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def sigmoid(x):
    """Without overflow."""
    return 1 / (1 + tl.exp(-tl.maximum(x, -80.0)))


@triton.jit
def leading(x):
    """Float32 rounded to the 11 bits that a matrix unit multiplies."""
    bits = x.to(tl.int32, bitcast=True) + 4096
    return (bits & -8192).to(tl.float32, bitcast=True)


@triton.jit
def add_product(total, a, weight, rest, SPLIT: tl.constexpr):
    """Add ``a`` (rows, depth) times the transpose of the matrix (columns, depth) that pointers ``weight`` point at.

    With `SPLIT`, ``weight`` and ``rest`` point at its leading parts and remainders. A matrix unit cuts off what it
    adds up, so that only so much is added there as belongs to one step.
    """
    b = tl.trans(tl.load(weight))
    if SPLIT:
        c = tl.trans(tl.load(rest))
        lead = leading(a)
        part = tl.dot(a - lead, b, input_precision="tf32")
        part = tl.dot(lead, c, part, input_precision="tf32")
        total += tl.dot(lead, b, part, input_precision="tf32")
    else:
        total = tl.dot(a, b, total)
    return total


@triton.jit(do_not_specialize=["rows"])
def multiply(
    x, weight, bias, out, rows, S: tl.constexpr, SIZE: tl.constexpr, C: tl.constexpr, N: tl.constexpr,
    SPLIT: tl.constexpr, ACTIVATION: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DEPTH: tl.constexpr,
    STAGES: tl.constexpr,
):  # fmt: skip
    """A linear layer (`SIZE` 1) or a padded convolution of patches, ``x`` (n * S * S, C) -> ``out`` (n * S * S, N).

    ``weight`` (1 or 2, N, SIZE * SIZE * C), by rows of taps; ``bias`` (N,) float32.
    """
    n = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    r = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    i, j = r // S % S, r % S
    d = tl.arange(0, DEPTH)[None, :]
    K: tl.constexpr = SIZE * SIZE * C
    here = x + r.to(tl.int64)[:, None] * C + d
    w = weight + n[:, None] * K + d
    total = tl.zeros((ROWS, COLUMNS), tl.float32)
    for step in tl.range(0, K // DEPTH, num_stages=STAGES):
        tap, c = step // (C // DEPTH), step % (C // DEPTH) * DEPTH
        u, v = tap // SIZE - SIZE // 2, tap % SIZE - SIZE // 2
        inside = (r < rows) & (i + u >= 0) & (i + u < S) & (j + v >= 0) & (j + v < S)
        a = tl.load(here + ((u * S + v) * C + c), mask=inside[:, None], other=0.0)
        total = add_product(total, a, w + step * DEPTH, w + (N * K + step * DEPTH), SPLIT)
    total += tl.load(bias + n)[None, :]
    if ACTIVATION == "leaky":
        total = tl.where(total > 0, total, 0.01 * total)
    if ACTIVATION == "silu":
        total *= sigmoid(total)
    to = out + r.to(tl.int64)[:, None] * N + n[None, :]
    tl.store(to, total.to(out.dtype.element_ty), mask=(r < rows)[:, None])


@triton.jit
def small_kind(kind):
    """The kind of the 3x3 convolution at positions of a kind of the 7x7; see `kinds.small_kind`."""
    a, b = kind // 7, kind % 7
    return ((a > 0).to(tl.int32) + (a == 6).to(tl.int32)) * 3 + (b > 0).to(tl.int32) + (b == 6).to(tl.int32)


@triton.jit
def _store_joined(total, n, r, bias, other, out, rows, W: tl.constexpr, ADD: tl.constexpr):
    """Finish some columns of `join`."""
    inside = (r < rows)[:, None] & (n < W)[None, :]
    total += tl.load(bias + n, mask=n < W, other=0.0)[None, :]
    if ADD:
        row = r // 49 * 9 + small_kind(r % 49)
        at = row.to(tl.int64)[:, None] * W + n[None, :]
        total += tl.load(other + at, mask=inside, other=0.0).to(tl.float32)
        total = tl.where(total > 0, total, 0.01 * total)
    to = out + r.to(tl.int64)[:, None] * W + n[None, :]
    tl.store(to, total.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["rows"])
def join(
    x, weight, bias, other, out, rows, W: tl.constexpr, SPLIT: tl.constexpr, ADD: tl.constexpr, ROWS: tl.constexpr,
    DEPTH: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """A scale's part in the joined features, ``x`` (rows, W) -> ``out`` (rows, W), W up to 160.

    ``weight`` (1 or 2, 160, 160), zeros beyond W. With `ADD`, the 3x3's part ``other`` (rows / 49 * 9, W) is added by
    kind, and LeakyReLU applied.
    """
    r = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    d = tl.arange(0, DEPTH)[None, :]
    here = x + r.to(tl.int64)[:, None] * W + d
    n = tl.arange(0, 128)
    most, last = weight + n[:, None] * 160 + d, weight + (tl.arange(0, 32) + 128)[:, None] * 160 + d
    total, beyond = tl.zeros((ROWS, 128), tl.float32), tl.zeros((ROWS, 32), tl.float32)
    for begin in tl.range(0, 160, DEPTH, num_stages=STAGES):
        a = tl.load(here + begin, mask=(r < rows)[:, None] & (d + begin < W), other=0.0)
        total = add_product(total, a, most + begin, most + (25600 + begin), SPLIT)
        beyond = add_product(beyond, a, last + begin, last + (25600 + begin), SPLIT)
    _store_joined(beyond, tl.arange(0, 32) + 128, r, bias, other, out, rows, W, ADD)
    _store_joined(total, n, r, bias, other, out, rows, W, ADD)
