// The temporal part of an encoder: positions, three transformer layers over a window's 11 frames, the narrowing to 16.
#include <cmath>
#include <type_traits>

#include "simd.h"
#include "threads.h"

struct LayerWeights {
    const num* qkv;
    const float* bias_qkv;
    const num* out;
    const float* bias_out;
    const num* up;
    const float* bias_up;
    const num* down;
    const float* bias_down;
    const float *gain1, *shift1, *gain2, *shift2;
};

struct ContextWeights {
    int self;                           // each token attends to itself alone
    const float* positions;             // [201][D], scaled
    LayerWeights layer[3];
    const num* narrow;                  // D -> 16
    const float* bias_narrow;
};

namespace {

constexpr int D = 256, T = 11, HEADS = 8, DH = D / HEADS, HIDDEN = 8, NARROW = 16;
constexpr int WINDOWS = 16;             // whose tokens are multiplied together
constexpr int TOKENS = WINDOWS * T;
constexpr int LANES = 16;               // the 11 frames in whole vectors

struct Scratch {
    float x[TOKENS][D], qkv[TOKENS][3 * D];
    num tokens[TOKENS][D], mixed[TOKENS][D], hidden[TOKENS][PANEL];  // tokens: x as matrix products take it
    float keys[DH][LANES], scores[T][LANES];
};

// rows x DEPTH times packed weights, by tiles: finish(row, column, value).
template <int DEPTH, int STRIDE, class Finish>
INLINE void linear(const num* a, int rows, const num* weights, const float* bias, int columns, const Finish& finish) {
    for (int tile = 0; tile < columns; tile += TILE) {
        const num* b = weights + (tile / PANEL) * packed(DEPTH) + packed_tile(tile % PANEL);
        const vf b0 = load(bias + tile), b1 = load(bias + tile + VL);
        in_blocks(rows, [&](auto constant, int begin) {
            constexpr int R = decltype(constant)::value;
            vf acc[R][TV];
            fill(acc, b0, b1);
            multiply<R, STRIDE>(acc, a + int64_t(begin) * STRIDE, b, DEPTH);
#pragma GCC unroll 16
            for (int r = 0; r < R; r++)
                for (int v = 0; v < TV; v++) finish(begin + r, tile + v * VL, acc[r][v]);
        });
    }
}

void normalise(float* x, num* tokens, const float* gain, const float* shift) {
    vf sum = vf{}, squares = vf{};
    for (int d = 0; d < D; d += VL) sum += load(x + d);
    const float mean = sum_of(sum) / D;
    for (int d = 0; d < D; d += VL) {
        const vf c = load(x + d) - mean;
        squares += c * c;
    }
    const float scale = 1.0f / std::sqrt(sum_of(squares) / D + 1e-5f);
    for (int d = 0; d < D; d += VL) {
        const vf v = (load(x + d) - mean) * scale * load(gain + d) + load(shift + d);
        store(x + d, v);
        store_num(tokens + d, v);
    }
}

// Attention of one head over a window's frames.
void mix(Scratch& s, const float* qkv, num* mixed) {
    const float scale = 1.0f / std::sqrt(static_cast<float>(DH));
    for (int j = 0; j < T; j++)
        for (int d = 0; d < DH; d++) s.keys[d][j] = qkv[j * 3 * D + D + d] * scale;
    for (int i = 0; i < T; i++) {
        vf e[LANES / VL] = {};
        for (int d = 0; d < DH; d++)
            for (int l = 0; l < LANES / VL; l++) e[l] += qkv[i * 3 * D + d] * load(&s.keys[d][l * VL]);
        float* score = s.scores[i];
        for (int l = 0; l < LANES / VL; l++) store(score + l * VL, e[l]);
        for (int j = T; j < LANES; j++) score[j] = -3e38f;
        vf top = load(score);
        for (int l = 1; l < LANES / VL; l++) top = larger(top, load(score + l * VL));
        const float most = largest_of(top);
        vf total = vf{};
        for (int l = 0; l < LANES / VL; l++) {
            e[l] = exponential(load(score + l * VL) - most);
            store(score + l * VL, e[l]);
        }
        for (int j = T; j < LANES; j++) score[j] = 0;
        for (int l = 0; l < LANES / VL; l++) total += load(score + l * VL);
        const float weight = 1.0f / sum_of(total);
        vf out[DH / VL] = {};
        for (int j = 0; j < T; j++)
            for (int v = 0; v < DH / VL; v++) out[v] += score[j] * load(qkv + j * 3 * D + 2 * D + v * VL);
        for (int v = 0; v < DH / VL; v++) store_num(mixed + i * D + v * VL, out[v] * weight);
    }
}

void transform(const LayerWeights& w, bool self, Scratch& s, int windows) {
    const int rows = windows * T;
    if (self) {  // softmax over one token is 1: the value passes through
        linear<D, D>(s.tokens[0], rows, w.qkv + int64_t(2 * D) * D, w.bias_qkv + 2 * D, D, [&](int r, int n, vf v) { store_num(&s.mixed[r][n], v); });
    } else {
        linear<D, D>(s.tokens[0], rows, w.qkv, w.bias_qkv, 3 * D, [&](int r, int n, vf v) { store(&s.qkv[r][n], v); });
        for (int k = 0; k < windows; k++)
            for (int h = 0; h < HEADS; h++) mix(s, &s.qkv[k * T][h * DH], &s.mixed[k * T][h * DH]);
    }
    linear<D, D>(s.mixed[0], rows, w.out, w.bias_out, D, [&](int r, int n, vf v) { store(&s.x[r][n], load(&s.x[r][n]) + v); });
    for (int r = 0; r < rows; r++) normalise(s.x[r], s.tokens[r], w.gain1, w.shift1);
    linear<D, D>(s.tokens[0], rows, w.up, w.bias_up, PANEL, [&](int r, int n, vf v) { store_num(&s.hidden[r][n], larger(v, vf{})); });
    linear<HIDDEN, PANEL>(s.hidden[0], rows, w.down, w.bias_down, D, [&](int r, int n, vf v) { store(&s.x[r][n], load(&s.x[r][n]) + v); });
    for (int r = 0; r < rows; r++) normalise(s.x[r], s.tokens[r], w.gain2, w.shift2);
}

}  // namespace

