/* nnl.c -- errors, boxes and arguments: the ground the bindings stand on. */
#include "nnl.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- errors ---- */

/* Pushes "file:line: " of the innermost Lua function outside the standard library. */
static void push_where(lua_State *L) {
  lua_Debug at;
  for (int level = 1; lua_getstack(L, level, &at); level++) {
    lua_getinfo(L, "Sl", &at);
    if (at.currentline > 0 && strncmp(at.short_src, "stdlib/", 7) != 0) {
      lua_pushfstring(L, "%s:%d: ", at.short_src, at.currentline);
      return;
    }
  }
  lua_pushliteral(L, "");
}

static int raise_text(lua_State *L, const char *message) {
  push_where(L);
  lua_pushstring(L, message);
  lua_concat(L, 2);
  return lua_error(L);
}

int nnl_raise(lua_State *L) {
  const char *message = nn_error();
  /* Raised here, an interrupt is served; otherwise the host's hook would raise it once more in the error's handler. */
  const char *word = strstr(message, "interrupted");
  if (word && strcmp(word, "interrupted") == 0) nn_interrupt_clear();
  return raise_text(L, message);
}

int nnl_error(lua_State *L, const char *format, ...) {
  char message[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  return raise_text(L, message);
}

int nnl_fail(lua_State *L, int status) {
  if (status != NN_EIO && status != NN_EFORMAT) return nnl_raise(L);
  lua_pushnil(L);
  lua_pushstring(L, nn_error());
  lua_pushstring(L, status == NN_EIO ? "io" : "format");
  return 3;
}

/* ---- tensors ---- */

/* Bytes made since the collector last heard of it. Lua sees a box of 8 bytes; without this it would let gigabytes of
 * tensors wait for the next cycle. */
static size_t uncharged;
enum { CHARGE_AT = 256 << 10, OVERHEAD = 512 };  /* a tensor's own structures, whatever it holds */

void nnl_charge(const nn_tensor *t) {
  if (t) uncharged += (size_t)nn_tensor_count(t) * nn_type_bytes(nn_tensor_type(t)) + OVERHEAD;
}

void nnl_charge_bytes(size_t bytes) { uncharged += bytes; }

nnl_tensor *nnl_tensor_box(lua_State *L) {
  if (uncharged >= CHARGE_AT) {
    int kib = (int)(uncharged / 1024 / 4);
    uncharged = 0;
    lua_gc(L, LUA_GCSTEP, kib);
  }
  nnl_tensor *box = lua_newuserdatauv(L, sizeof *box, 0);
  box->tensor = NULL;
  luaL_setmetatable(L, NNL_TENSOR);
  return box;
}

nn_tensor *nnl_test_tensor(lua_State *L, int index) {
  nnl_tensor *box = luaL_testudata(L, index, NNL_TENSOR);
  if (box && !box->tensor) nnl_error(L, "use of freed tensor");
  return box ? box->tensor : NULL;
}

nn_tensor *nnl_check_tensor(lua_State *L, int index) {
  nn_tensor *t = nnl_test_tensor(L, index);
  if (!t) nnl_error(L, "tensor expected as argument %d, got %s", index, luaL_typename(L, index));
  return t;
}

/* ---- nearest words ---- */

enum { WORD = 40 };  /* longer words are near to nothing */

static bool same_letter(char a, char b) { return tolower((unsigned char)a) == tolower((unsigned char)b); }

/* Edit distance where an insertion, a deletion, a change or a swap of neighbours costs one; case does not count. */
static int edit_distance(const char *a, int m, const char *b, int n) {
  int row[3][WORD];
  for (int j = 0; j <= n; j++) row[0][j] = j;
  for (int i = 1; i <= m; i++) {
    int *now = row[i % 3], *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
    now[0] = i;
    for (int j = 1; j <= n; j++) {
      int best = last[j - 1] + !same_letter(a[i - 1], b[j - 1]);
      if (last[j] + 1 < best) best = last[j] + 1;
      if (now[j - 1] + 1 < best) best = now[j - 1] + 1;
      bool swapped = i > 1 && j > 1 && same_letter(a[i - 1], b[j - 2]) && same_letter(a[i - 2], b[j - 1]);
      if (swapped && before[j - 2] + 1 < best) best = before[j - 2] + 1;
      now[j] = best;
    }
  }
  return row[m % 3][n];
}

/* Of three letters and more: does the shorter word begin the longer one? It is then near whatever their lengths. */
static bool begins(const char *a, int m, const char *b, int n) {
  int shorter = m < n ? m : n, i = 0;
  while (i < shorter && same_letter(a[i], b[i])) i++;
  return shorter >= 3 && i == shorter;
}

const char *nnl_nearest(const char *word, const char *words, char *text, size_t room) {
  int length = (int)strlen(word), best = WORD;
  const char *found = NULL;
  if (length >= WORD) return NULL;
  for (const char *p = words; *p;) {
    int n = (int)strcspn(p, " "), longer = n > length ? n : length;
    if (n > 0 && n < WORD) {
      int d = begins(word, length, p, n) ? 1 : edit_distance(word, length, p, n);
      bool near = d < longer && (d <= 1 || d <= longer / 3);  /* something of it must be right */
      if (near && (d < best || (d == best && strncmp(p, found, (size_t)n) < 0))) {
        best = d;
        snprintf(text, room, "%.*s", n, p);
        found = text;
      }
    }
    p += n + (p[n] == ' ');
  }
  return found;
}

/* ---- arguments by signature ---- */

static const char *kind_name(const nn_arg *arg) {
  switch (arg->kind) {
    case NN_ARG_NUMBER: return "a number";
    case NN_ARG_INTEGER: return "an integer";
    case NN_ARG_POSITION: return "a place (1 is the first)";
    case NN_ARG_BOOLEAN: return "true or false";
    case NN_ARG_AXIS: return "an axis (1 is the first)";
    case NN_ARG_AXES: return "an axis or a list of axes";
    case NN_ARG_SIZES: return "a list of integers";
    case NN_ARG_NUMBERS: return "a list of numbers";
    case NN_ARG_INDEX: return "an index tensor";
    case NN_ARG_TENSORS: return "a list of tensors";
    default: return "a tensor";
  }
}

static int wrong_kind(lua_State *L, const char *who, const nn_arg *arg, int index) {
  if (arg->kind == NN_ARG_CHOICE) {
    char list[120], near[40];
    snprintf(list, sizeof list, "%.*s", (int)strcspn(arg->choices, "?=,} "), arg->choices);
    for (char *p = list; *p; p++)
      if (*p == '|') *p = ' ';
    const char *got = luaL_tolstring(L, index, NULL), *guess = nnl_nearest(got, list, near, sizeof near);
    return nnl_error(L, "%s: %s expects one of %s, got %s%s%s%s", who, arg->name, list, got,
                     guess ? "; did you mean " : "", guess ? guess : "", guess ? "?" : "");
  }
  return nnl_error(L, "%s: %s expects %s, got %s", who, arg->name, kind_name(arg),
                   lua_isnoneornil(L, index) ? "nothing"
                   : lua_type(L, index) == LUA_TNUMBER ? luaL_tolstring(L, index, NULL) : luaL_typename(L, index));
}

/* An integer at the index; a float with a whole value counts. */
static bool read_integer(lua_State *L, int index, int64_t *out) {
  int whole;
  if (lua_type(L, index) != LUA_TNUMBER) return false;
  *out = lua_tointegerx(L, index, &whole);
  return whole;
}

/* Lua's axis 1 is 0 here; negative axes count from the end in both. 0 is no axis. */
static bool read_axis(lua_State *L, int index, int64_t *out) {
  if (!read_integer(L, index, out) || *out == 0) return false;
  if (*out > 0) --*out;
  return true;
}

static bool read_list(lua_State *L, const nn_arg *arg, int index, nn_param *p) {
  int room = arg->kind == NN_ARG_AXES ? NN_MAX_AXES : arg->kind == NN_ARG_NUMBERS ? 8 : 2 * NN_MAX_AXES;
  if (!lua_istable(L, index)) return false;
  lua_Integer count = luaL_len(L, index);
  if (count < 0 || count > room) return false;
  p->count = (int)count;
  for (int i = 0; i < p->count; i++) {
    lua_geti(L, index, i + 1);
    bool good = arg->kind == NN_ARG_AXES ? read_axis(L, -1, &p->list[i])
              : arg->kind == NN_ARG_SIZES ? read_integer(L, -1, &p->list[i]) : lua_type(L, -1) == LUA_TNUMBER;
    if (good && arg->kind == NN_ARG_NUMBERS) p->numbers[i] = lua_tonumber(L, -1);
    lua_pop(L, 1);
    if (!good) return false;
  }
  return true;
}

static bool read_value(lua_State *L, const nn_arg *arg, int index, nn_param *p) {
  size_t length;
  memset(p, 0, sizeof *p);
  p->given = true;
  switch (arg->kind) {
    case NN_ARG_NUMBER:
      p->number = lua_tonumber(L, index);
      return lua_type(L, index) == LUA_TNUMBER;
    case NN_ARG_INTEGER: return read_integer(L, index, &p->integer);
    case NN_ARG_BOOLEAN:
      p->integer = lua_toboolean(L, index);
      return lua_isboolean(L, index);
    case NN_ARG_CHOICE: {
      if (lua_type(L, index) != LUA_TSTRING) return false;
      const char *word = lua_tolstring(L, index, &length);
      p->integer = nn_choice_find(arg, word, length);
      return p->integer >= 0;
    }
    case NN_ARG_AXIS: return read_axis(L, index, &p->integer);
    case NN_ARG_POSITION:
      if (!read_integer(L, index, &p->integer) || p->integer < 1) return false;
      p->integer--;
      return true;
    case NN_ARG_AXES:
      p->count = 1;
      return read_axis(L, index, &p->list[0]) || read_list(L, arg, index, p);
    default: return read_list(L, arg, index, p);
  }
}

static void push_choice(lua_State *L, const nn_arg *arg, int64_t place) {
  const char *word = arg->choices;
  while (place-- > 0) word = strchr(word, '|') + 1;
  lua_pushlstring(L, word, strcspn(word, "|?=,} "));
}

void nnl_push_options(lua_State *L, const nn_signature *s, const nn_param *params) {
  lua_createtable(L, 0, s->values);
  for (int a = 0; a < s->args; a++) {
    const nn_arg *arg = &s->arg[a];
    if (arg->value < 0 || (arg->optional && !params[arg->value].given)) continue;
    const nn_param *p = &params[arg->value];
    switch (arg->kind) {
      case NN_ARG_NUMBER: lua_pushnumber(L, p->number); break;
      case NN_ARG_INTEGER: lua_pushinteger(L, p->integer); break;
      case NN_ARG_BOOLEAN: lua_pushboolean(L, p->integer != 0); break;
      case NN_ARG_CHOICE: push_choice(L, arg, p->integer); break;
      case NN_ARG_NUMBERS:
        lua_createtable(L, p->count, 0);
        for (int i = 0; i < p->count; i++) {
          lua_pushnumber(L, p->numbers[i]);
          lua_rawseti(L, -2, i + 1);
        }
        break;
      default: continue;  /* layers and optimisers have no others */
    }
    lua_setfield(L, -2, arg->name);
  }
}

static void read_checked(lua_State *L, const char *who, const nn_arg *arg, int index, nn_param *p) {
  if (!read_value(L, arg, index, p)) wrong_kind(L, who, arg, index);
  if (nn_arg_check(arg, p) != NN_OK) nnl_error(L, "%s: %s", who, nn_error());
}

/* The tensor at index; a number becomes a boxed scalar that replaces it on the stack. */
static nn_tensor *read_tensor(lua_State *L, const char *who, const nn_arg *arg, int index) {
  if (arg->kind != NN_ARG_INDEX && lua_type(L, index) == LUA_TNUMBER) {
    double value = lua_tonumber(L, index);
    nnl_tensor *box = nnl_tensor_box(L);
    box->tensor = nn_tensor_scalar(value);
    if (!box->tensor) nnl_raise(L);
    lua_replace(L, index);
  }
  nn_tensor *t = nnl_test_tensor(L, index);
  if (!t) wrong_kind(L, who, arg, index);
  return t;
}

static void read_tensor_list(lua_State *L, const char *who, const nn_arg *arg, int index, nn_tensor **inputs,
                             int *count) {
  if (!lua_istable(L, index) || lua_rawlen(L, index) == 0) wrong_kind(L, who, arg, index);
  lua_Integer length = (lua_Integer)lua_rawlen(L, index);
  for (lua_Integer i = 1; i <= length; i++) {
    lua_rawgeti(L, index, i);  /* a metamethod could make tensors that nothing keeps alive */
    nn_tensor *t = nnl_test_tensor(L, -1);
    if (!t)
      nnl_error(L, "%s: %s expects %s, got %s at place %d", who, arg->name, kind_name(arg), luaL_typename(L, -1),
                (int)i);
    if (*count == 64) nnl_error(L, "%s: at most 64 tensors", who);
    inputs[(*count)++] = t;  /* the table keeps it alive */
    lua_pop(L, 1);
  }
}

static void unknown_option(lua_State *L, const char *who, const nn_signature *s, const char *key) {
  char words[400] = "", near[40];
  size_t used = 0;
  for (int a = 0; a < s->args; a++)
    if (s->arg[a].option) used += (size_t)snprintf(words + used, sizeof words - used, "%s ", s->arg[a].name);
  const char *guess = nnl_nearest(key, words, near, sizeof near);
  if (guess) nnl_error(L, "%s: unknown option \"%s\"; did you mean \"%s\"?", who, key, guess);
  if (!used) nnl_error(L, "%s: unknown option \"%s\"; it takes none", who, key);
  nnl_error(L, "%s: unknown option \"%s\"; it takes %.*s", who, key, (int)used - 1, words);
}

void nnl_read_options(lua_State *L, const char *who, const nn_signature *s, int index, nn_param *params) {
  index = lua_absindex(L, index);
  bool given = !lua_isnoneornil(L, index);
  if (given && !lua_istable(L, index))
    nnl_error(L, "%s: a table of options expected, got %s", who, luaL_typename(L, index));
  for (int a = 0; a < s->args; a++) {
    const nn_arg *arg = &s->arg[a];
    if (!arg->option) continue;
    params[arg->value] = arg->fallback;
    if (given && lua_getfield(L, index, arg->name) != LUA_TNIL) read_checked(L, who, arg, -1, &params[arg->value]);
    else if (!arg->optional) nnl_error(L, "%s: option %s is missing", who, arg->name);
    if (given) lua_pop(L, 1);
  }
  if (!given) return;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    bool known = false;
    if (lua_type(L, -2) != LUA_TSTRING)
      nnl_error(L, "%s: options are given by name, got a value without one", who);
    for (int a = 0; a < s->args && !known; a++)
      known = s->arg[a].option && strcmp(s->arg[a].name, lua_tostring(L, -2)) == 0;
    if (!known) unknown_option(L, who, s, lua_tostring(L, -2));
  }
}

