// Frame vectors by shared maps (see models/engine/dense): maps for every kind of position, then patches.
// Pixels are rows, channels columns, padded to whole panels; weights come packed, panel by panel, [panel][depth][PANEL].
#include <type_traits>

#include "simd.h"
#include "threads.h"

namespace {

constexpr int C = 149;      // channels at full resolution
constexpr int CP = 160;     // the same in whole panels
constexpr int PANELS = CP / PANEL;
constexpr int CV = CP / VL;
constexpr int P = 15;       // pixels of a patch's side
constexpr int R7 = 3;       // reach of the 7x7 convolution
constexpr int N2 = 128, N3 = 64, N4 = 16;  // channels after conv1, conv2, block3
constexpr int BLOCK = 24;   // pixels of a row whose maps are made together
constexpr int KEYS = 8;     // patches whose fills are multiplied together

}  // namespace

struct Attention {          // CBAM
    const float *squeeze, *excite;  // [hidden][channels in whole sixteens] both
    const float *spatial;           // [2][k][k]
    float bias;
    int hidden;
};

struct FrameWeights {
    int channels;                       // of the sensor
    const float *conv0, *bias0;
    const num* taps7;                   // [panel][column tap][row tap][C][PANEL]
    const float* bias7;
    const num* taps3;
    const float* bias3;
    const num *join7, *join3;
    const float* bias_join;
    Attention attention1;
    const num* conv1;                   // [panel][2][2][C][PANEL]
    const float* bias1;
    const num* block2;                  // [panel][3][3][N2][PANEL]
    const float* bias2;
    Attention attention2;
    const num* conv2;
    const float* bias_conv2;
    const num* block3;
    const float* bias3b;
    Attention attention3;
};

namespace {

struct Scratch {
    float chain[7][7][BLOCK][PANEL];    // sums over row taps, by column tap
    num g[BLOCK][49][CP];               // activated sums of the 7x7 convolution
    num h[BLOCK][9][CP];                // of the 3x3
    float joined3[9][CP];
    float f[P * P][CP];                 // a patch's joined features
    float pooled[P][P - 1][CP];
    num x[(P - 1) * (P - 1)][CP];
    num y[P * P][CP];                   // y of a patch whose missing pixels hold the fill
    num x1[9][9][N2], x2[8][8][N2], x3[6][6][N3];
    float f2[49][N2], f3[16][PANEL];
    num m[KEYS][CP];
    float u7[KEYS][49][CP], u3[KEYS][9][CP];
    num g7[P * P][CP], g3[P * P][CP];
    int touched[P * P], repeated[P * P][2];
    float planes[2][P + 6][32];
    float weight[P * P + VL];
};

constexpr int KIND[P] = {0, 1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 5, 6};
constexpr int SMALL[7] = {0, 1, 1, 1, 1, 1, 2};

// Pixels of one frame: y padded by R7 zeros on each side.
struct Frame {
    int height, width;
    num* y(num* base, int row, int column) const {
        return base + (int64_t(row + R7) * (width + 2 * R7) + column + R7) * CP;
    }
    const num* y(const num* base, int row, int column) const { return y(const_cast<num*>(base), row, column); }
};

// ---- maps ---------------------------------------------------------------------------------------------------------

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

// ---- patches ------------------------------------------------------------------------------------------------------

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

// From joined features s.f and y (rows of `y_line` floats) to the vector.
void finish(const FrameWeights& w, Scratch& s, const num* y, int64_t y_line, float* vector) {
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
            [&](int i, int n, vf v) { store_num(&s.x1[u + 1][i + 1][n], silu(v)); });
    for (int u = 0; u < 7; u++)
        convolve<N2, N2>(
            7, 9, [&](int t) -> const num* { const int r = u + t / 3; return r == 0 || r == 8 ? nullptr : s.x1[r][t % 3]; },
            w.block2, w.bias2, N2, [&](int i, int n, vf v) { store(&s.f2[u * 7 + i][n], leaky(v, 0.01f)); });
    attend<7, N2, N2, 7>(w.attention2, s, &s.f2[0][0]);
    for (int r = 0; r < 7; r++)
        for (int c = 0; c < 7; c++)
            for (int v = 0; v < N2; v += VL) {
                vf m = load(&s.f2[r * 7 + c][v]);
                for (int i = r > 0 ? r - 1 : 0; i <= r + 1 && i < 7; i++)
                    for (int j = c > 0 ? c - 1 : 0; j <= c + 1 && j < 7; j++) m = larger(m, load(&s.f2[i * 7 + j][v]));
                store_num(&s.x2[r + 1][c + 1][v], m + load_num(&s.x1[r + 1][c + 1][v]));
            }
    for (int u = 0; u < 4; u++)
        convolve<2 * N2, N2>(
            4, 4, [&](int t) { return s.x2[2 * u + t / 2][t % 2]; }, w.conv2, w.bias_conv2, N3,
            [&](int i, int n, vf v) { store_num(&s.x3[u + 1][i + 1][n], silu(v)); });
    for (int u = 0; u < 4; u++)
        convolve<N3, N3>(
            4, 9, [&](int t) { return s.x3[u + t / 3][t % 3]; }, w.block3, w.bias3b, PANEL,
            [&](int i, int n, vf v) { store(&s.f3[u * 4 + i][n], leaky(v, 0.01f)); });
    attend<4, N4, PANEL, 3>(w.attention3, s, &s.f3[0][0]);
    for (int c = 0; c < N4; c++)
        for (int i = 0; i < 16; i++) vector[c * 16 + i] = s.f3[i][c];
}

