/* b_loader.c -- nn.data.loader: batches of images as worker threads make them. The C half of part:batches and
 * part:load. */
#include <limits.h>

#include "nnl.h"

#define NNL_LOADER "nn.data.loader"

typedef struct {
  nn_loader *loader; /* NULL while empty and once closed */
} nnl_loader;

static nnl_loader *check_box(lua_State *L) { return luaL_checkudata(L, 1, NNL_LOADER); }

/* ---- options: a table at index 1, whose values stay alive in it ---- */

static int64_t integer_option(lua_State *L, const char *name, int64_t fallback) {
  int64_t value = fallback;
  if (lua_getfield(L, 1, name) != LUA_TNIL) value = luaL_checkinteger(L, -1);
  lua_pop(L, 1);
  return value;
}

static int small_option(lua_State *L, const char *name, int fallback) {
  int64_t value = integer_option(L, name, fallback);
  return value < INT_MIN ? INT_MIN : value > INT_MAX ? INT_MAX : (int)value;
}

static bool flag_option(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

static nn_tensor *tensor_option(lua_State *L, const char *name) {
  nn_tensor *t = lua_getfield(L, 1, name) != LUA_TNIL ? nnl_check_tensor(L, -1) : NULL;
  lua_pop(L, 1);
  return t;
}

static nn_files *files_option(lua_State *L, const char *name) {
  nn_files *files = lua_getfield(L, 1, name) != LUA_TNIL ? nnl_check_files(L, -1) : NULL;
  lua_pop(L, 1);
  return files;
}

static nn_perturb *tree_option(lua_State *L, const char *name) {
  nn_perturb *tree = lua_getfield(L, 1, name) != LUA_TNIL ? nnl_check_perturb(L, -1) : NULL;
  lua_pop(L, 1);
  return tree;
}

/* nn.data.loader{ images | files, height, width, channels, resize, scaled, labels, order, size, first, last, augment,
 * seed, step, bytes, skip, workers, prefetch } -> loader, as nn_loader_options says; batches first to last count
 * from 1 */
static int loader_new(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  nn_loader_options o = {
    .images = tensor_option(L, "images"), .files = files_option(L, "files"),
    .fit = { .height = integer_option(L, "height", 0), .width = integer_option(L, "width", 0),
             .resize = integer_option(L, "resize", 0), .channels = small_option(L, "channels", 0),
             .scaled = flag_option(L, "scaled") },
    .labels = tensor_option(L, "labels"), .order = tensor_option(L, "order"),
    .size = integer_option(L, "size", 1), .first = integer_option(L, "first", 1) - 1,
    .last = integer_option(L, "last", 0), .augment = tree_option(L, "augment"),
    .seed = (uint64_t)integer_option(L, "seed", 1), .step = integer_option(L, "step", 0),
    .bytes = flag_option(L, "bytes"), .skip = flag_option(L, "skip"), .workers = small_option(L, "workers", 0),
    .prefetch = small_option(L, "prefetch", 1),
  };
  luaL_argcheck(L, o.labels, 1, "labels expected");
  nnl_loader *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->loader = NULL;
  luaL_setmetatable(L, NNL_LOADER);
  return nn_loader_new(&o, &box->loader) == NN_OK ? 1 : nnl_raise(L);
}

/* loader:next() -> x, y, number (from 1), or nil after the last; a file that cannot be read: nil, message, code */
static int loader_next(lua_State *L) {
  nnl_loader *box = check_box(L);
  if (!box->loader) return 0;
  nnl_tensor *x = nnl_tensor_box(L), *y = nnl_tensor_box(L);
  int64_t number = 0;
  int status = nn_loader_next(box->loader, &x->tensor, &y->tensor, &number);
  if (status != NN_OK) return nnl_fail(L, status);
  if (!x->tensor) return 0;
  nnl_charge(x->tensor);
  lua_pushinteger(L, number + 1);
  return 3;
}

/* loader:waited() -> seconds spent in next() */
static int loader_waited(lua_State *L) {
  nnl_loader *box = check_box(L);
  lua_pushnumber(L, box->loader ? nn_loader_waited(box->loader) : 0);
  return 1;
}

/* loader:bad() -> how many images were left out, { the first messages } */
static int loader_bad(lua_State *L) {
  nnl_loader *box = check_box(L);
  const nn_bad_images *bad = box->loader ? nn_loader_bad(box->loader) : NULL;
  lua_pushinteger(L, bad ? bad->count : 0);
  lua_newtable(L);
  for (int i = 0; bad && i < bad->names; i++) {
    lua_pushstring(L, bad->name[i]);
    lua_rawseti(L, -2, i + 1);
  }
  return 2;
}

static int loader_close(lua_State *L) {
  nnl_loader *box = check_box(L);
  nn_loader *loader = box->loader;
  box->loader = NULL;
  nn_loader_free(loader);
  return 0;
}

void nnl_open_loader(lua_State *L, int module) {
  static const luaL_Reg methods[] = {
    { "next", loader_next }, { "waited", loader_waited }, { "bad", loader_bad }, { "close", loader_close },
    { NULL, NULL },
  };
  luaL_newmetatable(L, NNL_LOADER);
  lua_pushcfunction(L, loader_close);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, loader_close);
  lua_setfield(L, -2, "__close");
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_getfield(L, module, "data");
  lua_pushcfunction(L, loader_new);
  lua_setfield(L, -2, "loader");
  lua_pop(L, 1);
}
