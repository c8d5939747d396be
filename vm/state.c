/* state.c -- the interpreter: its libraries, where modules come from, and what an uncaught error looks like. */
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "embedded.h"
#include "nnl.h"
#include "vm.h"

/* ---- modules ---------------------------------------------------------------------------------------------------- */

static const vm_module *find_module(const char *name) {
  for (const vm_module *m = vm_modules; m->name != NULL; m++)
    if (strcmp(m->name, name) == 0) return m;
  return NULL;
}

/* Pushes the file of module `name` below the folder PENUMBRA_PATH, or nothing. */
static bool find_override(lua_State *L, const char *name) {
  const char *folder = getenv("PENUMBRA_PATH");
  if (folder == NULL || *folder == '\0') return false;
  lua_getglobal(L, LUA_LOADLIBNAME);
  lua_getfield(L, -1, "searchpath");
  lua_remove(L, -2);
  lua_pushstring(L, name);
  lua_pushfstring(L, "%s/?.lua;%s/?/init.lua", folder, folder);
  lua_call(L, 2, 1);
  if (lua_isstring(L, -1)) return true;
  lua_pop(L, 1);
  return false;
}

/* A searcher for `require`: the modules inside the executable, unless PENUMBRA_PATH has a file of that name. */
static int search_embedded(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  if (find_override(L, name)) {
    if (luaL_loadfilex(L, lua_tostring(L, -1), "t") != LUA_OK) return lua_error(L);
    lua_insert(L, -2);
    return 2;
  }
  const vm_module *m = find_module(name);
  if (m == NULL) {
    lua_pushfstring(L, "no module '%s' in penumbra itself", name);
    return 1;
  }
  lua_pushfstring(L, "@%s", m->path);
  if (luaL_loadbufferx(L, m->text, m->size, lua_tostring(L, -1), "t") != LUA_OK) return lua_error(L);
  lua_pushstring(L, m->path);
  return 2;
}

void vm_open_modules(lua_State *L, lua_CFunction open_nn, lua_CFunction open_host) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, open_nn);
  lua_setfield(L, -2, "nn");
  if (open_host != NULL) {
    lua_pushcfunction(L, open_host);
    lua_setfield(L, -2, "host");
  }
  lua_pop(L, 1);

  lua_getglobal(L, LUA_LOADLIBNAME);
  lua_getfield(L, -1, "searchers");
  for (lua_Integer i = luaL_len(L, -1); i >= 2; i--) {  /* ours comes second, after the preloaded */
    lua_rawgeti(L, -1, i);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushcfunction(L, search_embedded);
  lua_rawseti(L, -2, 2);
  lua_pop(L, 2);
}

static int require_global(lua_State *L) {
  if (lua_type(L, 2) != LUA_TSTRING) return 0;
  const char *name = lua_tostring(L, 2);
  bool show = strcmp(name, "show") == 0;
  if (!show && strcmp(name, "nn") != 0 && find_module(name) == NULL) return 0;
  lua_getglobal(L, "require");
  lua_pushstring(L, show ? "terminal" : name);
  lua_call(L, 1, 1);
  if (show) lua_getfield(L, -1, "show");
  lua_pushvalue(L, 2);
  lua_pushvalue(L, -2);
  lua_rawset(L, 1);
  return 1;
}

void vm_lazy_globals(lua_State *L) {
  lua_pushglobaltable(L);
  lua_newtable(L);
  lua_pushcfunction(L, require_global);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
  lua_pop(L, 1);
}

static int open_all(lua_State *L) {
  luaL_openlibs(L);
  vm_interrupt_open(L);
  vm_open_modules(L, luaopen_nn, vm_open_host);
  return 0;
}

lua_State *vm_open(void) {
  lua_State *L = luaL_newstate();
  if (L == NULL) return NULL;
  lua_pushcfunction(L, open_all);
  if (lua_pcall(L, 0, 0, 0) == LUA_OK) return L;
  lua_close(L);
  return NULL;
}

/* ---- errors ----------------------------------------------------------------------------------------------------- */

static bool traceback;

void vm_set_traceback(bool on) { traceback = on; }

