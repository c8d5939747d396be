/* process.c -- other programs, for require "host": started, fed, listened to, waited for, ended.
 *
 * A child is started by vfork and execve, never by fork alone: our threads and arenas stay out of it, and it costs the
 * same however much memory we hold. Between the two the child shares our memory, so it only makes system calls there:
 * it takes the default action for every signal we handle, puts its three streams in place, closes all other files,
 * and goes. What execve says when it fails comes back through the shared memory.
 *
 * Our ends of the pipes never block. Every wait looks for Ctrl-C, and wherever we write, what the child says meanwhile
 * is kept, so that two full pipes cannot wait for each other. A box that is collected kills its child and reaps it.
 */
#define _DEFAULT_SOURCE  /* vfork, syscall */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif

#include "nn.h"
#include "nnl.h"
#include "vm.h"

#define PROCESS "host.process"

extern char **environ;

enum {
  KEPT = 16 << 20,    /* bytes of output that are kept unread; more stays in the child's pipe */
  PIECE = 1 << 16,    /* read at once */
  SLICE_MS = 20,      /* nothing tells us of a child's end but asking: so often at least */
};

typedef struct {
  int fd;             /* -1: none, or at its end */
  bool piped;
  char *data;         /* read but not asked for yet */
  size_t size, room;
} stream;

typedef struct {
  pid_t pid;          /* 0: never started */
  bool ended;
  int status;         /* waitpid's, once ended; -1, which reads as exit code 255, when another call took it */
  int input;          /* -1: none, or closed */
  stream output[2];   /* the child's standard output and error */
} process;

static process *check_process(lua_State *L, int index) {
  return luaL_checkudata(L, index, PROCESS);
}

/* ---- the child, before it is another program ---- */

typedef struct {
  const char *path;
  char **argv, **env;
  int fd[3];          /* what becomes its streams; -1: ours */
  bool group;         /* of its own: Ctrl-C at the terminal is not for it */
  sigset_t mask;      /* the signals that were blocked before */
  int error;          /* errno of what failed; set by the child in the memory it shares with us */
} launch;

static void close_others(void) {
#ifdef SYS_close_range
  if (syscall(SYS_close_range, 3u, ~0u, 0u) == 0) return;
#endif
  long most = sysconf(_SC_OPEN_MAX);
  if (most < 0 || most > 65536) most = 65536;
  for (int fd = 3; fd < most; fd++) close(fd);
}

static _Noreturn void become(launch *l) {
  for (int s = 1; s < NSIG; s++) {
    struct sigaction action;
    if (sigaction(s, NULL, &action) != 0 || action.sa_handler == SIG_IGN || action.sa_handler == SIG_DFL) continue;
    action.sa_handler = SIG_DFL;
    action.sa_flags = 0;
    sigaction(s, &action, NULL);
  }
  if (l->group && setpgid(0, 0) != 0) goto failed;
  for (int i = 0; i < 3; i++)
    if (l->fd[i] >= 0 && dup2(l->fd[i], i) < 0) goto failed;
  close_others();
  sigprocmask(SIG_SETMASK, &l->mask, NULL);
  execve(l->path, l->argv, l->env);
failed:
  l->error = errno;
  _exit(127);
}

/* The child's pid, or -1 with l->error. No signal of ours may run a handler of ours inside the child. */
static pid_t start(launch *l) {
  signal(SIGCHLD, SIG_DFL);  /* ignored, as some parents leave it, a child's end could not be told */
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &l->mask);
  pid_t pid = vfork();
  if (pid == 0) become(l);
  if (pid < 0) l->error = errno;
  pthread_sigmask(SIG_SETMASK, &l->mask, NULL);
  if (pid > 0 && l->error != 0) {
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) continue;
    return -1;
  }
  return pid;
}

/* ---- what host.spawn was told ---- */

static const char *own_name;
#ifdef __linux__
static const char *own_path = "/proc/self/exe";
#else
static char *own_path;
#endif

void vm_set_program(const char *name) {
  own_name = name;
#ifndef __linux__
  own_path = strchr(name, '/') ? realpath(name, NULL) : NULL;  /* NULL: PATH knows */
#endif
}

