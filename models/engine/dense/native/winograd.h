// 3x3 convolutions of small maps with zeros round them, by minimal filtering (Lavin and Gray, "Fast Algorithms for
// Convolutional Neural Networks", 2016): a map is turned into sums of its values, these are weighed, and sums of the
// results are the positions. Along an axis of 7 positions that takes 11 products instead of 19 (tiles of 4 and 3), of 4
// positions 6 instead of 10. All maps of a batch are weighed together: the weights are more than the caches next to a core
// hold. Polynomials at 0, 1, -1, 2, -2 and infinity for four positions, without -2 for three.
#pragma once
#include <type_traits>

#include "simd.h"

constexpr int products(int side) { return side == 7 ? 11 : 6; }

INLINE void forward_four(const vf* d, vf* t) {
    const vf even = d[4] - 4.0f * d[2], odd = d[3] - 4.0f * d[1], inner = d[4] - d[2], outer = 2.0f * (d[3] - d[1]);
    t[0] = 4.0f * (d[0] - d[2]) + inner;
    t[1] = -(even + odd);
    t[2] = odd - even;
    t[3] = inner + outer;
    t[4] = inner - outer;
    t[5] = 4.0f * (d[1] - d[3]) + (d[5] - d[3]);
}

INLINE void forward_three(const vf* d, vf* t) {
    const vf step = d[3] - d[1];
    t[0] = 2.0f * (d[0] - d[2]) + step;
    t[1] = 2.0f * d[1] + d[2] - d[3];
    t[2] = 3.0f * d[2] - 2.0f * d[1] - d[3];
    t[3] = step;
    t[4] = (d[4] - d[2]) - 2.0f * step;
}

INLINE void backward_four(const vf* m, vf* y) {
    const vf ones = m[1] + m[2], signs = m[1] - m[2], twos = m[3] + m[4], both = m[3] - m[4];
    y[0] = m[0] + ones + twos;
    y[1] = signs + 2.0f * both;
    y[2] = ones + 4.0f * twos;
    y[3] = signs + 8.0f * both + m[5];
}

INLINE void backward_three(const vf* m, vf* y) {
    const vf ones = m[1] + m[2];
    y[0] = m[0] + ones + m[3];
    y[1] = m[1] - m[2] + 2.0f * m[3];
    y[2] = ones + 4.0f * m[3] + m[4];
}

template <int SIDE>
INLINE void forward(const vf (&d)[SIDE + 2], vf (&t)[products(SIDE)]) {
    static_assert(SIDE == 7 || SIDE == 4);
    forward_four(d, t);
    if constexpr (SIDE == 7) forward_three(d + 4, t + 6);
}

template <int SIDE>
INLINE void backward(const vf (&m)[products(SIDE)], vf (&y)[SIDE]) {
    backward_four(m, y);
    if constexpr (SIDE == 7) backward_three(m + 6, y + 4);
}

// A map x (SIDE rows `line` floats apart, CHANNELS) into sums [product][CHANNELS].
template <int SIDE, int CHANNELS>
void to_sums(const float* x, int line, float* sums) {
    constexpr int Q = products(SIDE);
    for (int v = 0; v < CHANNELS; v += VL) {
        vf across[SIDE][Q], d[SIDE + 2];
        d[0] = d[SIDE + 1] = vf{};
        for (int r = 0; r < SIDE; r++) {
            for (int c = 0; c < SIDE; c++) d[c + 1] = load(x + r * line + c * CHANNELS + v);
            forward<SIDE>(d, across[r]);
        }
        for (int j = 0; j < Q; j++) {
            vf t[Q];
            for (int r = 0; r < SIDE; r++) d[r + 1] = across[r][j];
            forward<SIDE>(d, t);
            for (int i = 0; i < Q; i++) store(sums + (i * Q + j) * CHANNELS + v, t[i]);
        }
    }
}

// Back to positions, from [product][DEPTH] of which COLUMNS count: finish(position, column, value).
template <int SIDE, int DEPTH, int COLUMNS, class Finish>
INLINE void from_sums(const float* sums, const float* bias, const Finish& finish) {
    constexpr int Q = products(SIDE);
    for (int v = 0; v < COLUMNS; v += VL) {
        vf down[SIDE][Q], m[Q], y[SIDE];
        for (int j = 0; j < Q; j++) {
            for (int i = 0; i < Q; i++) m[i] = load(sums + (i * Q + j) * DEPTH + v);
            backward<SIDE>(m, y);
            for (int r = 0; r < SIDE; r++) down[r][j] = y[r];
        }
        const vf b = load(bias + v);
        for (int r = 0; r < SIDE; r++) {
            backward<SIDE>(down[r], y);
            for (int c = 0; c < SIDE; c++) finish(r * SIDE + c, v, y[c] + b);
        }
    }
}

// Weighs sums [map][product][DEPTH] in their place; weights [panel][product][DEPTH][PANEL], COLUMNS of them.
template <int SIDE, int DEPTH, int COLUMNS, int MAPS>
void weigh(float* sums, int maps, const num* weights) {
    static_assert(COLUMNS <= DEPTH);
    constexpr int N = products(SIDE) * products(SIDE), APART = N * DEPTH;
    float done[MAPS][COLUMNS];
    for (int i = 0; i < N; i++) {
        float* a = sums + i * DEPTH;
        for (int tile = 0; tile < COLUMNS; tile += TILE) {
            const num* b = weights + (int64_t(tile / PANEL) * N + i) * packed(DEPTH) + packed_tile(tile % PANEL);
            in_blocks(maps, [&](auto rows, int begin) {
                constexpr int R = decltype(rows)::value;
                vf acc[R][TV];
                fill(acc, vf{}, vf{});
                multiply<R, APART>(acc, a + begin * APART, b, DEPTH);
#pragma GCC unroll 16
                for (int r = 0; r < R; r++)
                    for (int v = 0; v < TV; v++) store(&done[begin + r][tile + v * VL], acc[r][v]);
            });
        }
        for (int k = 0; k < maps; k++) memcpy(a + k * APART, done[k], sizeof done[k]);
    }
}
