/* interrupt.c -- Ctrl-C, and what a training makes of it.
 *
 * The handler only sets flags: one that long C loops poll (nn_interrupt), and a hook that fires at the next
 * instruction of whatever Lua runs. Who comes first raises the error and clears the flag; the other then finds nothing
 * to do. Lua's hooks belong to one coroutine, so we keep track of the one that runs.
 *
 * What must not be cut in two asks for the first one to be kept (host.defer_interrupts) and looks for it when it can
 * stop (host.interrupted); SIGTERM, which clusters send some time before SIGKILL, is then taken for one. The second
 * acts at once, as it does elsewhere.
 */
#include <errno.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "nn.h"
#include "vm.h"

static lua_State *volatile running;
static volatile sig_atomic_t seen;
static volatile sig_atomic_t deferring, kept;  /* kept: the signal that came while deferring, or 0 */
static bool taken;                             /* somebody asked for it */
static pthread_t main_thread;

static void stop(lua_State *L, lua_Debug *record) {
  (void)record;
  lua_sethook(L, NULL, 0, 0);
  if (!nn_interrupted()) return;
  nn_interrupt_clear();
  luaL_where(L, 0);  /* a hook is no level of its own */
  lua_pushliteral(L, "interrupted");
  lua_concat(L, 2);
  lua_error(L);
}

static void stop_soon(lua_State *L) {
  lua_sethook(L, stop, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

static void on_interrupt(int signal) {
  if (!pthread_equal(pthread_self(), main_thread)) {  /* what waits in a call is to return from it */
    pthread_kill(main_thread, signal);
    return;
  }
  if (deferring && kept == 0) {
    static const char text[] = "\r\33[Kfinishing this step; Ctrl-C again stops now\n";
    int reason = errno;
    kept = signal;
    if (isatty(STDERR_FILENO) && write(STDERR_FILENO, text, sizeof text - 1) < 0) { /* it was only a courtesy */ }
    errno = reason;
    return;
  }
  if (nn_interrupted()) _exit(128 + signal);
  seen = 1;
  nn_interrupt();
  /* No SA_RESTART below: a read that waits for input returns, and then the hook fires. */
  stop_soon(running);
}

void vm_interrupt_install(void) {
  main_thread = pthread_self();
  struct sigaction old, action = { .sa_handler = on_interrupt };
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGINT, NULL, &old) == 0 && old.sa_handler == SIG_IGN) return;
  sigaction(SIGINT, &action, NULL);
}

bool vm_interrupt_take(void) {
  bool result = seen;
  seen = 0;
  nn_interrupt_clear();
  return result;
}

/* host.defer_interrupts(on): from here on the first interrupt is kept for host.interrupted(), or no longer; one that
 * was kept and that nobody asked for acts then. */
static int defer_interrupts(lua_State *L) {
  static struct sigaction terminate;  /* what SIGTERM did before */
  bool on = lua_toboolean(L, 1);
  if (on == (deferring != 0)) return 0;
  if (on) {
    struct sigaction action = { .sa_handler = on_interrupt };
    sigemptyset(&action.sa_mask);
    kept = 0;
    taken = false;
    deferring = 1;
    if (sigaction(SIGTERM, NULL, &terminate) == 0 && terminate.sa_handler != SIG_IGN)
      sigaction(SIGTERM, &action, NULL);
    return 0;
  }
  deferring = 0;
  sigaction(SIGTERM, &terminate, NULL);
  if (kept != 0 && !taken) raise(kept);
  return 0;
}

/* host.interrupted() -> the number of the signal that was kept, SIGINT or SIGTERM, or nil */
static int interrupted(lua_State *L) {
  if (!deferring || kept == 0) return 0;
  taken = true;
  lua_pushinteger(L, kept);
  return 1;
}

void vm_open_interrupts(lua_State *L) {
  static const luaL_Reg functions[] = {
    { "defer_interrupts", defer_interrupts }, { "interrupted", interrupted }, { NULL, NULL },
  };
  luaL_setfuncs(L, functions, 0);
}

/* Calls the function below the arguments while `coroutine` counts as the one that runs. A hook set on it too late to
 * fire there is passed on to the caller. */
static int call_running(lua_State *L, lua_State *coroutine, int arguments) {
  lua_State *outer = running;
  running = coroutine;
  int status = lua_pcall(L, arguments, LUA_MULTRET, 0);
  running = outer;
  if (nn_interrupted()) stop_soon(outer);
  if (status != LUA_OK) return lua_error(L);
  return lua_gettop(L);
}

/* coroutine.resume; upvalue 1 is the library's own. */
static int resume(lua_State *L) {
  lua_State *coroutine = lua_tothread(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  return call_running(L, coroutine ? coroutine : L, lua_gettop(L) - 1);
}

/* What coroutine.wrap returns; upvalue 1 is the library's function, whose only upvalue is the coroutine. */
static int resume_wrapped(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_getupvalue(L, -1, 1);
  lua_State *coroutine = lua_tothread(L, -1);
  lua_pop(L, 1);
  lua_insert(L, 1);
  return call_running(L, coroutine ? coroutine : L, lua_gettop(L) - 1);
}

static int wrap(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  lua_pushcclosure(L, resume_wrapped, 1);
  return 1;
}

void vm_interrupt_open(lua_State *L) {
  running = L;
  lua_getglobal(L, LUA_COLIBNAME);
  lua_getfield(L, -1, "resume");
  lua_pushcclosure(L, resume, 1);
  lua_setfield(L, -2, "resume");
  lua_getfield(L, -1, "wrap");
  lua_pushcclosure(L, wrap, 1);
  lua_setfield(L, -2, "wrap");
  lua_pop(L, 1);
}
