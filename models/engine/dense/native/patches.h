// From a patch's joined features and y to its vector.
#pragma once
#include <type_traits>

#include "network.h"

namespace {

// CBAM with its residual on f (SIDE x SIDE, channels): out = f * (1 + a * s). May work in place.
template <int SIDE, int CHANNELS, int STRIDE, int KERNEL>
void attend(const Attention& w, Scratch& s, float* f) {
    constexpr int VECTORS = (CHANNELS + VL - 1) / VL, POSITIONS = SIDE * SIDE, HALF = KERNEL / 2;
    constexpr int ROW = (CHANNELS + 15) / 16 * 16;  // of the packed weights, whatever the vectors here
    static_assert(SIDE <= 2 * VL && VECTORS * VL <= STRIDE);
    vf sum[VECTORS], top[VECTORS], a[VECTORS];
    for (int v = 0; v < VECTORS; v++) sum[v] = top[v] = load(f + v * VL);
    for (int i = 1; i < POSITIONS; i++)
        for (int v = 0; v < VECTORS; v++) {
            const vf x = load(f + i * STRIDE + v * VL);
            sum[v] += x, top[v] = larger(top[v], x);
        }
    for (int v = 0; v < VECTORS; v++) a[v] = vf{};
    for (int h = 0; h < w.hidden; h++) {
        const float* row = w.squeeze + h * ROW;
        vf mean = vf{}, most = vf{};
        for (int v = 0; v < VECTORS; v++) mean += sum[v] * (1.0f / POSITIONS) * load(row + v * VL), most += top[v] * load(row + v * VL);
        const float x = sum_of(mean), z = sum_of(most), unit = (x > 0 ? x : 0) + (z > 0 ? z : 0);
        for (int v = 0; v < VECTORS; v++) a[v] += unit * load(w.excite + h * ROW + v * VL);
    }
    for (int v = 0; v < VECTORS; v++) a[v] = sigmoid(a[v]);
    vf beyond = vf{};  // what is no channel must not be the largest
    for (int l = 0; l < VL; l++)
        if ((VECTORS - 1) * VL + l >= CHANNELS) beyond[l] = -3e38f;
    constexpr int WIDE = SIDE + 2 * HALF;
    memset(s.planes, 0, sizeof s.planes);
    for (int i = 0; i < POSITIONS; i++) {
        vf total = vf{}, most = load(f + i * STRIDE + (VECTORS - 1) * VL) * a[VECTORS - 1] + beyond;
        for (int v = 0; v < VECTORS; v++) {
            const vf g = load(f + i * STRIDE + v * VL) * a[v];
            total += g;
            if (v < VECTORS - 1) most = larger(most, g);
        }
        s.planes[0][i / SIDE + HALF][i % SIDE + HALF] = largest_of(most);
        s.planes[1][i / SIDE + HALF][i % SIDE + HALF] = sum_of(total) * (1.0f / CHANNELS);
    }
    static_assert(WIDE <= P + 6);
    for (int row = 0; row < SIDE; row++)
        for (int part = 0; part < SIDE; part += VL) {
            vf acc = all(w.bias);
            for (int plane = 0; plane < 2; plane++)
                for (int i = 0; i < KERNEL; i++)
                    for (int j = 0; j < KERNEL; j++)
                        acc += w.spatial[(plane * KERNEL + i) * KERNEL + j] * load(&s.planes[plane][row + i][part + j]);
            acc = sigmoid(acc);
            for (int l = 0; l < VL && part + l < SIDE; l++) s.weight[row * SIDE + part + l] = acc[l];
        }
    for (int i = 0; i < POSITIONS; i++)
        for (int v = 0; v < VECTORS; v++) {
            float* at = f + i * STRIDE + v * VL;
            const vf x = load(at);
            store(at, x + x * a[v] * s.weight[i]);
        }
}

// A convolution's output row: `rows` positions STRIDE floats apart, taps given by their first input position.
template <int STRIDE, int DEPTH, class Place, class Finish>
INLINE void convolve(int rows, int taps, const Place& place, const num* weights, const float* bias, int columns, const Finish& finish) {
    for (int tile = 0; tile < columns; tile += TILE) {
        const num* panel = weights + (tile / PANEL) * taps * packed(DEPTH) + packed_tile(tile % PANEL);
        const vf b0 = load(bias + tile), b1 = load(bias + tile + VL);
        in_blocks(rows, [&](auto constant, int begin) {
            constexpr int R = decltype(constant)::value;
            vf acc[R][TV];
            fill(acc, b0, b1);
            for (int t = 0; t < taps; t++) {
                const num* a = place(t);
                if (a) multiply<R, STRIDE>(acc, a + begin * STRIDE, panel + t * packed(DEPTH), DEPTH);
            }
#pragma GCC unroll 16
            for (int r = 0; r < R; r++)
                for (int v = 0; v < TV; v++) finish(begin + r, tile + v * VL, acc[r][v]);
        });
    }
}

// From joined features s.f and y (rows of `y_line` floats) of the batch's patch k to what its small convolutions take.
void begin_patch(const FrameWeights& w, Scratch& s, int k, const num* y, int64_t y_line) {
    attend<P, C, CP, 7>(w.attention1, s, &s.f[0][0]);
    constexpr int E = P - 1;  // conv1 reads 14 x 14
    for (int r = 0; r < P; r++)
        for (int c = 0; c < E; c++) {
            const float* x = s.f[r * P + c];
            for (int v = 0; v < CP; v += VL) {
                vf m = larger(load(x + v), load(x + CP + v));
                if (c > 0) m = larger(m, load(x - CP + v));
                store(&s.pooled[r][c][v], m);
            }
        }
    for (int r = 0; r < E; r++)
        for (int c = 0; c < E; c++)
            for (int v = 0; v < CP; v += VL) {
                vf m = larger(load(&s.pooled[r][c][v]), load(&s.pooled[r + 1][c][v]));
                if (r > 0) m = larger(m, load(&s.pooled[r - 1][c][v]));
                store_num(&s.x[r * E + c][v], m + load_num(y + r * y_line + c * CP + v));
            }
    for (int u = 0; u < 7; u++)
        convolve<2 * CP, C>(
            7, 4, [&](int t) { return s.x[(2 * u + t / 2) * E + t % 2]; }, w.conv1, w.bias1, N2,
            [&](int i, int n, vf v) { store_num(&s.x1[k][u + 1][i + 1][n], silu(v)); });
#if !defined(BF16)
    to_sums<7, N2>(s.x1[k][1][1], 9 * N2, s.sums2[k][0]);
#endif
}

// block2 with its attention and residual, conv2.
void middle_of_patch(const FrameWeights& w, Scratch& s, int k) {
#if defined(BF16)
    for (int u = 0; u < 7; u++)
        convolve<N2, N2>(
            7, 9, [&](int t) -> const num* { const int r = u + t / 3; return r == 0 || r == 8 ? nullptr : s.x1[k][r][t % 3]; },
            w.block2, w.bias2, N2, [&](int i, int n, vf v) { store(&s.f2[u * 7 + i][n], leaky(v, 0.01f)); });
#else
    from_sums<7, N2, N2>(s.sums2[k][0], w.bias2, [&](int i, int n, vf v) { store(&s.f2[i][n], leaky(v, 0.01f)); });
#endif
    attend<7, N2, N2, 7>(w.attention2, s, &s.f2[0][0]);
    for (int r = 0; r < 7; r++)
        for (int c = 0; c < 7; c++)
            for (int v = 0; v < N2; v += VL) {
                vf m = load(&s.f2[r * 7 + c][v]);
                for (int i = r > 0 ? r - 1 : 0; i <= r + 1 && i < 7; i++)
                    for (int j = c > 0 ? c - 1 : 0; j <= c + 1 && j < 7; j++) m = larger(m, load(&s.f2[i * 7 + j][v]));
                store_num(&s.x2[r + 1][c + 1][v], m + load_num(&s.x1[k][r + 1][c + 1][v]));
            }
    for (int u = 0; u < 4; u++)
        convolve<2 * N2, N2>(
            4, 4, [&](int t) -> const num* { return 2 * u + t / 2 == 0 ? nullptr : s.x2[2 * u + t / 2][t % 2]; }, w.conv2, w.bias_conv2, N3,
            [&](int i, int n, vf v) { store_num(&s.x3[k][u + 1][i + 1][n], silu(v)); });
#if !defined(BF16)
    to_sums<4, N3>(s.x3[k][1][1], 6 * N3, s.sums3[k][0]);
#endif
}

// block3 with its attention.
void end_patch(const FrameWeights& w, Scratch& s, int k, float* vector) {
#if defined(BF16)
    for (int u = 0; u < 4; u++)
        convolve<N3, N3>(
            4, 9, [&](int t) -> const num* { const int r = u + t / 3; return r == 0 || r == 5 ? nullptr : s.x3[k][r][t % 3]; },
            w.block3, w.bias3b, PANEL, [&](int i, int n, vf v) { store(&s.f3[u * 4 + i][n], leaky(v, 0.01f)); });
#else
    from_sums<4, N3, PANEL>(s.sums3[k][0], w.bias3b, [&](int i, int n, vf v) { store(&s.f3[i][n], leaky(v, 0.01f)); });
#endif
    attend<4, N4, PANEL, 3>(w.attention3, s, &s.f3[0][0]);
    for (int c = 0; c < N4; c++)
        for (int i = 0; i < 16; i++) vector[c * 16 + i] = s.f3[i][c];
}

// The batch's first n patches, each begun, to their vectors: pool[slot].
void finish(const FrameWeights& w, Scratch& s, int n, const int64_t* slot, float* pool) {
#if !defined(BF16)
    weigh<7, N2, N2, BATCH>(s.sums2[0][0], n, w.block2);
#endif
    for (int k = 0; k < n; k++) middle_of_patch(w, s, k);
#if !defined(BF16)
    weigh<4, N3, PANEL, BATCH>(s.sums3[0][0], n, w.block3);
#endif
    for (int k = 0; k < n; k++) end_patch(w, s, k, pool + slot[k] * 256);
}

}  // namespace