/* Pushes the path of a program: a name without a slash is looked for in PATH. NULL: it is nowhere. */
static const char *find_program(lua_State *L, const char *name) {
  if (strchr(name, '/') != NULL) return lua_pushstring(L, name);
  const char *from = getenv("PATH");
  if (from == NULL || *from == '\0') from = "/usr/local/bin:/usr/bin:/bin";
  for (;;) {
    size_t length = strcspn(from, ":");
    lua_pushlstring(L, length > 0 ? from : ".", length > 0 ? length : 1);
    const char *path = lua_pushfstring(L, "%s/%s", lua_tostring(L, -1), name);
    lua_remove(L, -2);
    struct stat about;
    if (stat(path, &about) == 0 && S_ISREG(about.st_mode) && access(path, X_OK) == 0) return path;
    lua_pop(L, 1);
    if (from[length] == '\0') return NULL;
    from += length + 1;
  }
}

/* A string without NUL bytes at the top of the stack. */
static char *check_word(lua_State *L, const char *what) {
  size_t size = 0;
  const char *word = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
  if (word == NULL) luaL_error(L, "host.spawn: %s expects strings, got a %s", what, luaL_typename(L, -1));
  if (strlen(word) != size) luaL_error(L, "host.spawn: %s has a NUL byte in it", what);
  return (char *)word;
}

/* Pushes a block with the pointers to the words of the table at index; [1] nil becomes `own`. The words are the
 * table's strings. */
static char **read_argv(lua_State *L, int index, const char *own) {
  luaL_checktype(L, index, LUA_TTABLE);
  lua_Integer count = 1;
  for (; lua_rawgeti(L, index, count + 1) != LUA_TNIL; lua_pop(L, 1))
    if (++count > 100000) luaL_error(L, "host.spawn: more than 100000 words");
  lua_pop(L, 1);
  char **argv = lua_newuserdatauv(L, sizeof *argv * (size_t)(count + 1), 0);
  for (lua_Integer i = 1; i <= count; i++) {
    bool is_own = lua_rawgeti(L, index, i) == LUA_TNIL && i == 1;
    argv[i - 1] = is_own ? (char *)own : check_word(L, "argv");
    lua_pop(L, 1);
  }
  argv[count] = NULL;
  return argv;
}

/* Whether an entry of the environment is for a name in the table at index. */
static bool is_replaced(lua_State *L, int index, const char *entry) {
  lua_pushlstring(L, entry, strcspn(entry, "="));
  bool found = lua_rawget(L, index) != LUA_TNIL;
  lua_pop(L, 1);
  return found;
}

/* Pushes a table that holds the new entries and a block with all of them: ours, but for the names in the table at
 * index, which have its values; false leaves one out. */
static char **read_environment(lua_State *L, int index) {
  size_t count = 0, room = 1;
  for (char **entry = environ; *entry != NULL; entry++) room++;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) room++;
  lua_newtable(L);
  int kept = lua_gettop(L);
  char **env = lua_newuserdatauv(L, sizeof *env * room, 0);
  for (char **entry = environ; *entry != NULL; entry++)
    if (!is_replaced(L, index, *entry)) env[count++] = *entry;
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    lua_pushvalue(L, -2);
    const char *name = check_word(L, "env");
    lua_pop(L, 1);
    if (*name == '\0' || strchr(name, '=') != NULL) luaL_error(L, "host.spawn: env: a name expected, got \"%s\"", name);
    if (lua_type(L, -1) == LUA_TBOOLEAN && !lua_toboolean(L, -1)) continue;
    const char *entry = lua_pushfstring(L, "%s=%s", name, check_word(L, "env"));
    lua_rawseti(L, kept, (lua_Integer)count + 1);
    env[count++] = (char *)entry;
  }
  env[count] = NULL;
  return env;
}

/* ---- streams ---- */

/* One that no child inherits and that is none of the three streams; takes fd, which may be -1 (errno then stays). */
static int put_away(int fd) {
  if (fd < 0) return fd;
  int high = fd;
  if (fd < 3) {
    high = fcntl(fd, F_DUPFD, 3);
    int error = errno;
    close(fd);
    errno = error;
  }
  if (high >= 0) fcntl(high, F_SETFD, FD_CLOEXEC);
  return high;
}

