/* main.c -- the command line: options, then a command, a script or the prompt. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "embedded.h"
#include "nn.h"
#include "nnl.h"
#include "vm.h"

static const char option_names[] = "--help --version --threads --traceback -e -h";

static int usage(const char *what, const char *word, const char *known) {
  char near[64];
  const char *nearest = nnl_nearest(word, known, near, sizeof near);
  if (nearest) fprintf(stderr, "penumbra: %s \"%s\"; did you mean \"%s\"?\n", what, word, nearest);
  else fprintf(stderr, "penumbra: %s \"%s\"; penumbra --help lists what there is\n", what, word);
  return VM_USAGE;
}

static void print_version(void) {
  printf("penumbra   %s%s\n", NN_VERSION, sizeof(nn_real) == sizeof(double) ? " (double)" : "");
  printf("lua        %s\n", LUA_RELEASE);
  printf("blas       %s\n", nn_blas_name());
  printf("processor  %s, %s\n", nn_cpu_name(), nn_cpu_level());
  printf("threads    %d of %d\n", nn_threads(), nn_cpu_count());
}

static int set_threads(const char *text) {
  char *end;
  errno = 0;
  long count = strtol(text, &end, 10);
  if (*text != '\0' && *end == '\0' && errno == 0 && count >= 1 && count <= 256 && nn_set_threads((int)count) == NN_OK)
    return 0;
  fprintf(stderr, "penumbra: --threads expects an integer from 1 to 256, got \"%s\"\n", text);
  return VM_USAGE;
}

/* ---- running ---------------------------------------------------------------------------------------------------- */

/* The global `arg`: the script's name at 0, what follows it from 1 on, what stands before it below 0. */
static void set_arguments(lua_State *L, char **argv, int argc, int script) {
  lua_createtable(L, argc - script > 0 ? argc - script - 1 : 0, script + 1);
  for (int i = 0; i < argc; i++) {
    lua_pushstring(L, argv[i]);
    lua_rawseti(L, -2, i - script);
  }
  lua_setglobal(L, "arg");
}

/* Lets `require` find modules in the folder of the script. */
static void add_folder(lua_State *L, const char *script) {
  const char *slash = strrchr(script, '/');
  lua_getglobal(L, "package");
  if (slash == NULL) lua_pushliteral(L, ".");
  else lua_pushlstring(L, script, slash == script ? 1 : (size_t)(slash - script));
  const char *folder = lua_tostring(L, -1);
  lua_getfield(L, -2, "path");
  lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;%s", folder, folder, lua_tostring(L, -1));
  lua_setfield(L, -4, "path");
  lua_pop(L, 3);
}

static int run_code(lua_State *L, const char *code) {
  if (luaL_loadbufferx(L, code, strlen(code), "=(command line)", "t") != LUA_OK) {
    vm_report(L);
    return VM_FAILED;
  }
  return vm_call(L, 0, 0);
}

static int run_script(lua_State *L, char **argument, int count) {
  const char *name = strcmp(argument[0], "-") == 0 ? NULL : argument[0];
  if (name) add_folder(L, name);
  if (luaL_loadfilex(L, name, "t") != LUA_OK) {
    vm_report(L);
    return VM_FAILED;
  }
  luaL_checkstack(L, count, "too many arguments");
  for (int i = 1; i < count; i++) lua_pushstring(L, argument[i]);
  return vm_call(L, count - 1, 0);
}

/* The name of a module's command: what follows "commands.", or NULL. */
static const char *command_of(const vm_module *m) {
  static const char folder[] = "commands.";
  return strncmp(m->name, folder, sizeof folder - 1) == 0 ? m->name + sizeof folder - 1 : NULL;
}

static bool is_command(const char *word) {
  for (const vm_module *m = vm_modules; m->name != NULL; m++) {
    const char *name = command_of(m);
    if (name != NULL && strcmp(name, word) == 0) return true;
  }
  return false;
}

static int unknown_command(const char *word) {
  char names[1024] = "";
  for (const vm_module *m = vm_modules; m->name != NULL; m++) {
    const char *name = command_of(m);
    size_t used = strlen(names);
    if (name != NULL) snprintf(names + used, sizeof names - used, " %s", name);
  }
  return usage("unknown command", word, names);
}

