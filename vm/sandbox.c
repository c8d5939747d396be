/* sandbox.c -- `penumbra --sandbox`: the child in which recipes are read (stdlib/sandbox.lua starts it).
 *
 * It is this program without its runtime: no nn_start, no threads, an interpreter of its own. It loads the modules that
 * a recipe needs (sandbox.child and what that requires), forgets its environment variables, gives up everything a
 * process may do but to compute, to read its input and to write its output, and only then sees the recipe. Whoever
 * breaks out of the closed world in the interpreter finds nothing here: no files, no processes, no secrets, and its
 * word is not trusted either, since the parent checks all of the answer.
 *
 * The limits, each enough to stop what the others miss:
 *   processor    1 s, RLIMIT_CPU; the hook that counts instructions ends the process too, so no pcall swallows it
 *   memory       64 MiB in the interpreter's allocator; RLIMIT_AS a little above what the process begins with
 *   files        none can be opened, none can grow: RLIMIT_NOFILE, RLIMIT_FSIZE, RLIMIT_CORE are 0
 *   processes    none: RLIMIT_NPROC is 0; root, whom limits do not hold, becomes nobody first
 *   system calls on Linux a seccomp filter: read from 0, write to 1, memory, clocks, exit; any other one kills. Where
 *                there is none (another system, a kernel that refuses), what needs neither a file nor a process, such
 *                as removing a file, is kept from the recipe by the closed world alone
 * The parent stops it after 2 s, or when it says too much. It dies with its parent.
 */
#define _DEFAULT_SOURCE  /* setgroups */
#include <errno.h>
#include <grp.h>
#include <lualib.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#if defined __linux__
#include <signal.h>
#include <sys/prctl.h>
#endif
#if defined __linux__ && (defined __x86_64__ || defined __aarch64__)
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>
#define HAVE_FILTER 1
#endif
#if defined __has_feature  /* clang's way to say it */
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#if defined __SANITIZE_ADDRESS__
#define LIMIT_ADDRESSES 0  /* its shadow takes terabytes of them */
#else
#define LIMIT_ADDRESSES 1
#endif

#include "nnl.h"
#include "vm.h"

extern char **environ;

enum {
  CPU_SECONDS = 1,
  HOOK_EVERY = 1000000,           /* instructions, some 10 ms */
  LUA_BYTES = 64 << 20,
  MORE_BYTES = 128 << 20,         /* of addresses, beyond those the process begins with */
  FRAME_DIGITS = 10,
};

/* ---- memory ---- */

static size_t used;

static void *allocate(void *data, void *old, size_t old_size, size_t size) {
  (void)data;
  if (old == NULL) old_size = 0;  /* Lua then tells what kind of thing it is */
  if (size == 0) {
    free(old);
    used -= old_size;
    return NULL;
  }
  if (size > old_size && size - old_size > LUA_BYTES - used) return NULL;
  void *new = realloc(old, size);
  if (new != NULL) used = used - old_size + size;
  return new;
}

/* ---- the channel: frames of 10 decimal digits, a line's end and so many bytes ---- */

