/* host.c -- require "host": what the standard library asks of the program it lives in. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "embedded.h"
#include "vm.h"

/* host.modules() -> the names of the embedded modules */
static int modules(lua_State *L) {
  lua_newtable(L);
  for (int i = 0; vm_modules[i].name != NULL; i++) {
    lua_pushstring(L, vm_modules[i].name);
    lua_rawseti(L, -2, i + 1);
  }
  return 1;
}

/* host.recipes() -> the texts of the embedded recipes and studies, by name */
static int recipes(lua_State *L) {
  lua_newtable(L);
  for (const vm_module *m = vm_recipes; m->name != NULL; m++) {
    lua_pushlstring(L, m->text, m->size);
    lua_setfield(L, -2, m->name);
  }
  return 1;
}

/* host.source(module or path) -> the text of an embedded module, or nil; the help reads the comments in it */
static int source(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  for (const vm_module *m = vm_modules; m->name != NULL; m++) {
    if (strcmp(m->name, name) != 0 && strcmp(m->path, name) != 0) continue;
    lua_pushlstring(L, m->text, m->size);
    return 1;
  }
  lua_pushnil(L);
  return 1;
}

/* host.clock() -> seconds that only move forward, from no particular moment */
static int clock_seconds(lua_State *L) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  lua_pushnumber(L, (lua_Number)now.tv_sec + 1e-9 * (lua_Number)now.tv_nsec);
  return 1;
}

/* host.append_shared(path, text, most) -> true, or nil, message, code: adds text to a file that its owner may read and
 * several processes add to; one of more than `most` bytes loses its older half first */
static int append_shared(lua_State *L) {
  size_t length;
  const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &length);
  lua_Integer most = luaL_checkinteger(L, 3);
  luaL_argcheck(L, most > 0, 3, "a size above 0 expected");
  if (vm_append_line(path, text, length, (size_t)most) != 0) {
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", path, strerror(errno));
    lua_pushliteral(L, "io");
    return 3;
  }
  lua_pushboolean(L, true);
  return 1;
}

/* host.real_path(path) -> the path without links and dots, or nil, message, code */
static int real_path(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  char real[PATH_MAX];
  if (realpath(path, real) == NULL) {
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", path, strerror(errno));
    lua_pushliteral(L, "io");
    return 3;
  }
  lua_pushstring(L, real);
  return 1;
}

int vm_open_host(lua_State *L) {
  static const luaL_Reg functions[] = {
    { "modules", modules }, { "recipes", recipes }, { "source", source }, { "clock", clock_seconds },
    { "append_shared", append_shared }, { "real_path", real_path }, { NULL, NULL },
  };
  luaL_newlib(L, functions);
  lua_pushboolean(L, vm_editor_built);  /* host.edits: lines typed at a terminal can be edited */
  lua_setfield(L, -2, "edits");
  vm_open_processes(L);
  vm_open_files(L);
  vm_open_interrupts(L);
  vm_open_terminal(L);
  vm_open_pictures(L);
  return 1;
}
