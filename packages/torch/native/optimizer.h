// Checks what libtorch's fused optimizer takes for granted.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace asvr {

// `aten::_fused_adamw_` on tensors that go together.
void fusedAdamw(at::TensorList parameters, at::TensorList gradients, at::TensorList means, at::TensorList squares,
                at::TensorList largestSquares, at::TensorList steps, double learningRate, double beta1, double beta2,
                double weightDecay, double epsilon, bool isAmsgrad, bool isMaximized,
                const std::optional<at::Tensor>& scale, const std::optional<at::Tensor>& foundInfinite);

}  // namespace asvr
