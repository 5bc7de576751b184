// A convolution of 3 rows and columns with stride 1 in 16 products for 4 results instead of 36: the
// minimal filtering F(2x2, 3x3) of Winograd, as in Lavin and Gray 2016, section 4.1.
//
// Each tile of 4x4 pixels (2 apart, so that they overlap) and each kernel are changed into another
// basis, in which a convolution is a product of numbers at the same place: 16 products of matrices,
// [tiles, units] by [units, results]. Changing back gives 2x2 pixels. Here some tiles are changed,
// multiplied and changed back at a time, all of which stays in the cache. Each sum is taken in the
// order of the units, however tiles are divided among threads: the results are always the same bits.
// A result whose arguments are all zero is the bias to the last bit, as every product that it reads
// vanishes: what is "above zero", which decides what passes a ReLU on the way back, is not noise.

#include "kernels.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <vector>

using namespace rtvis;

namespace {

#ifndef RTVIS_LANES
#ifdef __AVX512F__
#define RTVIS_LANES 16
#else
#define RTVIS_LANES 8
#endif
#endif
constexpr int N = RTVIS_LANES;
// Results that are computed side by side, and the tiles for which they are: as many sums as there
// are registers for, less those of a number and a row of the weights.
constexpr int PANEL = 2 * N;
constexpr int MOST_ROWS = N == 16 ? 12 : 6;
// Of the changed tiles that are held at a time: most of the cache of a core.
constexpr int64_t HELD_BYTES = 820 << 10;
// A row of weights is read once for so many tiles at least.
constexpr int64_t LEAST_TILES = 16;
// Weights that are fetched before they are needed: of a whole network they never stay in the cache.
constexpr int64_t AHEAD = 8192 / sizeof(float);
constexpr int PLACES = 16;
constexpr size_t LINE_BYTES = 64;

using Floats = Lanes<N>::Floats;

struct Convolution {
  const float* value;  // units of a pixel side by side
  int64_t pictures, height, width, units;
  int64_t picture_stride, row_stride, column_stride;
  float* result;  // [pictures, out_height, out_width, results]
  int64_t results, out_height, out_width, padding;
  const float* weight;  // [panels, 16, units, PANEL], see winograd.py
  const float* bias;
  float low, high;

  int64_t tile_rows() const { return (out_height + 1) / 2; }
  int64_t tile_columns() const { return (out_width + 1) / 2; }
  int64_t tiles() const { return pictures * tile_rows() * tile_columns(); }
  int64_t panels() const { return (results + PANEL - 1) / PANEL; }
};

// Where a tile lies: the first of its results.
struct Tile {
  int64_t picture, y, x;

  Tile(const Convolution& c, int64_t index)
      : picture(index / (c.tile_rows() * c.tile_columns())),
        y(index / c.tile_columns() % c.tile_rows() * 2),
        x(index % c.tile_columns() * 2) {}

