// libtorch's fused AdamW walks over the memory of all tensors by the size of the parameter, and checks none of them.
#include "optimizer.h"

#include <ATen/ops/_fused_adamw_ops.h>
#include <c10/util/Exception.h>

namespace asvr {

namespace {

bool liesAlike(const at::Tensor& one, const at::Tensor& other) {
  for (int64_t dim = 0; dim < one.dim(); dim++) {
    if (one.size(dim) > 1 && one.stride(dim) != other.stride(dim)) return false;
  }
  return true;
}

void checkList(const char* name, at::TensorList list, at::TensorList parameters) {
  TORCH_CHECK(list.size() == parameters.size(), name, ": there are ", list.size(), " for ", parameters.size(),
              " parameters");
  for (size_t i = 0; i < list.size(); i++) {
    const at::Tensor &own = list[i], &parameter = parameters[i];
    TORCH_CHECK(own.sizes() == parameter.sizes(), name, "[", i, "] is ", own.sizes(), ", its parameter ",
                parameter.sizes());
    TORCH_CHECK(own.scalar_type() == parameter.scalar_type() && own.device() == parameter.device(), name, "[", i,
                "] has another dtype or device than its parameter");
    TORCH_CHECK(liesAlike(own, parameter), name, "[", i, "] lies otherwise in memory than its parameter");
  }
}

}  // namespace

void fusedAdamw(at::TensorList parameters, at::TensorList gradients, at::TensorList means, at::TensorList squares,
                at::TensorList largestSquares, at::TensorList steps, double learningRate, double beta1, double beta2,
                double weightDecay, double epsilon, bool isAmsgrad, bool isMaximized,
                const std::optional<at::Tensor>& scale, const std::optional<at::Tensor>& foundInfinite) {
  for (const at::Tensor& parameter : parameters) {
    TORCH_CHECK(parameter.is_non_overlapping_and_dense(), "a parameter has gaps or overlaps in memory");
    TORCH_CHECK(parameter.device() == parameters[0].device() && parameter.scalar_type() == parameters[0].scalar_type(),
                "the parameters of one call must have one dtype and device");
  }
  checkList("grads", gradients, parameters);
  checkList("exp_avgs", means, parameters);
  checkList("exp_avg_sqs", squares, parameters);
  if (isAmsgrad) checkList("max_exp_avg_sqs", largestSquares, parameters);
  TORCH_CHECK(steps.size() == parameters.size(), "state_steps: there are ", steps.size(), " for ", parameters.size(),
              " parameters");
  for (const at::Tensor& step : steps) {
    TORCH_CHECK(step.numel() == 1 && step.scalar_type() == at::kFloat, "state_steps: each must be one float32");
  }
  for (const std::optional<at::Tensor>* one : {&scale, &foundInfinite}) {
    TORCH_CHECK(!one->has_value() || !(*one)->defined() || ((*one)->numel() == 1 && (*one)->scalar_type() == at::kFloat),
                "grad_scale and found_inf must each be one float32");
  }
  at::_ops::_fused_adamw_::call(parameters, gradients, means, squares, largestSquares, steps, learningRate, beta1, beta2,
                                weightDecay, epsilon, isAmsgrad, isMaximized, scale, foundInfinite);
}

}  // namespace asvr
