// Finds operators of libtorch's dispatcher and makes a JavaScript function of each; and the generic call, whose
// arguments are read by the schema's types.
#include <ATen/core/jit_type.h>
#include <c10/core/MemoryFormat.h>
#include <c10/core/ScalarType.h>

#include <algorithm>
#include <set>

#include "direct.h"

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

// An argument that was given, as the value on the stack of a boxed call.
c10::IValue box(Arguments& given, size_t i) {
  const Argument& argument = given.op().arguments[i];
  if (const at::Tensor* tensor = argument.kind == Kind::Tensor ? given.tensor(i) : nullptr) return *tensor;
  if (given.isUndefined(i) && argument.fallback.has_value()) return *argument.fallback;
  if (given.isNothing(i)) {
    if (argument.optional) return c10::IValue();
    if (argument.kind == Kind::Tensor) return c10::IValue(at::Tensor());
    missing();
  }
  switch (argument.kind) {
    case Kind::Tensor:
      return Read<const at::Tensor&>::from(given, i);
    case Kind::TensorList:
      return c10::IValue(at::TensorList(Read<at::TensorList>::from(given, i)).vec());
    case Kind::OptionalTensorList:
      return Read<const c10::List<std::optional<at::Tensor>>&>::from(given, i);
    case Kind::Scalar:
      return Read<at::Scalar>::from(given, i);
    case Kind::Int:
    case Kind::ScalarType:
    case Kind::Layout:
    case Kind::MemoryFormat:
      return Read<int64_t>::from(given, i);
    case Kind::Float:
      return Read<double>::from(given, i);
    case Kind::Bool:
      return Read<bool>::from(given, i);
    case Kind::String:
      return given.string(i);
    case Kind::Device:
      return c10::Device(given.string(i));
    case Kind::IntList: {
      const Ints ints = intsOf(given.list(i));
      return c10::IValue(std::vector<int64_t>(ints.begin(), ints.end()));
    }
    case Kind::FloatList:
      return c10::IValue(given.list(i).vec());
    case Kind::BoolList: {
      c10::List<bool> list;
      for (const double element : given.list(i)) list.push_back(element != 0);
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

// Clears the stack of a call at its end, also when it throws: it would keep tensors alive.
struct StackInUse {
  std::vector<c10::IValue>& stack;
  ~StackInUse() { stack.clear(); }
};

// The JavaScript function of an operator without a typed one: (...arguments) -> null | result | [results]; a result
// that is one of the arguments is left out (null).
napi_value callBoxed(napi_env env, napi_callback_info info) {
  Arguments given(env, info);
  const Operator& op = given.op();
  std::vector<c10::IValue>& stack = op.environment->stack;
  const StackInUse inUse{stack};
  for (size_t i = 0; i < op.arguments.size(); i++) {
    try {
      stack.push_back(box(given, i));
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument("argument '" + op.handle.schema().arguments()[i].name() + "': " + error.what());
    }
  }
  op.handle.callBoxed(&stack);

  if (stack.empty()) return nothing(env);
  if (stack.size() == 1) return op.returnIsArgument[0] ? nothing(env) : makeResult(env, stack[0]);
  std::vector<napi_value> results;
  for (size_t i = 0; i < stack.size(); i++) {
    results.push_back(op.returnIsArgument[i] ? nothing(env) : makeResult(env, stack[i]));
  }
  return array(env, results);
}

// By the schema. A composite operator may return one of its arguments without saying so; these do not.
bool makesNew(const c10::OperatorHandle& op) {
  static const std::set<std::string_view> known{"aten::linear", "aten::matmul", "aten::softmax", "aten::log_softmax"};
  const bool isComposite = op.hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd);
  if (isComposite && known.count(op.schema().name()) == 0) return false;
  const auto shares = [](const c10::Argument& argument) { return argument.alias_info() != nullptr; };
  return std::none_of(op.schema().arguments().begin(), op.schema().arguments().end(), shares) &&
         std::none_of(op.schema().returns().begin(), op.schema().returns().end(), shares);
}

// findOperator(name, overload) -> null, or { schema, call, arguments: [[name, type, hasDefault, fixedSize]],
// returns: [type], aliases: [argument or -1] }
napi_value findOperator(napi_env env, napi_callback_info info) {
  const std::vector<napi_value> given = arguments(env, info, 2);
  const std::string name = readString(env, given[0]);
  const std::string overload = readString(env, given[1]);
  const auto found = c10::Dispatcher::singleton().findSchema({name, overload});
  if (!found.has_value()) return nothing(env);

  const c10::FunctionSchema& schema = found->schema();
  if (schema.arguments().size() > MOST_ARGUMENTS) {
    throw std::invalid_argument(name + " takes more arguments than can be given from JavaScript");
  }
  Environment& state = environment(env);
  state.operators.push_back(std::make_unique<Operator>(Operator{&state, *found, {}, {}}));
  Operator& op = *state.operators.back();
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

  op.makesNew = makesNew(*found);
  const Direct* typed = findDirect(name, overload);
  napi_value function;
  napi_create_function(env, name.c_str(), NAPI_AUTO_LENGTH, typed ? typed->callback : guarded<callBoxed>, &op,
                       &function);
  napi_value result;
  napi_create_object(env, &result);
  set(env, result, "schema", text(env, c10::toString(schema)));
  set(env, result, "call", function);
  set(env, result, "arguments", array(env, described));
  set(env, result, "returns", array(env, returns));
  set(env, result, "aliases", array(env, aliases));
  return result;
}

// shareLists(Float64Array): where JavaScript writes the lists of a call from now on
napi_value shareLists(napi_env env, napi_callback_info info) {
  const std::vector<napi_value> given = arguments(env, info, 1);
  Environment& state = environment(env);
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, given[0], &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != napi_float64_array) {
    throw std::invalid_argument("expected a Float64Array");
  }
  if (state.listsArray != nullptr) napi_delete_reference(env, state.listsArray);
  napi_create_reference(env, given[0], 1, &state.listsArray);
  state.lists = static_cast<const double*>(data);
  state.listsLength = length;
  return nothing(env);
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
  define<shareLists>(env, exports, "shareLists");
  define<listOperators>(env, exports, "listOperators");
}

}  // namespace asvr
