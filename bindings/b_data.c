/* b_data.c -- nn.data and nn.npy: data files and sets of images. The C half of require "data". */
#include <limits.h>

#include "nnl.h"

static uint64_t check_seed(lua_State *L, int index) { return (uint64_t)luaL_checkinteger(L, index); }

/* ---- files ---- */

/* nn.data.idx(path) -> uint8 tensor, or nil, message, code */
static int data_idx(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  nnl_tensor *box = nnl_tensor_box(L);
  int status = nn_idx_read(path, &box->tensor);
  if (status != NN_OK) return nnl_fail(L, status);
  nnl_charge(box->tensor);
  return 1;
}

/* nn.data.idx_pair(images path, labels path [, classes]) -> images, labels, classes, or nil, message, code */
static int data_idx_pair(lua_State *L) {
  const char *images = luaL_checkstring(L, 1), *labels = luaL_checkstring(L, 2);
  int64_t classes = luaL_optinteger(L, 3, 0);
  luaL_argcheck(L, classes >= 0, 3, "classes from 1, or 0 for any, expected");
  nnl_tensor *x = nnl_tensor_box(L), *y = nnl_tensor_box(L);
  int status = nn_idx_read_pair(images, labels, &classes, &x->tensor, &y->tensor);
  if (status != NN_OK) return nnl_fail(L, status);
  nnl_charge(x->tensor);
  lua_pushinteger(L, classes);
  return 3;
}

/* nn.data.cifar(list of paths, 10 | 100) -> images, labels, coarse labels or nil; or nil, message, code */
static int data_cifar(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer files = luaL_len(L, 1), classes = luaL_checkinteger(L, 2);
  luaL_argcheck(L, files >= 1 && files <= 100, 1, "1 to 100 paths expected");
  lua_settop(L, 2);
  luaL_checkstack(L, (int)files + 8, "cifar");
  const char *paths[100];
  for (int i = 0; i < files; i++) {
    lua_geti(L, 1, i + 1);
    paths[i] = luaL_checkstring(L, -1); /* stays on the stack, so it stays alive */
  }
  nnl_tensor *x = nnl_tensor_box(L), *y = nnl_tensor_box(L), *coarse = nnl_tensor_box(L);
  int status = nn_cifar_read(paths, (int)files, (int)(classes < INT_MAX ? classes : 0), &x->tensor, &y->tensor,
                             &coarse->tensor);
  if (status != NN_OK) return nnl_fail(L, status);
  nnl_charge(x->tensor);
  if (!coarse->tensor) {
    lua_pop(L, 1);
    lua_pushnil(L);
  }
  return 3;
}

/* nn.data.svhn(path) -> images, labels, or nil, message, code */
static int data_svhn(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  nnl_tensor *x = nnl_tensor_box(L), *y = nnl_tensor_box(L);
  int status = nn_svhn_read(path, &x->tensor, &y->tensor);
  if (status != NN_OK) return nnl_fail(L, status);
  nnl_charge(x->tensor);
  return 2;
}

#define TABLE "nn.mat_table"

static int table_collect(lua_State *L) {
  nn_mat_table **box = luaL_checkudata(L, 1, TABLE);
  nn_mat_table_free(*box);
  *box = NULL;
  return 0;
}

/* nn.data.mat_table(path, name) -> { { field = text, ... }, ... }: an array of structs; or nil, message, code */
static int data_mat_table(lua_State *L) {
  const char *path = luaL_checkstring(L, 1), *name = luaL_checkstring(L, 2);
  nn_mat_table **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, TABLE);
  int status = nn_mat_table_read(path, name, box);
  if (status != NN_OK) return nnl_fail(L, status);
  int fields = nn_mat_table_fields(*box);
  int64_t rows = nn_mat_table_rows(*box);
  lua_newtable(L);
  for (int64_t row = 0; row < rows; row++) {
    lua_createtable(L, 0, fields);
    for (int i = 0; i < fields; i++) {
      lua_pushstring(L, nn_mat_table_value(*box, row, i));
      lua_setfield(L, -2, nn_mat_table_field(*box, i));
    }
    lua_rawseti(L, -2, row + 1);
  }
  return 1;
}

/* nn.npy.load(path) -> float, uint8 or int32 tensor, or nil, message, code */
static int npy_load(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  nnl_tensor *box = nnl_tensor_box(L);
  int status = nn_npy_read(path, &box->tensor);
  if (status != NN_OK) return nnl_fail(L, status);
  nnl_charge(box->tensor);
  return 1;
}

/* nn.npy.save(path, tensor) -> true, or nil, message, code; index tensors are stored counting from 0 */
static int npy_save(lua_State *L) {
  int status = nn_npy_write(luaL_checkstring(L, 1), nnl_check_tensor(L, 2));
  if (status != NN_OK) return nnl_fail(L, status);
  lua_pushboolean(L, true);
  return 1;
}

/* ---- sets of images ---- */

