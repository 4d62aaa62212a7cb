// Attention of few queries over many keys of bfloat16: what a language model does for each token that it writes. It takes
// as long as keys and values take to be read; libtorch's fused kernel, made for many queries, takes five times as long.
#include "attention.h"

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scaled_dot_product_attention_ops.h>
#include <ATen/ops/softmax.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "bfloat16.h"

namespace asvr {

#ifdef ASVR_BFLOAT16
namespace {

constexpr int64_t FEW = 16;  // queries of a head

bool isRows(const at::Tensor& tensor) {
  return isBfloat16(tensor) && tensor.dim() == 4 && tensor.stride(3) == 1 && tensor.numel() > 0;
}

bool isOurs(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value) {
  if (!canMultiplyRows() || !isRows(query) || !isRows(key) || !isRows(value)) return false;
  const bool wantsGradient = query.requires_grad() || key.requires_grad() || value.requires_grad();
  return query.size(2) <= FEW && key.size(3) == query.size(3) && value.size(2) == key.size(2) &&
         query.sizes().slice(0, 2) == key.sizes().slice(0, 2) &&
         query.sizes().slice(0, 2) == value.sizes().slice(0, 2) && !(wantsGradient && c10::GradMode::is_enabled());
}

at::Tensor attendRows(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value, double scale) {
  const at::AutoDispatchBelowADInplaceOrView belowAutograd;
  const int64_t heads = query.size(1), all = query.size(0) * heads;
  const int64_t queries = query.size(2), keys = key.size(2), width = value.size(3);
  const at::Tensor scaled = query.to(at::kFloat).mul(scale).contiguous();
  at::Tensor scores = at::empty({all, queries, keys}, scaled.options());
  at::Tensor mixed = at::empty({query.size(0), heads, queries, width}, scaled.options());
  const auto headOf = [&](const at::Tensor& tensor, int64_t at) {
    return halves(tensor) + at / heads * tensor.stride(0) + at % heads * tensor.stride(1);
  };
  const float* asked = scaled.const_data_ptr<float>();
  float* scored = scores.mutable_data_ptr<float>();
  at::parallel_for(0, all, 1, [&](int64_t begin, int64_t end) {
    const RowShape shape{key.stride(2), key.size(3), keys, queries};
    for (int64_t at = begin; at < end; at++) {
      multiplyRows(headOf(key, at), shape, asked + at * queries * shape.width, 0, keys, scored + at * queries * keys);
    }
  });
  const at::Tensor weights = at::softmax(scores, -1);
  const float* weighed = weights.const_data_ptr<float>();
  float* to = mixed.mutable_data_ptr<float>();
  at::parallel_for(0, all, 1, [&](int64_t begin, int64_t end) {
    const RowShape shape{value.stride(2), width, keys, 1};
    for (int64_t row = begin * queries; row < end * queries; row++) {
      addRows(headOf(value, row / queries), shape, weighed + row * keys, to + row * width);
    }
  });
  return mixed.to(at::kBFloat16);
}

}  // namespace
#endif

namespace {

bool isBroadcast(at::IntArrayRef from, at::IntArrayRef to) {
  if (from.size() > to.size()) return false;
  const at::IntArrayRef last = to.slice(to.size() - from.size());
  return std::equal(from.begin(), from.end(), last.begin(), [](int64_t a, int64_t b) { return a == 1 || a == b; });
}

// libtorch takes the number of keys from the values in some kernels and from the keys in others, and checks neither.
void checkShapes(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                 const std::optional<at::Tensor>& mask, double dropout, bool isGrouped) {
  const int64_t dims = query.dim();
  TORCH_CHECK(dims >= 2 && key.dim() == dims && value.dim() == dims,
              "query, key and value must have as many dimensions, 2 or more");
  TORCH_CHECK(key.size(-2) == value.size(-2), "there must be as many keys as values");
  TORCH_CHECK(query.size(-1) == key.size(-1), "query and key must have the same width");
  TORCH_CHECK(dropout >= 0 && dropout <= 1, "dropout must be between 0 and 1");
  const int64_t outer = dims - 2;
  std::vector<int64_t> scores = query.sizes().slice(0, outer).vec();
  for (const at::Tensor* other : {&key, &value}) {
    for (int64_t dim = 0; dim < outer; dim++) {
      const int64_t own = scores[dim], size = other->size(dim);
      const bool isHeads = isGrouped && dim == outer - 1;
      TORCH_CHECK(isHeads ? size > 0 && own % size == 0 : own == size || size == 1 || own == 1,
                  "query, key and value do not go together in dimension ", dim, ": ", own, " and ", size);
      if (!isHeads && own == 1) scores[dim] = size;
    }
  }
  scores.push_back(query.size(-2));
  scores.push_back(key.size(-2));
  TORCH_CHECK(!mask.has_value() || !mask->defined() || isBroadcast(mask->sizes(), scores),
              "the mask does not broadcast to ", at::IntArrayRef(scores));
}

}  // namespace

at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const std::optional<at::Tensor>& mask, double dropout, bool isCausal, std::optional<double> scale,
                     bool isGrouped) {
#ifdef ASVR_BFLOAT16
  const bool isPlain = !(mask.has_value() && mask->defined()) && dropout == 0 && !isCausal;
  if (isPlain && isOurs(query, key, value)) {
    return attendRows(query, key, value, scale.value_or(1 / std::sqrt(static_cast<double>(query.size(3)))));
  }
#endif
  if (query.defined() && key.defined() && value.defined()) {
    checkShapes(query, key, value, mask, dropout, isGrouped);
  }
  return at::_ops::scaled_dot_product_attention::call(query, key, value, mask, dropout, isCausal, scale, isGrouped);
}

}  // namespace asvr
