/* b_perturb.c -- nn.perturb: the trees of perturbations that run in C. The C half of require "perturb". */
#include "nnl.h"

#define NNL_PERTURB "nn.perturb"

static const char *const conventions[] = { "paper", "torchvision", NULL };

typedef struct {
  nn_perturb *tree; /* NULL while empty */
} nnl_perturb;

static nnl_perturb *perturb_box(lua_State *L) {
  nnl_perturb *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->tree = NULL;
  luaL_setmetatable(L, NNL_PERTURB);
  return box;
}

nn_perturb *nnl_check_perturb(lua_State *L, int index) {
  nnl_perturb *box = luaL_checkudata(L, index, NNL_PERTURB);
  luaL_argcheck(L, box->tree, index, "empty perturbation");
  return box->tree;
}

static int boxed(lua_State *L, const nnl_perturb *box) { return box->tree ? 1 : nnl_raise(L); }

static int perturb_release(lua_State *L) {
  nnl_perturb *box = luaL_checkudata(L, 1, NNL_PERTURB);
  nn_perturb *tree = box->tree;
  box->tree = NULL;
  nn_perturb_release(tree);
  return 0;
}

/* nn.perturb.row(name, convention, random_sign, list of values) -> tree */
static int perturb_row(lua_State *L) {
  const nn_perturbation *row = nn_perturbation_find(luaL_checkstring(L, 1));
  luaL_argcheck(L, row, 1, "no such perturbation");
  nn_convention convention = (nn_convention)luaL_checkoption(L, 2, NULL, conventions);
  bool random_sign = lua_toboolean(L, 3);
  double values[NN_PERTURB_VALUES + 1] = { 0 };
  luaL_checktype(L, 4, LUA_TTABLE);
  int count = 0;
  for (; count <= NN_PERTURB_VALUES && lua_geti(L, 4, count + 1) != LUA_TNIL; count++) {
    values[count] = luaL_checknumber(L, -1);
    lua_pop(L, 1);
  }
  nnl_perturb *box = perturb_box(L);
  box->tree = nn_perturb_row(row, convention, random_sign, values, count);
  return boxed(L, box);
}

/* A list of trees at index, as an array that the stack keeps alive; the list, read without its metamethods, keeps the
 * trees. */
static nn_perturb **check_trees(lua_State *L, int index, int *count) {
  luaL_checktype(L, index, LUA_TTABLE);
  lua_Integer length = (lua_Integer)lua_rawlen(L, index);
  luaL_argcheck(L, length < 1 << 16, index, "too many parts");
  nn_perturb **trees = lua_newuserdatauv(L, (size_t)(length + 1) * sizeof *trees, 0);
  for (int i = 0; i < length; i++) {
    lua_rawgeti(L, index, i + 1);
    trees[i] = nnl_check_perturb(L, -1);
    lua_pop(L, 1);
  }
  *count = (int)length;
  return trees;
}

/* nn.perturb.sequence(list of trees) -> tree */
static int perturb_sequence(lua_State *L) {
  int count;
  nn_perturb **trees = check_trees(L, 1, &count);
  nnl_perturb *box = perturb_box(L);
  box->tree = nn_perturb_sequence(trees, count);
  return boxed(L, box);
}

/* nn.perturb.choice(list of trees) -> tree */
static int perturb_choice(lua_State *L) {
  int count;
  nn_perturb **trees = check_trees(L, 1, &count);
  nnl_perturb *box = perturb_box(L);
  box->tree = nn_perturb_choice(trees, count);
  return boxed(L, box);
}

/* nn.perturb.maybe(probability, tree) -> tree */
static int perturb_maybe(lua_State *L) {
  double probability = luaL_checknumber(L, 1);
  nn_perturb *part = nnl_check_perturb(L, 2);
  nnl_perturb *box = perturb_box(L);
  box->tree = nn_perturb_maybe(probability, part);
  return boxed(L, box);
}

/* nn.perturb.apply(tree, x, seed, step) -> x' */
static int perturb_apply(lua_State *L) {
  nn_perturb *tree = nnl_check_perturb(L, 1);
  nn_tensor *x = nnl_check_tensor(L, 2);
  uint64_t seed = (uint64_t)luaL_checkinteger(L, 3), step = (uint64_t)luaL_checkinteger(L, 4);
  nnl_tensor *box = nnl_tensor_box(L);
  int status = nn_perturb_apply(tree, x, seed, step, &box->tensor);
  if (status != NN_OK) return nnl_raise(L);
  nnl_charge(box->tensor);
  return 1;
}

static void set_string(lua_State *L, const char *key, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, key);
}

static void push_form(lua_State *L, const nn_perturbation_info *info) {
  lua_createtable(L, 0, 5);
  set_string(L, "parameter", info->parameter);
  lua_pushboolean(L, info->factor);
  lua_setfield(L, -2, "factor");
  lua_pushnumber(L, info->min);
  lua_setfield(L, -2, "min");
  lua_pushnumber(L, info->max);
  lua_setfield(L, -2, "max");
  lua_createtable(L, NN_PERTURB_LEVELS, 0);
  for (int k = 0; k < NN_PERTURB_LEVELS; k++) {
    lua_pushnumber(L, info->level[k]);
    lua_rawseti(L, -2, k + 1);
  }
  lua_setfield(L, -2, "levels");
}

/* nn.perturb.rows() -> list of { name, doc, settings = how many, paper = form, torchvision = form }; without settings a
 * form is { parameter, factor, min, max, levels } */
static int perturb_rows(lua_State *L) {
  int count = nn_perturbation_count();
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    nn_perturbation_info info;
    lua_createtable(L, 0, 5);
    for (int c = 0; c < NN_CONVENTIONS; c++) {
      nn_perturbation_describe(nn_perturbation_at(i), (nn_convention)c, &info);
      if (info.settings > 0) continue;
      push_form(L, &info);
      lua_setfield(L, -2, conventions[c]);
    }
    lua_pushinteger(L, info.settings);
    lua_setfield(L, -2, "settings");
    set_string(L, "name", info.name);
    set_string(L, "doc", info.doc);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

void nnl_open_perturb(lua_State *L, int module) {
  static const luaL_Reg perturb[] = {
    { "row", perturb_row }, { "sequence", perturb_sequence }, { "choice", perturb_choice }, { "maybe", perturb_maybe },
    { "apply", perturb_apply }, { "rows", perturb_rows }, { NULL, NULL },
  };
  luaL_newmetatable(L, NNL_PERTURB);
  lua_pushcfunction(L, perturb_release);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  luaL_newlib(L, perturb);
  lua_setfield(L, module, "perturb");
}
