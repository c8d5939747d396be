/* b_op.c -- every op row becomes nn.<name> and, when its first argument is a tensor, a method of tensors. */
#include <string.h>

#include "nnl.h"

static int op_call(lua_State *L) {
  const nn_op *op = lua_touserdata(L, lua_upvalueindex(1));
  nn_tensor *inputs[80];
  nn_param params[NN_MAX_PARAMS];
  int count;
  nnl_read_arguments(L, nn_op_name(op), nn_op_signature(op), 1, inputs, &count, params);

  nnl_tensor *box = nnl_tensor_box(L);

  int status = nn_apply(op, inputs, count, params, &box->tensor);
  if (status == NN_EMEMORY) {  /* unreachable tensors may still hold memory: collect them and try once more */
    lua_gc(L, LUA_GCCOLLECT);
    status = nn_apply(op, inputs, count, params, &box->tensor);
  }
  if (status != NN_OK) return nnl_raise(L);
  nnl_charge(box->tensor);
  return 1;
}

/* -x: Lua hands a unary operator its operand twice. */
static int op_call_unary(lua_State *L) {
  lua_settop(L, 1);
  return op_call(L);
}

/* ---- rows as data: what help, the stubs and the table walk read ---- */

static const char *const kind_words[] = {
  [NN_ARG_TENSOR] = "tensor",   [NN_ARG_ANY] = "any",         [NN_ARG_INDEX] = "index",
  [NN_ARG_TENSORS] = "tensors", [NN_ARG_NUMBER] = "number",   [NN_ARG_INTEGER] = "integer",
  [NN_ARG_BOOLEAN] = "boolean", [NN_ARG_CHOICE] = "choice",   [NN_ARG_AXIS] = "axis",
  [NN_ARG_AXES] = "axes",       [NN_ARG_POSITION] = "position", [NN_ARG_SIZES] = "sizes",
  [NN_ARG_NUMBERS] = "numbers",
};

static void set_string(lua_State *L, const char *key, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, key);
}

static void set_boolean(lua_State *L, const char *key, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, key);
}

static void push_arg(lua_State *L, const nn_arg *arg) {
  lua_createtable(L, 0, 8);
  set_string(L, "name", arg->name);
  set_string(L, "kind", kind_words[arg->kind]);
  set_boolean(L, "optional", arg->optional);
  set_boolean(L, "option", arg->option);
  if (arg->kind == NN_ARG_CHOICE) {
    lua_pushlstring(L, arg->choices, strcspn(arg->choices, "?=,} "));
    lua_setfield(L, -2, "choices");
  }
  if (arg->has_min) {
    lua_pushnumber(L, arg->min);
    lua_setfield(L, -2, "min");
    set_boolean(L, "min_open", arg->min_open);
  }
  if (arg->has_max) {
    lua_pushnumber(L, arg->max);
    lua_setfield(L, -2, "max");
    set_boolean(L, "max_open", arg->max_open);
  }
}

/* nn.ops() -> list of { name, signature, doc, returns, example, check, differentiable, args } in the table's order */
static int op_list(lua_State *L) {
  int count = nn_op_count();
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    const nn_op *op = nn_op_at(i);
    const nn_signature *s = nn_op_signature(op);
    nnl_push_row(L, nn_op_name(op), nn_op_signature_text(op), nn_op_doc(op));
    set_string(L, "returns", nn_op_returns(op));
    set_string(L, "example", nn_op_example(op));
    set_string(L, "check", nn_op_check(op));
    set_boolean(L, "differentiable", nn_op_differentiable(op));
    lua_createtable(L, s->args, 0);
    for (int a = 0; a < s->args; a++) {
      push_arg(L, &s->arg[a]);
      lua_rawseti(L, -2, a + 1);
    }
    lua_setfield(L, -2, "args");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* nn.plant_error(op, input, factor) or nn.plant_error(): a test aid, see nn_plant_error */
static int plant_error(lua_State *L) {
  const nn_op *op = NULL;
  if (!lua_isnoneornil(L, 1)) {
    op = nn_op_find(luaL_checkstring(L, 1));
    luaL_argcheck(L, op, 1, "no such op");
  }
  nn_plant_error(op, (int)luaL_optinteger(L, 2, 1) - 1, luaL_optnumber(L, 3, 1));
  return 0;
}

void nnl_open_ops(lua_State *L, int module) {
  luaL_getmetatable(L, NNL_TENSOR);
  lua_getfield(L, -1, "methods");
  int methods = lua_gettop(L);
  for (int i = 0; i < nn_op_count(); i++) {
    const nn_op *op = nn_op_at(i);
    const nn_arg *first = &nn_op_signature(op)->arg[0];
    lua_pushlightuserdata(L, (void *)op);
    lua_pushcclosure(L, op_call, 1);
    if (first->tensor == 0 && first->kind != NN_ARG_TENSORS) {
      lua_pushvalue(L, -1);
      lua_setfield(L, methods, nn_op_name(op));
    }
    lua_setfield(L, module, nn_op_name(op));
  }
  static const struct {
    const char *event, *op;
  } operators[] = {
    { "__add", "add" }, { "__sub", "sub" }, { "__mul", "mul" }, { "__div", "div" }, { "__pow", "pow" },
  };
  for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
    lua_getfield(L, module, operators[i].op);
    lua_setfield(L, methods - 1, operators[i].event);
  }
  lua_pushlightuserdata(L, (void *)nn_op_find("neg"));
  lua_pushcclosure(L, op_call_unary, 1);
  lua_setfield(L, methods - 1, "__unm");
  lua_pop(L, 2);
  lua_pushcfunction(L, op_list);
  lua_setfield(L, module, "ops");
  lua_pushcfunction(L, plant_error);
  lua_setfield(L, module, "plant_error");
}