  // Pixel i, j of those that it is computed from; none beyond the border.
  const float* pixel(const Convolution& c, int i, int j) const {
    const int64_t row = y - c.padding + i, column = x - c.padding + j;
    if (row < 0 || row >= c.height || column < 0 || column >= c.width) return nullptr;
    return c.value + picture * c.picture_stride + row * c.row_stride + column * c.column_stride;
  }
};

// Memory of one thread that lasts from one call to the next: fresh pages cost more than the work.
float* scratch(size_t floats) {
  thread_local std::unique_ptr<float, decltype(&std::free)> memory(nullptr, &std::free);
  thread_local size_t size = 0;
  if (size < floats) {
    size = (floats * sizeof(float) + LINE_BYTES - 1) / LINE_BYTES * LINE_BYTES / sizeof(float);
    memory.reset(static_cast<float*>(std::aligned_alloc(LINE_BYTES, size * sizeof(float))));
  }
  return memory.get();
}

// Bt d B of tiles first..first+num, as [16, num, units].
void change_tiles(const Convolution& c, int64_t first, int64_t num, const float* zeros, float* to) {
  const int64_t step = num * c.units;
  for (int64_t t = 0; t < num; t++, to += c.units) {
    const Tile tile(c, first + t);
    const float* pixels[4][4];
    for (int i = 0; i < 4; i++)
      for (int j = 0; j < 4; j++) {
        const float* pixel = tile.pixel(c, i, j);
        pixels[i][j] = pixel ? pixel : zeros;
      }
    for (int64_t unit = 0; unit < c.units; unit += N) {
      Floats rows[4][4];
      for (int j = 0; j < 4; j++) {
        const Floats d0 = load<N>(pixels[0][j] + unit), d1 = load<N>(pixels[1][j] + unit);
        const Floats d2 = load<N>(pixels[2][j] + unit), d3 = load<N>(pixels[3][j] + unit);
        rows[0][j] = d0 - d2, rows[1][j] = d1 + d2, rows[2][j] = d2 - d1, rows[3][j] = d1 - d3;
      }
      for (int i = 0; i < 4; i++) {
        const Floats* row = rows[i];
        float* at = to + 4 * i * step + unit;
        store<N>(at, row[0] - row[2]);
        store<N>(at + step, row[1] + row[2]);
        store<N>(at + 2 * step, row[2] - row[1]);
        store<N>(at + 3 * step, row[1] - row[3]);
      }
    }
  }
}

// [R, PANEL] = [R, units] by [units, PANEL], all in registers.
template <int R, bool FETCHES>
inline void multiply_rows(const float* tiles, int64_t units, const float* weight, float* to) {
  Floats sums[R][2];
  for (int i = 0; i < R; i++) sums[i][0] = sums[i][1] = Floats{};
  for (int64_t unit = 0; unit < units; unit++, weight += PANEL) {
    if (FETCHES)
      for (int line = 0; line < PANEL; line += LINE_BYTES / sizeof(float))
        __builtin_prefetch(weight + AHEAD + line);
    const Floats left = load<N>(weight), right = load<N>(weight + N);
#pragma GCC unroll 12
    for (int i = 0; i < R; i++) {
      // Nothing is taken away, so that a number becomes lanes and no sum: -0 + 0 would be another.
      const Floats number = tiles[i * units + unit] - Floats{};
      sums[i][0] += number * left, sums[i][1] += number * right;
    }
  }
  for (int i = 0; i < R; i++, to += PANEL) store<N>(to, sums[i][0]), store<N>(to + N, sums[i][1]);
}

template <int R, bool FETCHES>
void multiply_some(int64_t rows, const float* tiles, int64_t units, const float* weight, float* to) {
  if (rows == R) return multiply_rows<R, FETCHES>(tiles, units, weight, to);
  if constexpr (R > 1) multiply_some<R - 1, FETCHES>(rows, tiles, units, weight, to);
}

// [num, PANEL], in groups of nearly equal size.
void multiply(const float* tiles, int64_t num, int64_t units, const float* weight, float* to) {
  const int64_t groups = (num + MOST_ROWS - 1) / MOST_ROWS;
  for (int64_t group = 0; group < groups; group++) {
    const int64_t from = num * group / groups, rows = num * (group + 1) / groups - from;
    // The first group meets each weight first.
    const auto multiply_group = group ? multiply_some<MOST_ROWS, false> : multiply_some<MOST_ROWS, true>;
    multiply_group(rows, tiles + from * units, units, weight, to + from * PANEL);
  }
}

// At M A of [16, num, PANEL], and what follows a convolution.
void change_back(const Convolution& c, int64_t first, int64_t num, int64_t panel,
                 const float* made) {
  const int64_t step = num * PANEL;
  const Floats low = Floats{} + c.low, high = Floats{} + c.high;
  for (int64_t t = 0; t < num; t++, made += PANEL) {
    const Tile tile(c, first + t);
    float* corner = c.result + ((tile.picture * c.out_height + tile.y) * c.out_width + tile.x) * c.results;
    const bool has_row = tile.y + 1 < c.out_height, has_column = tile.x + 1 < c.out_width;
    for (int part = 0; part < PANEL; part += N) {
      const int64_t result = panel * PANEL + part;
      if (result >= c.results) break;
      Floats above[4], below[4];
      for (int j = 0; j < 4; j++) {
        const float* at = made + j * step + part;
        const Floats m0 = load<N>(at), m1 = load<N>(at + 4 * step);
        const Floats m2 = load<N>(at + 8 * step), m3 = load<N>(at + 12 * step);
        above[j] = m0 + m1 + m2, below[j] = m1 - m2 - m3;
      }
      const Floats bias = load<N>(c.bias + result);
      const auto put = [&](float* to, Floats found) {
        store<N>(to + result, clamped(found + bias, low, high));
      };
      put(corner, above[0] + above[1] + above[2]);
      if (has_column) put(corner + c.results, above[1] - above[2] - above[3]);
      float* const under = corner + c.out_width * c.results;
      if (has_row) put(under, below[0] + below[1] + below[2]);
      if (has_row && has_column) put(under + c.results, below[1] - below[2] - below[3]);
    }
  }
}

void convolve(const Convolution& c) {
  const int64_t threads = most_threads(), tiles = c.tiles(), panels = c.panels();
  const int64_t changed_bytes = PLACES * c.units * (int64_t)sizeof(float);
  const int64_t most = std::max(LEAST_TILES, HELD_BYTES / changed_bytes);
  int64_t blocks = (tiles + most - 1) / most;
  // As many blocks for each thread; where there are fewer, the results are divided, too.
  if (blocks >= threads) blocks = (blocks + threads - 1) / threads * threads;
  const int64_t parts = blocks >= threads ? 1 : std::min(panels, (threads + blocks - 1) / blocks);
  const int64_t largest = (tiles + blocks - 1) / blocks;
#pragma omp parallel for schedule(static)
  for (int64_t item = 0; item < blocks * parts; item++) {
    const int64_t block = item / parts, part = item % parts;
    const int64_t first = tiles * block / blocks, num = tiles * (block + 1) / blocks - first;
    const int64_t from = panels * part / parts, to = panels * (part + 1) / parts;
    float* const changed = scratch(PLACES * largest * (c.units + PANEL) + c.units);
    float* const made = changed + PLACES * largest * c.units;
    float* const zeros = made + PLACES * largest * PANEL;
    std::fill(zeros, zeros + c.units, 0.0f);
    change_tiles(c, first, num, zeros, changed);
    for (int64_t panel = from; panel < to; panel++) {
      for (int64_t place = 0; place < PLACES; place++)
        multiply(changed + place * num * c.units, num, c.units,
                 c.weight + (panel * PLACES + place) * c.units * PANEL, made + place * num * PANEL);
      change_back(c, first, num, panel, made);
    }
  }
}

}  // namespace

