// What a pass over many pictures computes on a CPU beside the network; see kernels.py.
//
// Compiled at first use by the compiler that inductor uses.

#include "kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using namespace rtvis;

namespace {

constexpr float INF = std::numeric_limits<float>::infinity();

enum Gate { OWN = 0, VALUE = 1, NORMALISED = 2 };

// Maps of one layer: pictures of `places` places of `units` numbers each.
template <typename T>
struct Maps {
  T* value;
  int64_t pictures, places, width, units;
  int64_t picture_stride, place_stride;
  // [4, units]: factor and term that give the layer's own value, and those in front of its gate.
  const float* affine;
  float low, high;
};

// Of one picture, each [units].
struct Sums {
  float *best, *part_sum, *part_square, *sum, *square;
  int32_t *place, *positive;
};

// Places that are looked at together: their numbers stay in the nearest cache for all units.
constexpr int64_t CHUNK = 32;
// Places after which sums are added to those of the whole, so that small ones are not lost.
constexpr int64_t PART = 512;

// Adds the sums of some places to those of the whole.
inline void end_part(const Sums& s, int64_t from, int64_t to) {
  for (int64_t unit = from; unit < to; unit++) {
    s.sum[unit] += s.part_sum[unit];
    s.square[unit] += s.part_square[unit];
    s.part_sum[unit] = s.part_square[unit] = 0.0f;
  }
}

// What the places looked at so far make of K times N units.
template <int N, int K>
struct Tally {
  using Floats = typename Lanes<N>::Floats;
  using Ints = typename Lanes<N>::Ints;
  Floats best[K], sum[K], square[K];
  Ints place[K], positive[K];

  inline Tally(const Sums& s, int64_t unit) {
    for (int k = 0; k < K; k++) {
      best[k] = load<N>(s.best + unit + k * N);
      place[k] = from_memory<Ints>(s.place + unit + k * N);
      sum[k] = square[k] = Floats{};
      positive[k] = Ints{};
    }
  }

  inline void add(int k, Floats own, Floats gate, Ints here) {
    const Ints wins = own > best[k];  // of equals the first stays
    best[k] = wins ? own : best[k];
    place[k] = wins ? here : place[k];
    sum[k] += own;
    square[k] += own * own;
    positive[k] -= gate > 0.0f;
  }

