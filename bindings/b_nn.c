/* b_nn.c -- require "nn": the module, its settings and scopes. */
#include <stdio.h>
#include <string.h>

#include "nnl.h"

/* nn.threads([n]) -> the number of threads */
static int threads(lua_State *L) {
  if (!lua_isnoneornil(L, 1)) {
    lua_Integer n = luaL_checkinteger(L, 1);
    if (nn_set_threads(n < 0 || n > 1 << 20 ? 0 : (int)n) != NN_OK) return nnl_raise(L);
  }
  lua_pushinteger(L, nn_threads());
  return 1;
}

/* nn.precision(["fast" | "exact"]) -> the one in force */
static int precision(lua_State *L) {
  if (!lua_isnoneornil(L, 1) && nn_set_precision(luaL_checkstring(L, 1)) != NN_OK) return nnl_raise(L);
  lua_pushstring(L, nn_precision());
  return 1;
}

/* nn.no_grad(f, ...) -> what f returns; nothing inside is recorded */
static int no_grad(lua_State *L) {
  luaL_checkany(L, 1);
  bool was = nn_set_grad_enabled(false);
  int status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  nn_set_grad_enabled(was);
  return status == LUA_OK ? lua_gettop(L) : lua_error(L);
}

/* nn.with_leaf(x, f, ...) -> what f returns; inside, what depends on x is recorded, and nothing else */
static int with_leaf(lua_State *L) {
  nn_tensor *x = nnl_check_tensor(L, 1);
  luaL_checkany(L, 2);
  bool was = nn_set_grad_enabled(true);
  const nn_tensor *was_leaf = nn_set_grad_leaf(x);
  int status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
  nn_set_grad_leaf(was_leaf);
  nn_set_grad_enabled(was);
  return status == LUA_OK ? lua_gettop(L) - 1 : lua_error(L);
}

static int grad_enabled(lua_State *L) {
  lua_pushboolean(L, nn_grad_enabled());
  return 1;
}

/* nn.live_tensors() -> how many tensors exist */
static int live_tensors(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)nn_tensor_live());
  return 1;
}

/* nn.random(seed, stream, index) -> uniform in [0, 1) */
static int random_uniform(lua_State *L) {
  lua_pushnumber(L, nn_random_uniform((uint64_t)luaL_checkinteger(L, 1), (uint64_t)luaL_optinteger(L, 2, 0),
                                      (uint64_t)luaL_optinteger(L, 3, 0)));
  return 1;
}

/* nn.derive(seed, stream, index) -> an integer seed */
static int derive(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)(nn_random_derive((uint64_t)luaL_checkinteger(L, 1),
                                                    (uint64_t)luaL_optinteger(L, 2, 0),
                                                    (uint64_t)luaL_optinteger(L, 3, 0)) >> 1));
  return 1;
}

/* nn.nearest(word, list) -> the known word nearest to it, or nil */
int nnl_lua_nearest(lua_State *L) {
  const char *word = luaL_checkstring(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_Buffer words;
  char near[64];
  luaL_buffinit(L, &words);
  for (lua_Integer i = 1; lua_geti(L, 2, i) == LUA_TSTRING; i++) {
    luaL_addvalue(&words);
    luaL_addchar(&words, ' ');
  }
  lua_pop(L, 1);
  luaL_pushresult(&words);
  lua_pushstring(L, nnl_nearest(word, lua_tostring(L, -1), near, sizeof near));
  return 1;
}

/* nn.write_file(path, text) -> true, or nil, message, code; written whole or not at all, and synced */
static int write_file(lua_State *L) {
  size_t size;
  const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &size);
  int status = nn_file_write(path, text, size);
  if (status != NN_OK) return nnl_fail(L, status);
  lua_pushboolean(L, true);
  return 1;
}

/* nn.peak_flops() -> multiply-adds in registers on all threads, floating-point operations a second, measured now */
static int peak_flops(lua_State *L) {
  double flops;
  if (nn_peak_flops(&flops) != NN_OK) return nnl_raise(L);
  lua_pushnumber(L, flops);
  return 1;
}

