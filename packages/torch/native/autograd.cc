// Automatic differentiation: what is no operator of the dispatcher.
#include <ATen/ops/detach.h>
#include <ATen/ops/mul.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/engine.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <cmath>

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

// The gradients of a scalar, computed beforehand: backward only multiplies them with what comes from above, in place,
// and passes them on, so that a leaf takes one over as its gradient and nothing is copied.
struct KnownGradients : torch::autograd::Node {
  std::vector<at::Tensor> gradients;  // undefined for an input without one
  std::optional<double> expected;     // what must come from above

  torch::autograd::variable_list apply(torch::autograd::variable_list&& outer) override {
    TORCH_CHECK(!c10::GradMode::is_enabled(), "gradients that were given have no derivatives of their own");
    TORCH_CHECK(!gradients.empty(), "backward a second time: keep the graph the first time (retainGraph)");
    if (expected.has_value() && outer[0].defined() && outer[0].is_cpu()) {
      const double scale = outer[0].item().toDouble();
      // What is no number goes on: whoever trains will notice it.
      TORCH_CHECK(!(std::abs(scale - *expected) > 1e-5 * std::abs(*expected)),
                  "gradients were taken for a loss that is multiplied by ", *expected, ", but backward brings ", scale);
    }
    const bool isKept = torch::autograd::get_current_graph_task_keep_graph();
    torch::autograd::variable_list results(gradients.size());
    for (size_t i = 0; i < gradients.size() && outer[0].defined(); i++) {
      if (!gradients[i].defined()) continue;
      results[i] = isKept ? gradients[i].mul(outer[0]).to(gradients[i].scalar_type()) : std::move(gradients[i]);
      if (!isKept) results[i].mul_(outer[0]);
    }
    return results;
  }
  void release_variables() override { gradients.clear(); }
  std::string name() const override { return "KnownGradients"; }
};

// withGradients(value, [inputs], [gradients, -1 for none], expected or null) -> value as a result of the inputs
napi_value withGradients(napi_env env, napi_callback_info info) {
  const std::vector<napi_value> given = arguments(env, info, 4);
  const at::Tensor value = tensorAt(env, given[0]).detach();
  const std::vector<at::Tensor> inputs = readTensors(env, given[1]);
  if (!c10::GradMode::is_enabled() || !torch::autograd::any_variable_requires_grad(inputs)) return handle(env, value);
  auto node = c10::make_intrusive<KnownGradients>();
  for (const int64_t gradient : readInts(env, given[2])) {
    node->gradients.push_back(gradient < 0 ? at::Tensor() : environment(env).at(gradient));
  }
  if (!isNothing(env, given[3])) node->expected = readNumber(env, given[3]);
  node->set_next_edges(torch::autograd::collect_next_edges(inputs));
  torch::autograd::set_history(value, node);
  return handle(env, value);
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

napi_value gradEnabled(napi_env env, napi_callback_info) { return boolean(env, c10::GradMode::is_enabled()); }

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
  define<withGradients>(env, exports, "withGradients");
  define<gradEnabled>(env, exports, "gradEnabled");
  define<gradientOf>(env, exports, "gradientOf");
  define<setGradient>(env, exports, "setGradient");
  define<requiresGrad>(env, exports, "requiresGrad");
  define<setRequiresGrad>(env, exports, "setRequiresGrad");
  define<setGradEnabled>(env, exports, "setGradEnabled");
}

}  // namespace asvr
