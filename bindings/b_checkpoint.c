/* b_checkpoint.c -- nn.checkpoint and nn.npz: files of named tensors as they are stored. The C half of
 * require "checkpoint".
 *
 * A checkpoint is a userdata; its user value is the table of its fields:
 *   format    "safetensors", "torch zip", "torch stream", "torch tar", "npz"
 *   entries   { { name =, dtype =, shape = { sizes } }, ... }, in the file's order
 *   values    { ["best_prec1"] = 91.78, ... }: numbers, booleans and texts beside the tensors
 *   metadata  { format = "pt", ... }: safetensors' strings
 */
#include <limits.h>
#include <string.h>

#include "nnl.h"

#define CHECKPOINT "nn.checkpoint"
enum { MOST_TENSORS = 1 << 20, MOST_PAIRS = 1 << 16 };

typedef struct {
  nn_checkpoint *checkpoint;  /* NULL while empty and after close */
} checkpoint_box;

static nn_checkpoint *check_checkpoint(lua_State *L, int index) {
  checkpoint_box *box = luaL_checkudata(L, index, CHECKPOINT);
  if (!box->checkpoint) nnl_error(L, "use of closed checkpoint");
  return box->checkpoint;
}

/* ---- reading ---- */

static void push_entries(lua_State *L, const nn_checkpoint *c) {
  int count = nn_checkpoint_count(c);
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    int axes = nn_checkpoint_axes(c, i);
    lua_createtable(L, 0, 3);
    lua_pushstring(L, nn_checkpoint_name(c, i));
    lua_setfield(L, -2, "name");
    lua_pushstring(L, nn_checkpoint_dtype(c, i));
    lua_setfield(L, -2, "dtype");
    lua_createtable(L, axes, 0);
    for (int k = 0; k < axes; k++) {
      lua_pushinteger(L, nn_checkpoint_sizes(c, i)[k]);
      lua_rawseti(L, -2, k + 1);
    }
    lua_setfield(L, -2, "shape");
    lua_rawseti(L, -2, i + 1);
  }
}

static void push_values(lua_State *L, const nn_checkpoint *c, int count,
                        const nn_value *(*get)(const nn_checkpoint *c, int place)) {
  lua_createtable(L, 0, count);
  for (int i = 0; i < count; i++) {
    const nn_value *value = get(c, i);
    lua_pushstring(L, value->name);
    switch (value->kind) {
      case NN_VALUE_BOOLEAN: lua_pushboolean(L, value->integer != 0); break;
      case NN_VALUE_INTEGER: lua_pushinteger(L, value->integer); break;
      case NN_VALUE_NUMBER: lua_pushnumber(L, value->number); break;
      case NN_VALUE_TEXT: lua_pushlstring(L, value->text, value->length); break;
    }
    lua_rawset(L, -3);
  }
}

/* nn.checkpoint.read(path) -> checkpoint, or nil, message, code */
static int checkpoint_read(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  checkpoint_box *box = lua_newuserdatauv(L, sizeof *box, 1);
  box->checkpoint = NULL;
  luaL_setmetatable(L, CHECKPOINT);
  int status = nn_checkpoint_read(path, &box->checkpoint);
  if (status != NN_OK) return nnl_fail(L, status);
  const nn_checkpoint *c = box->checkpoint;
  nnl_charge_bytes(nn_checkpoint_bytes(c));
  lua_createtable(L, 0, 5);
  lua_pushvalue(L, 1);
  lua_setfield(L, -2, "path");
  lua_pushstring(L, nn_checkpoint_format(c));
  lua_setfield(L, -2, "format");
  push_entries(L, c);
  lua_setfield(L, -2, "entries");
  push_values(L, c, nn_checkpoint_value_count(c), nn_checkpoint_value);
  lua_setfield(L, -2, "values");
  push_values(L, c, nn_checkpoint_metadata_count(c), nn_checkpoint_metadata);
  lua_setfield(L, -2, "metadata");
  lua_setiuservalue(L, -2, 1);
  return 1;
}