static void close_if(int *fd) {
  if (*fd >= 0) close(*fd);
  *fd = -1;
}

/* ours: the end we keep, which never blocks. */
static bool make_pipe(int *ours, int *theirs, bool we_write) {
  int end[2];
  if (pipe(end) != 0) return false;
  *ours = put_away(end[we_write]);
  *theirs = put_away(end[!we_write]);
  if (*ours < 0 || *theirs < 0) return false;
  fcntl(*ours, F_SETFL, O_NONBLOCK);
  return true;
}

static const char *const stream_names[] = { "stdin", "stdout", "stderr" };

/* Opens stream i as the options say; false with errno. The strings are on the stack above `first`. */
static bool open_stream(process *p, launch *l, int i, const char *how) {
  if (strcmp(how, "inherit") == 0) return true;
  if (strcmp(how, "pipe") == 0) {
    if (i == 0) return make_pipe(&p->input, &l->fd[0], true);
    p->output[i - 1].piped = true;
    return make_pipe(&p->output[i - 1].fd, &l->fd[i], false);
  }
  if (i == 2 && strcmp(how, "stdout") == 0) {
    l->fd[2] = put_away(dup(l->fd[1] >= 0 ? l->fd[1] : STDOUT_FILENO));
  } else if (strcmp(how, "null") == 0) {
    l->fd[i] = put_away(open("/dev/null", i == 0 ? O_RDONLY : O_WRONLY));
  } else {
    l->fd[i] = put_away(i == 0 ? open(how, O_RDONLY) : open(how, O_WRONLY | O_CREAT | O_TRUNC, 0666));
  }
  return l->fd[i] >= 0;
}

static int fail_io(lua_State *L, const char *what, int error) {
  lua_pushnil(L);
  lua_pushfstring(L, "host.spawn: %s: %s", what, strerror(error));
  lua_pushliteral(L, "io");
  return 3;
}

/* Whether a list separated by spaces has the word. */
static bool has_word(const char *list, const char *word) {
  for (size_t length; *list != '\0'; list += length + (list[length] == ' ')) {
    length = strcspn(list, " ");
    if (length == strlen(word) && memcmp(list, word, length) == 0) return true;
  }
  return false;
}

static void check_options(lua_State *L, int index) {
  static const char known[] = "env group stderr stdin stdout";
  for (lua_pushnil(L); lua_next(L, index) != 0; lua_pop(L, 1)) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "[...]";
    if (has_word(known, name)) continue;
    char near[64];
    const char *nearest = nnl_nearest(name, known, near, sizeof near);
    if (nearest) luaL_error(L, "host.spawn: unknown option \"%s\"; did you mean \"%s\"?", name, nearest);
    luaL_error(L, "host.spawn: unknown option \"%s\"; it takes %s", name, known);
  }
}

/* host.spawn(argv, options) -> process, or nil, message, code. argv[1] nil: our own program. Each of stdin, stdout and
 * stderr is "pipe", "null", "inherit" or the path of a file; stderr may be "stdout", which joins the two. Without
 * options a child reads nothing and writes where we do. env changes variables: NAME = "value", or false for none.
 * group = true: in a process group of its own, so that Ctrl-C at the terminal is ours to pass on. */
