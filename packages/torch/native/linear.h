#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace asvr {

// `aten::linear`, which it calls but for one row of bfloat16: see linear.cc.
at::Tensor linear(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias);

}  // namespace asvr