/* c:tensor(name) -> a new tensor in the file's layout; or nil, message, code. A name that is not there raises. */
static int checkpoint_tensor(lua_State *L) {
  const nn_checkpoint *c = check_checkpoint(L, 1);
  size_t length;
  const char *name = luaL_checklstring(L, 2, &length);
  int place = strlen(name) == length ? nn_checkpoint_find(c, name) : -1;
  if (place < 0) return nnl_error(L, "checkpoint: no tensor \"%s\"", name);
  nnl_tensor *box = nnl_tensor_box(L);
  int status = nn_checkpoint_tensor(c, place, &box->tensor);
  if (status != NN_OK) return nnl_fail(L, status);
  nnl_charge(box->tensor);
  return 1;
}

static int checkpoint_close(lua_State *L) {
  checkpoint_box *box = luaL_checkudata(L, 1, CHECKPOINT);
  nn_checkpoint_free(box->checkpoint);
  box->checkpoint = NULL;
  return 0;
}

static int checkpoint_index(lua_State *L) {
  luaL_checkudata(L, 1, CHECKPOINT);
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
  if (lua_getiuservalue(L, 1, 1) != LUA_TTABLE) return 0;
  lua_pushvalue(L, 2);
  lua_rawget(L, -2);
  return 1;
}

static int checkpoint_tostring(lua_State *L) {
  checkpoint_box *box = luaL_checkudata(L, 1, CHECKPOINT);
  if (!box->checkpoint) lua_pushliteral(L, "checkpoint (closed)");
  else
    lua_pushfstring(L, "checkpoint (%s, %d tensors)", nn_checkpoint_format(box->checkpoint),
                    nn_checkpoint_count(box->checkpoint));
  return 1;
}

/* ---- writing ---- */

/* A list of { name =, tensor = } at `index`: both arrays live in userdata that stays on the stack; the table keeps what
 * they point to. */
typedef struct {
  int count;
  const char **names;
  nn_tensor **tensors;
} named_list;

static named_list check_list(lua_State *L, const char *operation, int index) {
  luaL_checktype(L, index, LUA_TTABLE);
  lua_Unsigned count = lua_rawlen(L, index);
  if (count > MOST_TENSORS) nnl_error(L, "%s: at most %d tensors", operation, MOST_TENSORS);
  named_list list = { .count = (int)count };
  list.names = lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *list.names, 0);
  list.tensors = lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *list.tensors, 0);
  for (int i = 0; i < list.count; i++) {
    lua_rawgeti(L, index, i + 1);
    bool good = lua_istable(L, -1);
    if (good) {
      lua_pushliteral(L, "name");
      lua_rawget(L, -2);
      lua_pushliteral(L, "tensor");
      lua_rawget(L, -3);
      good = lua_type(L, -2) == LUA_TSTRING && strlen(lua_tostring(L, -2)) == lua_rawlen(L, -2);
    }
    nn_tensor *t = good ? nnl_test_tensor(L, -1) : NULL;
    if (!t) nnl_error(L, "%s: { name = text, tensor = tensor } expected at place %d of the list", operation, i + 1);
    list.names[i] = lua_tostring(L, -2);
    list.tensors[i] = t;
    lua_pop(L, 3);
  }
  return list;
}

/* { key = text } -> keys and texts in turn, in userdata on the stack. */
static const char **check_pairs(lua_State *L, const char *operation, int index, int *pairs) {
  size_t count = 0;
  if (lua_isnoneornil(L, index)) {
    *pairs = 0;
    return NULL;
  }
  luaL_checktype(L, index, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
      nnl_error(L, "%s: metadata is a table of texts by name", operation);
    if (strlen(lua_tostring(L, -2)) != lua_rawlen(L, -2) || strlen(lua_tostring(L, -1)) != lua_rawlen(L, -1))
      nnl_error(L, "%s: metadata: a text with a zero byte (%s)", operation, lua_tostring(L, -2));
    if (++count > MOST_PAIRS) nnl_error(L, "%s: metadata: at most %d texts", operation, MOST_PAIRS);
  }
  const char **list = lua_newuserdatauv(L, (2 * count + 1) * sizeof *list, 0);
  size_t at = 0;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    list[at++] = lua_tostring(L, -2);
    list[at++] = lua_tostring(L, -1);
  }
  *pairs = (int)count;
  return list;
}

