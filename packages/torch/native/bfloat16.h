// Products with matrices of bfloat16 in the memory of the processor, summed in float32.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

// Threads are libtorch's own, by OpenMP. Without it, or on other processors, every product is libtorch's.
#if defined(_OPENMP) && defined(__x86_64__)
#define ASVR_BFLOAT16
#endif

namespace asvr {

#ifdef ASVR_BFLOAT16

struct RowShape {
  int64_t stride, width, height;  // of the matrix; `stride` is from row to row
  int64_t inputs;                 // rows of input
};

// `results[at * height + row]`: the rows from `begin` to `end` times every row of the input.
void multiplyRows(const uint16_t* matrix, const RowShape& shape, const float* input, int64_t begin, int64_t end,
                  float* results);

// `results[column]`: the sum of all rows, each times its weight.
void addRows(const uint16_t* matrix, const RowShape& shape, const float* weights, float* results);

// Whether this processor can do these.
bool canMultiplyRows();

// Whether oneDNN, and so libtorch, has fast kernels of bfloat16 here.
bool hasFastBfloat16();

inline bool isBfloat16(const at::Tensor& tensor) {
  return tensor.defined() && tensor.is_cpu() && tensor.scalar_type() == at::kBFloat16;
}

inline const uint16_t* halves(const at::Tensor& tensor) {
  return reinterpret_cast<const uint16_t*>(tensor.const_data_ptr());
}

#endif

}  // namespace asvr
