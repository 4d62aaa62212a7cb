// What every part of the addon shares: the table of tensors, argument reading, error translation.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#define NAPI_VERSION 8
#include <node_api.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <ATen/core/dispatch/Dispatcher.h>

namespace asvr {

// How one schema argument is read from JavaScript; computed once for an operator.
enum class Kind {
  Tensor,
  TensorList,
  OptionalTensorList,
  Scalar,
  Int,
  Float,
  Bool,
  String,
  Device,
  ScalarType,
  Layout,
  MemoryFormat,
  Generator,
  IntList,
  FloatList,
  BoolList,
  Unsupported,
};

struct Argument {
  Kind kind;
  bool optional;
  int64_t fixedSize;  // of `int[2]`: one number stands for as many; 0 otherwise
  std::optional<c10::IValue> fallback = std::nullopt;  // what stands for an argument that is not given
};

class Environment;

struct Operator {
  Environment* environment;
  c10::OperatorHandle handle;
  std::vector<Argument> arguments;
  std::vector<bool> returnIsArgument;  // an in-place or out= result: JavaScript already holds its handle
  bool makesNew = false;               // no result shares memory with an argument, and no argument is changed
};

// The tensors that JavaScript holds in one environment, by integer. An environment (main thread or worker) has its
// own table and its own operator cache, so nothing is shared between two of them.
class Environment {
 public:
  std::vector<std::unique_ptr<Operator>> operators;  // each is the data of a JavaScript function, so it stays in place
  std::vector<c10::IValue> stack;                    // of the call that is running, kept for its memory
  const double* lists = nullptr;                     // where JavaScript writes the lists of a call
  size_t listsLength = 0;
  napi_ref listsArray = nullptr;

  // A number as a float32 tensor of no dimensions, kept for the next call with it.
  const at::Tensor& number(double value);

  int64_t hold(at::Tensor tensor) {
    if (!free_.empty()) {
      const int64_t id = free_.back();
      free_.pop_back();
      slots_[id] = std::move(tensor);
      return id;
    }
    slots_.push_back(std::move(tensor));
    return static_cast<int64_t>(slots_.size()) - 1;
  }

  const at::Tensor& at(int64_t id) const {
    if (id < 0 || id >= static_cast<int64_t>(slots_.size()) || !slots_[id].defined()) {
      throw std::invalid_argument("no tensor has the handle " + std::to_string(id));
    }
    return slots_[id];
  }

  void release(int64_t id) {
    at(id);
    slots_[id] = at::Tensor();
    free_.push_back(id);
  }

  const std::vector<at::Tensor>& slots() const { return slots_; }
  int64_t live() const { return static_cast<int64_t>(slots_.size() - free_.size()); }

 private:
  std::vector<at::Tensor> slots_;
  std::vector<int64_t> free_;
  std::unordered_map<double, at::Tensor> numbers_;
};

Environment& environment(napi_env env);

// Reads a handle that our own TypeScript passes: an integer below 2^31. False where the value is no number.
inline bool readHandle(napi_env env, napi_value value, int32_t* id) {
  return napi_get_value_int32(env, value, id) == napi_ok;
}

// Reading arguments. Each throws std::invalid_argument with a sentence that names what was expected.
std::vector<napi_value> arguments(napi_env env, napi_callback_info info, size_t atMost);
double readNumber(napi_env env, napi_value value);
int64_t readInt(napi_env env, napi_value value);
bool readBool(napi_env env, napi_value value);
std::string readString(napi_env env, napi_value value);
std::vector<int64_t> readInts(napi_env env, napi_value value);
std::vector<at::Tensor> readTensors(napi_env env, napi_value value);
bool isNothing(napi_env env, napi_value value);
napi_valuetype typeOf(napi_env env, napi_value value);
uint32_t arrayLength(napi_env env, napi_value array);
napi_value arrayElement(napi_env env, napi_value array, uint32_t index);

// Making results.
napi_value number(napi_env env, double value);
napi_value boolean(napi_env env, bool value);
napi_value text(napi_env env, const std::string& value);
napi_value nothing(napi_env env);
napi_value handle(napi_env env, Environment& tensors, at::Tensor tensor);  // null for an undefined tensor
inline napi_value handle(napi_env env, at::Tensor tensor) { return handle(env, environment(env), std::move(tensor)); }
napi_value array(napi_env env, const std::vector<napi_value>& values);
void set(napi_env env, napi_value object, const char* name, napi_value value);

// The environment as a callback's data, with at most `count` arguments: cheaper than to ask for the two apart.
inline Environment& callbackData(napi_env env, napi_callback_info info, size_t* count, napi_value* given) {
  void* data = nullptr;
  napi_get_cb_info(env, info, count, given, nullptr, &data);
  return *static_cast<Environment*>(data);
}

// Runs the body and turns what it throws into a JavaScript exception: code "ASVR_TORCH" for libtorch's own errors,
// "ASVR_ARGUMENT" for arguments that could not be read.
template <napi_value (*body)(napi_env, napi_callback_info)>
napi_value guarded(napi_env env, napi_callback_info info) {
  try {
    return body(env, info);
  } catch (const c10::Error& error) {
    napi_throw_error(env, "ASVR_TORCH", error.what_without_backtrace());
  } catch (const std::invalid_argument& error) {
    napi_throw_error(env, "ASVR_ARGUMENT", error.what());
  } catch (const std::exception& error) {
    napi_throw_error(env, "ASVR_TORCH", error.what());
  }
  return nullptr;
}

template <napi_value (*body)(napi_env, napi_callback_info)>
void define(napi_env env, napi_value exports, const char* name) {
  napi_value function;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, guarded<body>, &environment(env), &function);
  napi_set_named_property(env, exports, name, function);
}

void registerDispatch(napi_env env, napi_value exports);
void registerStorage(napi_env env, napi_value exports);
void registerAutograd(napi_env env, napi_value exports);
void registerRuntime(napi_env env, napi_value exports);

}  // namespace asvr
