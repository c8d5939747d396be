/* b_tensor.c -- tensors as Lua values: making them, reading and writing elements, printing, gradients.
 *
 * Lua counts axes and positions from 1. Values of an index tensor are stored from 0, and read and written from 1.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nnl.h"

/* What Lua sees of a stored value. */
static double base_of(const nn_tensor *t) { return nn_tensor_type(t) == NN_INDEX ? 1 : 0; }

static void push_value(lua_State *L, const nn_tensor *t, double value) {
  if (nn_tensor_type(t) == NN_REAL) lua_pushnumber(L, value);
  else lua_pushinteger(L, (lua_Integer)(value + base_of(t)));
}

static nn_type check_type(lua_State *L, int index, nn_type fallback) {
  static const char *const names[] = { "float", "uint8", "int32", "index", NULL };
  return (nn_type)luaL_checkoption(L, index, names[fallback], names);
}

/* Sizes from a list at index. */
static int check_sizes(lua_State *L, int index, int64_t *size) {
  luaL_checktype(L, index, LUA_TTABLE);
  lua_Integer axes = luaL_len(L, index);
  if (axes > NN_MAX_AXES) return nnl_error(L, "at most %d axes, got %d", NN_MAX_AXES, (int)axes);
  for (int i = 0; i < axes; i++) {
    int whole;
    lua_geti(L, index, i + 1);
    size[i] = lua_tointegerx(L, -1, &whole);
    if (!whole || size[i] < 0) nnl_error(L, "size %d must be a whole number from 0, got %s", i + 1,
                                         luaL_tolstring(L, -1, NULL));
    lua_pop(L, 1);
  }
  return (int)axes;
}

/* ---- making ---- */

typedef struct {
  nn_type type;
  bool requires_grad;
} making;

/* { type = "float", requires_grad = false } at index */
static making check_making(lua_State *L, int index, const char *who) {
  static const char text[] = "{type:float|uint8|int32|index=float, requires_grad:boolean=false}";
  nn_signature s;
  nn_param p[NN_MAX_PARAMS];
  nn_signature_parse(text, &s);
  nnl_read_options(L, who, &s, index, p);
  return (making){ (nn_type)p[0].integer, p[1].integer };
}

static int finish(lua_State *L, nnl_tensor *box, int status, making m) {
  if (status == NN_OK && m.requires_grad) status = nn_tensor_set_requires_grad(box->tensor, true);
  if (status != NN_OK) return nnl_raise(L);
  nnl_charge(box->tensor);
  return 1;
}

/* nn.full(sizes, value [, options]) */
static int full_of(lua_State *L, const char *who, double value, int options) {
  int64_t size[NN_MAX_AXES];
  int axes = check_sizes(L, 1, size);
  making m = check_making(L, options, who);
  nnl_tensor *box = nnl_tensor_box(L);
  box->tensor = nn_tensor_new(m.type, axes, size);
  int status = box->tensor ? nn_tensor_fill(box->tensor, value - (m.type == NN_INDEX)) : NN_EMEMORY;
  return finish(L, box, status, m);
}

static int tensor_full(lua_State *L) { return full_of(L, "full", luaL_checknumber(L, 2), 3); }
static int tensor_ones(lua_State *L) { return full_of(L, "ones", 1, 2); }

/* nn.zeros(sizes [, options]) -- all bits zero: an index tensor of zeros reads as ones */
static int tensor_zeros(lua_State *L) {
  int64_t size[NN_MAX_AXES];
  int axes = check_sizes(L, 1, size);
  making m = check_making(L, 2, "zeros");
  nnl_tensor *box = nnl_tensor_box(L);
  box->tensor = nn_tensor_zeros(m.type, axes, size);
  return finish(L, box, box->tensor ? NN_OK : NN_EMEMORY, m);
}

/* Descends into the nested list on top of the stack to learn its shape. */
static int shape_of_list(lua_State *L, int64_t *size) {
  int axes = 0, pushed = 0;
  lua_pushvalue(L, 1);
  pushed++;
  while (lua_istable(L, -1)) {
    if (axes == NN_MAX_AXES) nnl_error(L, "tensor: lists nest at most %d deep", NN_MAX_AXES);
    size[axes++] = luaL_len(L, -1);
    if (size[axes - 1] == 0) break;
    lua_geti(L, -1, 1);
    pushed++;
  }
  lua_pop(L, pushed);
  return axes;
}