/* require("command").main(name, words) */
static int call_main(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "command");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "main");
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_call(L, 2, 1);
  return 1;
}

/* A command is an embedded module commands.NAME; stdlib/command.lua says what it holds. */
static int run_command(lua_State *L, const char *name, char **argument, int count) {
  lua_pushcfunction(L, call_main);
  lua_pushstring(L, name);
  lua_createtable(L, count, 0);
  for (int i = 0; i < count; i++) {
    lua_pushstring(L, argument[i]);
    lua_rawseti(L, -2, i + 1);
  }
  int status = vm_call(L, 2, 1);
  if (status != 0) return status;
  int code = (int)luaL_optinteger(L, -1, 0);
  lua_pop(L, 1);
  return code;
}

/* A word with neither a slash nor an extension, which no file has for a name, was meant as a command. */
static bool looks_like_command(const char *word) {
  return strchr(word, '/') == NULL && strchr(word, '.') == NULL && strcmp(word, "-") != 0 && access(word, F_OK) != 0;
}

static int run_arguments(lua_State *L, char **argument, int count) {
  if (is_command(argument[0])) return run_command(L, argument[0], argument + 1, count - 1);
  if (looks_like_command(argument[0])) return unknown_command(argument[0]);
  return run_script(L, argument, count);
}

/* ---- options ---------------------------------------------------------------------------------------------------- */

static bool takes_value(const char *option) {
  return strcmp(option, "-e") == 0 || strcmp(option, "--threads") == 0;
}

static int run(lua_State *L, int argc, char **argv) {
  bool code = false;
  int rest = 1;  /* the first argument that is no option */
  for (; rest < argc && argv[rest][0] == '-' && argv[rest][1] != '\0'; rest++) {
    const char *option = argv[rest];
    if (takes_value(option) && ++rest == argc) {
      fprintf(stderr, "penumbra: %s expects a value\n", option);
      return VM_USAGE;
    }
    if (strcmp(option, "-e") == 0) {
      code = true;
    } else if (strcmp(option, "--threads") == 0) {
      if (set_threads(argv[rest]) != 0) return VM_USAGE;
    } else if (strcmp(option, "--traceback") == 0) {
      vm_set_traceback(true);
    } else if (strcmp(option, "--version") == 0) {
      print_version();
      return 0;
    } else if (strcmp(option, "--help") == 0 || strcmp(option, "-h") == 0) {
      return run_command(L, "help", NULL, 0);
    } else if (strcmp(option, "--") == 0) {
      rest++;
      break;
    } else {
      return usage("unknown option", option, option_names);
    }
  }
  set_arguments(L, argv, argc, rest);
  if (code || rest == argc) vm_lazy_globals(L);
  for (int i = 1; i < rest; i++) {
    bool runs = strcmp(argv[i], "-e") == 0;
    if (takes_value(argv[i])) i++;
    int status = runs ? run_code(L, argv[i]) : 0;
    if (status != 0) return status;
  }
  if (rest < argc) return run_arguments(L, argv + rest, argc - rest);
  return code ? 0 : vm_repl(L);
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--sandbox") == 0) return vm_sandbox();
  setlocale(LC_CTYPE, "");
  vm_set_program(argv[0]);
  if (nn_start() != NN_OK) {
    fprintf(stderr, "penumbra: %s\n", nn_error());
    return VM_FAILED;
  }
  lua_State *L = vm_open();
  if (L == NULL) {
    fputs("penumbra: out of memory\n", stderr);
    return VM_FAILED;
  }
  const char *traceback = getenv("PENUMBRA_TRACEBACK");
  vm_set_traceback(traceback != NULL && strcmp(traceback, "1") == 0);
  vm_interrupt_install();
  int status = run(L, argc, argv);
  lua_close(L);
  if ((fflush(stdout) != 0 || ferror(stdout)) && status == 0) {
    fprintf(stderr, "penumbra: cannot write to standard output: %s\n", strerror(errno));
    status = VM_FAILED;
  }
  return status;
}
