/* b_files.c -- nn.files: lists of picture files with labels. The C half of data sets that stay on disk. */
#include <limits.h>
#include <string.h>

#include "nnl.h"

#define NNL_FILES "nn.files"
enum { PATH_ROOM = 4096 };

typedef struct {
  nn_files *files;  /* NULL while empty */
} nnl_files;

static nnl_files *files_box(lua_State *L) {
  nnl_files *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->files = NULL;
  luaL_setmetatable(L, NNL_FILES);
  return box;
}

nn_files *nnl_check_files(lua_State *L, int index) {
  return ((nnl_files *)luaL_checkudata(L, index, NNL_FILES))->files;
}

static int64_t check_place(lua_State *L, int index, const nn_files *files) {
  lua_Integer i = luaL_checkinteger(L, index);
  if (i < 1 || i > nn_files_count(files))
    nnl_error(L, "files: a number from 1 to %lld expected, got %lld", (long long)nn_files_count(files), (long long)i);
  return i - 1;
}

/* A list of strings at index; they stay on the stack, so that the array stays good. It is a userdata below them. */
static const char **check_names(lua_State *L, int index, lua_Integer *count) {
  *count = luaL_len(L, index);
  luaL_argcheck(L, *count >= 0 && *count <= LUAI_MAXSTACK / 2, index, "a shorter list expected");
  const char **names = lua_newuserdatauv(L, (size_t)(*count + 1) * sizeof *names, 0);
  luaL_checkstack(L, (int)*count + 8, "names");
  for (lua_Integer i = 0; i < *count; i++) {
    lua_rawgeti(L, index, i + 1);
    if (lua_type(L, -1) != LUA_TSTRING)
      nnl_error(L, "files: a name expected at place %lld, got %s", (long long)i + 1, luaL_typename(L, -1));
    names[i] = lua_tostring(L, -1);
  }
  return names;
}

/* nn.files.new(root, paths, labels) -> files: paths below the root, labels from 1, two lists of one length */
static int files_new(lua_State *L) {
  const char *root = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_Integer count = (lua_Integer)lua_rawlen(L, 2);
  if ((lua_Integer)lua_rawlen(L, 3) != count)
    return nnl_error(L, "files: as many labels as paths expected, got %lld and %lld", (long long)lua_rawlen(L, 3),
                     (long long)count);
  nnl_files *box = files_box(L);
  box->files = nn_files_new(root);
  if (!box->files) return nnl_raise(L);
  for (lua_Integer i = 1; i <= count; i++) {  /* what has been added is in the box */
    lua_rawgeti(L, 2, i);
    lua_rawgeti(L, 3, i);
    if (lua_type(L, -2) != LUA_TSTRING || !lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 ||
        lua_tointeger(L, -1) > INT_MAX)
      return nnl_error(L, "files: a path and a label from 1 expected at place %lld", (long long)i);
    if (nn_files_add(box->files, lua_tostring(L, -2), (int32_t)(lua_tointeger(L, -1) - 1)) != NN_OK)
      return nnl_raise(L);
    lua_pop(L, 2);
  }
  return 1;
}

/* nn.files.scan(root [, class names]) -> files, or nil, message, code */
static int files_scan(lua_State *L) {
  const char *root = luaL_checkstring(L, 1), **names = NULL;
  lua_Integer count = 0;
  lua_settop(L, 2);
  if (!lua_isnil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    names = check_names(L, 2, &count);
  }
  nnl_files *box = files_box(L);
  int status = nn_files_scan(root, names, count, &box->files);
  return status == NN_OK ? 1 : nnl_fail(L, status);
}

/* nn.files.read(index path, root) -> files; or nil, message, code; code is "stale" when a folder has changed */
static int files_read(lua_State *L) {
  const char *path = luaL_checkstring(L, 1), *root = luaL_checkstring(L, 2);
  nnl_files *box = files_box(L);
  int status = nn_files_read(path, root, &box->files);
  if (status == NN_OK) return 1;
  if (status != NN_ESTATE) return nnl_fail(L, status);
  lua_pushnil(L);
  lua_pushstring(L, nn_error());
  lua_pushliteral(L, "stale");
  return 3;
}

/* files:write(index path) -> true; or nil, message, code: the folders changed a moment ago, or it cannot be written */
static int files_write(lua_State *L) {
  nn_files *files = nnl_check_files(L, 1);
  const char *path = luaL_checkstring(L, 2);
  if (!nn_files_settled(files)) {
    lua_pushnil(L);
    lua_pushfstring(L, "%s: no index of folders that changed a moment ago", nn_files_root(files));
    lua_pushliteral(L, "stale");
    return 3;
  }
  int status = nn_files_write(files, path);
  if (status != NN_OK) return nnl_fail(L, status);
  lua_pushboolean(L, true);
  return 1;
}