// Which pixels round a position are missing, as bits of a 7x7 window; what lies outside the patch is not.
struct Mask {
    uint32_t rows[P + 2 * R7] = {};
    Mask(const uint8_t* missing, int width) {
        for (int r = 0; r < P; r++)
            for (int c = 0; c < P; c++) rows[r + R7] |= uint32_t(missing[r * width + c] != 0) << (c + R7);
    }
    uint32_t row(int r, int c, int tap) const { return rows[r + tap] >> c & 127; }  // tap row 0..6
};

constexpr int INSIDE[7] = {4, 5, 6, 7, 6, 5, 4};  // taps that each kind keeps

// Joined features of positions that a missing pixel touches, and y with the fill; the rest as in the maps.
void fill_patch(const FrameWeights& w, Scratch& s, const Frame& frame, int key, int row, int column, const num* y, const float* joined, const float* raw7, const float* raw3, const uint8_t* missing) {
    const Mask mask(missing + int64_t(row) * frame.width + column, frame.width);
    int touched = 0, repeated = 0;
    int deep[49];  // where a position with nothing but missing pixels round it stands: all of one kind are alike
    for (int& d : deep) d = -1;
    auto sum_up = [](const float* start, const float** from, int n, num* out) {
        vf acc[CV];
        for (int v = 0; v < CV; v++) acc[v] = load(start + v * VL);
        for (int t = 0; t < n; t++)
            for (int v = 0; v < CV; v++) acc[v] += load(from[t] + v * VL);
        for (int v = 0; v < CV; v++) store_num(out + v * VL, leaky(acc[v], 0.1f));
    };
    for (int i = 0; i < P * P; i++) {
        const int r = i / P, c = i % P, kind = KIND[r] * 7 + KIND[c], small = SMALL[KIND[r]] * 3 + SMALL[KIND[c]];
        const int64_t pixel = int64_t(row + r) * frame.width + column + c;
        const bool own = mask.row(r, c, R7) >> R7 & 1;
        memcpy(s.y[i], own ? s.m[key] : frame.y(y, row + r, column + c), sizeof s.y[i]);
        const float* taps[49];
        int n = 0;
        for (int a = 0; a < 7; a++)
            for (uint32_t bits = mask.row(r, c, a); bits; bits &= bits - 1) taps[n++] = s.u7[key][a * 7 + __builtin_ctz(bits)];
        if (n == 0) {
            memcpy(s.f[i], joined + (pixel * 49 + kind) * CP, sizeof s.f[i]);
            continue;
        }
        if (n == INSIDE[KIND[r]] * INSIDE[KIND[c]]) {
            if (deep[kind] >= 0) {
                s.repeated[repeated][0] = i, s.repeated[repeated++][1] = deep[kind];
                continue;
            }
            deep[kind] = i;
        }
        sum_up(raw7 + (pixel * 49 + kind) * CP, taps, n, s.g7[touched]);
        n = 0;
        for (int a = 0; a < 3; a++)
            for (uint32_t bits = mask.row(r, c, a + 2) >> 2 & 7; bits; bits &= bits - 1) taps[n++] = s.u3[key][a * 3 + __builtin_ctz(bits)];
        sum_up(raw3 + (pixel * 9 + small) * CP, taps, n, s.g3[touched]);
        s.touched[touched++] = i;
    }
    for (int tile = 0; tile < CP; tile += TILE) {
        const int64_t at = (tile / PANEL) * packed(C) + packed_tile(tile % PANEL);
        in_blocks(touched, [&](auto rows, int begin) {
            constexpr int R = decltype(rows)::value;
            vf acc[R][TV];
            fill(acc, load(w.bias_join + tile), load(w.bias_join + tile + VL));
            multiply<R, CP>(acc, s.g7[begin], w.join7 + at, C);
            multiply<R, CP>(acc, s.g3[begin], w.join3 + at, C);
            for (int r = 0; r < R; r++)
                for (int v = 0; v < TV; v++) store(&s.f[s.touched[begin + r]][tile + v * VL], leaky(acc[r][v], 0.01f));
        });
    }
    for (int i = 0; i < repeated; i++) memcpy(s.f[s.repeated[i][0]], s.f[s.repeated[i][1]], sizeof s.f[0]);
}

