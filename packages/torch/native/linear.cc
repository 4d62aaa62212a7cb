// Rows times a bfloat16 matrix, where libtorch is slow. One row is what a language model multiplies for each token that
// it writes: it takes as long as the matrix takes to be read, and libtorch's own product reads at two thirds of what
// memory gives. More rows are slow on processors for which oneDNN has no kernels of bfloat16 (those without AVX-512).
#include "linear.h"

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear_ops.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <vector>

#include "bfloat16.h"

namespace asvr {

#ifdef ASVR_BFLOAT16
namespace {

constexpr int64_t ROWS_A_THREAD = 64;  // at least
constexpr int64_t INPUTS = 128;        // rows of input for which the matrix is read once: no more than caches hold

bool hasBias(const std::optional<at::Tensor>& bias) { return bias.has_value() && bias->defined(); }

bool wantsGradient(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const bool isWanted = input.requires_grad() || weight.requires_grad() || (hasBias(bias) && bias->requires_grad());
  return isWanted && c10::GradMode::is_enabled();
}

bool isOurs(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const auto isBias = [&] { return isBfloat16(*bias) && bias->dim() == 1 && bias->size(0) == weight.size(0); };
  return canMultiplyRows() && isBfloat16(weight) && isBfloat16(input) && weight.dim() == 2 &&
         (!hasBias(bias) || isBias()) && weight.stride(1) == 1 && weight.size(1) > 0 && input.dim() > 0 &&
         input.size(-1) == weight.size(1) && input.numel() > 0 &&
         (input.numel() == weight.size(1) || !hasFastBfloat16()) && !wantsGradient(input, weight, bias);
}

at::Tensor multiply(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias) {
  const at::AutoDispatchBelowADInplaceOrView belowAutograd;
  const at::Tensor values = input.to(at::kFloat).reshape({-1, weight.size(1)}).contiguous();
  const int64_t height = weight.size(0), width = weight.size(1), inputs = values.size(0);
  at::Tensor sums = at::empty({inputs, height}, values.options());
  const uint16_t* matrix = halves(weight);
  const float* from = values.const_data_ptr<float>();
  float* to = sums.mutable_data_ptr<float>();
  for (int64_t at = 0; at < inputs; at += INPUTS) {
    const RowShape shape{weight.stride(0), width, height, std::min(INPUTS, inputs - at)};
    at::parallel_for(0, height, ROWS_A_THREAD, [&](int64_t begin, int64_t end) {
      multiplyRows(matrix, shape, from + at * width, begin, end, to + at * height);
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
#ifdef ASVR_BFLOAT16
  if (isOurs(input, weight, bias)) return multiply(input, weight, bias);
#endif
  return at::_ops::linear::call(input, weight, bias);
}

}  // namespace asvr