static int spawn(lua_State *L) {
  launch l = { .fd = { -1, -1, -1 } };
  const char *how[3] = { "null", "inherit", "inherit" };
  lua_settop(L, 2);
  luaL_checktype(L, 1, LUA_TTABLE);
  l.argv = read_argv(L, 1, own_name);
  l.env = environ;
  l.path = l.argv[0] == own_name && own_path ? own_path : find_program(L, l.argv[0]);
  if (l.path == NULL) {
    lua_pushnil(L);
    lua_pushfstring(L, "host.spawn: %s: there is no such program", l.argv[0]);
    lua_pushliteral(L, "io");
    return 3;
  }
  if (!lua_isnil(L, 2)) {
    luaL_checktype(L, 2, LUA_TTABLE);
    check_options(L, 2);
    for (int i = 0; i < 3; i++)
      if (lua_getfield(L, 2, stream_names[i]) != LUA_TNIL) how[i] = check_word(L, stream_names[i]);
    lua_getfield(L, 2, "group");
    l.group = lua_toboolean(L, -1);
    if (lua_getfield(L, 2, "env") != LUA_TNIL) {
      luaL_checktype(L, -1, LUA_TTABLE);
      l.env = read_environment(L, lua_gettop(L));
    }
  }

  process *p = lua_newuserdatauv(L, sizeof *p, 0);
  *p = (process){ .input = -1, .output = { { .fd = -1 }, { .fd = -1 } } };
  luaL_setmetatable(L, PROCESS);

  int wrong = -1, error = 0;
  for (int i = 0; i < 3 && wrong < 0; i++)
    if (!open_stream(p, &l, i, how[i])) wrong = i;
  if (wrong >= 0) error = errno;
  pid_t pid = wrong < 0 ? start(&l) : -1;
  for (int i = 0; i < 3; i++) close_if(&l.fd[i]);
  if (wrong >= 0) return fail_io(L, how[wrong], error);
  if (pid < 0) return fail_io(L, l.argv[0], l.error);
  p->pid = pid;
  return 1;
}

/* ---- waiting ---- */

static double now_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The moment until which an optional number of seconds at index lasts. */
static double check_until(lua_State *L, int index) {
  return lua_isnoneornil(L, index) ? HUGE_VAL : now_seconds() + luaL_checknumber(L, index);
}

/* Milliseconds for poll: up to `until`, and no more than a slice that grows while nothing happens. */
static int next_slice(double until, int *slice) {
  *slice = *slice == 0 ? 1 : *slice < SLICE_MS / 2 ? 2 * *slice : SLICE_MS;
  double left = 1000 * (until - now_seconds());
  return left <= 0 ? 0 : left < *slice ? (int)ceil(left) : *slice;
}

static bool has_ended(process *p) {
  if (p->ended || p->pid == 0) return true;
  pid_t got;
  do got = waitpid(p->pid, &p->status, WNOHANG);
  while (got < 0 && errno == EINTR);
  if (got == 0) return false;
  if (got < 0) p->status = -1;
  p->ended = true;
  return true;
}

/* Reads what is there, as far as it is kept. Closes the stream at its end. Raises when memory is short. */
static void drain(lua_State *L, stream *s) {
  while (s->fd >= 0 && s->size < KEPT) {
    if (s->room - s->size < PIECE) {
      size_t room = s->room == 0 ? PIECE : 2 * s->room;
      char *data = realloc(s->data, room);
      if (data == NULL) luaL_error(L, "not enough memory");
      s->data = data;
      s->room = room;
    }
    ssize_t got = read(s->fd, s->data + s->size, s->room - s->size);
    if (got > 0) s->size += (size_t)got;
    else if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    else close_if(&s->fd);
  }
}

/* Adds the streams of a process that may say something to `list`; with `input` that it can be written to. */
static int list_streams(const process *p, struct pollfd *list, bool input) {
  int count = 0;
  for (int i = 0; i < 2; i++)
    if (p->output[i].fd >= 0 && p->output[i].size < KEPT)
      list[count++] = (struct pollfd){ .fd = p->output[i].fd, .events = POLLIN };
  if (input && p->input >= 0) list[count++] = (struct pollfd){ .fd = p->input, .events = POLLOUT };
  return count;
}

/* Waits until one of the streams may be ready, or a slice is over; false when the time is. Raises on Ctrl-C. */
static bool pause_for(lua_State *L, struct pollfd *list, int count, double until, int *slice) {
  if (nn_interrupt_check() != NN_OK) nnl_raise(L);
  int ms = next_slice(until, slice);
  if (ms == 0 && until <= now_seconds()) return false;
  if (poll(list, (nfds_t)count, ms) > 0) *slice = 0;
  if (nn_interrupt_check() != NN_OK) nnl_raise(L);
  return true;
}

/* ---- methods ---- */