// What each tap adds where it meets a missing pixel of these patches' windows.
template <int N>
void fill_taps(const num* taps, const Scratch& s, int keys, float* u) {
    for (int p = 0; p < PANELS; p++)
        for (int j = 0; j < N; j++)
            for (int i = 0; i < N; i++)
                for (int tile = 0; tile < PANEL; tile += TILE)
                    in_blocks(keys, [&](auto rows, int begin) {
                        constexpr int R = decltype(rows)::value;
                        vf acc[R][TV];
                        fill(acc, vf{}, vf{});
                        multiply<R, CP>(acc, s.m[begin], taps + ((int64_t(p) * N + j) * N + i) * packed(C) + packed_tile(tile), C);
                        for (int r = 0; r < R; r++)
                            for (int v = 0; v < TV; v++)
                                store(u + ((begin + r) * N * N + i * N + j) * CP + p * PANEL + tile + v * VL, acc[r][v]);
                    });
}

}  // namespace

extern "C" {

int64_t frame_scratch_bytes() { return (sizeof(Scratch) + 4095) / 4096 * 4096; }

// Maps of a frame: y (height + 6, width + 6, 160), joined (height, width, 49, 160); raw7 and raw3 where not null.
void frame_maps(const FrameWeights* w, const float* values, const uint8_t* missing, int height, int width, num* y, float* joined, float* raw7, float* raw3, char* scratch, int threads) {
    const Frame frame{height, width};
    memset(y, 0, sizeof(num) * CP * (height + 2 * R7) * (width + 2 * R7));
    parallel(height, threads, [&](int, int64_t row) {
        after_conv0(*w, values + row * width * w->channels, width, w->channels, frame.y(y, row, 0));
        for (int c = 0; c < width; c++)
            if (missing[row * width + c]) memset(frame.y(y, row, c), 0, sizeof(num) * CP);
    });
    const int blocks = (width + BLOCK - 1) / BLOCK;
    parallel(int64_t(height) * blocks, threads, [&](int thread, int64_t item) {
        auto& s = *reinterpret_cast<Scratch*>(scratch + thread * frame_scratch_bytes());
        const int part = item % blocks, begin = width * part / blocks, end = width * (part + 1) / blocks;
        make_maps(*w, s, frame, item / blocks, begin, end - begin, y, joined, raw7, raw3);
    });
}

// Vectors of patches without missing values into pool[slot].
void shared_vectors(const FrameWeights* w, const num* y, const float* joined, int height, int width, int64_t n, const int64_t* row, const int64_t* column, const int64_t* slot, float* pool, char* scratch, int threads) {
    const Frame frame{height, width};
    parallel(n, threads, [&](int thread, int64_t k) {
        auto& s = *reinterpret_cast<Scratch*>(scratch + thread * frame_scratch_bytes());
        for (int i = 0; i < P * P; i++) {
            const int r = i / P, c = i % P;
            const int64_t pixel = (row[k] + r) * width + column[k] + c;
            memcpy(s.f[i], joined + (pixel * 49 + KIND[r] * 7 + KIND[c]) * CP, sizeof s.f[i]);
        }
        finish(*w, s, frame.y(y, row[k], column[k]), int64_t(width + 2 * R7) * CP, pool + slot[k] * 256);
    });
}

// Vectors of patches with missing values, fill (n, channels), into pool[slot].
void owned_vectors(const FrameWeights* w, const num* y, const float* joined, const float* raw7, const float* raw3, const uint8_t* missing, int height, int width, int64_t n, const int64_t* row, const int64_t* column, const int64_t* slot, const float* fills, float* pool, char* scratch, int threads) {
    const Frame frame{height, width};
    parallel((n + KEYS - 1) / KEYS, threads, [&](int thread, int64_t item) {
        auto& s = *reinterpret_cast<Scratch*>(scratch + thread * frame_scratch_bytes());
        const int64_t first = item * KEYS;
        const int keys = static_cast<int>(n - first < KEYS ? n - first : KEYS);
        after_conv0(*w, fills + first * w->channels, keys, w->channels, &s.m[0][0]);
        fill_taps<7>(w->taps7, s, keys, &s.u7[0][0][0]);
        fill_taps<3>(w->taps3, s, keys, &s.u3[0][0][0]);
        for (int k = 0; k < keys; k++) {
            const int64_t at = first + k;
            fill_patch(*w, s, frame, k, row[at], column[at], y, joined, raw7, raw3, missing);
            finish(*w, s, &s.y[0][0], P * CP, pool + slot[at] * 256);
        }
    });
}

}  // extern "C"
