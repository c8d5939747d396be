/* vm.h -- the host: the interpreter's state, calls that end in a message, interrupts, the prompt. */
#ifndef VM_H
#define VM_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

/* What a process ends with; 0 is success. `penumbra help command` lists them for users. */
enum { VM_FAILED = 1, VM_USAGE = 2, VM_SANDBOX_CPU = 3, VM_SANDBOX_OPEN = 4, VM_INTERRUPTED = 130 };

/* ---- state.c ---- */

/* A state with the standard libraries, nn and the embedded modules. NULL: out of memory. */
lua_State *vm_open(void);

/* Lets `require` find the embedded modules, "nn" and "host" (NULL: there is none) through these. */
void vm_open_modules(lua_State *L, lua_CFunction open_nn, lua_CFunction open_host);

/* Lets every module be used by its name without `require`, as at the prompt and in -e, and terminal.show as `show`. */
void vm_lazy_globals(lua_State *L);

/* Shows where an uncaught error came from. */
void vm_set_traceback(bool on);

/* Calls the function below `arguments` values. On an error prints it and returns VM_FAILED, or VM_INTERRUPTED when
 * Ctrl-C was the cause; the stack then holds neither function nor arguments. */
int vm_call(lua_State *L, int arguments, int results);

/* Of every error from now on the function at the top of the stack (which is popped) makes what is printed: it gets the
 * message while the stack that raised it is still there. */
void vm_set_describe(lua_State *L);

/* Prints the error value on the top of the stack as `penumbra: message`, and pops it. */
void vm_report(lua_State *L);

/* ---- host.c ---- */

/* The loader of require "host". */
int vm_open_host(lua_State *L);

/* ---- files.c ---- */

/* Adds host.append, truncate, lock and locked to the table at the top of the stack. */
void vm_open_files(lua_State *L);

/* Writes it all to a descriptor that blocks; false: errno says why not. */
bool vm_write_all(int file, const char *bytes, size_t size);

/* ---- process.c ---- */

/* Adds spawn and wait_any to the table at the top of the stack. */
void vm_open_processes(lua_State *L);

/* The program's own name, argv[0]: what starts it again. */
void vm_set_program(const char *name);

/* ---- sandbox.c ---- */

/* The child that reads a recipe: serves its parent over standard input and output, and exits. Returns an exit code
 * only when it could not begin. */
int vm_sandbox(void);

/* ---- interrupt.c ---- */

/* Adds host.defer_interrupts and interrupted to the table at the top of the stack. */
void vm_open_interrupts(lua_State *L);

/* Makes coroutine.resume and coroutine.wrap tell which coroutine runs, so that an interrupt reaches it. */
void vm_interrupt_open(lua_State *L);

/* From here on Ctrl-C raises the error "interrupted" in whatever runs, be it Lua or C. The second one while the first
 * is not served ends the process at once. A process started with SIGINT ignored goes on ignoring it. */
void vm_interrupt_install(void);

/* Whether Ctrl-C came since the last call; an interrupt that nobody served yet is dropped. */
bool vm_interrupt_take(void);

/* ---- editor.c ---- */

enum { VM_LINE_READ, VM_LINE_END, VM_LINE_DROPPED };

extern const bool vm_editor_built;  /* this build has libedit */

/* Makes standard input a terminal on which lines are edited; false: it is none, or this build cannot. */
bool vm_editor_open(lua_State *L);
void vm_editor_close(void);
/* VM_LINE_READ pushes the line without its end; the others (the input is at its end; Ctrl-C) push nothing. */
int vm_editor_read(lua_State *L, const char *prompt);
/* Puts an entry, which may have several lines, among those that can be recalled. */
void vm_editor_remember(const char *entry);

/* ---- history.c ---- */

/* Adds text that ends a line to a file that is made for its owner only. One of more than `most` bytes loses its older
 * half first. Not 0: errno says why. */
int vm_append_line(const char *path, const char *text, size_t length, size_t most);

/* ---- terminal.c ---- */

/* Adds terminal, terminal_size and terminal_ask to the table at the top of the stack. */
void vm_open_terminal(lua_State *L);

/* ---- picture.c ---- */

/* Adds pixels and sixel to the table at the top of the stack. */
void vm_open_pictures(lua_State *L);

/* ---- repl.c ---- */

/* Reads, runs and prints until the input ends; from a file or pipe until an entry fails. Returns an exit code. */
int vm_repl(lua_State *L);

#endif
