// Tensors from and to JavaScript memory, what a tensor is, and what is alive.
#include <ATen/ops/empty.h>
#include <c10/core/ScalarType.h>

#include <cstring>
#include <unordered_map>

#include "addon.h"

namespace asvr {

namespace {

struct Bytes {
  char* data;
  size_t size;
};

Bytes readBytes(napi_env env, napi_value value) {
  bool isTyped = false;
  napi_is_typedarray(env, value, &isTyped);
  if (!isTyped) throw std::invalid_argument("expected a typed array");
  napi_typedarray_type type;
  size_t length = 0;
  size_t offset = 0;
  void* data = nullptr;
  napi_value buffer;
  napi_get_typedarray_info(env, value, &type, &length, &data, &buffer, &offset);
  size_t width = 8;
  switch (type) {
    case napi_int8_array:
    case napi_uint8_array:
    case napi_uint8_clamped_array:
      width = 1;
      break;
    case napi_int16_array:
    case napi_uint16_array:
      width = 2;
      break;
    case napi_int32_array:
    case napi_uint32_array:
    case napi_float32_array:
      width = 4;
      break;
    default:
      break;
  }
  return {static_cast<char*>(data), length * width};
}

void checkSize(const at::Tensor& tensor, const Bytes& bytes) {
  if (tensor.nbytes() != bytes.size) {
    throw std::invalid_argument("the array has " + std::to_string(bytes.size) + " bytes, the tensor " +
                                std::to_string(tensor.nbytes()));
  }
}

// fromArray(typedArray, dtype, shape) -> handle of a CPU tensor that owns a copy
napi_value fromArray(napi_env env, napi_callback_info info) {
  const std::vector<napi_value> given = arguments(env, info, 3);
  const Bytes bytes = readBytes(env, given[0]);
  const auto dtype = static_cast<c10::ScalarType>(readInt(env, given[1]));
  at::Tensor tensor = at::empty(readInts(env, given[2]), at::TensorOptions().dtype(dtype));
  checkSize(tensor, bytes);
  if (bytes.size > 0) std::memcpy(tensor.data_ptr(), bytes.data, bytes.size);
  return handle(env, tensor);
}

// copyToArray(handle, typedArray): the bytes of a tensor, in row-major order
napi_value copyToArray(napi_env env, napi_callback_info info) {
  const std::vector<napi_value> given = arguments(env, info, 2);
  const Bytes bytes = readBytes(env, given[1]);
  const at::Tensor tensor = environment(env).at(readInt(env, given[0])).detach().cpu().contiguous();
  checkSize(tensor, bytes);
  if (bytes.size > 0) std::memcpy(bytes.data, tensor.data_ptr(), bytes.size);
  return nothing(env);
}

// copyFromArray(handle, typedArray): overwrites a contiguous CPU tensor in place
napi_value copyFromArray(napi_env env, napi_callback_info info) {
  const std::vector<napi_value> given = arguments(env, info, 2);
  const at::Tensor& tensor = environment(env).at(readInt(env, given[0]));
  if (!tensor.is_contiguous() || !tensor.is_cpu()) {
    throw std::invalid_argument("only a contiguous tensor in host memory can be overwritten from an array");
  }
  const Bytes bytes = readBytes(env, given[1]);
  checkSize(tensor, bytes);
  if (bytes.size > 0) std::memcpy(tensor.data_ptr(), bytes.data, bytes.size);
  return nothing(env);
}

napi_value shape(napi_env env, napi_callback_info info) {
  std::vector<napi_value> sizes;
  for (const int64_t size : environment(env).at(readInt(env, arguments(env, info, 1)[0])).sizes()) {
    sizes.push_back(number(env, static_cast<double>(size)));
  }
  return array(env, sizes);
}

napi_value dtype(napi_env env, napi_callback_info info) {
  return number(env, static_cast<double>(environment(env).at(readInt(env, arguments(env, info, 1)[0])).scalar_type()));
}

napi_value device(napi_env env, napi_callback_info info) {
  return text(env, environment(env).at(readInt(env, arguments(env, info, 1)[0])).device().str());
}

napi_value item(napi_env env, napi_callback_info info) {
  const at::Tensor& tensor = environment(env).at(readInt(env, arguments(env, info, 1)[0]));
  return number(env, tensor.item().toDouble());
}

// alignment(handle) -> bytes past the last multiple of 64 at which the data begins
napi_value alignment(napi_env env, napi_callback_info info) {
  const at::Tensor& tensor = environment(env).at(readInt(env, arguments(env, info, 1)[0]));
  return number(env, static_cast<double>(reinterpret_cast<uintptr_t>(tensor.data_ptr()) % 64));
}

// release(handle)
napi_value release(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value given[1];
  Environment& tensors = callbackData(env, info, &count, given);
  tensors.release(readInt(env, given[0]));
  return nothing(env);
}

// releaseMany(Int32Array of handles, count)
napi_value releaseMany(napi_env env, napi_callback_info info) {
  size_t given = 2;
  napi_value values[2];
  Environment& tensors = callbackData(env, info, &given, values);
  const Bytes bytes = readBytes(env, values[0]);
  const auto* handles = reinterpret_cast<const int32_t*>(bytes.data);
  const int64_t count = readInt(env, values[1]);
  if (count < 0 || static_cast<size_t>(count) * sizeof(int32_t) > bytes.size) {
    throw std::invalid_argument("the array is shorter than the count");
  }
  for (int64_t i = 0; i < count; i++) tensors.release(handles[i]);
  return nothing(env);
}

// memory() -> { tensors, bytes }: what JavaScript holds; a storage that several tensors share counts once
napi_value memory(napi_env env, napi_callback_info) {
  const Environment& tensors = environment(env);
  std::unordered_map<const void*, size_t> storages;
  for (const at::Tensor& tensor : tensors.slots()) {
    if (tensor.defined() && tensor.has_storage()) {
      storages[tensor.storage().unsafeGetStorageImpl()] = tensor.storage().nbytes();
    }
  }
  double bytes = 0;
  for (const auto& storage : storages) bytes += static_cast<double>(storage.second);
  napi_value result;
  napi_create_object(env, &result);
  set(env, result, "tensors", number(env, static_cast<double>(tensors.live())));
  set(env, result, "bytes", number(env, bytes));
  return result;
}

}  // namespace

void registerStorage(napi_env env, napi_value exports) {
  define<fromArray>(env, exports, "fromArray");
  define<copyToArray>(env, exports, "copyToArray");
  define<copyFromArray>(env, exports, "copyFromArray");
  define<shape>(env, exports, "shape");
  define<dtype>(env, exports, "dtype");
  define<device>(env, exports, "device");
  define<item>(env, exports, "item");
  define<alignment>(env, exports, "alignment");
  define<release>(env, exports, "release");
  define<releaseMany>(env, exports, "releaseMany");
  define<memory>(env, exports, "memory");
}

}  // namespace asvr
