/* repl.c -- the prompt: read, run, print.
 *
 * stdlib/repl.lua says how a value, an error and an entry that begins with `?` or `:` are shown or served; here is the
 * loop. Unfinished input goes on at `>>`. A `local` that begins an entry makes a global, or a script's first lines
 * could not be typed here. With the input coming from a file or pipe there is no prompt, and the first entry that fails
 * ends it, as in a script. Lines are counted from the beginning of the input, so that messages can name any of them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nn.h"
#include "vm.h"

typedef struct {
  bool terminal;    /* prompts are shown, and errors do not end the session */
  bool editor;      /* lines are edited */
  int module;       /* stack index of require "repl" */
  int lines;        /* read so far */
  int first;        /* the line on which the entry begins */
  bool expression;  /* the entry's function returns an extra value first */
  char *line;       /* getline's */
  size_t room;
} reader;

enum { BASE = 1 };  /* what the loop keeps on the stack: the module */

/* VM_LINE_READ: pushes one line without its end. */
static int read_plain(lua_State *L, reader *r, const char *prompt) {
  if (r->terminal) {
    fputs(prompt, stdout);
    fflush(stdout);
  }
  ssize_t length = getline(&r->line, &r->room, stdin);
  if (length < 0) {
    if (!vm_interrupt_take()) return VM_LINE_END;
    clearerr(stdin);
    if (r->terminal) putchar('\n');
    return VM_LINE_DROPPED;
  }
  while (length > 0 && (r->line[length - 1] == '\n' || r->line[length - 1] == '\r')) length--;
  lua_pushlstring(L, r->line, (size_t)length);
  return VM_LINE_READ;
}

/* Also keeps the line where messages can quote it: repl.entered. */
static int read_line(lua_State *L, reader *r, const char *prompt) {
  int found = r->editor ? vm_editor_read(L, prompt) : read_plain(L, r, prompt);
  if (found != VM_LINE_READ) return found;
  lua_getfield(L, r->module, "entered");
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, ++r->lines);
  lua_pop(L, 1);
  return found;
}

/* Compiles before .. text; pushes the function or a message. */
static int compile(lua_State *L, const reader *r, const char *before, const char *text, size_t length) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (int i = 1; i < r->first; i++) luaL_addchar(&b, '\n');
  luaL_addstring(&b, before);
  luaL_addlstring(&b, text, length);
  luaL_pushresult(&b);
  size_t size;
  const char *source = lua_tolstring(L, -1, &size);
  int status = luaL_loadbufferx(L, source, size, "=stdin", "t");
  lua_remove(L, -2);
  return status;
}

/* Whether a compilation ended in a message that more input might help. */
static bool unfinished(lua_State *L) {
  static const char end[] = "<eof>";
  size_t size;
  const char *message = lua_tolstring(L, -1, &size);
  return size >= sizeof end - 1 && strcmp(message + size - (sizeof end - 1), end) == 0;
}

/* The text after a leading `local`, or NULL. */
static const char *after_local(const char *text) {
  text += strspn(text, " \t");
  return strncmp(text, "local", 5) == 0 && (text[5] == ' ' || text[5] == '\t') ? text + 6 : NULL;
}

/* Pushes the function of the entry whose text is at the top of the stack, or a message. *more: the entry may go on. An
 * expression is compiled to return an extra nil before its values, because `return f()` alone is a tail call, and an
 * error in f could not tell the line. */
static int compile_entry(lua_State *L, reader *r, bool *more) {
  size_t length;
  const char *text = lua_tolstring(L, -1, &length);  /* with what follows a NUL byte: nothing typed is passed over */
  int status = compile(L, r, "return nil, ", text, length);
  r->expression = status == LUA_OK;
  if (status == LUA_OK) return status;
  *more = unfinished(L);
  lua_pop(L, 1);
  status = compile(L, r, "", text, length);
  if (status != LUA_OK) {
    *more = *more || unfinished(L);
    return status;
  }
  const char *rest = after_local(text);
  if (rest != NULL) {
    bool global = compile(L, r, "", rest, length - (size_t)(rest - text)) == LUA_OK;
    lua_remove(L, global ? -2 : -1);
  }
  return status;
}

/* `?word` and `:word` are not Lua: repl.serve takes them. A label is. */
static bool is_served(const char *text) { return *text == '?' || (*text == ':' && text[1] != ':'); }

/* Reads one entry and pushes its text and its function, or its text and a message (*status); VM_LINE_END and
 * VM_LINE_DROPPED push nothing. */
