/* terminal.c -- the part of require "host" that knows of terminals: is there one, how large is it, what does it say. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "vm.h"

/* host.terminal(stream) -> whether standard input (0), output (1) or error (2) is a terminal */
static int terminal(lua_State *L) {
  lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
  return 1;
}

/* host.terminal_size() -> columns, rows, and the size of the whole in pixels (0 where it is not told), or nil: none of
 * the standard streams is a terminal */
static int terminal_size(lua_State *L) {
  static const int streams[] = { STDOUT_FILENO, STDERR_FILENO, STDIN_FILENO };
  struct winsize size;
  for (int i = 0; i < 3; i++) {
    if (ioctl(streams[i], TIOCGWINSZ, &size) != 0 || size.ws_col == 0) continue;
    lua_pushinteger(L, size.ws_col);
    lua_pushinteger(L, size.ws_row);
    lua_pushinteger(L, size.ws_xpixel);
    lua_pushinteger(L, size.ws_ypixel);
    return 4;
  }
  lua_pushnil(L);
  return 1;
}

static bool wait_for_input(int milliseconds) {
  struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
  return poll(&input, 1, milliseconds) > 0 && (input.revents & POLLIN);
}

/* Writes a question and collects the answer until it ends with `end`, the time is over or `room` is full. Nothing is
 * asked while something typed waits to be read, which the answer could not be told from. */
static size_t ask(const char *question, size_t length, char end, int milliseconds, char *answer, size_t room) {
  struct termios before, raw;
  size_t got = 0;
  if (wait_for_input(0) || tcgetattr(STDIN_FILENO, &before) != 0) return 0;
  raw = before;
  raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  sigset_t held, old;
  sigfillset(&held);
  sigprocmask(SIG_BLOCK, &held, &old);  /* whatever would end us finds the terminal as it was */
  if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0) {
    bool asked = write(STDOUT_FILENO, question, length) == (ssize_t)length;
    while (asked && got < room && (got == 0 || answer[got - 1] != end) && wait_for_input(milliseconds)) {
      ssize_t count = read(STDIN_FILENO, answer + got, 1);
      if (count <= 0) break;
      got++;
    }
    tcsetattr(STDIN_FILENO, TCSANOW, &before);
  }
  sigprocmask(SIG_SETMASK, &old, NULL);
  return got;
}

/* host.terminal_ask(question, end, seconds) -> what the terminal answers up to the character `end`; "" when it does not
 * within that time, or standard input or output is no terminal */
static int terminal_ask(lua_State *L) {
  size_t length;
  const char *question = luaL_checklstring(L, 1, &length), *end = luaL_checkstring(L, 2);
  int milliseconds = (int)(1000 * luaL_checknumber(L, 3));
  char answer[512];
  size_t got = 0;
  if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) {
    fflush(stdout);
    got = ask(question, length, *end, milliseconds, answer, sizeof answer);
  }
  lua_pushlstring(L, answer, got);
  return 1;
}

void vm_open_terminal(lua_State *L) {
  static const luaL_Reg functions[] = {
    { "terminal", terminal }, { "terminal_size", terminal_size }, { "terminal_ask", terminal_ask }, { NULL, NULL },
  };
  luaL_setfuncs(L, functions, 0);
}