static void set_integer(lua_State *L, const char *key, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, key);
}

/* nn.memory.stats() -> { live, peak, cached, cap, blocks } in bytes */
static int memory_stats(lua_State *L) {
  nn_memory_stats s;
  nn_memory_get_stats(&s);
  lua_createtable(L, 0, 5);
  set_integer(L, "live", s.live);
  set_integer(L, "peak", s.peak);
  set_integer(L, "cached", s.cached);
  set_integer(L, "cap", s.cap);
  set_integer(L, "blocks", s.live_blocks);
  return 1;
}

static int memory_cap(lua_State *L) {
  lua_Integer bytes = luaL_checkinteger(L, 1);
  luaL_argcheck(L, bytes >= 0, 1, "bytes from 0 (no cap) expected");
  nn_memory_set_cap((size_t)bytes);
  return 0;
}

static int memory_reset_peak(lua_State *L) {
  (void)L;
  nn_memory_reset_peak();
  return 0;
}

static int memory_trim(lua_State *L) {
  (void)L;
  nn_memory_trim();
  return 0;
}

static int memory_fail_at(lua_State *L) {
  nn_memory_fail_at((uint64_t)luaL_checkinteger(L, 1));
  return 0;
}

#ifdef NN_PLAIN_MALLOC
#define ALLOCATOR "malloc"
#else
#define ALLOCATOR "caching"
#endif

/* nn.info() -> { version, lua, cpu, level, threads, blas, precision, allocator } */
static int info(lua_State *L) {
  const char *const pairs[][2] = {
    { "version", NN_VERSION }, { "lua", LUA_RELEASE }, { "cpu", nn_cpu_name() }, { "level", nn_cpu_level() },
    { "blas", nn_blas_name() }, { "precision", sizeof(nn_real) == 4 ? "float" : "double" },
    { "allocator", ALLOCATOR },
  };
  lua_createtable(L, 0, 8);
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    lua_pushstring(L, pairs[i][1]);
    lua_setfield(L, -2, pairs[i][0]);
  }
  set_integer(L, "threads", (uint64_t)nn_threads());
  return 1;
}

int luaopen_nn(lua_State *L) {
  static const luaL_Reg functions[] = {
    { "threads", threads }, { "precision", precision }, { "no_grad", no_grad }, { "with_leaf", with_leaf },
    { "grad_enabled", grad_enabled }, { "live_tensors", live_tensors }, { "random", random_uniform },
    { "derive", derive }, { "nearest", nnl_lua_nearest },
    { "info", info }, { "peak_flops", peak_flops }, { "write_file", write_file },
    { NULL, NULL },
  };
  static const luaL_Reg memory[] = {
    { "stats", memory_stats }, { "cap", memory_cap }, { "reset_peak", memory_reset_peak }, { "trim", memory_trim },
    { "fail_at", memory_fail_at }, { NULL, NULL },
  };
  if (nn_start() != NN_OK) return nnl_raise(L);
  luaL_newlib(L, functions);
  int module = lua_gettop(L);
  luaL_newlib(L, memory);
  lua_setfield(L, module, "memory");
  lua_pushliteral(L, NN_VERSION);
  lua_setfield(L, module, "version");
  nnl_open_tensor(L);
  nnl_open_tensor_functions(L, module);
  nnl_open_ops(L, module);
  nnl_open_modules(L, module);
  nnl_open_optimizers(L, module);
  nnl_open_checkpoint(L, module);
  nnl_open_data(L, module);
  nnl_open_files(L, module);
  nnl_open_json(L, module);
  nnl_open_loader(L, module);
  nnl_open_formats(L, module);
  nnl_open_image(L, module);
  nnl_open_perturb(L, module);
  nnl_open_attack(L, module);
  lua_settop(L, module);
  return 1;
}