/* nn.checkpoint.write(path, { { name =, tensor = }, ... } [, { key = text }]) -> true, or nil, message, code: a
 * safetensors file, written whole or not at all */
static int checkpoint_write(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  int pairs;
  lua_settop(L, 3);
  named_list list = check_list(L, "checkpoint.write", 2);
  const char **metadata = check_pairs(L, "checkpoint.write", 3, &pairs);
  int status = nn_safetensors_write(path, list.count, list.names, list.tensors, pairs, metadata);
  if (status != NN_OK) return nnl_fail(L, status);
  lua_pushboolean(L, true);
  return 1;
}

/* ---- .npz ---- */

/* nn.npz.load(path) -> { name = tensor, ... }, or nil, message, code */
static int npz_load(lua_State *L) {
  lua_settop(L, 1);
  int got = checkpoint_read(L);
  if (got != 1) return got;
  const nn_checkpoint *c = check_checkpoint(L, -1);
  if (strcmp(nn_checkpoint_format(c), "npz") != 0) {
    lua_pushnil(L);
    lua_pushfstring(L, "%s: an .npz file expected, found %s", lua_tostring(L, 1), nn_checkpoint_format(c));
    lua_pushliteral(L, "format");
    return 3;
  }
  int count = nn_checkpoint_count(c);
  lua_createtable(L, 0, count);
  for (int i = 0; i < count; i++) {
    nnl_tensor *box = nnl_tensor_box(L);
    int status = nn_checkpoint_tensor(c, i, &box->tensor);
    if (status != NN_OK) return nnl_fail(L, status);
    nnl_charge(box->tensor);
    lua_setfield(L, -2, nn_checkpoint_name(c, i));
  }
  lua_pushcfunction(L, checkpoint_close);
  lua_pushvalue(L, 2);
  lua_call(L, 1, 0);
  return 1;
}

/* { name = tensor, ... } at `index`; the arrays live in userdata on the stack. */
static named_list check_table(lua_State *L, const char *operation, int index) {
  named_list list = { .count = 0 };
  luaL_checktype(L, index, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    bool good = lua_type(L, -2) == LUA_TSTRING && strlen(lua_tostring(L, -2)) == lua_rawlen(L, -2);
    if (!good || !nnl_test_tensor(L, -1)) nnl_error(L, "%s: a table of tensors by name expected", operation);
    if (++list.count > MOST_TENSORS) nnl_error(L, "%s: at most %d tensors", operation, MOST_TENSORS);
  }
  list.names = lua_newuserdatauv(L, (size_t)(list.count + 1) * sizeof *list.names, 0);
  list.tensors = lua_newuserdatauv(L, (size_t)(list.count + 1) * sizeof *list.tensors, 0);
  int at = 0;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    list.names[at] = lua_tostring(L, -2);
    list.tensors[at++] = nnl_check_tensor(L, -1);
  }
  return list;
}

/* nn.npz.save(path, { name = tensor, ... }) -> true, or nil, message, code; index tensors are stored counting from 0 */
static int npz_save(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_settop(L, 2);
  named_list list = check_table(L, "npz.save", 2);
  int status = nn_npz_write(path, list.count, list.names, list.tensors);
  if (status != NN_OK) return nnl_fail(L, status);
  lua_pushboolean(L, true);
  return 1;
}

void nnl_open_checkpoint(lua_State *L, int module) {
  static const luaL_Reg functions[] = { { "read", checkpoint_read }, { "write", checkpoint_write }, { NULL, NULL } };
  static const luaL_Reg npz[] = { { "load", npz_load }, { "save", npz_save }, { NULL, NULL } };
  static const luaL_Reg methods[] = { { "tensor", checkpoint_tensor }, { "close", checkpoint_close }, { NULL, NULL } };
  luaL_newmetatable(L, CHECKPOINT);
  luaL_newlib(L, methods);
  lua_pushcclosure(L, checkpoint_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, checkpoint_close);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, checkpoint_close);
  lua_setfield(L, -2, "__close");
  lua_pushcfunction(L, checkpoint_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  lua_setfield(L, module, "checkpoint");
  luaL_newlib(L, npz);
  lua_setfield(L, module, "npz");
}
