/* b_attack.c -- nn.attack: attacks on models that run in C. The C half of require "attack".
 *
 * A model is one of ours, or anything with a method forward(x, { training, update }): that is called back in protected
 * mode, and what it raises is raised again once the attack has put everything away.
 */
#include <stdio.h>

#include "nnl.h"

/* ---- calling back ---- */

typedef struct {
  lua_State *L;
  int model, progress;  /* stack indices; 0: none */
  bool raised;          /* an error object is on top of the stack */
} caller;

typedef struct {
  nn_tensor *x, *logits;
  bool training;
} pass;

/* (pass, model): the model's forward, in protected mode. */
static int call_forward(lua_State *L) {
  pass *p = lua_touserdata(L, 1);
  lua_getfield(L, 2, "forward");
  lua_pushvalue(L, 2);
  nnl_tensor_box(L)->tensor = nn_tensor_retain(p->x);
  lua_createtable(L, 0, 2);
  lua_pushboolean(L, p->training);
  lua_setfield(L, -2, "training");
  lua_pushboolean(L, false);
  lua_setfield(L, -2, "update");
  lua_call(L, 3, 1);
  nn_tensor *made = nnl_test_tensor(L, -1);
  if (!made) return nnl_error(L, "attack: the model's forward is to return logits, got %s", luaL_typename(L, -1));
  p->logits = nn_tensor_retain(made);
  return 0;
}

static int lua_model(void *context, nn_tensor *x, bool training, nn_tensor **logits) {
  caller *c = context;
  pass p = { .x = x, .training = training };
  lua_pushcfunction(c->L, call_forward);
  lua_pushlightuserdata(c->L, &p);
  lua_pushvalue(c->L, c->model);
  if (lua_pcall(c->L, 2, 0, 0) == LUA_OK) {
    *logits = p.logits;
    return NN_OK;
  }
  c->raised = true;
  return nn_fail(NN_ESTATE, "the model raised an error");
}

static int call_progress(void *context, uint64_t done, uint64_t total) {
  caller *c = context;
  lua_pushvalue(c->L, c->progress);
  lua_pushinteger(c->L, (lua_Integer)done);
  lua_pushinteger(c->L, (lua_Integer)total);
  if (lua_pcall(c->L, 2, 0, 0) == LUA_OK) return NN_OK;
  c->raised = true;
  return nn_fail(NN_ESTATE, "the progress function raised an error");
}

/* ---- arguments ---- */

static const nn_attack *check_attack(lua_State *L, int index) {
  const char *name = luaL_checkstring(L, index);
  const nn_attack *a = nn_attack_find(name);
  if (a) return a;
  char words[512] = "", near[40];
  for (int i = 0, used = 0; i < nn_attack_count(); i++)
    used += snprintf(words + used, sizeof words - (size_t)used, i ? " %s" : "%s", nn_attack_name(nn_attack_at(i)));
  const char *guess = nnl_nearest(name, words, near, sizeof near);
  if (guess) nnl_error(L, "attack: unknown attack \"%s\"; did you mean \"%s\"?", name, guess);
  nnl_error(L, "attack: unknown attack \"%s\"; there are %s", name, words);
  return NULL;
}

static void check_model(lua_State *L, int index, nn_attacked *model) {
  model->module = nnl_test_module(L, index);
  if (model->module) return;
  bool fits = lua_istable(L, index) || lua_isuserdata(L, index);
  if (fits) {
    fits = lua_getfield(L, index, "forward") != LUA_TNIL;
    lua_pop(L, 1);
  }
  if (!fits)
    nnl_error(L, "attack: a model, or a table with a method forward, expected, got %s", luaL_typename(L, index));
  model->forward = lua_model;
}

/* An option of the call itself, taken out of the attack's, which are on top of the stack; left on the stack. */
static bool take_option(lua_State *L, int options, const char *name) {
  bool given = lua_getfield(L, options, name) != LUA_TNIL;
  lua_pushnil(L);
  lua_setfield(L, options, name);
  return given;
}

/* A copy of the table at index (or nil), on top of the stack. */
static int copy_options(lua_State *L, int index) {
  if (!lua_isnil(L, index)) luaL_checktype(L, index, LUA_TTABLE);
  lua_newtable(L);
  int copy = lua_gettop(L);
  if (lua_isnil(L, index)) return copy;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    lua_pushvalue(L, -2);
    lua_pushvalue(L, -2);
    lua_rawset(L, copy);
  }
  return copy;
}

