#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/SymInt.h>

#include <optional>

namespace asvr {

// `aten::scaled_dot_product_attention`, which it calls but for few queries of bfloat16: see attention.cc.
at::Tensor attention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                     const std::optional<at::Tensor>& mask, double dropout, bool isCausal, std::optional<double> scale,
                     bool isGrouped);

}  // namespace asvr
