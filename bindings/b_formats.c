/* b_formats.c -- digests, downloads and packed files. The C half of require "hash", "data.get" and "data.unpack". */
#include "nnl.h"

/* nn.sha256(text) -> 64 hexadecimal digits */
static int sha256(lua_State *L) {
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size);
  nn_sha256 sum;
  char digest[65];
  nn_sha256_start(&sum);
  nn_sha256_add(&sum, text, size);
  nn_sha256_end(&sum, digest);
  lua_pushstring(L, digest);
  return 1;
}

/* nn.sha256_file(path) -> 64 hexadecimal digits, or nil, message, code */
static int sha256_file(lua_State *L) {
  char digest[65];
  int status = nn_sha256_file(luaL_checkstring(L, 1), digest);
  if (status != NN_OK) return nnl_fail(L, status);
  lua_pushstring(L, digest);
  return 1;
}

/* nn.file_stamp(path) -> a text that changes with the file, or nil, message, code */
static int file_stamp(lua_State *L) {
  char stamp[100];
  int status = nn_file_stamp(luaL_checkstring(L, 1), stamp, sizeof stamp);
  if (status != NN_OK) return nnl_fail(L, status);
  lua_pushstring(L, stamp);
  return 1;
}

/* nn.free_bytes(folder) -> bytes that the user may still write there, or nil, message, code */
static int free_bytes(lua_State *L) {
  uint64_t bytes;
  int status = nn_free_bytes(luaL_checkstring(L, 1), &bytes);
  if (status != NN_OK) return nnl_fail(L, status);
  lua_pushinteger(L, bytes > LUA_MAXINTEGER ? LUA_MAXINTEGER : (lua_Integer)bytes);
  return 1;
}

/* ---- long jobs ---- */

typedef struct {
  lua_State *L;
  int function;  /* its place on the stack; 0: none */
  bool raised;   /* its error is on top of the stack */
} caller;

/* function(done, total): what it raises ends the job and is raised again when nn has cleaned up. */
static int call_progress(void *context, uint64_t done, uint64_t total) {
  caller *c = context;
  lua_State *L = c->L;
  lua_pushvalue(L, c->function);
  lua_pushinteger(L, (lua_Integer)done);
  lua_pushinteger(L, (lua_Integer)total);
  if (lua_pcall(L, 2, 0, 0) == LUA_OK) return NN_OK;
  c->raised = true;
  return nn_fail(NN_ESTATE, "the progress function raised an error");
}

static caller check_caller(lua_State *L, int index) {
  caller c = { .L = L };
  if (!lua_isnoneornil(L, index)) {
    luaL_checktype(L, index, LUA_TFUNCTION);
    c.function = index;
  }
  luaL_checkstack(L, 8, "progress");
  return c;
}

static int finish_job(lua_State *L, const caller *c, int status) {
  return c->raised ? lua_error(L) : nnl_fail(L, status);
}

static void push_info(lua_State *L, const nn_archive_info *info) {
  lua_createtable(L, 0, 4);
  lua_pushinteger(L, (lua_Integer)info->packed);
  lua_setfield(L, -2, "packed");
  lua_pushinteger(L, (lua_Integer)info->bytes);
  lua_setfield(L, -2, "bytes");
  lua_pushinteger(L, (lua_Integer)info->files);
  lua_setfield(L, -2, "files");
  lua_pushstring(L, info->format);
  lua_setfield(L, -2, "format");
}

/* nn.archive.survey(path) -> { packed, bytes, files, format }, or nil, message, code */
static int archive_survey(lua_State *L) {
  nn_archive_info info;
  int status = nn_archive_survey(luaL_checkstring(L, 1), &info);
  if (status != NN_OK) return nnl_fail(L, status);
  push_info(L, &info);
  return 1;
}

static uint64_t info_field(lua_State *L, const char *name) {
  int known;
  lua_getfield(L, 3, name);
  lua_Integer value = lua_tointegerx(L, -1, &known);
  if (!known || value < 0) luaL_error(L, "nn.archive.unpack: info.%s: what nn.archive.survey gave expected", name);
  lua_pop(L, 1);
  return (uint64_t)value;
}