/* files:path(i) -> the whole path of a file */
static int files_path(lua_State *L) {
  char text[PATH_ROOM];
  nn_files *files = nnl_check_files(L, 1);
  const char *path = nn_files_path(files, check_place(L, 2, files), text, sizeof text);
  if (!path) return nnl_raise(L);
  lua_pushstring(L, path);
  return 1;
}

static int files_label(lua_State *L) {
  nn_files *files = nnl_check_files(L, 1);
  lua_pushinteger(L, (lua_Integer)nn_files_label(files, check_place(L, 2, files)) + 1);
  return 1;
}

/* files:labels() -> index tensor */
static int files_labels(lua_State *L) {
  nn_files *files = nnl_check_files(L, 1);
  nnl_tensor *box = nnl_tensor_box(L);
  if (nn_files_labels(files, &box->tensor) != NN_OK) return nnl_raise(L);
  nnl_charge(box->tensor);
  return 1;
}

/* files:select(rows) -> the files named by an index tensor */
static int files_select(lua_State *L) {
  nn_files *files = nnl_check_files(L, 1);
  nn_tensor *rows = nnl_check_tensor(L, 2);
  nnl_files *box = files_box(L);
  return nn_files_select(files, rows, &box->files) == NN_OK ? 1 : nnl_raise(L);
}

/* files:survey() -> { height, width, channels, bad [, first_bad] [, other = { place, height, width }] }, by name, as in
 * nn_files_sizes; or nil, message, code */
static int files_survey(lua_State *L) {
  nn_files_sizes sizes;
  int status = nn_files_survey(nnl_check_files(L, 1), &sizes);
  if (status != NN_OK) return nnl_fail(L, status);
  lua_createtable(L, 0, 6);
  const struct { const char *name; int64_t value; } whole[] = {
    { "height", sizes.height }, { "width", sizes.width }, { "channels", sizes.channels }, { "bad", sizes.bad },
  }, other[] = { { "place", sizes.other + 1 }, { "height", sizes.other_height }, { "width", sizes.other_width } };
  for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
    lua_pushinteger(L, whole[i].value);
    lua_setfield(L, -2, whole[i].name);
  }
  if (sizes.bad > 0) {
    lua_pushinteger(L, sizes.first_bad + 1);
    lua_setfield(L, -2, "first_bad");
  }
  if (sizes.other < 0) return 1;
  lua_createtable(L, 0, 3);
  for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
    lua_pushinteger(L, other[i].value);
    lua_setfield(L, -2, other[i].name);
  }
  lua_setfield(L, -2, "other");
  return 1;
}

static int files_root(lua_State *L) {
  lua_pushstring(L, nn_files_root(nnl_check_files(L, 1)));
  return 1;
}

/* files:classes() -> the names of the class folders that a scan found */
static int files_classes(lua_State *L) {
  nn_files *files = nnl_check_files(L, 1);
  int64_t count = nn_files_class_count(files);
  lua_createtable(L, (int)count, 0);
  for (int64_t i = 0; i < count; i++) {
    lua_pushstring(L, nn_files_class_name(files, i));
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

static int files_length(lua_State *L) {
  lua_pushinteger(L, nn_files_count(nnl_check_files(L, 1)));
  return 1;
}

static int files_text(lua_State *L) {
  nn_files *files = nnl_check_files(L, 1);
  lua_pushfstring(L, "%I picture files below %s", (LUAI_UACINT)nn_files_count(files), nn_files_root(files));
  return 1;
}

static int files_collect(lua_State *L) {
  nnl_files *box = luaL_checkudata(L, 1, NNL_FILES);
  nn_files_release(box->files);
  box->files = NULL;
  return 0;
}

void nnl_open_files(lua_State *L, int module) {
  static const luaL_Reg methods[] = {
    { "path", files_path }, { "label", files_label }, { "labels", files_labels }, { "select", files_select },
    { "survey", files_survey },
    { "root", files_root }, { "classes", files_classes }, { "write", files_write }, { NULL, NULL },
  };
  static const luaL_Reg meta[] = { { "__len", files_length }, { "__tostring", files_text }, { "__gc", files_collect },
                                   { NULL, NULL } };
  static const luaL_Reg functions[] = { { "new", files_new }, { "scan", files_scan }, { "read", files_read },
                                        { NULL, NULL } };
  luaL_newmetatable(L, NNL_FILES);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  lua_setfield(L, module, "files");
}
