// The process around the tensors: threads, random numbers, devices, versions.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <dlfcn.h>

#include <cstring>
#include <mutex>

#include "addon.h"

namespace asvr {

namespace {

napi_value setThreads(napi_env env, napi_callback_info info) {
  // Each is started by the first operator that runs in parallel, and a process that cannot start them dies.
  constexpr int64_t MOST = 1024;
  const int64_t count = readInt(env, arguments(env, info, 1)[0]);
  if (count < 1 || count > MOST) {
    throw std::invalid_argument("expected 1 to " + std::to_string(MOST) + " threads, got " + std::to_string(count));
  }
  at::set_num_threads(static_cast<int>(count));
  return nothing(env);
}

napi_value threads(napi_env env, napi_callback_info) { return number(env, at::get_num_threads()); }

napi_value manualSeed(napi_env env, napi_callback_info info) {
  at::manual_seed(static_cast<uint64_t>(readInt(env, arguments(env, info, 1)[0])));
  return nothing(env);
}

// The generator that operators on a device draw from.
at::Generator generatorOf(napi_env env, napi_value device) {
  return at::globalContext().defaultGenerator(at::Device(readString(env, device)));
}

// randomState(device) -> handle of a uint8 tensor in host memory: the whole state of the device's generator
napi_value randomState(napi_env env, napi_callback_info info) {
  at::Generator generator = generatorOf(env, arguments(env, info, 1)[0]);
  const std::lock_guard<std::mutex> lock(generator.mutex());
  return handle(env, generator.get_state());
}

// setRandomState(handle, device)
napi_value setRandomState(napi_env env, napi_callback_info info) {
  const std::vector<napi_value> given = arguments(env, info, 2);
  at::Generator generator = generatorOf(env, given[1]);
  const std::lock_guard<std::mutex> lock(generator.mutex());
  generator.set_state(environment(env).at(readInt(env, given[0])));
  return nothing(env);
}

// loadLibrary(path) -> null, or why not: libtorch_cuda.so registers its kernels when it is loaded
napi_value loadLibrary(napi_env env, napi_callback_info info) {
  if (dlopen(readString(env, arguments(env, info, 1)[0]).c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) {
    return nothing(env);
  }
  return text(env, dlerror());
}

napi_value runtime(napi_env env, napi_callback_info) {
  napi_value result;
  napi_create_object(env, &result);
  set(env, result, "libtorch", text(env, ASVR_LIBTORCH_VERSION));
  set(env, result, "cuda", boolean(env, at::hasCUDA()));
  set(env, result, "mps", boolean(env, at::hasMPS()));
  set(env, result, "cpuCapability", text(env, at::get_cpu_capability()));
  return result;
}

}  // namespace

void registerRuntime(napi_env env, napi_value exports) {
  define<setThreads>(env, exports, "setThreads");
  define<threads>(env, exports, "threads");
  define<manualSeed>(env, exports, "manualSeed");
  define<randomState>(env, exports, "randomState");
  define<setRandomState>(env, exports, "setRandomState");
  define<loadLibrary>(env, exports, "loadLibrary");
  define<runtime>(env, exports, "runtime");
}

}  // namespace asvr
