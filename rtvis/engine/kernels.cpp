// What a pass over many pictures computes on a CPU beside the network; see kernels.py.
//
// Compiled at first use by the compiler that inductor uses. Nothing of torch is included, which
// would take it 30 seconds instead of 2: of its stable C interface four functions are declared here.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace {

constexpr float INF = std::numeric_limits<float>::infinity();

// N numbers side by side, as the compiler has registers for them.
template <int N>
struct Lanes {
  typedef float Floats __attribute__((vector_size(4 * N)));
  typedef int32_t Ints __attribute__((vector_size(4 * N)));
  typedef uint16_t Halves __attribute__((vector_size(2 * N)));
};

template <typename V, typename T>
inline V from_memory(const T* from) {
  V lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}

template <typename V, typename T>
inline void to_memory(T* to, V lanes) {
  std::memcpy(to, &lanes, sizeof lanes);
}

template <int N>
inline typename Lanes<N>::Floats load(const float* from) {
  return from_memory<typename Lanes<N>::Floats>(from);
}

// bfloat16: the upper half of a float.
template <int N>
inline typename Lanes<N>::Floats load(const uint16_t* from) {
  auto half = from_memory<typename Lanes<N>::Halves>(from);
  auto bits = __builtin_convertvector(half, typename Lanes<N>::Ints) << 16;
  return (typename Lanes<N>::Floats)bits;
}

template <int N>
inline void store(float* to, typename Lanes<N>::Floats lanes) {
  to_memory(to, lanes);
}

// Of numbers that a bfloat16 can hold.
template <int N>
inline void store(uint16_t* to, typename Lanes<N>::Floats lanes) {
  auto bits = (typename Lanes<N>::Ints)lanes >> 16;
  to_memory(to, __builtin_convertvector(bits, typename Lanes<N>::Halves));
}

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

// Places first..last of K times N units: two of them hide how long a comparison takes.
template <typename T, int N, int K, bool HAS_OWN, int GATE, bool CLAMPS>
inline void look(const Maps<T>& m, T* at, int64_t first, int64_t last, int64_t unit,
                 const Sums& s) {
  using Floats = typename Lanes<N>::Floats;
  using Ints = typename Lanes<N>::Ints;
  Floats factor[K], term[K], gate_factor[K], gate_term[K], best[K], sum[K], square[K];
  Ints place[K], positive[K];
  for (int k = 0; k < K; k++) {
    const int64_t own = unit + k * N;
    factor[k] = HAS_OWN ? load<N>(m.affine + own) : Floats{};
    term[k] = HAS_OWN ? load<N>(m.affine + m.units + own) : Floats{};
    gate_factor[k] = GATE == NORMALISED ? load<N>(m.affine + 2 * m.units + own) : Floats{};
    gate_term[k] = GATE == NORMALISED ? load<N>(m.affine + 3 * m.units + own) : Floats{};
    best[k] = load<N>(s.best + own);
    place[k] = from_memory<Ints>(s.place + own);
    sum[k] = square[k] = Floats{};
    positive[k] = Ints{};
  }
  const Floats low = Floats{} + m.low, high = Floats{} + m.high;
  Ints here = Ints{} + (int32_t)first;
  at += first * m.place_stride + unit;
  for (int64_t i = first; i < last; i++, at += m.place_stride) {
    for (int k = 0; k < K; k++) {
      const Floats value = load<N>(at + k * N);
      const Floats own = HAS_OWN ? term[k] + value * factor[k] : value;
      const Floats gate = GATE == OWN     ? own
                          : GATE == VALUE ? value
                                          : gate_term[k] + value * gate_factor[k];
      const Ints wins = own > best[k];  // of equals the first stays
      best[k] = wins ? own : best[k];
      place[k] = wins ? here : place[k];
      sum[k] += own;
      square[k] += own * own;
      positive[k] -= gate > 0.0f;
      if (CLAMPS) {  // NaN stays what it is
        const Floats above = low > value ? low : value;
        store<N>(at + k * N, high < above ? high : above);
      }
    }
    here += 1;
  }
  for (int k = 0; k < K; k++) {
    const int64_t own = unit + k * N;
    store<N>(s.best + own, best[k]);
    to_memory(s.place + own, place[k]);
    store<N>(s.part_sum + own, load<N>(s.part_sum + own) + sum[k]);
    store<N>(s.part_square + own, load<N>(s.part_square + own) + square[k]);
    to_memory(s.positive + own, from_memory<Ints>(s.positive + own) + positive[k]);
  }
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
    if (last % PART != 0 && last != m.places) continue;
    for (unit = from; unit < to; unit++) {
      s.sum[unit] += s.part_sum[unit];
      s.square[unit] += s.part_square[unit];
      s.part_sum[unit] = s.part_square[unit] = 0.0f;
    }
  }
}