static int fill_from_list(lua_State *L, nn_tensor *t, int axis, int64_t *position) {
  if (axis == nn_tensor_axes(t)) {
    if (lua_type(L, -1) != LUA_TNUMBER) return nnl_error(L, "tensor: a number expected, got %s", luaL_typename(L, -1));
    if (nn_tensor_set(t, position, lua_tonumber(L, -1) - base_of(t)) != NN_OK) return nnl_raise(L);
    return 0;
  }
  int64_t size = nn_tensor_size(t, axis);
  if (!lua_istable(L, -1))
    return nnl_error(L, "tensor: a list of %d expected, got %s", (int)size, luaL_typename(L, -1));
  if (luaL_len(L, -1) != size)
    return nnl_error(L, "tensor: lists of one length expected on axis %d: %d, got %d", axis + 1, (int)size,
                     (int)luaL_len(L, -1));
  for (int64_t i = 0; i < size; i++) {
    lua_geti(L, -1, i + 1);
    position[axis] = i;
    fill_from_list(L, t, axis + 1, position);
    lua_pop(L, 1);
  }
  return 0;
}

/* nn.tensor(number | nested list [, { type, requires_grad }]) */
static int tensor_from(lua_State *L) {
  int64_t size[NN_MAX_AXES], position[NN_MAX_AXES] = { 0 };
  if (lua_type(L, 1) != LUA_TNUMBER) luaL_checktype(L, 1, LUA_TTABLE);
  making m = check_making(L, 2, "tensor");
  luaL_checkstack(L, NN_MAX_AXES + 8, "tensor");
  int axes = shape_of_list(L, size);
  nnl_tensor *box = nnl_tensor_box(L);
  box->tensor = nn_tensor_new(m.type, axes, size);
  if (!box->tensor) return nnl_raise(L);
  lua_pushvalue(L, 1);
  fill_from_list(L, box->tensor, 0, position);
  lua_pop(L, 1);
  return finish(L, box, NN_OK, m);
}

static const char uniform_options[] =
    "{low:number=0, high:number=1, seed:integer?, stream:integer=0, requires_grad:boolean=false}";
static const char normal_options[] =
    "{mean:number=0, deviation:number=1 >=0, seed:integer?, stream:integer=0, requires_grad:boolean=false}";

/* Draws without a seed take the next number of this stream, so that a session can be repeated with nn.seed(n). */
static uint64_t session_seed = 1, session_draws;

static int random_tensor(lua_State *L, const char *who, bool normal) {
  int64_t size[NN_MAX_AXES];
  nn_signature s;
  nn_param p[NN_MAX_PARAMS];
  int axes = check_sizes(L, 1, size);
  nn_signature_parse(normal ? normal_options : uniform_options, &s);
  nnl_read_options(L, who, &s, 2, p);
  uint64_t seed = p[2].given ? (uint64_t)p[2].integer : nn_random_derive(session_seed, 1, session_draws++);
  uint64_t stream = (uint64_t)p[3].integer;
  nnl_tensor *box = nnl_tensor_box(L);
  box->tensor = nn_tensor_new(NN_REAL, axes, size);
  if (!box->tensor) return nnl_raise(L);
  nn_real *out = nn_tensor_write(box->tensor);
  int64_t count = nn_tensor_count(box->tensor);
  int status = normal ? nn_random_fill_normal(out, count, p[0].number, p[1].number, seed, stream)
                      : nn_random_fill_uniform(out, count, p[0].number, p[1].number, seed, stream);
  return finish(L, box, status, (making){ NN_REAL, p[4].integer });
}

/* nn.uniform(sizes [, { low, high, seed, stream }]) */
static int tensor_uniform(lua_State *L) { return random_tensor(L, "uniform", false); }
/* nn.normal(sizes [, { mean, deviation, seed, stream }]) */
static int tensor_normal(lua_State *L) { return random_tensor(L, "normal", true); }

