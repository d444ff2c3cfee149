// The frame encoder's sizes and weights, and the memory that a thread computes it in.
// Pixels are rows, channels columns, padded to whole panels; weights come packed, panel by panel, [panel][depth][PANEL].
#pragma once
#include "simd.h"
#include "winograd.h"

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
constexpr int BATCH = 24;   // patches whose small convolutions are multiplied together

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
    const num* block2;                  // [panel][product][N2][PANEL]; of bf16 numbers [panel][3][3][N2][PANEL]
    const float* bias2;
    Attention attention2;
    const num* conv2;
    const float* bias_conv2;
    const num* block3;                  // as block2's
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
    num x1[BATCH][9][9][N2], x2[8][8][N2], x3[BATCH][6][6][N3];
    float f2[49][N2], f3[16][PANEL];
#if !defined(BF16)
    float sums2[BATCH][products(7) * products(7)][N2], sums3[BATCH][products(4) * products(4)][N3];  // see winograd.h
#endif
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

}  // namespace
