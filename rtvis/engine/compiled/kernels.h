// What our kernels for a CPU share: numbers side by side, threads, and tensors.
//
// Nothing of torch is included, which would take the compiler 30 seconds instead of 2: of its stable
// C interface a few functions are declared here.

#pragma once

#include <cstdint>
#include <cstring>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace rtvis {

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

// NaN stays what it is.
template <typename Floats>
inline Floats clamped(Floats value, Floats low, Floats high) {
  const Floats above = low > value ? low : value;
  return high < above ? high : above;
}

inline int most_threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}

}  // namespace rtvis

extern "C" {

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

}  // extern "C"