/* nn.permutation(count, seed [, stream]) -> index [count] */
static int tensor_permutation(lua_State *L) {
  int64_t count = luaL_checkinteger(L, 1);
  luaL_argcheck(L, count >= 0, 1, "a count from 0 expected");
  uint64_t seed = (uint64_t)luaL_checkinteger(L, 2), stream = (uint64_t)luaL_optinteger(L, 3, 0);
  nnl_tensor *box = nnl_tensor_box(L);
  box->tensor = nn_tensor_new(NN_INDEX, 1, &count);
  if (!box->tensor) return nnl_raise(L);
  return finish(L, box, nn_random_permutation(nn_tensor_write(box->tensor), count, seed, stream), (making){ 0 });
}

/* nn.seed([n]) -> the session's seed; with n sets it and starts its draws again */
static int seed(lua_State *L) {
  if (!lua_isnoneornil(L, 1)) {
    session_seed = (uint64_t)luaL_checkinteger(L, 1);
    session_draws = 0;
  }
  lua_pushinteger(L, (lua_Integer)session_seed);
  return 1;
}

/* nn.random_state([{ seed, draws }]) -> the same: the session's seed and how many draws were made from it; with a table
 * sets them */
static int random_state(lua_State *L) {
  if (!lua_isnoneornil(L, 1)) {
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_getfield(L, 1, "seed");
    lua_getfield(L, 1, "draws");
    uint64_t seed_given = (uint64_t)luaL_checkinteger(L, -2), draws = (uint64_t)luaL_checkinteger(L, -1);
    session_seed = seed_given;
    session_draws = draws;
  }
  lua_createtable(L, 0, 2);
  lua_pushinteger(L, (lua_Integer)session_seed);
  lua_setfield(L, -2, "seed");
  lua_pushinteger(L, (lua_Integer)session_draws);
  lua_setfield(L, -2, "draws");
  return 1;
}

/* nn.next_seed() -> the next derived seed of the session */
static int next_seed(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)(nn_random_derive(session_seed, 1, session_draws++) >> 1));
  return 1;
}

/* ---- elements ---- */

/* Positions from stack index 2 on, one per axis. */
static void check_position(lua_State *L, const nn_tensor *t, const char *who, int64_t *position) {
  for (int i = 0; i < nn_tensor_axes(t); i++) {
    int64_t p = luaL_checkinteger(L, 2 + i), size = nn_tensor_size(t, i);
    if (p < 0) p += size + 1;
    if (p < 1 || p > size)
      nnl_error(L, "%s: position %lld on axis %d is not in 1..%lld", who, (long long)luaL_checkinteger(L, 2 + i), i + 1,
                (long long)size);
    position[i] = p - 1;
  }
}

static int tensor_get(lua_State *L) {
  nn_tensor *t = nnl_check_tensor(L, 1);
  int64_t position[NN_MAX_AXES];
  check_position(L, t, "get", position);
  push_value(L, t, nn_tensor_get(t, position));
  return 1;
}

/* t:set(i, j, ..., value) */
static int tensor_set(lua_State *L) {
  nn_tensor *t = nnl_check_tensor(L, 1);
  int64_t position[NN_MAX_AXES];
  check_position(L, t, "set", position);
  double value = luaL_checknumber(L, 2 + nn_tensor_axes(t));
  if (nn_tensor_set(t, position, value - base_of(t)) != NN_OK) return nnl_raise(L);
  lua_settop(L, 1);
  return 1;
}

static int tensor_item(lua_State *L) {
  nn_tensor *t = nnl_check_tensor(L, 1);
  int64_t position[NN_MAX_AXES] = { 0 };
  char text[80];
  if (nn_tensor_count(t) != 1)
    return nnl_error(L, "item: a tensor of one element expected, got %s", nn_tensor_describe(t, text, sizeof text));
  push_value(L, t, nn_tensor_get(t, position));
  return 1;
}

static void push_list(lua_State *L, const nn_tensor *t, int axis, int64_t *position) {
  if (axis == nn_tensor_axes(t)) {
    push_value(L, t, nn_tensor_get(t, position));
    return;
  }
  int64_t size = nn_tensor_size(t, axis);
  lua_createtable(L, (int)size, 0);
  for (int64_t i = 0; i < size; i++) {
    position[axis] = i;
    push_list(L, t, axis + 1, position);
    lua_rawseti(L, -2, i + 1);
  }
}