  inline void end(const Sums& s, int64_t unit) const {
    for (int k = 0; k < K; k++) {
      const int64_t own = unit + k * N;
      store<N>(s.best + own, best[k]);
      to_memory(s.place + own, place[k]);
      store<N>(s.part_sum + own, load<N>(s.part_sum + own) + sum[k]);
      store<N>(s.part_square + own, load<N>(s.part_square + own) + square[k]);
      to_memory(s.positive + own, from_memory<Ints>(s.positive + own) + positive[k]);
    }
  }
};

// Places first..last of K times N units: two of them hide how long a comparison takes.
template <typename T, int N, int K, bool HAS_OWN, int GATE, bool CLAMPS>
inline void look(const Maps<T>& m, T* at, int64_t first, int64_t last, int64_t unit,
                 const Sums& s) {
  using Floats = typename Lanes<N>::Floats;
  using Ints = typename Lanes<N>::Ints;
  Floats factor[K], term[K], gate_factor[K], gate_term[K];
  Tally<N, K> tally(s, unit);
  for (int k = 0; k < K; k++) {
    const int64_t own = unit + k * N;
    factor[k] = HAS_OWN ? load<N>(m.affine + own) : Floats{};
    term[k] = HAS_OWN ? load<N>(m.affine + m.units + own) : Floats{};
    gate_factor[k] = GATE == NORMALISED ? load<N>(m.affine + 2 * m.units + own) : Floats{};
    gate_term[k] = GATE == NORMALISED ? load<N>(m.affine + 3 * m.units + own) : Floats{};
  }
  const Floats low = Floats{} + m.low, high = Floats{} + m.high;
  Ints here = Ints{} + (int32_t)first;
  at += first * m.place_stride + unit;
  const int64_t next = CHUNK * m.place_stride;  // soon wanted, by then near
  for (int64_t i = first; i < last; i++, at += m.place_stride) {
    for (int k = 0; k < K; k++) {
      __builtin_prefetch(at + k * N + next, 0, 2);
      const Floats value = load<N>(at + k * N);
      const Floats own = HAS_OWN ? term[k] + value * factor[k] : value;
      const Floats gate = GATE == OWN     ? own
                          : GATE == VALUE ? value
                                          : gate_term[k] + value * gate_factor[k];
      tally.add(k, own, gate, here);
      if (CLAMPS) store<N>(at + k * N, clamped(value, low, high));
    }
    here += 1;
  }
  tally.end(s, unit);
}

template <typename T, bool HAS_OWN, int GATE, bool CLAMPS>
void look_at_all(const Maps<T>& m, T* value, int64_t from, int64_t to, const Sums& s) {
  for (int64_t first = 0; first < m.places; first += CHUNK) {
    const int64_t last = std::min(first + CHUNK, m.places);
    int64_t unit = from;
    for (; unit + 32 <= to; unit += 32)
      look<T, 16, 2, HAS_OWN, GATE, CLAMPS>(m, value, first, last, unit, s);
    for (; unit + 8 <= to; unit += 8)
      look<T, 8, 1, HAS_OWN, GATE, CLAMPS>(m, value, first, last, unit, s);
    for (; unit < to; unit++) look<T, 1, 1, HAS_OWN, GATE, CLAMPS>(m, value, first, last, unit, s);
    if (last % PART == 0 || last == m.places) end_part(s, from, to);
  }
}

// Floats in a line of the cache.
constexpr uintptr_t LINE = 16;

// The memory of sums.
struct Held {
  std::vector<float> floats;
  std::vector<int32_t> ints;
  Sums sums;

