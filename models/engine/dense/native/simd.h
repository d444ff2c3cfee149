// Vectors of the widest kind that the compiler may use, and the few functions that the network needs on them.
// GCC's and Clang's vector extensions: no instruction set is named but where a reduction gains from it.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__AVX512F__)
#include <immintrin.h>
constexpr int VL = 16;     // floats in a vector
constexpr int ROWS = 12;   // rows of a register tile: 12 x 2 accumulators of the 32 registers
#else
constexpr int VL = 8;
constexpr int ROWS = 6;
#endif
constexpr int PANEL = 32;            // columns of packed weights that lie together
constexpr int PV = PANEL / VL;       // vectors in a panel's row
constexpr int TV = 2;                // vectors in a register tile's row
constexpr int TILE = TV * VL;        // columns of a register tile

typedef float vf __attribute__((vector_size(VL * 4)));
typedef int32_t vi __attribute__((vector_size(VL * 4)));
typedef float vf_any __attribute__((vector_size(VL * 4), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE vf load(const float* p) { return *reinterpret_cast<const vf_any*>(p); }
INLINE void store(float* p, vf v) { *reinterpret_cast<vf_any*>(p) = v; }
INLINE vf all(float x) { return x - vf{}; }
INLINE vf larger(vf a, vf b) { return a > b ? a : b; }
INLINE vf leaky(vf x, float slope) { return x > 0 ? x : x * slope; }

INLINE float sum_of(vf v) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)v);
#else
    float s = 0;
    for (int i = 0; i < VL; i++) s += v[i];
    return s;
#endif
}

INLINE float largest_of(vf v) {
#if defined(__AVX512F__)
    return _mm512_reduce_max_ps((__m512)v);
#else
    float s = v[0];
    for (int i = 1; i < VL; i++) s = v[i] > s ? v[i] : s;
    return s;
#endif
}

// e^x to about one unit in the last place: x = n ln 2 + r, a polynomial for e^r, n into the exponent.
INLINE vf exponential(vf x) {
    const vf low = all(-87.0f), high = all(88.0f), shift = all(12582912.0f);
    x = x < low ? low : x;
    x = x > high ? high : x;
    vf n = (x * 1.44269504088896341f + shift) - shift;
    vf r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    vf p = all(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    vi e = (__builtin_convertvector(n, vi) + 127) << 23;
    return p * (vf)e;
}

INLINE vf sigmoid(vf x) { return 1.0f / (1.0f + exponential(-x)); }
INLINE vf silu(vf x) { return x * sigmoid(x); }

// What goes into matrix products: float32, or bf16 where the processor multiplies pairs of such numbers.
// Packed weights of bf16 hold two rows in each other's place: [depth / 2][PANEL][2].
#if defined(BF16)
#if !defined(__AVX512BF16__)
#error "this processor has no products of bf16 numbers"
#endif
typedef uint16_t num;
INLINE vf load_num(const num* p) {
    return (vf)_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16);
}
INLINE void store_num(num* p, vf v) {
    const __m256bh rounded = _mm512_cvtneps_pbh((__m512)v);
    memcpy(p, &rounded, sizeof rounded);
}
#else
typedef float num;
INLINE vf load_num(const num* p) { return load(p); }
INLINE void store_num(num* p, vf v) { store(p, v); }
#endif

// A register tile: R rows of A (K contiguous, rows STRIDE apart) times a packed panel's TILE columns from `b`.
template <int R, int STRIDE>
INLINE void multiply(vf (&acc)[R][TV], const num* a, const num* b, int depth) {
#if defined(BF16)
    for (int k = 0; k < depth; k += 2, b += 2 * PANEL) {  // an odd depth's last partner is zero in both
        const __m512bh b0 = (__m512bh)_mm512_loadu_si512(b), b1 = (__m512bh)_mm512_loadu_si512(b + 2 * VL);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) {
            int32_t pair;
            memcpy(&pair, a + r * STRIDE + k, sizeof pair);
            const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
            acc[r][0] = (vf)_mm512_dpbf16_ps((__m512)acc[r][0], x, b0);
            acc[r][1] = (vf)_mm512_dpbf16_ps((__m512)acc[r][1], x, b1);
        }
    }
#else
    for (int k = 0; k < depth; k++, b += PANEL) {
        const vf b0 = load(b), b1 = load(b + VL);
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) {
            const vf x = all(a[r * STRIDE + k]);
            acc[r][0] += x * b0;
            acc[r][1] += x * b1;
        }
    }
#endif
}

// Numbers of packed weights in a matrix of that depth, and where a tile of columns begins in a panel.
constexpr int64_t packed(int depth) { return int64_t(depth + (sizeof(num) == 2 ? depth % 2 : 0)) * PANEL; }
constexpr int64_t packed_tile(int column) { return column * int64_t(sizeof(num) == 2 ? 2 : 1); }

template <int R>
INLINE void fill(vf (&acc)[R][TV], vf v0, vf v1) {
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) acc[r][0] = v0, acc[r][1] = v1;
}

// Calls `body` with the number of rows as a constant: blocks of ROWS, then the rest.
template <int R, class Body>
INLINE void with_rows(int rows, Body&& body) {
    if constexpr (R > 0) {
        if (rows == R) body(std::integral_constant<int, R>{});
        else with_rows<R - 1>(rows, body);
    }
}

template <class Body>
INLINE void in_blocks(int rows, Body&& body) {
    const int blocks = (rows + ROWS - 1) / ROWS;
    for (int i = 0, begin = 0; i < blocks; i++) {
        const int n = (rows - begin + blocks - i - 1) / (blocks - i);  // of about equal size
        with_rows<ROWS>(n, [&](auto r) { body(r, begin); });
        begin += n;
    }
}