/* Writes without the signal that a closed pipe sends. */
static ssize_t write_quietly(int fd, const char *text, size_t size) {
  sigset_t closed, pending, old;
  sigemptyset(&closed);
  sigaddset(&closed, SIGPIPE);
  sigpending(&pending);
  bool before = sigismember(&pending, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &closed, &old);
  ssize_t written = write(fd, text, size);
  int error = errno;
  if (written < 0 && error == EPIPE && !before) {
    int got;
    sigpending(&pending);
    if (sigismember(&pending, SIGPIPE)) sigwait(&closed, &got);
  }
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  errno = error;
  return written;
}

/* process:write(text [, seconds]) -> true, or nil, message, code: the child closed its input, or the time is over */
static int process_write(lua_State *L) {
  process *p = check_process(L, 1);
  size_t size;
  const char *text = luaL_checklstring(L, 2, &size);
  double until = check_until(L, 3);
  if (p->input < 0) return luaL_error(L, "process:write: standard input is no pipe, or closed");
  for (int slice = 0;;) {
    while (size > 0) {
      ssize_t written = write_quietly(p->input, text, size < PIECE ? size : PIECE);
      if (written < 0 && errno == EAGAIN) break;
      if (written < 0 && errno != EINTR) {
        lua_pushnil(L);
        lua_pushfstring(L, "process:write: %s", strerror(errno));
        lua_pushliteral(L, "io");
        return 3;
      }
      if (written > 0) text += written, size -= (size_t)written;
    }
    if (size == 0) break;
    for (int i = 0; i < 2; i++) drain(L, &p->output[i]);
    struct pollfd list[3];
    int count = list_streams(p, list, true);
    if (!pause_for(L, list, count, until, &slice)) {
      lua_pushnil(L);
      lua_pushliteral(L, "process:write: the time is over");
      lua_pushliteral(L, "timeout");
      return 3;
    }
  }
  lua_pushboolean(L, true);
  return 1;
}

/* process:close_input(): the child then reads the end */
static int process_close_input(lua_State *L) {
  close_if(&check_process(L, 1)->input);
  return 0;
}

/* process:read([seconds [, "stderr"]]) -> bytes, "" at the end, nil when the time is over */
static int process_read(lua_State *L) {
  static const char *const which[] = { "stdout", "stderr", NULL };
  process *p = check_process(L, 1);
  double until = check_until(L, 2);
  int index = luaL_checkoption(L, 3, "stdout", which);
  stream *s = &p->output[index];
  if (!s->piped) return luaL_error(L, "process:read: %s is no pipe", which[index]);
  for (int slice = 0;;) {
    drain(L, s);
    if (s->size > 0 || s->fd < 0) break;
    struct pollfd list[3];
    int count = list_streams(p, list, false);
    if (!pause_for(L, list, count, until, &slice)) return lua_pushnil(L), 1;
    drain(L, &p->output[1 - index]);
  }
  lua_pushlstring(L, s->data ? s->data : "", s->size);
  s->size = 0;
  if (s->fd < 0) {
    free(s->data);
    s->data = NULL;
    s->room = 0;
  }
  return 1;
}

/* A signal's name without its SIG, or NULL: numbers differ from system to system. */
static const char *signal_name(int number) {
  static const struct { int number; const char *name; } names[] = {
    { SIGINT, "INT" }, { SIGTERM, "TERM" }, { SIGKILL, "KILL" }, { SIGHUP, "HUP" }, { SIGPIPE, "PIPE" },
    { SIGABRT, "ABRT" }, { SIGSEGV, "SEGV" }, { SIGBUS, "BUS" }, { SIGILL, "ILL" }, { SIGFPE, "FPE" },
    { SIGSYS, "SYS" }, { SIGXCPU, "XCPU" }, { SIGXFSZ, "XFSZ" },
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].number == number) return names[i].name;
  return NULL;
}