static uint64_t next_seed(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, "nn.next_seed");
  lua_call(L, 0, 1);
  return (uint64_t)lua_tointeger(L, -1);
}

static void push_counts(lua_State *L, const nn_attack_counts *counts) {
  const struct { const char *name; int64_t count; } fields[] = {
    { "forward", counts->forward }, { "backward", counts->backward }, { "zero_gradient", counts->zero_gradient },
    { "nonfinite_gradient", counts->nonfinite_gradient },
  };
  lua_createtable(L, 0, 4);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    lua_pushinteger(L, (lua_Integer)fields[i].count);
    lua_setfield(L, -2, fields[i].name);
  }
}

/* ---- the functions ---- */

/* nn.attack.run(name, model, x, y, { options of the attack, seed, offset, numbers, progress }) -> x', { forward,
 * backward, zero_gradient, nonfinite_gradient }. Without a seed it draws anew each time. numbers: an index tensor, the
 * images' places in the whole part where they do not follow each other. offset: images before the first of x in
 * the whole part, as draws belong to images. progress(done, total): passes of images. */
static int attack_run(lua_State *L) {
  nn_attacked model = { 0 };
  nn_attack_use use = { 0 };
  nn_attack_counts counts = { 0 };
  nn_param params[NN_MAX_PARAMS] = { 0 };
  caller c = { .L = L, .model = 2 };
  lua_settop(L, 5);
  const nn_attack *attack = check_attack(L, 1);
  check_model(L, 2, &model);
  nn_tensor *x = nnl_check_tensor(L, 3), *y = nnl_check_tensor(L, 4);
  int options = copy_options(L, 5);
  use.seed = take_option(L, options, "seed") ? (uint64_t)luaL_checkinteger(L, -1) : next_seed(L);
  if (take_option(L, options, "offset")) use.offset = luaL_checkinteger(L, -1);
  if (take_option(L, options, "numbers")) use.numbers = nnl_check_tensor(L, -1);
  if (take_option(L, options, "progress")) {
    luaL_checktype(L, -1, LUA_TFUNCTION);
    c.progress = lua_gettop(L);
    use.progress = call_progress;
  }
  nnl_read_options(L, nn_attack_name(attack), nn_attack_signature(attack), options, params);
  model.context = use.context = &c;
  luaL_checkstack(L, 12, "attack");

  nnl_tensor *box = nnl_tensor_box(L);

  int status = nn_attack_run(attack, params, &model, x, y, &use, &box->tensor, &counts);
  if (c.raised) return lua_error(L);
  if (status != NN_OK) return nnl_raise(L);
  nnl_charge(box->tensor);
  push_counts(L, &counts);
  return 2;
}

/* nn.attack.project(x, x', { norm = "linf", eps }) -> the nearest to x' in the ball around x, then in [0, 1] */
static int attack_project(lua_State *L) {
  static const char options[] = "{norm:linf|l2=linf, eps:number >=0}";
  nn_signature s;
  nn_param p[NN_MAX_PARAMS];
  lua_settop(L, 3);
  nn_tensor *x = nnl_check_tensor(L, 1), *found = nnl_check_tensor(L, 2);
  nn_signature_parse(options, &s);
  nnl_read_options(L, "project", &s, 3, p);

  nnl_tensor *box = nnl_tensor_box(L);

  int status = nn_attack_project(x, found, p[0].integer ? "l2" : "linf", p[1].number, &box->tensor);
  if (status != NN_OK) return nnl_raise(L);
  nnl_charge(box->tensor);
  return 1;
}

/* nn.attack.rows() -> list of { name, signature, doc, example } */
static int attack_rows(lua_State *L) {
  lua_createtable(L, nn_attack_count(), 0);
  for (int i = 0; i < nn_attack_count(); i++) {
    const nn_attack *a = nn_attack_at(i);
    nnl_push_row(L, nn_attack_name(a), nn_attack_signature_text(a), nn_attack_doc(a));
    lua_pushstring(L, nn_attack_example(a));
    lua_setfield(L, -2, "example");
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

void nnl_open_attack(lua_State *L, int module) {
  static const luaL_Reg attack[] = {
    { "run", attack_run }, { "project", attack_project }, { "rows", attack_rows }, { NULL, NULL },
  };
  luaL_newlib(L, attack);
  lua_setfield(L, module, "attack");
}
