// Calls an operator's typed C++ function: no boxing of arguments, about a fifth faster than the generic call. Which
// operators have one is generated (direct.generated.cc); every other goes through `callBoxed` in dispatch.cc.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/IListRef.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/List.h>
#include <c10/core/Device.h>
#include <c10/core/Layout.h>
#include <c10/core/MemoryFormat.h>
#include <c10/core/Scalar.h>
#include <c10/core/ScalarType.h>
#include <c10/core/SymIntArrayRef.h>
#include <c10/util/OptionalArrayRef.h>

#include <algorithm>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "arguments.h"

namespace asvr {

struct Direct {
  std::string_view name;
  std::string_view overload;
  napi_callback callback;
};

// Null where the operator is not among those generated.
const Direct* findDirect(std::string_view name, std::string_view overload);

[[noreturn]] inline void missing() { throw std::invalid_argument("a required argument is missing"); }

// How a parameter of type T is read: `from` gives T, or what holds the memory that a T refers to.
template <typename T>
struct Read;

template <>
struct Read<const at::Tensor&> {
  static const at::Tensor& from(Arguments& given, size_t i) {
    static const at::Tensor undefined;
    if (const at::Tensor* tensor = given.tensor(i)) return *tensor;
    if (given.isNothing(i)) return undefined;
    throw std::invalid_argument("expected a tensor");
  }
};

template <>
struct Read<at::Tensor&> {
  static at::Tensor from(Arguments& given, size_t i) { return Read<const at::Tensor&>::from(given, i); }
};

template <>
struct Read<at::Scalar> {
  static at::Scalar from(Arguments& given, size_t i) {
    double number = 0;
    if (given.number(i, &number)) return scalarOf(number);
    bool boolean = false;
    if (given.boolean(i, &boolean)) return at::Scalar(boolean);
    const c10::IValue* fallback = given.fallback(i);
    if (given.isUndefined(i) && fallback != nullptr) return fallback->toScalar();
    throw std::invalid_argument("expected a number or a boolean");
  }
};

template <>
struct Read<int64_t> {
  static int64_t from(Arguments& given, size_t i) {
    double number = 0;
    if (given.number(i, &number)) return wholeNumber(number);
    const c10::IValue* fallback = given.fallback(i);
    if (given.isUndefined(i) && fallback != nullptr) return fallback->toInt();
    if (given.isNothing(i)) missing();
    throw std::invalid_argument("expected a number");
  }
};

template <>
struct Read<double> {
  static double from(Arguments& given, size_t i) {
    double number = 0;
    if (given.number(i, &number)) return number;
    const c10::IValue* fallback = given.fallback(i);
    if (given.isUndefined(i) && fallback != nullptr) return fallback->toDouble();
    if (given.isNothing(i)) missing();
    throw std::invalid_argument("expected a number");
  }
};

template <>
struct Read<bool> {
  static bool from(Arguments& given, size_t i) {
    bool boolean = false;
    if (given.boolean(i, &boolean)) return boolean;
    const c10::IValue* fallback = given.fallback(i);
    if (given.isUndefined(i) && fallback != nullptr) return fallback->toBool();
    if (given.isNothing(i)) missing();
    throw std::invalid_argument("expected a boolean");
  }
};

template <>
struct Read<c10::SymInt> {
  static c10::SymInt from(Arguments& given, size_t i) { return Read<int64_t>::from(given, i); }
};

template <>
struct Read<at::ScalarType> {
  static at::ScalarType from(Arguments& given, size_t i) {
    return static_cast<at::ScalarType>(Read<int64_t>::from(given, i));
  }
};

template <>
struct Read<at::Layout> {
  static at::Layout from(Arguments& given, size_t i) { return static_cast<at::Layout>(Read<int64_t>::from(given, i)); }
};

template <>
struct Read<at::MemoryFormat> {
  static at::MemoryFormat from(Arguments& given, size_t i) {
    return static_cast<at::MemoryFormat>(Read<int64_t>::from(given, i));
  }
};

template <>
struct Read<at::Device> {
  static at::Device from(Arguments& given, size_t i) { return at::Device(given.string(i)); }
};

// None of JavaScript's values is a generator: the default one is taken.
template <>
struct Read<at::Generator> {
  static at::Generator from(Arguments&, size_t) {
    throw std::invalid_argument("an argument of this type can't be given from JavaScript");
  }
};

template <>
struct Read<std::string_view> {
  static std::string from(Arguments& given, size_t i) {
    const c10::IValue* fallback = given.fallback(i);
    return given.isUndefined(i) && fallback != nullptr ? fallback->toStringRef() : given.string(i);
  }
};

template <>
struct Read<at::Tensor> {
  static at::Tensor from(Arguments& given, size_t i) { return Read<const at::Tensor&>::from(given, i); }
};

template <typename T>
struct Read<std::optional<T>> {
  static std::optional<T> from(Arguments& given, size_t i) {
    if (!given.isNothing(i)) return Read<T>::from(given, i);
    const c10::IValue* fallback = given.fallback(i);
    if (!given.isUndefined(i) || fallback == nullptr || fallback->isNone()) return std::nullopt;
    return Read<T>::from(given, i);
  }
};

template <typename T>
struct Read<const std::optional<T>&> : Read<std::optional<T>> {};
template <>
struct Read<const at::Scalar&> : Read<at::Scalar> {};

// Lists: what holds their elements converts to the view that the operator takes.
inline Ints readInts(Arguments& given, size_t i) {
  const c10::IValue* fallback = given.fallback(i);
  if (given.isUndefined(i) && fallback != nullptr) {
    if (fallback->isInt()) return {fallback->toInt()};
    const std::vector<int64_t> ints = fallback->toIntVector();
    return Ints(ints.begin(), ints.end());
  }
  return intsOf(given.list(i));
}

template <>
struct Read<at::IntArrayRef> {
  static Ints from(Arguments& given, size_t i) { return readInts(given, i); }
};

struct SymInts {
  Ints ints;
  operator c10::SymIntArrayRef() const { return c10::fromIntArrayRefSlow(ints); }
};

template <>
struct Read<c10::SymIntArrayRef> {
  static SymInts from(Arguments& given, size_t i) { return {readInts(given, i)}; }
};

struct OptionalInts {
  std::optional<Ints> ints;
  operator at::OptionalIntArrayRef() const {
    return ints.has_value() ? at::OptionalIntArrayRef(at::IntArrayRef(*ints)) : std::nullopt;
  }
};

template <>
struct Read<at::OptionalIntArrayRef> {
  static OptionalInts from(Arguments& given, size_t i) {
    const c10::IValue* fallback = given.fallback(i);
    const bool isNone = given.isNothing(i) && !(given.isUndefined(i) && fallback != nullptr && !fallback->isNone());
    if (isNone) return {std::nullopt};
    return {readInts(given, i)};
  }
};

struct HeldTensors {
  Tensors tensors;
  operator at::TensorList() const { return tensors; }
  operator at::ITensorListRef() const { return at::ITensorListRef(at::TensorList(tensors)); }
};

template <>
struct Read<at::TensorList> {
  static HeldTensors from(Arguments& given, size_t i) {
    HeldTensors held;
    for (const double handle : given.list(i)) held.tensors.push_back(given.held(handle));
    return held;
  }
};

template <>
struct Read<const at::ITensorListRef&> : Read<at::TensorList> {};

template <>
struct Read<const c10::List<std::optional<at::Tensor>>&> {
  static c10::List<std::optional<at::Tensor>> from(Arguments& given, size_t i) {
    c10::List<std::optional<at::Tensor>> list;
    for (const double handle : given.list(i)) {
      list.push_back(handle < 0 ? std::nullopt : std::optional<at::Tensor>(given.held(handle)));
    }
    return list;
  }
};

// Results. A reference is an argument that was changed in place: JavaScript holds it already.
inline napi_value give(napi_env env, Environment& tensors, at::Tensor tensor) {
  return handle(env, tensors, std::move(tensor));
}
inline napi_value give(napi_env env, Environment&, bool value) { return boolean(env, value); }
inline napi_value give(napi_env env, Environment& tensors, std::vector<at::Tensor> results) {
  std::vector<napi_value> handles;
  for (at::Tensor& tensor : results) handles.push_back(handle(env, tensors, std::move(tensor)));
  return array(env, handles);
}
template <typename... T>
napi_value give(napi_env env, Environment& tensors, std::tuple<T...> results) {
  return std::apply([&](auto&... result) { return array(env, {give(env, tensors, std::move(result))...}); }, results);
}

template <typename T>
auto readNamed(Arguments& given, size_t i) -> decltype(Read<T>::from(given, i)) {
  try {
    return Read<T>::from(given, i);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument("argument '" + given.op().handle.schema().arguments()[i].name() + "': " + error.what());
  }
}

// Where no argument wants a gradient, autograd's kernel would find nothing to record and call the next one, for a tenth
// of a small operator's time: it is left out. Not where memory is shared, which that kernel keeps account of.
struct BelowAutograd {
  BelowAutograd(const Operator& op, bool needed) {
    if (op.makesNew && !needed) guard.emplace();
  }
  std::optional<at::AutoDispatchBelowADInplaceOrView> guard;
};

// Whether an argument, as it was read, wants a gradient, or is missing: autograd's kernel names it.
template <typename T>
bool needsAutograd(const T&) {
  return false;
}
inline bool needsAutograd(const at::Tensor& tensor) { return !tensor.defined() || tensor.requires_grad(); }
inline bool needsAutograd(const std::optional<at::Tensor>& tensor) {
  return tensor.has_value() && needsAutograd(*tensor);
}
inline bool needsAutograd(const HeldTensors& list) {
  return std::any_of(list.tensors.begin(), list.tensors.end(), [](const at::Tensor& each) { return needsAutograd(each); });
}

template <auto function, typename R, typename... A, size_t... index>
napi_value callDirect(napi_env env, Arguments& given, R (*)(A...), std::index_sequence<index...>) {
  // In braces the arguments are read from left to right, as the lists lie.
  std::tuple<decltype(Read<A>::from(given, 0))...> read{readNamed<A>(given, index)...};
  if constexpr (std::is_void_v<R> || std::is_reference_v<R>) {
    function(std::get<index>(read)...);
    return nothing(env);
  } else {
    const BelowAutograd guard(given.op(), (needsAutograd(std::get<index>(read)) || ...));
    return give(env, *given.op().environment, function(std::get<index>(read)...));
  }
}

template <typename R, typename... A>
constexpr std::index_sequence_for<A...> indices(R (*)(A...)) {
  return {};
}

// A JavaScript function for one operator. Its data is the operator.
template <auto function>
napi_value direct(napi_env env, napi_callback_info info) {
  Arguments given(env, info);
  return callDirect<function>(env, given, function, indices(function));
}

// `x * 2.5` for a float32 x in host memory. At each call libtorch would make a float64 tensor of the number, and a
// float32 one of that, which takes longer than a small product; with the kept tensor the result is the same to the bit.
template <auto withTensor, auto withNumber>
napi_value directNumber(napi_env env, napi_callback_info info) {
  Arguments given(env, info);
  const at::Tensor* self = given.tensor(0);
  double value = 0;
  if (self == nullptr || self->scalar_type() != at::kFloat || !self->is_cpu() || given.isGiven(2) ||
      !given.number(1, &value)) {
    return callDirect<withNumber>(env, given, withNumber, indices(withNumber));
  }
  Environment& tensors = *given.op().environment;
  const at::Tensor& number = tensors.number(value);
  at::Tensor x = *self;
  const auto apply = [&](const auto&... alpha) -> decltype(auto) { return withTensor(x, number, alpha...); };
  const auto call = [&]() -> decltype(auto) {
    if constexpr (indices(withTensor).size() == 3) return apply(at::Scalar(1)); else return apply();
  };
  if constexpr (std::is_reference_v<decltype(call())>) {
    call();
    return nothing(env);
  } else {
    const BelowAutograd guard(given.op(), needsAutograd(x));
    return give(env, tensors, call());
  }
}

}  // namespace asvr
