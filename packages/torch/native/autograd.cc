// Automatic differentiation: what is no operator of the dispatcher.
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>

#include "addon.h"

namespace asvr {

namespace {

const at::Tensor& tensorAt(napi_env env, napi_value value) { return environment(env).at(readInt(env, value)); }

// backward([outputs], [gradients or null] or null, retainGraph): adds to .grad of the leaves
napi_value backward(napi_env env, napi_callback_info info) {
  const std::vector<napi_value> given = arguments(env, info, 3);
  const std::vector<at::Tensor> gradients =
      isNothing(env, given[1]) ? std::vector<at::Tensor>() : readTensors(env, given[1]);
  torch::autograd::backward(readTensors(env, given[0]), gradients, readBool(env, given[2]));
  return nothing(env);
}

// grad([outputs], [inputs], [gradients] or null, retainGraph, createGraph) -> [handle or null where unused]
napi_value grad(napi_env env, napi_callback_info info) {
  const std::vector<napi_value> given = arguments(env, info, 5);
  const std::vector<at::Tensor> gradients =
      isNothing(env, given[2]) ? std::vector<at::Tensor>() : readTensors(env, given[2]);
  const auto results =
      torch::autograd::grad(readTensors(env, given[0]), readTensors(env, given[1]), gradients, readBool(env, given[3]),
                            readBool(env, given[4]), /*allow_unused=*/true);
  std::vector<napi_value> handles;
  for (const at::Tensor& result : results) handles.push_back(handle(env, result));
  return array(env, handles);
}

napi_value gradientOf(napi_env env, napi_callback_info info) {
  return handle(env, tensorAt(env, arguments(env, info, 1)[0]).grad());
}

// setGradient(handle, handle or null)
napi_value setGradient(napi_env env, napi_callback_info info) {
  const std::vector<napi_value> given = arguments(env, info, 2);
  at::Tensor tensor = tensorAt(env, given[0]);
  tensor.mutable_grad() = isNothing(env, given[1]) ? at::Tensor() : tensorAt(env, given[1]);
  return nothing(env);
}

napi_value requiresGrad(napi_env env, napi_callback_info info) {
  return boolean(env, tensorAt(env, arguments(env, info, 1)[0]).requires_grad());
}

napi_value setRequiresGrad(napi_env env, napi_callback_info info) {
  const std::vector<napi_value> given = arguments(env, info, 2);
  tensorAt(env, given[0]).set_requires_grad(readBool(env, given[1]));
  return nothing(env);
}

// setGradEnabled(enabled) -> what it was
napi_value setGradEnabled(napi_env env, napi_callback_info info) {
  const bool before = c10::GradMode::is_enabled();
  c10::GradMode::set_enabled(readBool(env, arguments(env, info, 1)[0]));
  return boolean(env, before);
}

}  // namespace

void registerAutograd(napi_env env, napi_value exports) {
  define<backward>(env, exports, "backward");
  define<grad>(env, exports, "grad");
  define<gradientOf>(env, exports, "gradientOf");
  define<setGradient>(env, exports, "setGradient");
  define<requiresGrad>(env, exports, "requiresGrad");
  define<setRequiresGrad>(env, exports, "setRequiresGrad");
  define<setGradEnabled>(env, exports, "setGradEnabled");
}

}  // namespace asvr
