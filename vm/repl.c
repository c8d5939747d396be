/* repl.c -- the prompt: read, run, print.
 *
 * An expression prints itself (stdlib/repl.lua says how) and becomes `_`; unfinished input goes on at `>>`; `?word` is
 * help on it. A `local` that begins an entry makes a global, or a script's first lines could not be typed here. With
 * the input coming from a file or pipe there is no prompt, and messages count the lines of the whole input.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nn.h"
#include "vm.h"

typedef struct {
  bool terminal;
  int lines;   /* read so far */
  int first;   /* the line on which the entry begins */
  bool expression;  /* the entry's function returns an extra value first */
  char *line;  /* getline's */
  size_t room;
} reader;

enum { LINE, END, INTERRUPT };

/* LINE: pushes one line without its end. */
static int read_line(lua_State *L, reader *r, const char *prompt) {
  if (r->terminal) {
    fputs(prompt, stdout);
    fflush(stdout);
  }
  ssize_t length = getline(&r->line, &r->room, stdin);
  if (length < 0) {
    if (!vm_interrupt_take()) return END;
    clearerr(stdin);
    return INTERRUPT;
  }
  r->lines++;
  while (length > 0 && (r->line[length - 1] == '\n' || r->line[length - 1] == '\r')) length--;
  lua_pushlstring(L, r->line, (size_t)length);
  return LINE;
}

/* Compiles before .. text; pushes the function or a message. */
static int compile(lua_State *L, const reader *r, const char *before, const char *text) {
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (int i = 1; i < r->first; i++) luaL_addchar(&b, '\n');
  luaL_addstring(&b, before);
  luaL_addstring(&b, text);
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

/* Pushes the entry's function, or a message. *more: the entry may go on. An expression is compiled to return an extra
 * nil before its values, because `return f()` alone is a tail call, and an error in f could not tell the line. */
static int compile_entry(lua_State *L, reader *r, const char *text, bool *more) {
  int status = compile(L, r, "return nil, ", text);
  r->expression = status == LUA_OK;
  if (status == LUA_OK) return status;
  *more = unfinished(L);
  lua_pop(L, 1);
  status = compile(L, r, "", text);
  if (status != LUA_OK) {
    *more = *more || unfinished(L);
    return status;
  }
  const char *rest = after_local(text);
  if (rest != NULL) {
    bool global = compile(L, r, "", rest) == LUA_OK;
    lua_remove(L, global ? -2 : -1);
  }
  return status;
}

/* Reads one entry and pushes its function; END and INTERRUPT push nothing. A wrong entry is reported and skipped. */
static int read_entry(lua_State *L, reader *r) {
  for (;;) {
    r->first = r->terminal ? 1 : r->lines + 1;
    int found = read_line(L, r, "> ");
    if (found != LINE) return found;
    const char *text = lua_tostring(L, -1);
    if (*text == '?') {
      lua_pushfstring(L, "help [==[%s]==]", text + 1 + strspn(text + 1, " \t"));
      lua_replace(L, -2);
    }
    for (;;) {
      bool more = false;
      int status = compile_entry(L, r, lua_tostring(L, -1), &more);
      if (status == LUA_OK) {
        lua_remove(L, -2);
        return LINE;
      }
      found = more ? read_line(L, r, ">> ") : END;
      if (found == INTERRUPT) {
        lua_pop(L, 2);
        return found;
      }
      if (found == END) {
        vm_report(L);
        lua_pop(L, 1);
        break;
      }
      lua_remove(L, -2);  /* the message */
      lua_pushliteral(L, "\n");
      lua_insert(L, -2);
      lua_concat(L, 3);
    }
  }
}

/* Called with the values of an expression. */
static int show(lua_State *L) {
  lua_pushvalue(L, 1);
  lua_setglobal(L, "_");
  lua_getglobal(L, "require");
  lua_pushliteral(L, "repl");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "show");
  lua_replace(L, -2);
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 0);
  return 0;
}

void vm_repl(lua_State *L) {
  reader r = { .terminal = isatty(STDIN_FILENO) };
  if (r.terminal) puts("Penumbra " NN_VERSION " (" LUA_RELEASE "). help() explains, Ctrl-D leaves.");
  for (;;) {
    lua_settop(L, 0);
    int found = read_entry(L, &r);
    if (found == END) break;
    if (found == INTERRUPT) {
      putchar('\n');
      continue;
    }
    if (vm_call(L, 0, LUA_MULTRET) != 0) continue;
    if (r.expression) lua_remove(L, 1);
    int values = lua_gettop(L);
    if (values == 0) continue;
    if (!lua_checkstack(L, LUA_MINSTACK)) {
      fputs("penumbra: too many values to print\n", stderr);
      continue;
    }
    lua_pushcfunction(L, show);
    lua_insert(L, 1);
    vm_call(L, values, 0);
  }
  if (r.terminal) putchar('\n');
  free(r.line);
}