extern "C" {

// How many results the weights hold side by side.
int rtvis_panel() { return PANEL; }

// `size`: pictures, height, width, units, strides of a picture, row and column, results, padding;
// `ends`: what the results are put between.
void rtvis_convolve_3x3(const float* value, const int64_t* size, const float* weight,
                        const float* bias, const float* ends, float* result) {
  const int64_t grown = 2 * size[8] - 2;
  convolve(Convolution{value,   size[0], size[1],         size[2],         size[3], size[4], size[5],
                       size[6], result,  size[7],         size[1] + grown, size[2] + grown, size[8],
                       weight,  bias,    ends[0],         ends[1]});
}

int32_t aoti_torch_cpu_convolve_3x3(AtenTensorHandle value, AtenTensorHandle weight,
                                    AtenTensorHandle bias, int64_t padding, double low,
                                    double high, AtenTensorHandle* result) {
  void *data, *weights, *biases, *made;
  int64_t *sizes, *strides, *results;
  if (aoti_torch_get_data_ptr(value, &data) || aoti_torch_get_sizes(value, &sizes) ||
      aoti_torch_get_strides(value, &strides) || aoti_torch_get_data_ptr(weight, &weights) ||
      aoti_torch_get_data_ptr(bias, &biases) || aoti_torch_get_sizes(bias, &results) ||
      strides[1] != 1)
    return 1;
  const int64_t grown = 2 * padding - 2, height = sizes[2] + grown, width = sizes[3] + grown;
  const int64_t shape[4] = {sizes[0], results[0], height, width};
  const int64_t steps[4] = {results[0] * height * width, 1, results[0] * width, results[0]};
  if (aoti_torch_empty_strided(4, shape, steps, aoti_torch_dtype_float32(),
                               aoti_torch_device_type_cpu(), 0, result) ||
      aoti_torch_get_data_ptr(*result, &made))
    return 1;
  const int64_t size[9] = {sizes[0],   sizes[2],   sizes[3],   sizes[1], strides[0],
                           strides[2], strides[3], results[0], padding};
  const float ends[2] = {(float)low, (float)high};
  rtvis_convolve_3x3((const float*)data, size, (const float*)weights, (const float*)biases, ends,
                     (float*)made);
  return 0;
}

}  // extern "C"