/* nn.data.rows(tensor, rows) -> the rows named by an index tensor, copied */
static int data_rows(lua_State *L) {
  nn_tensor *t = nnl_check_tensor(L, 1), *rows = nnl_check_tensor(L, 2);
  nnl_tensor *box = nnl_tensor_box(L);
  if (nn_data_rows(t, rows, &box->tensor) != NN_OK) return nnl_raise(L);
  nnl_charge(box->tensor);
  return 1;
}

/* nn.data.places(count) -> an index tensor of the places 1 .. count */
static int data_places(lua_State *L) {
  int64_t count = luaL_checkinteger(L, 1);
  luaL_argcheck(L, count >= 0 && count <= INT32_MAX, 1, "0 to 2^31 - 1 places expected");
  nnl_tensor *box = nnl_tensor_box(L);
  box->tensor = nn_tensor_new(NN_INDEX, 1, &count);
  int32_t *place = box->tensor ? nn_tensor_write(box->tensor) : NULL;
  if (!place) return nnl_raise(L);
  for (int64_t i = 0; i < count; i++) place[i] = (int32_t)i;
  nnl_charge(box->tensor);
  return 1;
}

/* nn.data.bytes(x) -> uint8: x clipped to [0, 1], in steps of 1/255 */
static int data_bytes(lua_State *L) {
  nn_tensor *x = nnl_check_tensor(L, 1);
  nnl_tensor *box = nnl_tensor_box(L);
  if (nn_data_bytes(x, &box->tensor) != NN_OK) return nnl_raise(L);
  nnl_charge(box->tensor);
  return 1;
}

/* nn.data.channels(images, 1 | 3) -> images: grey repeated, or colours made grey */
static int data_channels(lua_State *L) {
  nn_tensor *images = nnl_check_tensor(L, 1);
  lua_Integer channels = luaL_checkinteger(L, 2);
  nnl_tensor *box = nnl_tensor_box(L);
  if (nn_data_channels(images, channels == 1 || channels == 3 ? (int)channels : 0, &box->tensor) != NN_OK)
    return nnl_raise(L);
  nnl_charge(box->tensor);
  return 1;
}

static void push_numbers(lua_State *L, const double *numbers, int64_t count) {
  lua_createtable(L, (int)count, 0);
  for (int i = 0; i < count; i++) {
    lua_pushnumber(L, numbers[i]);
    lua_rawseti(L, -2, i + 1);
  }
}

/* nn.data.stats(images) -> { mean of each channel }, { standard deviation of each channel } */
static int data_stats(lua_State *L) {
  double mean[NN_MAX_CHANNELS], deviation[NN_MAX_CHANNELS];
  nn_tensor *images = nnl_check_tensor(L, 1);
  if (nn_data_stats(images, mean, deviation) != NN_OK) return nnl_raise(L);
  push_numbers(L, mean, nn_tensor_size(images, 3));
  push_numbers(L, deviation, nn_tensor_size(images, 3));
  return 2;
}

/* nn.data.stratify(labels, count, seed, stream) -> chosen rows, the other rows */
static int data_stratify(lua_State *L) {
  nn_tensor *labels = nnl_check_tensor(L, 1);
  lua_Integer count = luaL_checkinteger(L, 2);
  uint64_t seed = check_seed(L, 3), stream = check_seed(L, 4);
  nnl_tensor *chosen = nnl_tensor_box(L), *rest = nnl_tensor_box(L);
  if (nn_data_stratify(labels, count, seed, stream, &chosen->tensor, &rest->tensor) != NN_OK) return nnl_raise(L);
  return 2;
}

/* nn.data.tint(digits, favoured or nil, colours, bias, seed, stream) -> images, background (index: which colour) */
static int data_tint(lua_State *L) {
  nn_tensor *digits = nnl_check_tensor(L, 1), *favoured = lua_isnil(L, 2) ? NULL : nnl_check_tensor(L, 2);
  lua_Integer colours = luaL_checkinteger(L, 3);
  double bias = luaL_checknumber(L, 4);
  uint64_t seed = check_seed(L, 5), stream = check_seed(L, 6);
  nnl_tensor *images = nnl_tensor_box(L), *background = nnl_tensor_box(L);
  if (nn_data_tint(digits, favoured, colours >= 0 && colours <= INT_MAX ? (int)colours : 0, bias, seed, stream,
                   &images->tensor, &background->tensor) != NN_OK)
    return nnl_raise(L);
  nnl_charge(images->tensor);
  return 2;
}

void nnl_open_data(lua_State *L, int module) {
  static const luaL_Reg data[] = {
    { "idx", data_idx }, { "idx_pair", data_idx_pair }, { "cifar", data_cifar }, { "svhn", data_svhn },
    { "mat_table", data_mat_table }, { "rows", data_rows }, { "places", data_places }, { "bytes", data_bytes },
    { "channels", data_channels }, { "stats", data_stats }, { "stratify", data_stratify }, { "tint", data_tint },
    { NULL, NULL },
  };
  static const luaL_Reg npy[] = { { "load", npy_load }, { "save", npy_save }, { NULL, NULL } };
  luaL_newmetatable(L, TABLE);
  lua_pushcfunction(L, table_collect);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  luaL_newlib(L, data);
  lua_setfield(L, module, "data");
  luaL_newlib(L, npy);
  lua_setfield(L, module, "npy");
}
