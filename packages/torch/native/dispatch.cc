// The one generic call: any operator of libtorch's dispatcher, its JavaScript arguments read by the schema's types.
#include <ATen/core/jit_type.h>
#include <c10/core/MemoryFormat.h>
#include <c10/core/ScalarType.h>

#include <cmath>

#include "addon.h"

namespace asvr {

namespace {

Kind listKind(const c10::TypePtr& element) {
  switch (element->kind()) {
    case c10::TypeKind::TensorType:
      return Kind::TensorList;
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
      return Kind::IntList;
    case c10::TypeKind::FloatType:
      return Kind::FloatList;
    case c10::TypeKind::BoolType:
      return Kind::BoolList;
    case c10::TypeKind::OptionalType:
      return element->castRaw<c10::OptionalType>()->getElementType()->kind() == c10::TypeKind::TensorType
                 ? Kind::OptionalTensorList
                 : Kind::Unsupported;
    default:
      return Kind::Unsupported;
  }
}

Argument describe(const c10::Argument& argument) {
  c10::TypePtr type = argument.real_type();
  bool optional = false;
  if (type->kind() == c10::TypeKind::OptionalType) {
    optional = true;
    type = type->castRaw<c10::OptionalType>()->getElementType();
  }
  const int64_t fixedSize = argument.N().value_or(0);
  switch (type->kind()) {
    case c10::TypeKind::TensorType:
      return {Kind::Tensor, optional, 0};
    case c10::TypeKind::ListType:
      return {listKind(type->castRaw<c10::ListType>()->getElementType()), optional, fixedSize};
    case c10::TypeKind::NumberType:
      return {Kind::Scalar, optional, 0};
    case c10::TypeKind::IntType:
    case c10::TypeKind::SymIntType:
      return {Kind::Int, optional, 0};
    case c10::TypeKind::FloatType:
      return {Kind::Float, optional, 0};
    case c10::TypeKind::BoolType:
      return {Kind::Bool, optional, 0};
    case c10::TypeKind::StringType:
      return {Kind::String, optional, 0};
    case c10::TypeKind::DeviceObjType:
      return {Kind::Device, optional, 0};
    case c10::TypeKind::ScalarTypeType:
      return {Kind::ScalarType, optional, 0};
    case c10::TypeKind::LayoutType:
      return {Kind::Layout, optional, 0};
    case c10::TypeKind::MemoryFormatType:
      return {Kind::MemoryFormat, optional, 0};
    case c10::TypeKind::GeneratorType:
      return {Kind::Generator, optional, 0};
    default:
      return {Kind::Unsupported, optional, 0};
  }
}

c10::Scalar readScalar(napi_env env, napi_value value) {
  if (typeOf(env, value) == napi_boolean) return c10::Scalar(readBool(env, value));
  const double read = readNumber(env, value);
  // A whole number is an integer scalar, as a literal would be in Python: it does not turn an integer tensor to float.
  if (std::abs(read) < 9.0e15 && read == std::trunc(read)) return c10::Scalar(static_cast<int64_t>(read));
  return c10::Scalar(read);
}

c10::IValue readArgument(napi_env env, const Argument& argument, napi_value value) {
  if (isNothing(env, value)) {
    if (argument.optional) return c10::IValue();
    if (argument.kind == Kind::Tensor) return c10::IValue(at::Tensor());
    throw std::invalid_argument("a required argument is missing");
  }
  Environment& tensors = environment(env);
  switch (argument.kind) {
    case Kind::Tensor:
      return tensors.at(readInt(env, value));
    case Kind::TensorList:
      return c10::IValue(readTensors(env, value));
    case Kind::OptionalTensorList: {
      c10::List<std::optional<at::Tensor>> list;
      const uint32_t length = arrayLength(env, value);
      for (uint32_t i = 0; i < length; i++) {
        napi_value element = arrayElement(env, value, i);
        if (isNothing(env, element)) {
          list.push_back(std::nullopt);
        } else {
          list.push_back(tensors.at(readInt(env, element)));
        }
      }
      return list;
    }
    case Kind::Scalar:
      return readScalar(env, value);
    case Kind::Int:
    case Kind::ScalarType:
    case Kind::Layout:
    case Kind::MemoryFormat:
      return readInt(env, value);
    case Kind::Float:
      return readNumber(env, value);
    case Kind::Bool:
      return readBool(env, value);
    case Kind::String:
      return readString(env, value);
    case Kind::Device:
      return c10::Device(readString(env, value));
    case Kind::IntList: {
      if (typeOf(env, value) == napi_number && argument.fixedSize > 0) {
        return std::vector<int64_t>(argument.fixedSize, readInt(env, value));
      }
      return readInts(env, value);
    }
    case Kind::FloatList: {
      std::vector<double> list(arrayLength(env, value));
      for (uint32_t i = 0; i < list.size(); i++) list[i] = readNumber(env, arrayElement(env, value, i));
      return list;
    }
    case Kind::BoolList: {
      c10::List<bool> list;
      const uint32_t length = arrayLength(env, value);
      for (uint32_t i = 0; i < length; i++) list.push_back(readBool(env, arrayElement(env, value, i)));
      return list;
    }
    case Kind::Generator:
    case Kind::Unsupported:
      break;
  }
  throw std::invalid_argument("an argument of this type can't be given from JavaScript");
}

napi_value makeResult(napi_env env, const c10::IValue& value) {
  if (value.isTensor()) return handle(env, value.toTensor());
  if (value.isTensorList()) {
    std::vector<napi_value> handles;
    for (const at::Tensor& tensor : value.toTensorVector()) handles.push_back(handle(env, tensor));
    return array(env, handles);
  }
  if (value.isInt()) return number(env, static_cast<double>(value.toInt()));
  if (value.isDouble()) return number(env, value.toDouble());
  if (value.isBool()) return boolean(env, value.toBool());
  if (value.isString()) return text(env, value.toStringRef());
  if (value.isScalar()) return number(env, value.toScalar().toDouble());
  if (value.isNone()) return nothing(env);
  throw std::invalid_argument("a result of type " + value.tagKind() + " can't be given to JavaScript");
}

// findOperator(name, overload) -> null, or { id, schema, arguments: [[name, type, hasDefault, fixedSize]],
// returns: [type], aliases: [argument or -1] }
napi_value findOperator(napi_env env, napi_callback_info info) {
  const std::vector<napi_value> given = arguments(env, info, 2);
  const std::string name = readString(env, given[0]);
  const auto found = c10::Dispatcher::singleton().findSchema({name, readString(env, given[1])});
  if (!found.has_value()) return nothing(env);

  const c10::FunctionSchema& schema = found->schema();
  Operator op{*found, {}, {}};
  std::vector<napi_value> described;
  for (const c10::Argument& argument : schema.arguments()) {
    op.arguments.push_back(describe(argument));
    op.arguments.back().fallback = argument.default_value();
    described.push_back(array(env, {text(env, argument.name()), text(env, argument.real_type()->str()),
                                    boolean(env, argument.default_value().has_value()),
                                    number(env, static_cast<double>(argument.N().value_or(0)))}));
  }
  std::vector<napi_value> aliases;
  std::vector<napi_value> returns;
  for (const c10::Argument& result : schema.returns()) {
    int64_t alias = -1;
    if (result.alias_info() != nullptr && result.alias_info()->isWrite()) {
      for (size_t i = 0; i < schema.arguments().size(); i++) {
        const c10::AliasInfo* other = schema.arguments()[i].alias_info();
        if (other != nullptr && other->beforeSets() == result.alias_info()->beforeSets()) {
          alias = static_cast<int64_t>(i);
        }
      }
    }
    op.returnIsArgument.push_back(alias >= 0);
    aliases.push_back(number(env, static_cast<double>(alias)));
    returns.push_back(text(env, result.real_type()->str()));
  }
  Environment& state = environment(env);
  state.operators.push_back(std::move(op));

  napi_value result;
  napi_create_object(env, &result);
  set(env, result, "id", number(env, static_cast<double>(state.operators.size() - 1)));
  set(env, result, "schema", text(env, c10::toString(schema)));
  set(env, result, "arguments", array(env, described));
  set(env, result, "returns", array(env, returns));
  set(env, result, "aliases", array(env, aliases));
  return result;
}

// Clears the stack of a call at its end, also when it throws: it would keep tensors alive.
struct StackInUse {
  std::vector<c10::IValue>& stack;
  ~StackInUse() { stack.clear(); }
};

void pushArgument(napi_env env, Environment& state, const Operator& op, size_t index, napi_value given) {
  const Argument& argument = op.arguments[index];
  int32_t id = 0;
  // The common case first: most arguments are tensors, and what is a number here can only be a handle.
  if (argument.kind == Kind::Tensor && given != nullptr && readHandle(env, given, &id)) {
    state.stack.emplace_back(state.at(id));
  } else if (argument.fallback.has_value() && (given == nullptr || typeOf(env, given) == napi_undefined)) {
    state.stack.push_back(*argument.fallback);
  } else {
    state.stack.push_back(readArgument(env, argument, given == nullptr ? nothing(env) : given));
  }
}

// call(id, ...arguments) -> null | result | [results]; a result that is one of the arguments is left out (null).
napi_value call(napi_env env, napi_callback_info info) {
  constexpr size_t atMost = 32;
  napi_value given[atMost];
  size_t count = atMost;
  Environment& state = callbackData(env, info, &count, given);
  int32_t id = -1;
  readHandle(env, given[0], &id);
  const Operator& op = state.operators.at(id);

  std::vector<c10::IValue>& stack = state.stack;
  const StackInUse inUse{stack};
  for (size_t i = 0; i < op.arguments.size(); i++) {
    try {
      pushArgument(env, state, op, i, i + 1 < count ? given[i + 1] : nullptr);
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument("argument '" + op.handle.schema().arguments()[i].name() + "': " + error.what());
    }
  }
  op.handle.callBoxed(&stack);

  if (stack.empty()) return nothing(env);
  if (stack.size() == 1) {
    if (op.returnIsArgument[0]) return nothing(env);
    return stack[0].isTensor() ? handle(env, std::move(stack[0]).toTensor()) : makeResult(env, stack[0]);
  }
  std::vector<napi_value> results;
  for (size_t i = 0; i < stack.size(); i++) {
    results.push_back(op.returnIsArgument[i] ? nothing(env) : makeResult(env, stack[i]));
  }
  return array(env, results);
}

// listOperators() -> every "name.overload"
napi_value listOperators(napi_env env, napi_callback_info) {
  std::vector<napi_value> names;
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
    names.push_back(text(env, c10::toString(name)));
  }
  return array(env, names);
}

}  // namespace

void registerDispatch(napi_env env, napi_value exports) {
  define<findOperator>(env, exports, "findOperator");
  define<call>(env, exports, "call");
  define<listOperators>(env, exports, "listOperators");
}

}  // namespace asvr