  explicit Held(int64_t units) : floats(5 * units, 0.0f), ints(2 * units, 0) {
    sums = {&floats[0],         &floats[units], &floats[2 * units], &floats[3 * units],
            &floats[4 * units], &ints[0],       &ints[units]};
    std::fill(sums.best, sums.best + units, -INF);
  }
};

// The five numbers of each unit, `size` apart.
void write_numbers(const Sums& s, int64_t size, int64_t places, int64_t width, int64_t from,
                   int64_t to, float* numbers) {
  const int32_t nowhere = (int32_t)(places / width) << 16 | (int32_t)width;
  for (int64_t unit = from; unit < to; unit++) {
    // A square is NaN where a value is, and else never.
    const bool is_nan = std::isnan(s.square[unit]);
    const int32_t row = s.place[unit] / (int32_t)width;
    const int32_t place = row << 16 | (s.place[unit] - row * (int32_t)width);
    numbers[unit] = is_nan ? s.square[unit] : s.best[unit];
    to_memory(numbers + size + unit, is_nan ? nowhere : place);
    numbers[2 * size + unit] = s.sum[unit] / (float)places;
    numbers[3 * size + unit] = s.square[unit] / (float)places;
    to_memory(numbers + 4 * size + unit, s.positive[unit]);
  }
}

// Units from..to of one picture. `numbers` is [5, pictures, units]: the parts of `Reduced`.
template <typename T>
void look_at_picture(const Maps<T>& m, int gate, bool has_own, bool clamps, int64_t picture,
                     int64_t from, int64_t to, float* numbers) {
  const Held held(m.units);
  const Sums& s = held.sums;
  T* value = m.value + picture * m.picture_stride;
#define RTVIS_LOOK(HAS_OWN, GATE, CLAMPS) look_at_all<T, HAS_OWN, GATE, CLAMPS>(m, value, from, to, s)
  if (clamps) {
    has_own ? RTVIS_LOOK(true, VALUE, true) : RTVIS_LOOK(false, VALUE, true);
  } else if (gate == NORMALISED) {
    has_own ? RTVIS_LOOK(true, NORMALISED, false) : RTVIS_LOOK(false, NORMALISED, false);
  } else if (has_own) {
    gate == VALUE ? RTVIS_LOOK(true, VALUE, false) : RTVIS_LOOK(true, OWN, false);
  } else {
    RTVIS_LOOK(false, OWN, false);
  }
#undef RTVIS_LOOK
  write_numbers(s, m.pictures * m.units, m.places, m.width, from, to, numbers + picture * m.units);
}

// Units whose rows are looked at together.
constexpr int64_t BLOCK = 256;

// Values below which waiting for another thread takes longer than what it would do.
constexpr int64_t WORTH_DIVIDING = 1 << 17;

template <typename T>
void look_at_maps(const Maps<T>& m, int gate, bool has_own, bool clamps, float* numbers) {
  // Pictures are divided among threads, and where that does not come out even, their units: what
  // is computed for a unit of a picture depends on neither.
  const int64_t threads = most_threads();
  const int64_t parts = m.pictures % threads == 0 ? 1 : std::min(threads, (m.units + 15) / 16);
  const int64_t blocks = (m.units + 15) / 16;
#pragma omp parallel for schedule(static) if (m.pictures * m.places * m.units > WORTH_DIVIDING)
  for (int64_t task = 0; task < m.pictures * parts; task++) {
    const int64_t part = task % parts;
    look_at_picture(m, gate, has_own, clamps, task / parts, blocks * part / parts * 16,
                    std::min(blocks * (part + 1) / parts * 16, m.units), numbers);
  }
}

// A depthwise convolution between two clamps: both its argument and its result are layers' maps.
struct Depthwise {
  const float* value;  // [pictures, height, width, units], in front of the first clamp
  float* result;       // [pictures, out_height, out_width, units], behind the second
  int64_t pictures, height, width, units, out_height, out_width, kernel, stride, top, left;
  const float *weight, *bias;  // [kernel, kernel, units], [units]
  const float *affine, *out_affine;
  float low, high, out_low, out_high;
};

// One row of the argument: reduced, clamped, and put into a row between zeros.
template <int N, int K>
inline void take_row(const Depthwise& d, const float* from, float* to, int64_t steps, int64_t unit,
                     int64_t local, int32_t place_from, const Sums& s) {
  using Floats = typename Lanes<N>::Floats;
  using Ints = typename Lanes<N>::Ints;
  Floats factor[K], term[K];
  Tally<N, K> tally(s, unit);
  for (int k = 0; k < K; k++) {
    const int64_t own = unit + k * N;
    factor[k] = load<N>(d.affine + own);
    term[k] = load<N>(d.affine + d.units + own);
  }
  const Floats low = Floats{} + d.low, high = Floats{} + d.high;
  Ints here = Ints{} + place_from;
  // Rows follow one another: by the time the next one is wanted it is near.
  const int64_t next = d.width * d.units;
  from += unit;
  to += d.left * steps + local;
  for (int64_t x = 0; x < d.width; x++, from += d.units, to += steps) {
    for (int k = 0; k < K; k++) {
      __builtin_prefetch(from + k * N + next, 0, 2);
      const Floats value = load<N>(from + k * N);
      const Floats own = term[k] + value * factor[k];
      tally.add(k, own, value, here);
      store<N>(to + k * N, clamped(value, low, high));
    }
    here += 1;
  }
  tally.end(s, unit);
}

// X results side by side of K times N units, from rows that lie between zeros.
template <int N, int K, int X, int SIZE>
inline void convolve(const Depthwise& d, const float* const* rows, int64_t steps, int64_t unit,
                     int64_t local, int64_t x, typename Lanes<N>::Floats (&sums)[X][K]) {
  using Floats = typename Lanes<N>::Floats;
  for (int k = 0; k < K; k++) {
    const Floats bias = load<N>(d.bias + unit + k * N);
    for (int i = 0; i < X; i++) sums[i][k] = bias;
  }
  const float* weight = d.weight + unit;
  const int64_t stride = d.stride * steps;
  for (int row = 0; row < SIZE; row++) {
    const float* at = rows[row] + x * stride + local;
    for (int column = 0; column < SIZE; column++, at += steps, weight += d.units) {
      for (int k = 0; k < K; k++) {
        const Floats factor = load<N>(weight + k * N);
        for (int i = 0; i < X; i++) sums[i][k] += load<N>(at + i * stride + k * N) * factor;
      }
    }
  }
}

template <int N, int K, int SIZE>
inline void make_row(const Depthwise& d, const float* const* rows, float* to, int64_t steps,
                     int64_t unit, int64_t local, int32_t place_from, const Sums& s) {
  using Floats = typename Lanes<N>::Floats;
  using Ints = typename Lanes<N>::Ints;
  Tally<N, K> tally(s, unit);
  const Floats low = Floats{} + d.out_low, high = Floats{} + d.out_high;
  auto end = [&](const Floats value, int k, int64_t x) {
    const float* affine = d.out_affine + unit + k * N;
    const Floats own = load<N>(affine + d.units) + value * load<N>(affine);
    tally.add(k, own, value, Ints{} + (int32_t)(place_from + x));
    store<N>(to + x * d.units + unit + k * N, clamped(value, low, high));
  };
  int64_t x = 0;
  for (; x + 7 <= d.out_width; x += 7) {
    Floats sums[7][K];
    convolve<N, K, 7, SIZE>(d, rows, steps, unit, local, x, sums);
    for (int i = 0; i < 7; i++)
      for (int k = 0; k < K; k++) end(sums[i][k], k, x + i);
  }
  for (; x + 2 <= d.out_width; x += 2) {
    Floats sums[2][K];
    convolve<N, K, 2, SIZE>(d, rows, steps, unit, local, x, sums);
    for (int i = 0; i < 2; i++)
      for (int k = 0; k < K; k++) end(sums[i][k], k, x + i);
  }
  for (; x < d.out_width; x++) {
    Floats sums[1][K];
    convolve<N, K, 1, SIZE>(d, rows, steps, unit, local, x, sums);
    for (int k = 0; k < K; k++) end(sums[0][k], k, x);
  }
  tally.end(s, unit);
}

// Units from..to of one picture, a row of the result after the other: of the argument the rows
// that it needs are kept, so that each number is read once from where the last layer left it.
template <int SIZE>
void convolve_picture(const Depthwise& d, int64_t picture, int64_t from, int64_t to,
                      float* numbers, float* out_numbers) {
  const Held held(d.units), out_held(d.units);
  const int64_t steps = to - from;
  const int64_t padded = std::max(d.left + d.width, (d.out_width - 1) * d.stride + SIZE);
  // Where lines of the cache begin: across two of them reading takes twice as long.
  std::vector<float> memory((SIZE + 1) * padded * steps + LINE, 0.0f);
  float* const zeros = memory.data() + (LINE - (uintptr_t)memory.data() / sizeof(float) % LINE) % LINE;
  float* const ring = zeros + padded * steps;
  const float* value = d.value + picture * d.height * d.width * d.units;
  float* result = d.result + picture * d.out_height * d.out_width * d.units;
  int64_t taken = 0;
  const auto take_until = [&](int64_t stop) {
    for (; taken < stop; taken++) {
      const float* row = value + taken * d.width * d.units;
      float* in_ring = ring + taken % SIZE * padded * steps;
      const int32_t place = (int32_t)(taken * d.width);
      int64_t unit = from;
      for (; unit + 32 <= to; unit += 32)
        take_row<16, 2>(d, row, in_ring, steps, unit, unit - from, place, held.sums);
      for (; unit < to; unit += 8)
        take_row<8, 1>(d, row, in_ring, steps, unit, unit - from, place, held.sums);
      if ((taken + 1) * d.width % PART < d.width) end_part(held.sums, from, to);
    }
  };
  for (int64_t y = 0; y < d.out_height; y++) {
    const int64_t first = y * d.stride - d.top;
    take_until(std::min(d.height, first + SIZE));
    const float* rows[SIZE];
    for (int row = 0; row < SIZE; row++) {
      const int64_t at = first + row;
      rows[row] = at < 0 || at >= d.height ? zeros : ring + at % SIZE * padded * steps;
    }
    float* out = result + y * d.out_width * d.units;
    const int32_t place = (int32_t)(y * d.out_width);
    int64_t unit = from;
    for (; unit + 32 <= to; unit += 32)
      make_row<16, 2, SIZE>(d, rows, out, steps, unit, unit - from, place, out_held.sums);
    for (; unit < to; unit += 8)
      make_row<8, 1, SIZE>(d, rows, out, steps, unit, unit - from, place, out_held.sums);
    if ((y + 1) * d.out_width % PART < d.out_width) end_part(out_held.sums, from, to);
  }
  take_until(d.height);  // rows that no result needs are part of the maps all the same
  end_part(held.sums, from, to);
  end_part(out_held.sums, from, to);
  const int64_t size = d.pictures * d.units, at = picture * d.units;
  write_numbers(held.sums, size, d.height * d.width, d.width, from, to, numbers + at);
  write_numbers(out_held.sums, size, d.out_height * d.out_width, d.out_width, from, to,
                out_numbers + at);
}

}  // namespace

