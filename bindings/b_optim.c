/* b_optim.c -- optimisers, gradient clipping, averaged weights. stdlib/optim.lua is what users call. */
#include <string.h>

#include "nnl.h"

#define NNL_OPTIMIZER "nn.optimizer"

typedef struct {
  nn_optimizer *optimizer;
} nnl_optimizer;

static nn_optimizer *check_optimizer(lua_State *L) {
  return ((nnl_optimizer *)luaL_checkudata(L, 1, NNL_OPTIMIZER))->optimizer;
}

/* A list of tensors at index. The array is a userdata left on the stack, so an error frees it; the list, read
 * without its metamethods, keeps the tensors alive. */
static nn_tensor **check_list(lua_State *L, const char *who, int index, int *count) {
  if (!lua_istable(L, index)) nnl_error(L, "%s: a list of tensors expected, got %s", who, luaL_typename(L, index));
  lua_Integer length = (lua_Integer)lua_rawlen(L, index);
  nn_tensor **list = lua_newuserdatauv(L, (size_t)(length + 1) * sizeof *list, 0);
  for (lua_Integer i = 0; i < length; i++) {
    lua_rawgeti(L, index, i + 1);
    list[i] = nnl_test_tensor(L, -1);
    if (!list[i]) nnl_error(L, "%s: a tensor expected at place %d, got %s", who, (int)i + 1, luaL_typename(L, -1));
    lua_pop(L, 1);
  }
  *count = (int)length;
  return list;
}

static int add(lua_State *L, nn_optimizer *o, int index) {
  nn_param params[NN_MAX_PARAMS];
  const nn_method *method = nn_optimizer_method(o);
  int count;
  nn_tensor **list = check_list(L, nn_method_name(method), index, &count);
  nnl_read_options(L, nn_method_name(method), nn_method_signature(method), index + 1, params);
  return nn_optimizer_add(o, list, count, params) == NN_OK ? 0 : nnl_raise(L);
}

/* nn.Optimizer(method, { tensors } [, options]) */
static int optimizer_new(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  const nn_method *method = nn_method_find(name);
  if (!method) return nnl_error(L, "Optimizer: unknown method \"%s\"; there are sgd, adam and adamw", name);
  lua_settop(L, 3);
  nnl_optimizer *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->optimizer = NULL;
  luaL_setmetatable(L, NNL_OPTIMIZER);
  box->optimizer = nn_optimizer_new(method);
  if (!box->optimizer) return nnl_raise(L);
  add(L, box->optimizer, 2);
  lua_settop(L, 4);
  return 1;
}

/* opt:add_group({ tensors } [, options]) */
static int optimizer_add_group(lua_State *L) {
  nn_optimizer *o = check_optimizer(L);
  lua_settop(L, 3);
  return add(L, o, 2);
}

static int optimizer_step(lua_State *L) {
  return nn_optimizer_step(check_optimizer(L)) == NN_OK ? 0 : nnl_raise(L);
}

static int optimizer_zero_grad(lua_State *L) {
  nn_optimizer_clear_grads(check_optimizer(L));
  return 0;
}

static int check_group(lua_State *L, const nn_optimizer *o) {
  lua_Integer group = luaL_checkinteger(L, 2);
  if (group < 1 || group > nn_optimizer_groups(o))
    nnl_error(L, "group %d is not in 1..%d", (int)group, nn_optimizer_groups(o));
  return (int)group - 1;
}

static const nn_arg *check_option(lua_State *L, const nn_optimizer *o) {
  const nn_signature *s = nn_method_signature(nn_optimizer_method(o));
  const char *name = luaL_checkstring(L, 3);
  for (int i = 0; i < s->args; i++)
    if (strcmp(s->arg[i].name, name) == 0) return &s->arg[i];
  nnl_error(L, "%s has no option \"%s\"", nn_method_name(nn_optimizer_method(o)), name);
  return NULL;
}

/* opt:set(group, option, value) */
static int optimizer_set(lua_State *L) {
  nn_optimizer *o = check_optimizer(L);
  int group = check_group(L, o);
  const nn_arg *arg = check_option(L, o);
  nn_param p = { .given = true };
  if (arg->kind == NN_ARG_BOOLEAN) p.integer = lua_toboolean(L, 4);
  else p.number = luaL_checknumber(L, 4);
  return nn_optimizer_set(o, group, arg->value, &p) == NN_OK ? 0 : nnl_raise(L);
}

/* opt:get(group, option) */
static int optimizer_get(lua_State *L) {
  nn_optimizer *o = check_optimizer(L);
  int group = check_group(L, o);
  const nn_arg *arg = check_option(L, o);
  const nn_param *p = &nn_optimizer_get(o, group)[arg->value];
  if (arg->kind == NN_ARG_BOOLEAN) lua_pushboolean(L, p->integer != 0);
  else lua_pushnumber(L, p->number);
  return 1;
}

/* ---- for checkpoints ---- */

