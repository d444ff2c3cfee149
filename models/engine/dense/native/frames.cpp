// Frame vectors by shared maps (see models/engine/dense): maps for every kind of position, then patches.
#include "maps.h"
#include "patches.h"
#include "threads.h"

namespace {

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

// The fills of a few patches after conv0, and what they add.
void prepare_fills(const FrameWeights& w, Scratch& s, const float* fills, int keys) {
    after_conv0(w, fills, keys, w.channels, &s.m[0][0]);
    fill_taps<7>(w.taps7, s, keys, &s.u7[0][0][0]);
    fill_taps<3>(w.taps3, s, keys, &s.u3[0][0][0]);
}

// Batches of n patches, of about equal size, shared among threads: body(thread, first, patches).
template <class Body>
void in_batches(int64_t n, int threads, const Body& body) {
    const int64_t fair = (n + threads - 1) / threads, size = fair < BATCH ? fair : BATCH;
    const int64_t batches = n ? (n + size - 1) / size : 0;
    parallel(batches, threads, [&](int thread, int64_t i) {
        const int64_t first = n * i / batches;
        body(thread, first, static_cast<int>(n * (i + 1) / batches - first));
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
    in_batches(n, threads, [&](int thread, int64_t first, int patches) {
        auto& s = *reinterpret_cast<Scratch*>(scratch + thread * frame_scratch_bytes());
        for (int k = 0; k < patches; k++) {
            const int64_t top = row[first + k], left = column[first + k];
            for (int i = 0; i < P * P; i++) {
                const int r = i / P, c = i % P;
                const int64_t pixel = (top + r) * width + left + c;
                memcpy(s.f[i], joined + (pixel * 49 + KIND[r] * 7 + KIND[c]) * CP, sizeof s.f[i]);
            }
            begin_patch(*w, s, k, frame.y(y, top, left), int64_t(width + 2 * R7) * CP);
        }
        finish(*w, s, patches, slot + first, pool);
    });
}

// Vectors of patches with missing values, fill (n, channels), into pool[slot].
void owned_vectors(const FrameWeights* w, const num* y, const float* joined, const float* raw7, const float* raw3, const uint8_t* missing, int height, int width, int64_t n, const int64_t* row, const int64_t* column, const int64_t* slot, const float* fills, float* pool, char* scratch, int threads) {
    const Frame frame{height, width};
    in_batches(n, threads, [&](int thread, int64_t first, int patches) {
        auto& s = *reinterpret_cast<Scratch*>(scratch + thread * frame_scratch_bytes());
        for (int k = 0; k < patches; k++) {
            const int key = k % KEYS;
            const int64_t at = first + k;
            if (key == 0) prepare_fills(*w, s, fills + at * w->channels, patches - k < KEYS ? patches - k : KEYS);
            fill_patch(*w, s, frame, key, row[at], column[at], y, joined, raw7, raw3, missing);
            begin_patch(*w, s, k, &s.y[0][0], P * CP);
        }
        finish(*w, s, patches, slot + first, pool);
    });
}

}  // extern "C"