static int tensor_tolist(lua_State *L) {
  nn_tensor *t = nnl_check_tensor(L, 1);
  int64_t position[NN_MAX_AXES];
  luaL_checkstack(L, NN_MAX_AXES + 2, "tolist");
  push_list(L, t, 0, position);
  return 1;
}

static int tensor_fill(lua_State *L) {
  nn_tensor *t = nnl_check_tensor(L, 1);
  if (nn_tensor_fill(t, luaL_checknumber(L, 2) - base_of(t)) != NN_OK) return nnl_raise(L);
  lua_settop(L, 1);
  return 1;
}

/* t:copy(other) -- other's values into t */
static int tensor_copy(lua_State *L) {
  if (nn_tensor_copy(nnl_check_tensor(L, 1), nnl_check_tensor(L, 2)) != NN_OK) return nnl_raise(L);
  lua_settop(L, 1);
  return 1;
}

static int boxed(lua_State *L, nnl_tensor *box) {
  if (!box->tensor) return nnl_raise(L);
  nnl_charge(box->tensor);
  return 1;
}

static int tensor_clone(lua_State *L) {
  nn_tensor *t = nnl_check_tensor(L, 1);
  nnl_tensor *box = nnl_tensor_box(L);
  box->tensor = nn_tensor_clone(t);
  return boxed(L, box);
}

static int tensor_detach(lua_State *L) {
  nn_tensor *t = nnl_check_tensor(L, 1);
  nnl_tensor *box = nnl_tensor_box(L);
  box->tensor = nn_tensor_detach(t);
  if (!box->tensor) return nnl_raise(L);
  return 1;
}

/* t:to(type) -- index to and from other types keeps the stored values, which count from 0 */
static int tensor_to(lua_State *L) {
  nn_tensor *t = nnl_check_tensor(L, 1);
  nn_type type = check_type(L, 2, NN_REAL);
  nnl_tensor *box = nnl_tensor_box(L);
  box->tensor = nn_tensor_to(t, type);
  return boxed(L, box);
}

static int tensor_count(lua_State *L) {
  lua_pushinteger(L, nn_tensor_count(nnl_check_tensor(L, 1)));
  return 1;
}

/* t:size(axis) */
static int tensor_size(lua_State *L) {
  nn_tensor *t = nnl_check_tensor(L, 1);
  lua_Integer axis = luaL_checkinteger(L, 2);
  int axes = nn_tensor_axes(t);
  if (axis < 0) axis += axes + 1;
  if (axis < 1 || axis > axes) return nnl_error(L, "size: axis %d is not one of the tensor's %d",
                                                (int)luaL_checkinteger(L, 2), axes);
  lua_pushinteger(L, nn_tensor_size(t, (int)axis - 1));
  return 1;
}

static int tensor_length(lua_State *L) {
  nn_tensor *t = nnl_check_tensor(L, 1);
  if (nn_tensor_axes(t) == 0) return nnl_error(L, "a tensor without axes has no length");
  lua_pushinteger(L, nn_tensor_size(t, 0));
  return 1;
}

/* ---- gradients ---- */

static const char backward_options[] = "gradient:tensor? {keep_graph:boolean=false}";

/* t:backward([gradient] [, { keep_graph = false }]) */
static int tensor_backward(lua_State *L) {
  nn_tensor *t = nnl_check_tensor(L, 1), *start[2];
  nn_signature s;
  nn_param p[NN_MAX_PARAMS];
  int count;
  nn_signature_parse(backward_options, &s);
  nnl_read_arguments(L, "backward", &s, 2, start, &count, p);
  int status = nn_backward(t, start[0], p[0].integer);
  if (status != NN_OK) return nnl_raise(L);
  return 0;
}

static int tensor_retain_grad(lua_State *L) {
  if (nn_tensor_retain_grad(nnl_check_tensor(L, 1)) != NN_OK) return nnl_raise(L);
  lua_settop(L, 1);
  return 1;
}

static int tensor_clear_grad(lua_State *L) {
  nn_tensor_clear_grad(nnl_check_tensor(L, 1));
  return 0;
}

/* ---- printing ---- */

enum { SHOWN = 6 };

static void add_number(luaL_Buffer *b, const nn_tensor *t, double value) {
  char text[40];
  if (nn_tensor_type(t) == NN_REAL) snprintf(text, sizeof text, "%9.4g", value);
  else snprintf(text, sizeof text, "%4.0f", value + base_of(t));
  luaL_addstring(b, text);
}