/* When text starts with a position inside the embedded modules: how long that position is, without its ": ". */
static size_t embedded_position(const char *text) {
  if (strncmp(text, "stdlib/", 7) != 0) return 0;
  const char *line = strstr(text, ".lua:");
  if (line == NULL) return 0;
  line += 5;
  size_t digits = strspn(line, "0123456789");
  return digits > 0 && strncmp(line + digits, ": ", 2) == 0 ? (size_t)(line + digits - text) : 0;
}

/* An error inside an embedded module is reported at the line of the user's that led there. Replaces the message. */
static void point_at_script(lua_State *L) {
  const char *text = lua_tostring(L, -1);
  size_t length = embedded_position(text);
  if (length == 0) return;
  lua_Debug record;
  for (int level = 1; lua_getstack(L, level, &record); level++) {
    lua_getinfo(L, "Sl", &record);
    if (record.currentline < 0 || strncmp(record.short_src, "stdlib/", 7) == 0) continue;
    lua_pushfstring(L, "%s:%d: %s (", record.short_src, record.currentline, text + length + 2);
    lua_pushlstring(L, text, length);
    lua_pushliteral(L, ")");
    lua_concat(L, 3);
    lua_replace(L, -2);
    return;
  }
}

static const char describing[] = "vm.describe";

void vm_set_describe(lua_State *L) { lua_setfield(L, LUA_REGISTRYINDEX, describing); }

/* What may have been meant is added to a message about a name there is none of. Replaces the message. */
static void add_hint(lua_State *L) {
  const char *text = lua_tostring(L, -1);
  if (!strstr(text, " a nil value (") && !strstr(text, "module '") && !strstr(text, " has no field \"")) return;
  int top = lua_gettop(L);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "hint");
  if (lua_pcall(L, 1, 1, 0) == LUA_OK && lua_getfield(L, -1, "add") == LUA_TFUNCTION) {
    lua_pushvalue(L, top);
    if (lua_pcall(L, 1, 1, 0) == LUA_OK && lua_isstring(L, -1)) lua_replace(L, top);
  }
  lua_settop(L, top);
}

/* The text that the prompt makes of the message at the top, or the message as it is. */
static void describe_further(lua_State *L) {
  if (lua_getfield(L, LUA_REGISTRYINDEX, describing) == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  lua_pushvalue(L, -2);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK && lua_isstring(L, -1)) lua_replace(L, -2);
  else lua_pop(L, 1);
}

/* The exit code that the last error asked for in its field `exit`, as one does that stops a run on purpose; else 0. */
static int wished_code;

/* The message handler: whatever was raised becomes text, while the stack that raised it is still there. */
static int describe_error(lua_State *L) {
  if (!lua_isstring(L, 1)) {
    if (lua_istable(L, 1) && lua_getfield(L, 1, "exit") == LUA_TNUMBER) wished_code = (int)lua_tointeger(L, -1);
    lua_settop(L, 1);
    if (!luaL_callmeta(L, 1, "__tostring") || !lua_isstring(L, -1))
      lua_pushfstring(L, "(error object is a %s value)", luaL_typename(L, 1));
  }
  point_at_script(L);
  add_hint(L);
  if (traceback) luaL_traceback(L, L, lua_tostring(L, -1), 1);
  else describe_further(L);
  return 1;
}

/* Whether the message is an interrupt's: the word ends it, or a position in a module of ours or a traceback follows. */
static bool says_interrupted(const char *text) {
  static const char word[] = "interrupted";
  const char *found = strstr(text, word);
  if (found == NULL) return false;
  found += sizeof word - 1;
  return *found == '\0' || *found == '\n' || strncmp(found, " (stdlib/", 9) == 0;
}

void vm_report(lua_State *L) {
  const char *text = lua_tostring(L, -1);
  fflush(stdout);
  fprintf(stderr, "penumbra: %s\n", text ? text : "error without a message");
  fflush(stderr);
  lua_pop(L, 1);
}

int vm_call(lua_State *L, int arguments, int results) {
  int base = lua_gettop(L) - arguments;
  wished_code = 0;
  lua_pushcfunction(L, describe_error);
  lua_insert(L, base);
  int status = lua_pcall(L, arguments, results, base);
  lua_remove(L, base);
  bool interrupt = vm_interrupt_take();
  if (status == LUA_OK) return 0;
  int code = interrupt && lua_isstring(L, -1) && says_interrupted(lua_tostring(L, -1)) ? VM_INTERRUPTED : VM_FAILED;
  if (wished_code != 0) code = wished_code;
  vm_report(L);
  return code;
}