/* process:wait([seconds]) -> { code = } or { signal =, name = "KILL" }, or nil when the time is over */
static int process_wait(lua_State *L) {
  process *p = check_process(L, 1);
  double until = check_until(L, 2);
  for (int slice = 0; !has_ended(p);) {
    for (int i = 0; i < 2; i++) drain(L, &p->output[i]);  /* a full pipe would keep it from ending */
    struct pollfd list[3];
    int count = list_streams(p, list, false);
    if (!pause_for(L, list, count, until, &slice)) return lua_pushnil(L), 1;
  }
  lua_createtable(L, 0, 2);
  bool killed = WIFSIGNALED(p->status);
  lua_pushinteger(L, killed ? WTERMSIG(p->status) : WEXITSTATUS(p->status));
  lua_setfield(L, -2, killed ? "signal" : "code");
  if (killed) {
    lua_pushstring(L, signal_name(WTERMSIG(p->status)));
    lua_setfield(L, -2, "name");
  }
  return 1;
}

/* process:kill([signal]): "term" (unless told), "kill", "int", "stop", "cont"; nothing when it has ended */
static int process_kill(lua_State *L) {
  static const char *const names[] = { "term", "kill", "int", "stop", "cont", NULL };
  static const int signals[] = { SIGTERM, SIGKILL, SIGINT, SIGSTOP, SIGCONT };
  process *p = check_process(L, 1);
  int signal = signals[luaL_checkoption(L, 2, "term", names)];
  if (!has_ended(p)) kill(p->pid, signal);
  return 0;
}

/* Also `local p <close>` and the end of the program. */
static int process_free(lua_State *L) {
  process *p = check_process(L, 1);
  close_if(&p->input);
  for (int i = 0; i < 2; i++) {
    close_if(&p->output[i].fd);
    free(p->output[i].data);
    p->output[i].data = NULL;
    p->output[i].size = p->output[i].room = 0;
  }
  if (has_ended(p)) return 0;
  kill(p->pid, SIGKILL);
  while (waitpid(p->pid, &p->status, 0) < 0 && errno == EINTR) continue;
  p->ended = true;
  return 0;
}

/* process.pid, and the methods */
static int process_index(lua_State *L) {
  process *p = check_process(L, 1);
  const char *name = luaL_checkstring(L, 2);
  if (strcmp(name, "pid") == 0) lua_pushinteger(L, p->pid);
  else lua_getfield(L, lua_upvalueindex(1), name);
  return 1;
}

/* ---- several ---- */

static bool has_news(lua_State *L, process *p) {
  for (int i = 0; i < 2; i++) {
    stream *s = &p->output[i];
    if (s->fd < 0) continue;
    drain(L, s);
    if (s->size > 0 || s->fd < 0) return true;
  }
  for (int i = 0; i < 2; i++)
    if (p->output[i].size > 0) return true;
  return has_ended(p);
}

/* host.wait_any(list [, seconds]) -> the first process of the list that has output or ended (a pipe at its end is
 * output too: read gives ""), or nil when the time is over */
static int wait_any(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  double until = check_until(L, 2);
  lua_settop(L, 2);
  lua_Integer count = luaL_len(L, 1);
  if (count < 1 || count > 1000) return luaL_error(L, "host.wait_any: 1 to 1000 processes expected, got %I", count);
  struct pollfd *list = lua_newuserdatauv(L, sizeof *list * 2 * (size_t)count, 0);
  for (int slice = 0;;) {
    int streams = 0;
    for (lua_Integer i = 1; i <= count; i++) {
      lua_rawgeti(L, 1, i);
      process *p = check_process(L, -1);
      if (has_news(L, p)) return 1;
      streams += list_streams(p, list + streams, false);
      lua_pop(L, 1);
    }
    if (!pause_for(L, list, streams, until, &slice)) return lua_pushnil(L), 1;
  }
}

void vm_open_processes(lua_State *L) {
  static const luaL_Reg methods[] = {
    { "write", process_write }, { "close_input", process_close_input }, { "read", process_read },
    { "wait", process_wait }, { "kill", process_kill }, { NULL, NULL },
  };
  luaL_newmetatable(L, PROCESS);
  luaL_newlib(L, methods);
  lua_pushcclosure(L, process_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, process_free);
  lua_setfield(L, -2, "__gc");
  lua_pushcfunction(L, process_free);
  lua_setfield(L, -2, "__close");
  lua_pop(L, 1);
  lua_pushcfunction(L, spawn);
  lua_setfield(L, -2, "spawn");
  lua_pushcfunction(L, wait_any);
  lua_setfield(L, -2, "wait_any");
}
