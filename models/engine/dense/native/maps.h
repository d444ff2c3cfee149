// Maps of a frame: y, and the joined features of every kind of position.
#pragma once
#include <type_traits>

#include "network.h"

namespace {

void after_conv0(const FrameWeights& w, const float* values, int64_t n, int stride, num* out) {
    for (int64_t i = 0; i < n; i++) {
        const float* x = values + i * stride;
        num* y = out + i * CP;
        for (int p = 0; p < PANELS; p++) {
            const float* b = w.conv0 + int64_t(p) * w.channels * PANEL;
            for (int v = 0; v < PV; v++) {
                vf s = load(w.bias0 + p * PANEL + v * VL);
                for (int c = 0; c < w.channels; c++) s += x[c] * load(b + c * PANEL + v * VL);
                store_num(y + p * PANEL + v * VL, silu(s));
            }
        }
    }
}

// Sums over row taps for one column tap: the partial sums of which every kind of row position is made.
// Order of taps: reach-1 .. 0 (their sums are what a patch's first rows lack), then reach .. 2 reach.
template <int N>
INLINE void row_chain(const num* y, int line, const num* taps, int pixels, float* chain, int chain_stride) {
    constexpr int reach = N / 2;
    for (int tile = 0; tile < PANEL; tile += TILE)
        in_blocks(pixels, [&](auto rows, int begin) {
            constexpr int R = decltype(rows)::value;
            vf acc[R][TV];
            fill(acc, vf{}, vf{});
            for (int step = 0; step < N; step++) {
                const int i = step < reach ? reach - 1 - step : step;
                multiply<R, CP>(acc, y + int64_t(i) * line + begin * CP, taps + i * packed(C) + packed_tile(tile), C);
                float* out = chain + int64_t(step) * chain_stride + begin * PANEL + tile;
#pragma GCC unroll 16
                for (int r = 0; r < R; r++) store(out + r * PANEL, acc[r][0]), store(out + r * PANEL + VL, acc[r][1]);
            }
        });
}

// Sums over the taps that each kind keeps along one axis, from its 2 reach + 1 taps.
template <int N>
INLINE void truncated(const vf (&t)[N], vf (&kinds)[N]) {
    constexpr int r = N / 2;
    vf right = t[r];
    for (int k = r + 1; k < N; k++) right += t[k];
    kinds[0] = right;
    vf left = t[r - 1];
    kinds[1] = right + left;
    for (int k = 2; k <= r; k++) left += t[r - k], kinds[k] = right + left;
    vf tail = left + t[r];
    kinds[N - 1] = tail;
    for (int k = 1; k < r; k++) tail += t[r + k], kinds[N - 1 - k] = tail;
}

// From the chain's partial sums to all kinds, with bias: raw sums where asked for, activated ones in any case.
template <int N>
INLINE void all_kinds(const float* chain, int pixels, const float* bias, float* raw, num* out) {
    constexpr int r = N / 2;
    for (int q = 0; q < pixels; q++)
        for (int v = 0; v < PANEL; v += VL) {
            vf rows[N][N];  // [kind of row][column tap]
            for (int j = 0; j < N; j++) {
                auto at = [&](int step) { return load(chain + (int64_t(step) * N + j) * BLOCK * PANEL + q * PANEL + v); };
                for (int k = 0; k <= r; k++) rows[N - 1 - k][j] = at(r + k);
                rows[0][j] = rows[r][j] - at(r - 1);
                for (int k = 1; k < r; k++) rows[k][j] = rows[0][j] + at(k - 1);
            }
            const vf b = load(bias + v);
            for (int a = 0; a < N; a++) {
                vf kinds[N];
                truncated<N>(rows[a], kinds);
                for (int k = 0; k < N; k++) {
                    const int64_t at = (int64_t(q) * N * N + a * N + k) * CP + v;
                    const vf s = kinds[k] + b;
                    if (raw) store(raw + at, s);
                    store_num(out + at, leaky(s, 0.1f));
                }
            }
        }
}

template <int N>
void truncated_convolution(const num* y, int line, const num* taps, const float* bias, int pixels, float (*chain)[7][BLOCK][PANEL], float* raw, num* out) {
    for (int p = 0; p < PANELS; p++) {
        float* flat = &chain[0][0][0][0];
        for (int j = 0; j < N; j++)
            row_chain<N>(y + j * CP, line, taps + (int64_t(p) * N + j) * N * packed(C), pixels, flat + j * BLOCK * PANEL, N * BLOCK * PANEL);
        all_kinds<N>(flat, pixels, bias + p * PANEL, raw ? raw + p * PANEL : nullptr, out + p * PANEL);
    }
}

void make_maps(const FrameWeights& w, Scratch& s, const Frame& frame, int row, int column, int pixels, const num* y, float* joined, float* raw7, float* raw3) {
    const int line = (frame.width + 2 * R7) * CP;
    const int64_t first = int64_t(row) * frame.width + column;
    if (raw7) raw7 += first * 49 * CP, raw3 += first * 9 * CP;
    truncated_convolution<7>(frame.y(y, row - 3, column - 3), line, w.taps7, w.bias7, pixels, s.chain, raw7, &s.g[0][0][0]);
    truncated_convolution<3>(frame.y(y, row - 1, column - 1), line, w.taps3, w.bias3, pixels, s.chain, raw3, &s.h[0][0][0]);
    for (int q = 0; q < pixels; q++) {
        float* out = joined + (first + q) * 49 * CP;
        for (int tile = 0; tile < CP; tile += TILE) {
            const int p = tile / PANEL, inside = tile % PANEL;
            const num* b3 = w.join3 + p * packed(C) + packed_tile(inside);
            const num* b7 = w.join7 + p * packed(C) + packed_tile(inside);
            in_blocks(9, [&](auto rows, int begin) {
                constexpr int R = decltype(rows)::value;
                vf acc[R][TV];
                fill(acc, load(w.bias_join + tile), load(w.bias_join + tile + VL));
                multiply<R, CP>(acc, s.h[q][begin], b3, C);
                for (int r = 0; r < R; r++) store(&s.joined3[begin + r][tile], acc[r][0]), store(&s.joined3[begin + r][tile + VL], acc[r][1]);
            });
            in_blocks(49, [&](auto rows, int begin) {
                constexpr int R = decltype(rows)::value;
                vf acc[R][TV];
#pragma GCC unroll 16
                for (int r = 0; r < R; r++) {
                    const int kind = begin + r, small = SMALL[kind / 7] * 3 + SMALL[kind % 7];
                    acc[r][0] = load(&s.joined3[small][tile]), acc[r][1] = load(&s.joined3[small][tile + VL]);
                }
                multiply<R, CP>(acc, s.g[q][begin], b7, C);
#pragma GCC unroll 16
                for (int r = 0; r < R; r++)
                    for (int v = 0; v < TV; v++) store(out + (begin + r) * CP + tile + v * VL, leaky(acc[r][v], 0.01f));
            });
        }
    }
}

}  // namespace