/* The last axis across, the one before it down; of more axes only the first place of each is shown. */
static void add_body(luaL_Buffer *b, const nn_tensor *t) {
  int axes = nn_tensor_axes(t);
  int64_t position[NN_MAX_AXES] = { 0 };
  int64_t columns = axes ? nn_tensor_size(t, axes - 1) : 1, lines = axes > 1 ? nn_tensor_size(t, axes - 2) : 1;
  for (int64_t r = 0; r < lines && r < SHOWN; r++) {
    luaL_addstring(b, "\n ");
    for (int64_t c = 0; c < columns && c < SHOWN; c++) {
      if (axes > 1) position[axes - 2] = r;
      if (axes > 0) position[axes - 1] = c;
      luaL_addstring(b, " ");
      add_number(b, t, nn_tensor_get(t, position));
    }
    if (columns > SHOWN) luaL_addstring(b, "  ...");
  }
  if (lines > SHOWN) luaL_addstring(b, "\n  ...");
  if (axes > 2) luaL_addstring(b, "\n  (the first of each outer axis)");
}

static void add_summary(luaL_Buffer *b, const nn_tensor *t) {
  int64_t count = nn_tensor_count(t);
  char text[120];
  double low = INFINITY, high = -INFINITY, sum = 0;
  int64_t odd = 0;
  if (!nn_tensor_contiguous(t)) return;
  for (int64_t i = 0; i < count; i++) {
    const void *data = nn_tensor_data(t);
    double v = nn_tensor_type(t) == NN_REAL ? (double)((const nn_real *)data)[i]
             : nn_tensor_type(t) == NN_UINT8 ? ((const uint8_t *)data)[i] : ((const int32_t *)data)[i];
    if (!isfinite(v)) {
      odd++;
      continue;
    }
    low = v < low ? v : low;
    high = v > high ? v : high;
    sum += v;
  }
  double base = base_of(t);
  if (count > odd) {
    snprintf(text, sizeof text, "  min %.4g  mean %.4g  max %.4g", low + base, sum / (double)(count - odd) + base,
             high + base);
    luaL_addstring(b, text);
  }
  if (odd) {
    snprintf(text, sizeof text, "  %lld not finite", (long long)odd);
    luaL_addstring(b, text);
  }
}

static int tensor_tostring(lua_State *L) {
  nnl_tensor *box = luaL_checkudata(L, 1, NNL_TENSOR);
  char shape[80];
  nn_tensor *t = box->tensor;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  if (!t) {
    luaL_addstring(&b, "tensor (freed)");
  } else {
    luaL_addstring(&b, nn_type_name(nn_tensor_type(t)));
    luaL_addstring(&b, " ");
    luaL_addstring(&b, nn_tensor_describe(t, shape, sizeof shape));
    if (nn_tensor_requires_grad(t)) luaL_addstring(&b, " requires_grad");
    if (nn_tensor_count(t) > 1) add_summary(&b, t);
    if (nn_tensor_count(t) > 0) add_body(&b, t);
  }
  luaL_pushresult(&b);
  return 1;
}

/* ---- the metatable ---- */

static int tensor_free(lua_State *L) {
  nnl_tensor *box = luaL_checkudata(L, 1, NNL_TENSOR);
  nn_tensor *t = box->tensor;
  box->tensor = NULL;
  nn_tensor_release(t);
  return 0;
}

static void push_shape(lua_State *L, const nn_tensor *t) {
  lua_createtable(L, nn_tensor_axes(t), 0);
  for (int i = 0; i < nn_tensor_axes(t); i++) {
    lua_pushinteger(L, nn_tensor_size(t, i));
    lua_rawseti(L, -2, i + 1);
  }
}