// Units from..to of one picture. `numbers` is [5, pictures, units]: the parts of `Reduced`.
template <typename T>
void look_at_picture(const Maps<T>& m, int gate, bool has_own, bool clamps, int64_t picture,
                     int64_t from, int64_t to, float* numbers) {
  std::vector<float> floats(5 * m.units, 0.0f);
  std::vector<int32_t> ints(2 * m.units, 0);
  const Sums s{&floats[0],           &floats[m.units], &floats[2 * m.units], &floats[3 * m.units],
               &floats[4 * m.units], &ints[0],         &ints[m.units]};
  std::fill(s.best, s.best + m.units, -INF);
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
  const int64_t size = m.pictures * m.units;
  float* to_numbers = numbers + picture * m.units;
  const int32_t nowhere = (int32_t)(m.places / m.width) << 16 | (int32_t)m.width;
  for (int64_t unit = from; unit < to; unit++) {
    // A square is NaN where a value is, and else never.
    const bool is_nan = std::isnan(s.square[unit]);
    const int32_t row = s.place[unit] / (int32_t)m.width;
    const int32_t place = row << 16 | (s.place[unit] - row * (int32_t)m.width);
    to_numbers[unit] = is_nan ? s.square[unit] : s.best[unit];
    to_memory(to_numbers + size + unit, is_nan ? nowhere : place);
    to_numbers[2 * size + unit] = s.sum[unit] / (float)m.places;
    to_numbers[3 * size + unit] = s.square[unit] / (float)m.places;
    to_memory(to_numbers + 4 * size + unit, s.positive[unit]);
  }
}

// Units whose rows are looked at together.
constexpr int64_t BLOCK = 256;

int most_threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

template <typename T>
void look_at_maps(const Maps<T>& m, int gate, bool has_own, bool clamps, float* numbers) {
  // Pictures are divided among threads, and where that does not come out even, their units: what
  // is computed for a unit of a picture depends on neither.
  const int64_t threads = most_threads();
  const int64_t parts = m.pictures % threads == 0 ? 1 : std::min(threads, (m.units + 15) / 16);
  const int64_t blocks = (m.units + 15) / 16;
#pragma omp parallel for schedule(static) if (m.pictures * m.places * m.units > 32768)
  for (int64_t task = 0; task < m.pictures * parts; task++) {
    const int64_t part = task % parts;
    look_at_picture(m, gate, has_own, clamps, task / parts, blocks * part / parts * 16,
                    std::min(blocks * (part + 1) / parts * 16, m.units), numbers);
  }
}

}  // namespace

extern "C" {

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

// Of torch's stable C interface (torch/csrc/inductor/aoti_torch/c/shim.h).
typedef struct AtenTensorOpaque* AtenTensorHandle;
int32_t aoti_torch_get_data_ptr(AtenTensorHandle tensor, void** data);
int32_t aoti_torch_get_sizes(AtenTensorHandle tensor, int64_t** sizes);
int32_t aoti_torch_get_strides(AtenTensorHandle tensor, int64_t** strides);
int32_t aoti_torch_get_dtype(AtenTensorHandle tensor, int32_t* dtype);
int32_t aoti_torch_dtype_float32();
int32_t aoti_torch_device_type_cpu();
int32_t aoti_torch_empty_strided(int64_t rank, const int64_t* sizes, const int64_t* strides,
                                 int32_t dtype, int32_t device_type, int32_t device_index,
                                 AtenTensorHandle* tensor);

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

}  // extern "C"