extern "C" {

int64_t context_scratch_bytes() { return (sizeof(Scratch) + 4095) / 4096 * 4096; }

// Windows of vectors pool[index] (n, 11) at days (n, 11) -> narrowed tokens out (n, 11, 16), before their activation.
void encode_context(const ContextWeights* w, const float* pool, int64_t n, const int64_t* index, const int64_t* days, float* out, char* scratch, int threads) {
    parallel((n + WINDOWS - 1) / WINDOWS, threads, [&](int thread, int64_t item) {
        auto& s = *reinterpret_cast<Scratch*>(scratch + thread * context_scratch_bytes());
        const int64_t first = item * WINDOWS;
        const int windows = static_cast<int>(n - first < WINDOWS ? n - first : WINDOWS);
        for (int i = 0; i < windows * T; i++) {
            const float *v = pool + index[first * T + i] * D, *p = w->positions + days[first * T + i] * D;
            for (int d = 0; d < D; d += VL) {
                const vf sum = load(v + d) + load(p + d);
                store(&s.x[i][d], sum);
                store_num(&s.tokens[i][d], sum);
            }
        }
        for (int layer = 0; layer < 3; layer++) transform(w->layer[layer], w->self, s, windows);
        linear<D, D>(s.tokens[0], windows * T, w->narrow, w->bias_narrow, PANEL, [&](int r, int c, vf v) {
            if (c < NARROW) store(out + (first * T + r) * NARROW + c, v);
        });
    });
}

}  // extern "C"
