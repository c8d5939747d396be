/* b_json.c -- nn.json: values from JSON text. The C half of require "json". */
#include "nnl.h"

/* Puts the value on top of the stack where it belongs: depth containers are open, each a table followed, when it is an
 * object, by the key of the value to come. */
static void place_value(lua_State *L, const nn_json *json, lua_Integer *count) {
  if (json->depth == 0) return;
  if (json->object[json->depth - 1]) lua_rawset(L, -3);
  else lua_rawseti(L, -2, ++count[json->depth - 1]);
}

static void push_text(lua_State *L, const nn_json_token *token) {
  luaL_Buffer buffer;
  char *text = luaL_buffinitsize(L, &buffer, token->length);
  luaL_pushresultsize(&buffer, nn_json_text(token, text));
}

/* A key, which its object (on top of the stack) does not have yet. */
static int push_key(lua_State *L, const nn_json *json, const nn_json_token *token) {
  push_text(L, token);
  lua_pushvalue(L, -1);
  bool twice = lua_rawget(L, -3) != LUA_TNIL;
  lua_pop(L, 1);
  if (!twice) return NN_OK;
  int shown = token->length < 100 ? (int)token->length : 100;
  return nn_json_fail(json, token->offset, "field \"%.*s\" appears twice", shown, token->raw);
}

/* nn.json.decode(text, name, null, array metatable) -> value, or nil, message, code; null stands for null */
static int json_decode(lua_State *L) {
  enum { NULL_VALUE = 3, ARRAY_MARK = 4 };
  size_t size;
  const char *text = luaL_checklstring(L, 1, &size), *name = luaL_checkstring(L, 2);
  luaL_checkany(L, NULL_VALUE);
  luaL_checktype(L, ARRAY_MARK, LUA_TTABLE);
  lua_settop(L, ARRAY_MARK);
  luaL_checkstack(L, 2 * NN_JSON_DEPTH + 10, "json");
  nn_json json;
  nn_json_token token;
  lua_Integer count[NN_JSON_DEPTH + 1];
  unsigned tokens = 0;
  nn_json_start(&json, name, text, size);
  for (;;) {
    int status = nn_json_next(&json, &token);
    if (status == NN_OK && token.kind == NN_JSON_KEY) status = push_key(L, &json, &token);
    if (status == NN_OK && ++tokens % 4096 == 0) status = nn_interrupt_check();
    if (status != NN_OK) return nnl_fail(L, status);
    switch (token.kind) {
      case NN_JSON_END: return 1;
      case NN_JSON_KEY: continue;
      case NN_JSON_ARRAY:
        count[json.depth - 1] = 0;
        lua_newtable(L);
        lua_pushvalue(L, ARRAY_MARK);
        lua_setmetatable(L, -2);
        continue;
      case NN_JSON_OBJECT: lua_newtable(L); continue;
      case NN_JSON_ARRAY_END: case NN_JSON_OBJECT_END: break;  /* the table is on top now */
      case NN_JSON_NULL: lua_pushvalue(L, NULL_VALUE); break;
      case NN_JSON_FALSE: case NN_JSON_TRUE: lua_pushboolean(L, token.kind == NN_JSON_TRUE); break;
      case NN_JSON_INTEGER: lua_pushinteger(L, token.integer); break;
      case NN_JSON_NUMBER: lua_pushnumber(L, token.number); break;
      case NN_JSON_STRING: push_text(L, &token); break;
    }
    place_value(L, &json, count);
  }
}

void nnl_open_json(lua_State *L, int module) {
  static const luaL_Reg functions[] = { { "decode", json_decode }, { NULL, NULL } };
  luaL_newlib(L, functions);
  lua_setfield(L, module, "json");
}
