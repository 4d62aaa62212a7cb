// Reads a call's JavaScript arguments as the types that libtorch's operators take.
#pragma once

#include <c10/util/SmallVector.h>

#include <cmath>

#include "addon.h"

namespace asvr {

constexpr size_t MOST_ARGUMENTS = 32;

// The arguments of one call, in the order of the schema. Lists do not come as JavaScript arrays, whose elements are
// dear to read one by one: they lie one after the other in the environment's `lists`, and the argument is the length.
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info) : env_(env) {
    void* data = nullptr;
    given_ = FEW;
    napi_get_cb_info(env, info, &given_, values_, nullptr, &data);
    op_ = static_cast<const Operator*>(data);
    if (given_ > FEW) {
      given_ = MOST_ARGUMENTS;
      napi_get_cb_info(env, info, &given_, values_, nullptr, nullptr);
    }
    nextList_ = op_->environment->lists;
  }

  const Operator& op() const { return *op_; }
  const c10::IValue* fallback(size_t index) const {
    const std::optional<c10::IValue>& value = op_->arguments[index].fallback;
    return value.has_value() ? &*value : nullptr;
  }
  bool isGiven(size_t index) const { return index < given_; }
  bool isUndefined(size_t index) const { return !isGiven(index) || typeOf(env_, values_[index]) == napi_undefined; }
  bool isNothing(size_t index) const { return !isGiven(index) || asvr::isNothing(env_, values_[index]); }

  // The tensor of a handle, or null where the argument is no number.
  const at::Tensor* tensor(size_t index) const {
    int32_t id = 0;
    return isGiven(index) && readHandle(env_, values_[index], &id) ? &op_->environment->at(id) : nullptr;
  }

  bool number(size_t index, double* value) const {
    return isGiven(index) && napi_get_value_double(env_, values_[index], value) == napi_ok;
  }
  bool boolean(size_t index, bool* value) const {
    return isGiven(index) && napi_get_value_bool(env_, values_[index], value) == napi_ok;
  }
  std::string string(size_t index) const { return readString(env_, values_[index]); }

  // The elements of a list. Lists must be read in the order of the arguments.
  c10::ArrayRef<double> list(size_t index) {
    double length = 0;
    const double* end = op_->environment->lists + op_->environment->listsLength;
    if (!number(index, &length) || !(length >= 0 && length <= static_cast<double>(end - nextList_))) {
      throw std::invalid_argument("expected a list");
    }
    const c10::ArrayRef<double> elements(nextList_, static_cast<size_t>(length));
    nextList_ += elements.size();
    return elements;
  }

  const at::Tensor& held(double handle) const { return op_->environment->at(static_cast<int64_t>(handle)); }

 private:
  static constexpr size_t FEW = 6;  // most operators have no more

  napi_env env_;
  const Operator* op_;
  size_t given_;  // those after them are `undefined`
  napi_value values_[MOST_ARGUMENTS];
  const double* nextList_;
};

// Beyond 2^53 a JavaScript number is no exact integer, and beyond 2^63 the conversion is undefined.
inline int64_t wholeNumber(double value) {
  if (!(std::abs(value) <= 9007199254740992.0) || value != std::trunc(value)) {
    throw std::invalid_argument("expected an integer, got " + std::to_string(value));
  }
  return static_cast<int64_t>(value);
}

// A whole number is an integer scalar, as a literal would be in Python: it does not turn an integer tensor to float.
inline c10::Scalar scalarOf(double value) {
  if (std::abs(value) < 9.0e15 && value == std::trunc(value)) return c10::Scalar(static_cast<int64_t>(value));
  return c10::Scalar(value);
}

using Ints = c10::SmallVector<int64_t, 8>;
using Tensors = c10::SmallVector<at::Tensor, 8>;

inline Ints intsOf(c10::ArrayRef<double> elements) {
  Ints ints;
  for (const double element : elements) ints.push_back(wholeNumber(element));
  return ints;
}

}  // namespace asvr