extern "C" {

// A depthwise convolution of 3 or 5 rows and columns, and the parts of `Reduced` of both its
// argument and its result. `size`: pictures, height, width, units, out_height, out_width, kernel,
// stride, top, left; `ends`: low and high of the clamp before it, and of that behind it.
void rtvis_depthwise(const float* value, const int64_t* size, const float* affine,
                     const float* weight, const float* bias, const float* out_affine,
                     const float* ends, float* result, float* numbers, float* out_numbers) {
  const Depthwise d{value,   result,  size[0], size[1], size[2],    size[3], size[4],
                    size[5], size[6], size[7], size[8], size[9],    weight,  bias,
                    affine,  out_affine, ends[0], ends[1], ends[2], ends[3]};
  const int64_t threads = most_threads(), blocks = (d.units + 31) / 32;
  const int64_t parts = d.pictures % threads == 0 ? 1 : std::min(threads, blocks);
#pragma omp parallel for schedule(static)
  for (int64_t task = 0; task < d.pictures * parts; task++) {
    const int64_t part = task % parts, from = blocks * part / parts * 32;
    const int64_t to = std::min(blocks * (part + 1) / parts * 32, d.units);
    if (d.kernel == 3)
      convolve_picture<3>(d, task / parts, from, to, numbers, out_numbers);
    else
      convolve_picture<5>(d, task / parts, from, to, numbers, out_numbers);
  }
}

// The parts of `Reduced` of one layer's maps; where `clamps`, each value is then put between
// `low` and `high`.
void rtvis_reduce(void* value, int is_half, int64_t pictures, int64_t places, int64_t width,
                  int64_t units, int64_t picture_stride, int64_t place_stride, const float* affine,
                  int has_own, int gate, int clamps, float low, float high, float* numbers) {
  if (is_half) {
    look_at_maps(Maps<uint16_t>{(uint16_t*)value, pictures, places, width, units, picture_stride,
                                place_stride, affine, low, high},
                 gate, has_own, clamps, numbers);
  } else {
    look_at_maps(Maps<float>{(float*)value, pictures, places, width, units, picture_stride,
                             place_stride, affine, low, high},
                 gate, has_own, clamps, numbers);
  }
}

// The smallest and the largest of each unit's values, [rows, units], held between -limit and limit;
// whether all of them and all squares are finite.
int rtvis_ends(const float* values, const float* squares, int64_t rows, int64_t units, float limit,
               float* low, float* high) {
  const int64_t blocks = (units + BLOCK - 1) / BLOCK;
  int num_bad = 0;
#pragma omp parallel for schedule(static) reduction(+ : num_bad)
  for (int64_t block = 0; block < blocks; block++) {
    const int64_t from = block * BLOCK, num = std::min(BLOCK, units - from);
    float lows[BLOCK], highs[BLOCK];
    int bad[BLOCK] = {};
    for (int64_t u = 0; u < BLOCK; u++) lows[u] = INF, highs[u] = -INF;
    for (int64_t row = 0; row < rows; row++) {
      const float* value = values + row * units + from;
      const float* square = squares + row * units + from;
      for (int64_t u = 0; u < num; u++) {
        bad[u] |= !(std::fabs(value[u]) < INF) | !(std::fabs(square[u]) < INF);
        lows[u] = value[u] < lows[u] ? value[u] : lows[u];
        highs[u] = value[u] > highs[u] ? value[u] : highs[u];
      }
    }
    for (int64_t u = 0; u < num; u++) {
      num_bad += bad[u];
      low[from + u] = std::max(-limit, std::min(limit, lows[u]));
      high[from + u] = std::max(-limit, std::min(limit, highs[u]));
    }
  }
  return num_bad == 0;
}

// Adds rows of finite numbers to sums of whole numbers and to histograms of `bins` bins a unit that
// have room for them: what rtvis/units/statistics.py and histogram.py do, to the last bit.
void rtvis_count(const float* values, const float* means, const float* squares,
                 const int32_t* positives, int64_t rows, int64_t units, float limit, double most,
                 double mean_steps, double square_steps, const int64_t* exponents,
                 const int64_t* firsts, int64_t bins, int32_t* histogram, int64_t* total,
                 int64_t* square_whole, int64_t* square_part, int64_t* positive, int64_t* fired) {
  const int64_t blocks = (units + BLOCK - 1) / BLOCK;
#pragma omp parallel for schedule(static)
  for (int64_t block = 0; block < blocks; block++) {
    const int64_t from = block * BLOCK, num = std::min(BLOCK, units - from);
    float scale[BLOCK], first[BLOCK];
    int32_t bin[BLOCK];
    for (int64_t u = 0; u < num; u++) {
      scale[u] = std::ldexp(1.0f, -(int)exponents[from + u]);
      first[u] = (float)firsts[from + u];
    }
    for (int64_t row = 0; row < rows; row++) {
      const int64_t at = row * units + from;
      for (int64_t u = 0; u < num; u++) {
        const float value = std::max(-limit, std::min(limit, values[at + u]));
        const float place = std::floor(value * scale[u]) - first[u];
        bin[u] = (int32_t)std::max(0.0f, std::min((float)(bins - 1), place));
      }
      for (int64_t u = 0; u < num; u++) histogram[(from + u) * bins + bin[u]]++;
      for (int64_t u = 0; u < num; u++) {
        const double mean = std::max(-most, std::min(most, (double)means[at + u]));
        total[from + u] += (int64_t)std::rint(mean * mean_steps);
        const double square = std::min(most * most, (double)squares[at + u]);
        const double whole = std::floor(square);
        square_whole[from + u] += (int64_t)whole;
        square_part[from + u] += (int64_t)std::rint((square - whole) * square_steps);
        positive[from + u] += positives[at + u];
        fired[from + u] += positives[at + u] > 0;
      }
    }
  }
}

static int32_t reduce(AtenTensorHandle value, AtenTensorHandle affine, int64_t has_own,
                      int64_t gate, bool clamps, double low, double high,
                      AtenTensorHandle* numbers) {
  void *data, *constants, *result;
  int64_t *sizes, *strides;
  int32_t dtype;
  if (aoti_torch_get_data_ptr(value, &data) || aoti_torch_get_sizes(value, &sizes) ||
      aoti_torch_get_strides(value, &strides) || aoti_torch_get_dtype(value, &dtype) ||
      aoti_torch_get_data_ptr(affine, &constants))
    return 1;
  const int64_t pictures = sizes[0], units = sizes[1], places = sizes[2] * sizes[3];
  // [B, C, H, W] with the units of a place side by side, and rows end to end.
  if ((units > 1 && strides[1] != 1) ||
      (sizes[2] > 1 && sizes[3] > 1 && strides[2] != sizes[3] * strides[3]))
    return 1;
  const int64_t shape[3] = {5, pictures, units}, steps[3] = {pictures * units, units, 1};
  if (aoti_torch_empty_strided(3, shape, steps, aoti_torch_dtype_float32(),
                               aoti_torch_device_type_cpu(), 0, numbers) ||
      aoti_torch_get_data_ptr(*numbers, &result))
    return 1;
  rtvis_reduce(data, dtype != aoti_torch_dtype_float32(), pictures, places, sizes[3], units,
               strides[0], sizes[3] > 1 ? strides[3] : strides[2], (const float*)constants,
               (int)has_own, (int)gate, clamps, (float)low, (float)high, (float*)result);
  return 0;
}

int32_t aoti_torch_cpu_reduce_maps(AtenTensorHandle value, AtenTensorHandle affine,
                                   int64_t has_own, int64_t gate, AtenTensorHandle* numbers) {
  return reduce(value, affine, has_own, gate, false, 0.0, 0.0, numbers);
}

int32_t aoti_torch_cpu_reduce_and_clamp(AtenTensorHandle value, AtenTensorHandle affine,
                                        int64_t has_own, double low, double high,
                                        AtenTensorHandle* numbers) {
  return reduce(value, affine, has_own, VALUE, true, low, high, numbers);
}

int32_t aoti_torch_cpu_convolve_depthwise(AtenTensorHandle value, AtenTensorHandle affine,
                                          double low, double high, AtenTensorHandle weight,
                                          AtenTensorHandle bias, int64_t stride, int64_t top,
                                          int64_t left, int64_t out_height, int64_t out_width,
                                          AtenTensorHandle out_affine, double out_low,
                                          double out_high, AtenTensorHandle* result,
                                          AtenTensorHandle* numbers,
                                          AtenTensorHandle* out_numbers) {
  void *data, *constants[4], *made[3];
  const AtenTensorHandle given[4] = {affine, weight, bias, out_affine};
  int64_t *sizes, *strides, *weight_sizes;
  if (aoti_torch_get_data_ptr(value, &data) || aoti_torch_get_sizes(value, &sizes) ||
      aoti_torch_get_strides(value, &strides) || aoti_torch_get_sizes(weight, &weight_sizes))
    return 1;
  const int64_t pictures = sizes[0], units = sizes[1];
  if (strides[1] != 1 || strides[3] != units || strides[2] != units * sizes[3] ||
      strides[0] != units * sizes[3] * sizes[2])
    return 1;
  for (int i = 0; i < 4; i++)
    if (aoti_torch_get_data_ptr(given[i], &constants[i])) return 1;
  const int32_t dtype = aoti_torch_dtype_float32(), device = aoti_torch_device_type_cpu();
  const int64_t maps[4] = {pictures, units, out_height, out_width};
  const int64_t map_steps[4] = {out_height * out_width * units, 1, out_width * units, units};
  const int64_t shape[3] = {5, pictures, units}, steps[3] = {pictures * units, units, 1};
  if (aoti_torch_empty_strided(4, maps, map_steps, dtype, device, 0, result) ||
      aoti_torch_empty_strided(3, shape, steps, dtype, device, 0, numbers) ||
      aoti_torch_empty_strided(3, shape, steps, dtype, device, 0, out_numbers) ||
      aoti_torch_get_data_ptr(*result, &made[0]) || aoti_torch_get_data_ptr(*numbers, &made[1]) ||
      aoti_torch_get_data_ptr(*out_numbers, &made[2]))
    return 1;
  const int64_t size[10] = {pictures,  sizes[2],        sizes[3], units, out_height,
                            out_width, weight_sizes[0], stride,   top,   left};
  const float ends[4] = {(float)low, (float)high, (float)out_low, (float)out_high};
  rtvis_depthwise((const float*)data, size, (const float*)constants[0], (const float*)constants[1],
                  (const float*)constants[2], (const float*)constants[3], ends, (float*)made[0],
                  (float*)made[1], (float*)made[2]);
  return 0;
}

}  // extern "C"
