// Rows times a bfloat16 matrix, where libtorch is slow. One row is what a language model multiplies for each token that
// it writes: it takes as long as the matrix takes to be read, and libtorch's own product reads at two thirds of what
// memory gives. More rows are slow on processors for which oneDNN has no kernels of bfloat16 (those without AVX-512).
#include "linear.h"

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear_ops.h>
#include <c10/core/GradMode.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstring>
#include <vector>

namespace asvr {

// Threads are libtorch's own, by OpenMP. Without it, or on other processors, every product is libtorch's.
#if defined(_OPENMP) && defined(__x86_64__)
#define ASVR_BFLOAT16_PRODUCTS

namespace {

constexpr int64_t LANES = 8;
constexpr int64_t ROWS = 6;            // of the matrix read side by side: more streams are read faster, to a point
constexpr int64_t ROWS_A_THREAD = 64;  // at least
constexpr int64_t INPUTS = 128;        // rows of input for which the matrix is read once: no more than caches hold

bool canMultiply() {
  static const bool can = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return can;
}

bool hasFastBfloat16() {
  static const bool has = __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq");
  return has;
}

// A bfloat16 is the upper half of a float.
float widened(uint16_t half) {
  const uint32_t word = static_cast<uint32_t>(half) << 16;
  float result;
  std::memcpy(&result, &word, sizeof(result));
  return result;
}

struct Shape {
  int64_t stride, width, height;  // of the matrix; `stride` is from row to row
  int64_t inputs;                 // rows of input
};

// `results[at * height + row]`, for `rows` rows of the matrix and `inputs` of the input; a step of the loop takes
// `registers` of each row.
template <int64_t rows, int64_t inputs, int64_t registers>
__attribute__((target("avx2,fma"))) void products(const uint16_t* matrix, const Shape& shape, const float* input,
                                                  float* results) {
  constexpr int64_t STEP = registers * LANES;
  const int64_t stride = shape.stride, width = shape.width;
  __m256 sums[rows][inputs][registers] = {};
  int64_t k = 0;
  for (; k + STEP <= width; k += STEP) {
#pragma GCC unroll 8
    for (int64_t row = 0; row < rows; row++) {
#pragma GCC unroll 2
      for (int64_t part = 0; part < registers; part++) {
        const auto* from = reinterpret_cast<const __m128i*>(matrix + row * stride + k + part * LANES);
        const __m256i words = _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(from)), 16);
#pragma GCC unroll 4
        for (int64_t at = 0; at < inputs; at++) {
          const __m256 values = _mm256_loadu_ps(input + at * width + k + part * LANES);
          sums[row][at][part] = _mm256_fmadd_ps(_mm256_castsi256_ps(words), values, sums[row][at][part]);
        }
      }
    }
  }
  for (int64_t row = 0; row < rows; row++) {
    for (int64_t at = 0; at < inputs; at++) {
      float sum = 0;
      for (const __m256 part : sums[row][at]) {
        float lanes[LANES];
        _mm256_storeu_ps(lanes, part);
        for (const float lane : lanes) sum += lane;
      }
      for (int64_t rest = k; rest < width; rest++) sum += widened(matrix[row * stride + rest]) * input[at * width + rest];
      results[at * shape.height + row] = sum;
    }
  }
}

// As many of the sixteen registers hold sums as each shape of the inner loop allows.
void productsOfRows(const uint16_t* matrix, const Shape& shape, const float* input, float* results) {
  int64_t at = 0;
  const auto next = [&](auto multiply, int64_t inputs) {
    multiply(input + at * shape.width, results + at * shape.height);
    at += inputs;
  };
  const auto four = [&](const float* from, float* to) {
    products<ROWS / 2, 4, 1>(matrix, shape, from, to);
    products<ROWS / 2, 4, 1>(matrix + ROWS / 2 * shape.stride, shape, from, to + ROWS / 2);
  };
  const auto two = [&](const float* from, float* to) { products<ROWS, 2, 1>(matrix, shape, from, to); };
  const auto one = [&](const float* from, float* to) { products<ROWS, 1, 2>(matrix, shape, from, to); };
  while (at + 4 <= shape.inputs) next(four, 4);
  while (at + 2 <= shape.inputs) next(two, 2);
  while (at < shape.inputs) next(one, 1);
}

void productsOf(const uint16_t* matrix, const Shape& shape, const float* input, int64_t begin, int64_t end,
                float* results) {
  int64_t row = begin;
  for (; row + ROWS <= end; row += ROWS) productsOfRows(matrix + row * shape.stride, shape, input, results + row);
  for (; row < end; row++) {
    for (int64_t at = 0; at < shape.inputs; at++) {
      products<1, 1, 2>(matrix + row * shape.stride, shape, input + at * shape.width,
                        results + at * shape.height + row);
    }
  }
}

bool hasBias(const std::optional<at::Tensor>& bias) { return bias.has_value() && bias->defined(); }

bool wantsGradient(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const bool isWanted = input.requires_grad() || weight.requires_grad() || (hasBias(bias) && bias->requires_grad());
  return isWanted && c10::GradMode::is_enabled();
}

bool isOurs(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const auto isBfloat16 = [](const at::Tensor& tensor) {
    return tensor.defined() && tensor.is_cpu() && tensor.scalar_type() == at::kBFloat16;
  };
  return canMultiply() && isBfloat16(weight) && isBfloat16(input) && (!hasBias(bias) || isBfloat16(*bias)) &&
         weight.dim() == 2 && weight.stride(1) == 1 && weight.size(1) > 0 && input.dim() > 0 &&
         input.size(-1) == weight.size(1) && input.numel() > 0 &&
         (input.numel() == weight.size(1) || !hasFastBfloat16()) && !wantsGradient(input, weight, bias);
}

at::Tensor multiply(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const at::AutoDispatchBelowADInplaceOrView belowAutograd;
  const at::Tensor values = input.to(at::kFloat).reshape({-1, weight.size(1)}).contiguous();
  const int64_t height = weight.size(0), width = weight.size(1), inputs = values.size(0);
  at::Tensor sums = at::empty({inputs, height}, values.options());
  const uint16_t* matrix = reinterpret_cast<const uint16_t*>(weight.const_data_ptr());
  const float* from = values.const_data_ptr<float>();
  float* to = sums.mutable_data_ptr<float>();
  for (int64_t at = 0; at < inputs; at += INPUTS) {
    const Shape shape{weight.stride(0), width, height, std::min(INPUTS, inputs - at)};
    at::parallel_for(0, height, ROWS_A_THREAD, [&](int64_t begin, int64_t end) {
      productsOf(matrix, shape, from + at * width, begin, end, to + at * height);
    });
  }
  if (hasBias(bias)) sums.add_(*bias);
  std::vector<int64_t> sizes = input.sizes().vec();
  sizes.back() = height;
  return sums.view(sizes).to(at::kBFloat16);
}

}  // namespace

#endif

at::Tensor linear(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
#ifdef ASVR_BFLOAT16_PRODUCTS
  if (isOurs(input, weight, bias)) return multiply(input, weight, bias);
#endif
  return at::_ops::linear::call(input, weight, bias);
}

}  // namespace asvr
