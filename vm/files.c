/* files.c -- what a run's folder needs beside files that are written whole: lines added to a file, a file cut, and a
 * lock that ends with the process that holds it. Part of require "host". */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "vm.h"

static int fail(lua_State *L, const char *path, const char *what, int reason) {
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s: %s", path, what, strerror(reason));
  lua_pushliteral(L, "io");
  return 3;
}

bool vm_write_all(int file, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t written = write(file, bytes, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes += written;
    size -= (size_t)written;
  }
  return true;
}

/* host.append(path, text [, sync]) -> the file's size after it, or nil, message, code. Where the text does not fit
 * nothing of it stays. */
static int append(lua_State *L) {
  size_t size;
  const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &size);
  bool sync = lua_toboolean(L, 3);
  struct stat before;
  int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) return fail(L, path, "cannot be written", errno);
  bool known = fstat(file, &before) == 0;
  bool done = known && vm_write_all(file, text, size) && (!sync || fsync(file) == 0);
  int reason = errno;
  /* Where that fails, too, what is left of a line is cut off when the run goes on. */
  if (known && !done && ftruncate(file, before.st_size) != 0) { /* as said */ }
  if (close(file) != 0 && done) {
    done = false;
    reason = errno;
  }
  if (!done) return fail(L, path, "cannot be written", reason);
  lua_pushinteger(L, (lua_Integer)before.st_size + (lua_Integer)size);
  return 1;
}

/* host.truncate(path, size) -> true, or nil, message, code */
static int cut(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_Integer size = luaL_checkinteger(L, 2);
  luaL_argcheck(L, size >= 0, 2, "a size of at least 0 expected");
  if (truncate(path, (off_t)size) != 0) return fail(L, path, "cannot be cut", errno);
  lua_pushboolean(L, true);
  return 1;
}

/* ---- locks ------------------------------------------------------------------------------------------------------ */

static const char lock_name[] = "host.lock";

enum { TRIES = 10, PAUSE = 20 };  /* milliseconds; who only asks whether a lock is held holds it for a moment */

/* Who holds the lock, as it wrote into the file; "another process" where that cannot be read. */
static void push_holder(lua_State *L, int file) {
  char text[128];
  ssize_t size = pread(file, text, sizeof text - 1, 0);
  while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == ' ')) size--;
  for (ssize_t i = 0; i < size; i++)
    if ((unsigned char)text[i] < ' ') text[i] = '?';
  if (size > 0) lua_pushlstring(L, text, (size_t)size);
  else lua_pushliteral(L, "another process");
}

static void unlock_box(int *box) {
  if (*box >= 0) close(*box);
  *box = -1;
}

static int fail_to_lock(lua_State *L, const char *path, int *box, int reason) {
  if (reason == EWOULDBLOCK) {
    lua_pushnil(L);
    push_holder(L, *box);
    lua_pushfstring(L, "%s: held by %s", path, lua_tostring(L, -1));
    lua_remove(L, -2);
    lua_pushliteral(L, "busy");
  } else {
    fail(L, path, "cannot be locked", reason);
  }
  unlock_box(box);
  return 3;
}

/* host.lock(path) -> a lock, until it is closed, collected, or the process ends; or nil, message, "busy" or "io" */
static int lock(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  int *box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = -1;
  luaL_setmetatable(L, lock_name);
  *box = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (*box < 0) return fail(L, path, "cannot be locked", errno);
  for (int tries = 1; flock(*box, LOCK_EX | LOCK_NB) != 0; tries++) {
    if (errno != EWOULDBLOCK || tries == TRIES) return fail_to_lock(L, path, box, errno);
    nanosleep(&(struct timespec){ .tv_nsec = PAUSE * 1000000L }, NULL);
  }
  char host[64] = "", text[128];
  if (gethostname(host, sizeof host - 1) != 0) strcpy(host, "?");
  int size = snprintf(text, sizeof text, "process %ld on %s\n", (long)getpid(), host);
  /* Only a message is the poorer where this fails. */
  if (ftruncate(*box, 0) == 0 && pwrite(*box, text, (size_t)size, 0) != size) { /* as said */ }
  return 1;
}

static int unlock(lua_State *L) {
  unlock_box(luaL_checkudata(L, 1, lock_name));
  return 0;
}

/* host.locked(path) -> who holds the lock, or nil */
static int locked(lua_State *L) {
  int *box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = -1;
  luaL_setmetatable(L, lock_name);
  *box = open(luaL_checkstring(L, 1), O_RDONLY | O_CLOEXEC);
  bool held = *box >= 0 && flock(*box, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  if (held) push_holder(L, *box);
  else lua_pushnil(L);
  unlock_box(box);
  return 1;
}

void vm_open_files(lua_State *L) {
  static const luaL_Reg functions[] = {
    { "append", append }, { "truncate", cut }, { "lock", lock }, { "locked", locked }, { NULL, NULL },
  };
  static const luaL_Reg methods[] = { { "close", unlock }, { "__gc", unlock }, { "__close", unlock }, { NULL, NULL } };
  luaL_setfuncs(L, functions, 0);
  luaL_newmetatable(L, lock_name);
  luaL_setfuncs(L, methods, 0);
  lua_pushvalue(L, -1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