static int check_place(lua_State *L, const nn_optimizer *o) {
  lua_Integer place = luaL_checkinteger(L, 2);
  if (place < 1 || place > nn_optimizer_params(o))
    nnl_error(L, "parameter %d is not in 1..%d", (int)place, nn_optimizer_params(o));
  return (int)place - 1;
}

/* opt:options(group) -> all of them by name */
static int optimizer_options(lua_State *L) {
  nn_optimizer *o = check_optimizer(L);
  int group = check_group(L, o);
  nnl_push_options(L, nn_method_signature(nn_optimizer_method(o)), nn_optimizer_get(o, group));
  return 1;
}

/* opt:state(place) -> steps of the parameter added in that place, its state tensors by name (copies) */
static int optimizer_state(lua_State *L) {
  nn_optimizer *o = check_optimizer(L);
  const nn_method *method = nn_optimizer_method(o);
  int place = check_place(L, o);
  lua_pushinteger(L, (lua_Integer)nn_optimizer_steps(o, place));
  lua_newtable(L);
  for (int s = 0; s < nn_method_states(method); s++) {
    nn_tensor *state = nn_optimizer_state(o, place, s);
    if (!state) continue;
    nnl_tensor *box = nnl_tensor_box(L);
    box->tensor = nn_tensor_clone(state);
    if (!box->tensor) return nnl_raise(L);
    nnl_charge(box->tensor);
    lua_setfield(L, -2, nn_method_state_name(method, s));
  }
  return 2;
}

/* opt:set_state(place, steps, { name = tensor }): copies them */
static int optimizer_set_state(lua_State *L) {
  nn_optimizer *o = check_optimizer(L);
  const nn_method *method = nn_optimizer_method(o);
  int place = check_place(L, o);
  lua_Integer steps = luaL_checkinteger(L, 3);
  luaL_checktype(L, 4, LUA_TTABLE);
  for (int s = 0; s < nn_method_states(method); s++) {
    if (lua_getfield(L, 4, nn_method_state_name(method, s)) != LUA_TNIL &&
        nn_optimizer_set_state(o, place, s, nnl_check_tensor(L, -1)) != NN_OK)
      return nnl_raise(L);
    lua_pop(L, 1);
  }
  nn_optimizer_set_steps(o, place, steps);
  return 0;
}

static int optimizer_gc(lua_State *L) {
  nnl_optimizer *box = luaL_checkudata(L, 1, NNL_OPTIMIZER);
  nn_optimizer_free(box->optimizer);
  box->optimizer = NULL;
  return 0;
}

/* nn.clip_grad_norm({ tensors }, limit) -> the norm before */
static int clip_grad_norm(lua_State *L) {
  int count;
  double limit = luaL_checknumber(L, 2), norm;
  nn_tensor **list = check_list(L, "clip_grad_norm", 1, &count);
  if (nn_clip_grad_norm(list, count, limit, &norm) != NN_OK) return nnl_raise(L);
  lua_pushnumber(L, norm);
  return 1;
}

/* nn.clip_grad_value({ tensors }, limit) */
static int clip_grad_value(lua_State *L) {
  int count;
  double limit = luaL_checknumber(L, 2);
  nn_tensor **list = check_list(L, "clip_grad_value", 1, &count);
  return nn_clip_grad_value(list, count, limit) == NN_OK ? 0 : nnl_raise(L);
}

/* nn.average_update({ averages }, { parameters }, decay) */
static int average_update(lua_State *L) {
  int count, averages_count;
  double decay = luaL_checknumber(L, 3);
  nn_tensor **averages = check_list(L, "average_update", 1, &averages_count);
  nn_tensor **params = check_list(L, "average_update", 2, &count);
  if (count != averages_count)
    return nnl_error(L, "average_update: as many averages as parameters expected, got %d and %d", averages_count,
                     count);
  return nn_average_update(averages, params, count, decay) == NN_OK ? 0 : nnl_raise(L);
}

/* nn.methods() -> list of { name, signature, doc } */
static int method_list(lua_State *L) {
  lua_createtable(L, nn_method_count(), 0);
  for (int i = 0; i < nn_method_count(); i++) {
    const nn_method *m = nn_method_at(i);
    nnl_push_row(L, nn_method_name(m), nn_method_signature_text(m), nn_method_doc(m));
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

void nnl_open_optimizers(lua_State *L, int module) {
  static const luaL_Reg methods[] = {
    { "step", optimizer_step }, { "zero_grad", optimizer_zero_grad }, { "add_group", optimizer_add_group },
    { "set", optimizer_set }, { "get", optimizer_get }, { "options", optimizer_options },
    { "state", optimizer_state }, { "set_state", optimizer_set_state }, { NULL, NULL },
  };
  static const luaL_Reg functions[] = {
    { "Optimizer", optimizer_new }, { "clip_grad_norm", clip_grad_norm }, { "clip_grad_value", clip_grad_value },
    { "average_update", average_update }, { "methods", method_list }, { NULL, NULL },
  };
  luaL_newmetatable(L, NNL_OPTIMIZER);
  lua_pushcfunction(L, optimizer_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushvalue(L, module);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