/* nn.archive.unpack(path, target, info, progress?) -> true, or nil, message, code */
static int archive_unpack(lua_State *L) {
  const char *path = luaL_checkstring(L, 1), *target = luaL_checkstring(L, 2);
  luaL_checktype(L, 3, LUA_TTABLE);
  nn_archive_info info = { .packed = info_field(L, "packed"), .bytes = info_field(L, "bytes"),
                           .files = (int64_t)info_field(L, "files") };
  caller c = check_caller(L, 4);
  int status = nn_archive_unpack(path, target, &info, c.function ? call_progress : NULL, &c);
  if (status != NN_OK) return finish_job(L, &c, status);
  lua_pushboolean(L, true);
  return 1;
}

/* nn.archive.pack(path, { { name =, text = | file = }, ... }) -> true, or nil, message, code. A .zip; the same members
 * give the same bytes. */
static int archive_pack(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  size_t count = (size_t)lua_rawlen(L, 2);
  luaL_argcheck(L, count > 0, 2, "a list of members expected, got none");
  luaL_argcheck(L, count <= 1 << 20, 2, "at most 1,048,576 members expected");
  nn_archive_member *members = lua_newuserdatauv(L, count * sizeof *members, 1);
  /* The texts stay: the list of them is the box's own value. */
  lua_createtable(L, (int)(2 * count), 0);
  for (size_t i = 0; i < count; i++) {
    nn_archive_member *m = &members[i];
    *m = (nn_archive_member){ 0 };
    if (lua_rawgeti(L, 2, (lua_Integer)i + 1) != LUA_TTABLE)
      return luaL_error(L, "nn.archive.pack: member %d: a table expected", (int)i + 1);
    if (lua_getfield(L, -1, "name") != LUA_TSTRING)
      return luaL_error(L, "nn.archive.pack: member %d: its name expected", (int)i + 1);
    m->name = lua_tostring(L, -1);
    lua_rawseti(L, 4, (lua_Integer)(2 * i + 1));
    if (lua_getfield(L, -1, "text") == LUA_TSTRING) {
      m->bytes = lua_tolstring(L, -1, &m->size);
    } else {
      lua_pop(L, 1);
      if (lua_getfield(L, -1, "file") != LUA_TSTRING)
        return luaL_error(L, "nn.archive.pack: %s: text or file expected", m->name);
      m->file = lua_tostring(L, -1);
    }
    lua_rawseti(L, 4, (lua_Integer)(2 * i + 2));
    lua_pop(L, 1);
  }
  lua_setiuservalue(L, 3, 1);
  int status = nn_archive_pack(path, members, count);
  if (status != NN_OK) return nnl_fail(L, status);
  lua_pushboolean(L, true);
  return 1;
}

/* nn.fetch{ url, target, sha256, size, progress } -> { bytes, resumed, sha256 }, or nil, message, code */
static int fetch(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  nn_fetch_request request = { 0 };
  lua_getfield(L, 1, "url");
  request.url = luaL_checkstring(L, 2);
  lua_getfield(L, 1, "target");
  request.target = luaL_checkstring(L, 3);
  lua_getfield(L, 1, "sha256");
  request.sha256 = luaL_optstring(L, 4, NULL);
  lua_getfield(L, 1, "size");
  lua_Integer size = luaL_optinteger(L, 5, 0);
  luaL_argcheck(L, size >= 0, 1, "size: at least 0 expected");
  request.size = (uint64_t)size;
  lua_getfield(L, 1, "progress");
  caller c = check_caller(L, 6);

  nn_fetch_result result;
  int status = nn_fetch(&request, c.function ? call_progress : NULL, &c, &result);
  if (status != NN_OK) return finish_job(L, &c, status);
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, (lua_Integer)result.bytes);
  lua_setfield(L, -2, "bytes");
  lua_pushinteger(L, (lua_Integer)result.resumed);
  lua_setfield(L, -2, "resumed");
  lua_pushstring(L, result.sha256);
  lua_setfield(L, -2, "sha256");
  return 1;
}

void nnl_open_formats(lua_State *L, int module) {
  static const luaL_Reg functions[] = {
    { "sha256", sha256 }, { "sha256_file", sha256_file }, { "file_stamp", file_stamp }, { "free_bytes", free_bytes },
    { "fetch", fetch }, { NULL, NULL },
  };
  static const luaL_Reg archive[] = {
    { "survey", archive_survey }, { "unpack", archive_unpack }, { "pack", archive_pack }, { NULL, NULL },
  };
  lua_pushvalue(L, module);
  luaL_setfuncs(L, functions, 0);
  luaL_newlib(L, archive);
  lua_setfield(L, -2, "archive");
  lua_pop(L, 1);
}