/* A table without a first element where an optional argument may stand is the table of options. */
static bool is_options(lua_State *L, int index) {
  if (!lua_istable(L, index)) return false;
  bool list = lua_geti(L, index, 1) != LUA_TNIL;
  lua_pop(L, 1);
  return !list;
}

void nnl_read_arguments(lua_State *L, const char *who, const nn_signature *s, int first, nn_tensor **inputs,
                        int *input_count, nn_param *params) {
  int next = first, last = lua_gettop(L), options = 0;
  *input_count = 0;
  luaL_checkstack(L, 8, who);
  for (int a = 0; a < s->args; a++) {
    const nn_arg *arg = &s->arg[a];
    if (arg->option) {
      options++;
      continue;
    }
    bool absent = next > last || lua_isnil(L, next) || (arg->optional && is_options(L, next));
    if (absent && !arg->optional) wrong_kind(L, who, arg, next > last ? last + 1 : next);
    if (absent) {
      if (arg->tensor >= 0) inputs[(*input_count)++] = NULL;
      else params[arg->value] = arg->fallback;
      if (next <= last && lua_isnil(L, next)) next++;
      continue;
    }
    if (arg->kind == NN_ARG_TENSORS) read_tensor_list(L, who, arg, next, inputs, input_count);
    else if (arg->tensor >= 0) inputs[(*input_count)++] = read_tensor(L, who, arg, next);
    else read_checked(L, who, arg, next, &params[arg->value]);
    next++;
  }
  if (next <= last && options) nnl_read_options(L, who, s, next++, params);
  else if (options) nnl_read_options(L, who, s, last + 1, params);
  if (next <= last) {
    if (is_options(L, next)) {
      lua_pushnil(L);
      if (lua_next(L, next)) unknown_option(L, who, s, luaL_tolstring(L, -2, NULL));
    }
    nnl_error(L, "%s: at most %d arguments expected, got %d", who, next - first, last - first + 1);
  }
}

void nnl_push_row(lua_State *L, const char *name, const char *signature, const char *doc) {
  const char *const pairs[][2] = { { "name", name }, { "signature", signature }, { "doc", doc } };
  lua_createtable(L, 0, 6);
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    lua_pushstring(L, pairs[i][1]);
    lua_setfield(L, -2, pairs[i][0]);
  }
}
