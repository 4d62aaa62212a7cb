// One row times a bfloat16 matrix: what a language model does for each token that it writes. It takes as long as the
// matrix takes to be read, and libtorch's own product reads at two thirds of what memory gives.
#include "linear.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear_ops.h>
#include <c10/core/GradMode.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include <cstring>
#include <vector>

namespace asvr {

// Threads are libtorch's own, by OpenMP. Without it, or on other processors, every product is libtorch's.
#if defined(_OPENMP) && defined(__x86_64__)
#define ASVR_ONE_ROW

namespace {

constexpr int64_t LANES = 8;
constexpr int64_t ROWS = 4;            // of the matrix at once: each value of the input is read for so many
constexpr int64_t ROWS_A_THREAD = 64;  // at least

bool canMultiply() {
  static const bool can = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return can;
}

// A bfloat16 is the upper half of a float.
float widened(uint16_t half) {
  const uint32_t word = static_cast<uint32_t>(half) << 16;
  float result;
  std::memcpy(&result, &word, sizeof(result));
  return result;
}

template <int64_t rows>
__attribute__((target("avx2,fma"))) void products(const uint16_t* matrix, int64_t stride, int64_t width,
                                                  const float* input, float* results) {
  __m256 sums[rows][2] = {};
  int64_t k = 0;
  for (; k + 2 * LANES <= width; k += 2 * LANES) {
    const __m256 values[] = {_mm256_loadu_ps(input + k), _mm256_loadu_ps(input + k + LANES)};
#pragma GCC unroll 4
    for (int64_t row = 0; row < rows; row++) {
#pragma GCC unroll 2
      for (int64_t half = 0; half < 2; half++) {
        const auto* from = reinterpret_cast<const __m128i*>(matrix + row * stride + k + half * LANES);
        const __m256i words = _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(from)), 16);
        sums[row][half] = _mm256_fmadd_ps(_mm256_castsi256_ps(words), values[half], sums[row][half]);
      }
    }
  }
  for (int64_t row = 0; row < rows; row++) {
    float lanes[LANES];
    _mm256_storeu_ps(lanes, _mm256_add_ps(sums[row][0], sums[row][1]));
    float sum = 0;
    for (const float lane : lanes) sum += lane;
    for (int64_t rest = k; rest < width; rest++) sum += widened(matrix[row * stride + rest]) * input[rest];
    results[row] = sum;
  }
}

void productsOf(const uint16_t* matrix, int64_t stride, int64_t width, const float* input, int64_t count,
                float* results) {
  int64_t row = 0;
  for (; row + ROWS <= count; row += ROWS) {
    products<ROWS>(matrix + row * stride, stride, width, input, results + row);
  }
  for (; row < count; row++) products<1>(matrix + row * stride, stride, width, input, results + row);
}

bool hasBias(const std::optional<at::Tensor>& bias) { return bias.has_value() && bias->defined(); }

bool wantsGradient(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const bool isWanted = input.requires_grad() || weight.requires_grad() || (hasBias(bias) && bias->requires_grad());
  return isWanted && c10::GradMode::is_enabled();
}

bool isOneRow(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const auto isBfloat16 = [](const at::Tensor& tensor) {
    return tensor.defined() && tensor.is_cpu() && tensor.scalar_type() == at::kBFloat16;
  };
  return canMultiply() && isBfloat16(weight) && isBfloat16(input) && (!hasBias(bias) || isBfloat16(*bias)) && weight.dim() == 2 &&
         weight.stride(1) == 1 && input.dim() > 0 && input.size(-1) == weight.size(1) &&
         input.numel() == weight.size(1) && !wantsGradient(input, weight, bias);
}

at::Tensor oneRow(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const at::Tensor values = input.to(at::kFloat).contiguous();
  std::vector<int64_t> sizes = input.sizes().vec();
  sizes.back() = weight.size(0);
  at::Tensor sums = at::empty(sizes, values.options());
  const uint16_t* matrix = reinterpret_cast<const uint16_t*>(weight.const_data_ptr());
  const int64_t stride = weight.stride(0);
  const float* from = values.const_data_ptr<float>();
  float* to = sums.mutable_data_ptr<float>();
  at::parallel_for(0, weight.size(0), ROWS_A_THREAD, [&](int64_t begin, int64_t end) {
    productsOf(matrix + begin * stride, stride, weight.size(1), from, end - begin, to + begin);
  });
  if (hasBias(bias)) sums.add_(*bias);
  return sums.to(at::kBFloat16);
}

}  // namespace

#endif

at::Tensor linear(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
#ifdef ASVR_ONE_ROW
  if (isOneRow(input, weight, bias)) return oneRow(input, weight, bias);
#endif
  return at::_ops::linear::call(input, weight, bias);
}

}  // namespace asvr
