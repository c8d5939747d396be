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

void nnl_open_formats(lua_State *L, int module) {
  static const luaL_Reg functions[] = { { "sha256", sha256 }, { "sha256_file", sha256_file }, { NULL, NULL } };
  lua_pushvalue(L, module);
  luaL_setfuncs(L, functions, 0);
  lua_pop(L, 1);
}
