// Registration, and the small readers and makers of N-API values.
#include "addon.h"

#include <ATen/ops/scalar_tensor.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <cstdlib>

namespace asvr {

namespace {

void check(napi_status status, const char* expected) {
  if (status != napi_ok) throw std::invalid_argument(std::string("expected ") + expected);
}

}  // namespace

const at::Tensor& Environment::number(double value) {
  constexpr size_t MOST_KEPT = 256;
  if (numbers_.size() >= MOST_KEPT) numbers_.clear();
  at::Tensor& kept = numbers_[value];
  if (!kept.defined()) kept = at::scalar_tensor(value, at::kFloat);
  return kept;
}

Environment& environment(napi_env env) {
  void* data = nullptr;
  napi_get_instance_data(env, &data);
  return *static_cast<Environment*>(data);
}

std::vector<napi_value> arguments(napi_env env, napi_callback_info info, size_t atMost) {
  std::vector<napi_value> values(atMost);
  size_t count = atMost;
  napi_get_cb_info(env, info, &count, values.data(), nullptr, nullptr);
  return values;  // those not given are `undefined`
}

double readNumber(napi_env env, napi_value value) {
  double result = 0;
  check(napi_get_value_double(env, value, &result), "a number");
  return result;
}

int64_t readInt(napi_env env, napi_value value) {
  const double result = readNumber(env, value);
  if (result != static_cast<double>(static_cast<int64_t>(result))) {
    throw std::invalid_argument("expected an integer, got " + std::to_string(result));
  }
  return static_cast<int64_t>(result);
}

bool readBool(napi_env env, napi_value value) {
  bool result = false;
  check(napi_get_value_bool(env, value, &result), "a boolean");
  return result;
}

std::string readString(napi_env env, napi_value value) {
  size_t length = 0;
  check(napi_get_value_string_utf8(env, value, nullptr, 0, &length), "a string");
  std::string result(length, '\0');
  napi_get_value_string_utf8(env, value, result.data(), length + 1, &length);
  return result;
}

napi_valuetype typeOf(napi_env env, napi_value value) {
  napi_valuetype type;
  napi_typeof(env, value, &type);
  return type;
}

bool isNothing(napi_env env, napi_value value) {
  const napi_valuetype type = typeOf(env, value);
  return type == napi_undefined || type == napi_null;
}

uint32_t arrayLength(napi_env env, napi_value array) {
  uint32_t length = 0;
  check(napi_get_array_length(env, array, &length), "an array");
  return length;
}

napi_value arrayElement(napi_env env, napi_value array, uint32_t index) {
  napi_value element;
  napi_get_element(env, array, index, &element);
  return element;
}

std::vector<int64_t> readInts(napi_env env, napi_value value) {
  std::vector<int64_t> result(arrayLength(env, value));
  for (uint32_t i = 0; i < result.size(); i++) result[i] = readInt(env, arrayElement(env, value, i));
  return result;
}

std::vector<at::Tensor> readTensors(napi_env env, napi_value value) {
  std::vector<at::Tensor> result(arrayLength(env, value));
  for (uint32_t i = 0; i < result.size(); i++) {
    result[i] = environment(env).at(readInt(env, arrayElement(env, value, i)));
  }
  return result;
}

napi_value number(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}

napi_value boolean(napi_env env, bool value) {
  napi_value result;
  napi_get_boolean(env, value, &result);
  return result;
}

napi_value text(napi_env env, const std::string& value) {
  napi_value result;
  napi_create_string_utf8(env, value.data(), value.size(), &result);
  return result;
}

napi_value nothing(napi_env env) {
  napi_value result;
  napi_get_null(env, &result);
  return result;
}

napi_value handle(napi_env env, Environment& tensors, at::Tensor tensor) {
  if (!tensor.defined()) return nothing(env);
  napi_value result;
  napi_create_int32(env, static_cast<int32_t>(tensors.hold(std::move(tensor))), &result);
  return result;
}

napi_value array(napi_env env, const std::vector<napi_value>& values) {
  napi_value result;
  napi_create_array_with_length(env, values.size(), &result);
  for (uint32_t i = 0; i < values.size(); i++) napi_set_element(env, result, i, values[i]);
  return result;
}

void set(napi_env env, napi_value object, const char* name, napi_value value) {
  napi_set_named_property(env, object, name, value);
}

}  // namespace asvr

#ifdef __GLIBC__
// Tensors of some megabytes come and go with every operator. By default glibc maps and unmaps each of them, and the
// page faults of fresh memory then cost more than the arithmetic (a third of a small training step). With these limits
// the heap keeps such blocks; larger ones are still mapped, so that they go back to the system.
static void keepFreedMemory() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 512 << 20);
  mallopt(M_TOP_PAD, 64 << 20);
}
#else
static void keepFreedMemory() {}
#endif

// oneDNN keeps every kernel that it made, by shape, up to a thousand, some of half a megabyte; and a model that is asked
// makes shapes by the hundred, since no two questions are as long. A pass takes some tens of them. Who set the number
// keeps it.
static void keepFewKernels() { setenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128", 0); }

NAPI_MODULE_INIT() {
  keepFreedMemory();
  keepFewKernels();
  napi_set_instance_data(
      env, new asvr::Environment(), [](napi_env, void* data, void*) { delete static_cast<asvr::Environment*>(data); },
      nullptr);
  asvr::registerDispatch(env, exports);
  asvr::registerStorage(env, exports);
  asvr::registerAutograd(env, exports);
  asvr::registerRuntime(env, exports);
  return exports;
}