static bool read_all(char *to, size_t size) {
  while (size > 0) {
    ssize_t got = read(STDIN_FILENO, to, size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    to += got;
    size -= (size_t)got;
  }
  return true;
}

/* channel.receive() -> the bytes of one frame; the process ends with its input */
static int receive(lua_State *L) {
  char header[FRAME_DIGITS + 1];
  if (!read_all(header, sizeof header)) _exit(VM_FAILED);
  header[FRAME_DIGITS] = '\0';
  size_t size = (size_t)strtoull(header, NULL, 10);
  luaL_Buffer buffer;
  char *to = luaL_buffinitsize(L, &buffer, size);
  if (!read_all(to, size)) _exit(VM_FAILED);
  luaL_pushresultsize(&buffer, size);
  return 1;
}

/* channel.send(bytes) */
static int send_frame(lua_State *L) {
  size_t size;
  const char *bytes = luaL_checklstring(L, 1, &size);
  char header[32];
  int length = snprintf(header, sizeof header, "%0*zu\n", FRAME_DIGITS, size);
  bool sent = vm_write_all(STDOUT_FILENO, header, (size_t)length) && vm_write_all(STDOUT_FILENO, bytes, size);
  if (!sent) _exit(VM_FAILED);
  return 0;
}

/* ---- closing the door ---- */

/* Bytes of addresses that the process has now; 0 where nobody says. */
static size_t address_bytes(void) {
  unsigned long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file == NULL) return 0;
  if (fscanf(file, "%lu", &pages) != 1) pages = 0;
  fclose(file);
  return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static bool limit_to(int resource, rlim_t soft, rlim_t hard) {
  struct rlimit limit;
  if (getrlimit(resource, &limit) != 0) return false;
  if (hard < limit.rlim_max) limit.rlim_max = hard;
  limit.rlim_cur = soft < limit.rlim_max ? soft : limit.rlim_max;
  return setrlimit(resource, &limit) == 0;
}

#ifdef HAVE_FILTER

#if defined __x86_64__
#define ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif
#ifdef SECCOMP_RET_KILL_PROCESS
#define KILL SECCOMP_RET_KILL_PROCESS
#else
#define KILL SECCOMP_RET_KILL
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define LOAD_ARGUMENT(i) \
  BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[i]))  /* its low half: little-endian */
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, what)
#define SKIP_UNLESS(value, count) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count)
#define ALLOW(call) SKIP_UNLESS(SYS_##call, 1), RETURN(SECCOMP_RET_ALLOW)
/* A call whose argument i has to be `value`. */
#define ALLOW_WITH(call, i, value) \
  SKIP_UNLESS(SYS_##call, 4), LOAD_ARGUMENT(i), SKIP_UNLESS(value, 1), RETURN(SECCOMP_RET_ALLOW), RETURN(KILL)
/* A call whose argument i has none of `bits`. */
#define ALLOW_WITHOUT(call, i, bits) \
  SKIP_UNLESS(SYS_##call, 4), LOAD_ARGUMENT(i), BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 1, 0), \
    RETURN(SECCOMP_RET_ALLOW), RETURN(KILL)

/* No failure is one: see above for what holds without a filter. */
static void filter_calls(void) {
  static const struct sock_filter code[] = {
    LOAD(arch), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0), RETURN(KILL),
    LOAD(nr),
    ALLOW_WITH(read, 0, STDIN_FILENO), ALLOW_WITH(write, 0, STDOUT_FILENO),
    ALLOW_WITHOUT(mmap, 2, PROT_EXEC), ALLOW_WITHOUT(mprotect, 2, PROT_EXEC),
    ALLOW(brk), ALLOW(munmap), ALLOW(mremap), ALLOW(madvise),
    ALLOW(clock_gettime), ALLOW(gettimeofday), ALLOW(rt_sigreturn), ALLOW(restart_syscall), ALLOW(futex),
    ALLOW(sched_yield), ALLOW(exit), ALLOW(exit_group),
#if defined __SANITIZE_ADDRESS__
    ALLOW(sigaltstack),  /* asked for where an error unwinds the stack */
#endif
    RETURN(KILL),
  };
  struct sock_fprog program = { .len = sizeof code / sizeof *code, .filter = (struct sock_filter *)code };
  prctl(PR_SET_SECCOMP, (long)SECCOMP_MODE_FILTER, &program);
}

#else
static void filter_calls(void) {}
#endif

/* Root raises its limits as it likes, and RLIMIT_NPROC does not count for it. */
static void leave_root(void) {
  enum { NOBODY = 65534 };
  if (geteuid() != 0) return;
  if (setgroups(0, NULL) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0) {
    /* a container that has only this user, or does not let it go */
  }
}

static bool lock_up(void) {
  leave_root();
#if defined __linux__
  /* After the change of user, which would take them back. */
  if (prctl(PR_SET_PDEATHSIG, (long)SIGKILL) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) != 0) return false;
  if (prctl(PR_SET_DUMPABLE, 0L) != 0) return false;
#endif
  size_t addresses = LIMIT_ADDRESSES ? address_bytes() : 0;
  for (char **entry = environ; *entry != NULL; entry++) memset(*entry, 0, strlen(*entry));
  /* At the soft limit comes SIGXCPU, which tells the parent why; at the hard one SIGKILL. */
  if (!limit_to(RLIMIT_CPU, CPU_SECONDS, CPU_SECONDS + 1)) return false;
  if (addresses > 0 && !limit_to(RLIMIT_AS, addresses + MORE_BYTES, addresses + MORE_BYTES)) return false;
  if (!limit_to(RLIMIT_FSIZE, 0, 0) || !limit_to(RLIMIT_CORE, 0, 0) || !limit_to(RLIMIT_NOFILE, 0, 0)) return false;
#ifdef RLIMIT_NPROC
  if (!limit_to(RLIMIT_NPROC, 0, 0)) return false;
#endif
  filter_calls();
  return true;
}

/* ---- the interpreter ---- */

static void watch(lua_State *L, lua_Debug *record) {
  (void)L;
  (void)record;
  if (clock() > CPU_SECONDS * CLOCKS_PER_SEC) _exit(VM_SANDBOX_CPU);
}

/* What the modules of the child need of nn. */
static int open_nn(lua_State *L) {
  lua_createtable(L, 0, 2);
  nnl_open_json(L, lua_gettop(L));
  lua_pushcfunction(L, nnl_lua_nearest);
  lua_setfield(L, -2, "nearest");
  return 1;
}

static bool locked;

static int serve(lua_State *L) {
  static const luaL_Reg libraries[] = {
    { LUA_GNAME, luaopen_base }, { LUA_LOADLIBNAME, luaopen_package }, { LUA_STRLIBNAME, luaopen_string },
    { LUA_TABLIBNAME, luaopen_table }, { LUA_MATHLIBNAME, luaopen_math }, { LUA_UTF8LIBNAME, luaopen_utf8 },
    { LUA_DBLIBNAME, luaopen_debug }, { NULL, NULL },
  };
  static const luaL_Reg channel[] = { { "receive", receive }, { "send", send_frame }, { NULL, NULL } };
  for (const luaL_Reg *library = libraries; library->func != NULL; library++) {
    luaL_requiref(L, library->name, library->func, 1);
    lua_pop(L, 1);
  }
  vm_open_modules(L, open_nn, NULL);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "sandbox.child");
  lua_call(L, 1, 1);
  luaL_newlib(L, channel);
  if (!lock_up()) _exit(VM_SANDBOX_OPEN);
  locked = true;
  lua_sethook(L, watch, LUA_MASKCOUNT, HOOK_EVERY);
  lua_call(L, 1, 0);
  return 0;
}

int vm_sandbox(void) {
  lua_State *L = lua_newstate(allocate, NULL);
  if (L == NULL) return VM_FAILED;
  lua_pushcfunction(L, serve);
  int status = lua_pcall(L, 0, 0, 0);
  if (status != LUA_OK && !locked) vm_report(L);
  _exit(status == LUA_OK ? 0 : VM_FAILED);  /* no finaliser, no lua_close: nothing more runs */
}