/* t[i]: row i. A view; with history when a gradient must flow through it. */
static int push_row(lua_State *L, nn_tensor *t, lua_Integer i) {
  if (nn_tensor_axes(t) == 0) return nnl_error(L, "a tensor without axes has no rows");
  int64_t rows = nn_tensor_size(t, 0);
  if (i < 0) i += rows + 1;
  if (i < 1 || i > rows) {
    lua_pushnil(L);  /* as with lists, so that ipairs ends */
    return 1;
  }
  nnl_tensor *box = nnl_tensor_box(L);
  if (!nn_tensor_requires_grad(t) || !nn_grad_enabled()) {
    box->tensor = nn_tensor_row(t, i - 1);
    return box->tensor ? 1 : nnl_raise(L);
  }
  nn_param slice[NN_MAX_PARAMS] = { { .given = true }, { .given = true, .integer = i - 1 },
                                    { .given = true, .integer = i } };
  nn_param shape[NN_MAX_PARAMS] = { { .given = true, .count = nn_tensor_axes(t) - 1 } };
  memcpy(shape[0].list, nn_tensor_sizes(t) + 1, (size_t)shape[0].count * sizeof(int64_t));
  nn_tensor *part = NULL;
  int status = nn_apply(nn_op_find("slice"), &t, 1, slice, &part);
  if (status == NN_OK) status = nn_apply(nn_op_find("reshape"), &part, 1, shape, &box->tensor);
  nn_tensor_release(part);
  return status == NN_OK ? 1 : nnl_raise(L);
}

static int tensor_index(lua_State *L) {
  nn_tensor *t = nnl_check_tensor(L, 1);
  if (lua_isinteger(L, 2)) return push_row(L, t, lua_tointeger(L, 2));
  const char *key = lua_tostring(L, 2);
  if (!key) return nnl_error(L, "a tensor has rows and named fields, not %s", luaL_typename(L, 2));
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  if (strcmp(key, "shape") == 0) {
    push_shape(L, t);
  } else if (strcmp(key, "type") == 0) {
    lua_pushstring(L, nn_type_name(nn_tensor_type(t)));
  } else if (strcmp(key, "axes") == 0) {
    lua_pushinteger(L, nn_tensor_axes(t));
  } else if (strcmp(key, "requires_grad") == 0) {
    lua_pushboolean(L, nn_tensor_requires_grad(t));
  } else if (strcmp(key, "grad") == 0) {
    nn_tensor *grad = nn_tensor_grad(t);
    if (grad) nnl_tensor_box(L)->tensor = nn_tensor_retain(grad);
    else lua_pushnil(L);
  } else {
    return nnl_error(L, "a tensor has no field \"%s\"", key);
  }
  return 1;
}

static int tensor_newindex(lua_State *L) {
  nn_tensor *t = nnl_check_tensor(L, 1);
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
  if (strcmp(key, "requires_grad") != 0)
    return nnl_error(L, "only requires_grad can be assigned; elements are written with t:set, t:fill and t:copy");
  if (nn_tensor_set_requires_grad(t, lua_toboolean(L, 3)) != NN_OK) return nnl_raise(L);
  return 0;
}

void nnl_open_tensor(lua_State *L) {
  static const luaL_Reg events[] = {
    { "__gc", tensor_free }, { "__close", tensor_free }, { "__tostring", tensor_tostring },
    { "__len", tensor_length }, { "__newindex", tensor_newindex }, { NULL, NULL },
  };
  static const luaL_Reg methods[] = {
    { "get", tensor_get }, { "set", tensor_set }, { "item", tensor_item }, { "tolist", tensor_tolist },
    { "fill", tensor_fill }, { "copy", tensor_copy }, { "clone", tensor_clone }, { "detach", tensor_detach },
    { "to", tensor_to }, { "count", tensor_count }, { "size", tensor_size }, { "backward", tensor_backward },
    { "retain_grad", tensor_retain_grad }, { "clear_grad", tensor_clear_grad }, { "free", tensor_free },
    { NULL, NULL },
  };
  luaL_newmetatable(L, NNL_TENSOR);
  luaL_setfuncs(L, events, 0);
  luaL_newlib(L, methods);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "methods");
  lua_pushcclosure(L, tensor_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

void nnl_open_tensor_functions(lua_State *L, int module) {
  static const luaL_Reg functions[] = {
    { "tensor", tensor_from }, { "full", tensor_full }, { "zeros", tensor_zeros }, { "ones", tensor_ones },
    { "uniform", tensor_uniform }, { "normal", tensor_normal }, { "permutation", tensor_permutation },
    { "seed", seed }, { "next_seed", next_seed }, { "random_state", random_state }, { NULL, NULL },
  };
  lua_pushvalue(L, module);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