static int read_entry(lua_State *L, reader *r, int *status) {
  int found = read_line(L, r, "> ");
  if (found != VM_LINE_READ) return found;
  r->first = r->lines;
  *status = LUA_OK;
  r->expression = false;
  if (is_served(lua_tostring(L, -1))) {
    lua_getfield(L, r->module, "serve");
    return found;
  }
  for (;;) {
    bool more = false;
    *status = compile_entry(L, r, &more);
    if (*status == LUA_OK || !more) return VM_LINE_READ;
    found = read_line(L, r, ">> ");
    if (found == VM_LINE_END) return VM_LINE_READ;
    if (found == VM_LINE_DROPPED) {
      lua_settop(L, BASE);
      return found;
    }
    lua_remove(L, -2);  /* the message */
    lua_pushliteral(L, "\n");
    lua_insert(L, -2);
    lua_concat(L, 3);
  }
}

/* Calls repl[name] with the string at the top, and pops it. */
static int call_module(lua_State *L, const reader *r, const char *name) {
  lua_getfield(L, r->module, name);
  lua_insert(L, -2);
  return vm_call(L, 1, 0);
}

static void remember(lua_State *L, const reader *r, const char *entry) {
  if (!r->editor || entry[strspn(entry, " \t\n")] == '\0') return;
  vm_editor_remember(entry);
  lua_pushstring(L, entry);
  call_module(L, r, "remember");
}

/* Runs the entry whose text and function are at the top of the stack. */
static int run_entry(lua_State *L, const reader *r) {
  bool served = is_served(lua_tostring(L, -2));
  if (served) lua_pushvalue(L, -2);
  int status = vm_call(L, served, LUA_MULTRET);
  if (status != 0) return status;
  int first = BASE + 2;  /* after the text */
  if (r->expression) lua_remove(L, first);
  int values = lua_gettop(L) - first + 1;
  if (values == 0) return 0;
  if (!lua_checkstack(L, LUA_MINSTACK)) {
    fputs("penumbra: too many values to print\n", stderr);
    return VM_FAILED;
  }
  lua_pushvalue(L, first);
  lua_setglobal(L, "_");
  lua_getfield(L, r->module, "show");
  lua_insert(L, first);
  return vm_call(L, values, 0);
}

/* The message at the top says why the entry's text below it is no Lua. */
static int report_syntax(lua_State *L, const reader *r) {
  lua_getfield(L, r->module, "explain_syntax");
  lua_insert(L, -2);
  lua_pushboolean(L, r->terminal && r->lines == r->first);
  if (lua_pcall(L, 2, 1, 0) == LUA_OK || lua_isstring(L, -1)) vm_report(L);
  return VM_FAILED;
}

/* Pushes require "repl". */
static int load_module(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "repl");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "describe_error");
  vm_set_describe(L);
  return 1;
}

/* repl.history() -> list of entries, the oldest first */
static void recall(lua_State *L, const reader *r) {
  lua_getfield(L, r->module, "history");
  if (vm_call(L, 0, 1) != 0) return;
  for (lua_Integer i = 1; lua_rawgeti(L, -1, i) == LUA_TSTRING; i++) {
    vm_editor_remember(lua_tostring(L, -1));
    lua_pop(L, 1);
  }
}

int vm_repl(lua_State *L) {
  lua_settop(L, 0);
  lua_pushcfunction(L, load_module);
  int result = vm_call(L, 0, 1);
  if (result != 0) return result;
  reader r = { .terminal = isatty(STDIN_FILENO), .module = BASE };
  r.editor = r.terminal && vm_editor_open(L);
  if (r.terminal) puts("Penumbra " NN_VERSION " (" LUA_RELEASE "). help() explains, Ctrl-D leaves.");
  if (r.editor) recall(L, &r);
  for (;;) {
    lua_settop(L, BASE);
    int status = LUA_OK, found = read_entry(L, &r, &status);
    if (found == VM_LINE_END) break;
    if (found == VM_LINE_DROPPED) {
      result = VM_INTERRUPTED;
    } else {
      remember(L, &r, lua_tostring(L, -2));
      result = status == LUA_OK ? run_entry(L, &r) : report_syntax(L, &r);
    }
    if (result != 0 && !r.terminal) break;
    result = 0;
  }
  if (r.terminal) putchar('\n');
  vm_editor_close();
  free(r.line);
  return result;
}
