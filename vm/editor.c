/* editor.c -- lines typed at a terminal: with libedit where the build has it, which edits, recalls and completes.
 *
 * libedit reads through our own function, so that Ctrl-C drops the line at once, a changed window is drawn anew, and a
 * stopped session comes back as it was. The terminal is raw only while a line is typed; what ends the process in that
 * time puts the terminal back first.
 */
#include "vm.h"

#ifdef VM_HAVE_EDITLINE

#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

#include "nn.h"

const bool vm_editor_built = true;

enum { REMEMBERED = 2000 };  /* entries */

static struct {
  EditLine *el;
  History *history;
  lua_State *L;
  const char *prompt;
  struct termios before;
  sigset_t open;             /* the signals that may come while a key is awaited */
  volatile sig_atomic_t resized, continued;
} edit;

/* ---- signals ----------------------------------------------------------------------------------------------------- */

static void on_change(int signal) {
  if (signal == SIGWINCH) edit.resized = 1;
  else edit.continued = 1;
}

/* Ends or stops the process as the signal does by itself, after the terminal is what it was. */
static void on_leave(int signal) {
  tcsetattr(STDIN_FILENO, TCSANOW, &edit.before);
  sigaction(signal, &(struct sigaction){ .sa_handler = SIG_DFL }, NULL);
  raise(signal);
}

static const struct {
  int signal;
  void (*handler)(int);
} watched[] = {
  { SIGWINCH, on_change }, { SIGCONT, on_change }, { SIGTERM, on_leave },
  { SIGHUP, on_leave },    { SIGQUIT, on_leave },  { SIGTSTP, on_leave },
};
enum { WATCHED = sizeof watched / sizeof *watched };

static struct sigaction old_action[WATCHED];

static void watch(int i) {
  struct sigaction action = { .sa_handler = watched[i].handler };
  sigemptyset(&action.sa_mask);
  if (old_action[i].sa_handler != SIG_IGN) sigaction(watched[i].signal, &action, NULL);
}

/* From here on signals are taken only while a key is awaited. */
static void watch_all(void) {
  sigset_t held;
  tcgetattr(STDIN_FILENO, &edit.before);
  sigemptyset(&held);
  sigaddset(&held, SIGINT);
  for (int i = 0; i < WATCHED; i++) {
    sigaddset(&held, watched[i].signal);
    sigaction(watched[i].signal, NULL, &old_action[i]);
    watch(i);
  }
  sigprocmask(SIG_BLOCK, &held, &edit.open);
}

static void unwatch_all(void) {
  sigprocmask(SIG_SETMASK, &edit.open, NULL);
  for (int i = 0; i < WATCHED; i++) sigaction(watched[i].signal, &old_action[i], NULL);
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static void serve_changes(void) {
  if (edit.continued) {
    edit.continued = 0;
    for (int i = 0; i < WATCHED; i++) watch(i);
    el_set(edit.el, EL_PREP_TERM, 1);
    edit.resized = 1;
  }
  if (!edit.resized) return;
  edit.resized = 0;
  el_resize(edit.el);
  el_set(edit.el, EL_REFRESH);
}

/* One byte, 0 at the end, -1 when Ctrl-C came. Signals may come in the read as well: a terminal that was not raw while
 * something was typed may seem to be ready when it is not. */
static int read_byte(char *byte) {
  for (;;) {
    fd_set input;
    FD_ZERO(&input);
    FD_SET(STDIN_FILENO, &input);
    int ready = pselect(STDIN_FILENO + 1, &input, NULL, NULL, NULL, &edit.open);
    if (ready < 0 && errno != EINTR) return -1;
    ssize_t count = -1;
    if (ready > 0 && !nn_interrupted()) {
      sigset_t held;
      sigprocmask(SIG_SETMASK, &edit.open, &held);
      count = read(STDIN_FILENO, byte, 1);
      sigprocmask(SIG_SETMASK, &held, NULL);
    }
    if (nn_interrupted()) return -1;
    serve_changes();
    if (count >= 0 || (ready > 0 && errno != EINTR)) return (int)count;
  }
}

/* One character; bytes that are none are passed over. */
static int read_character(EditLine *el, wchar_t *character) {
  (void)el;
  mbstate_t state = { 0 };
  for (;;) {
    char byte;
    int count = read_byte(&byte);
    if (count <= 0) return count;
    size_t used = mbrtowc(character, &byte, 1, &state);
    if (used == (size_t)-1) state = (mbstate_t){ 0 };
    else if (used != (size_t)-2) return 1;
  }
}

static char *current_prompt(EditLine *el) {
  (void)el;
  return (char *)edit.prompt;
}

/* (text before the cursor, columns) -> text to insert or "", lines to show or nil: stdlib/repl/complete.lua */
static int call_complete(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "repl.complete");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "answer");
  lua_insert(L, 1);
  lua_pop(L, 1);
  lua_call(L, 2, 2);
  luaL_checkstring(L, 1);
  return 2;
}

static unsigned char complete(EditLine *el, int key) {
  (void)key;
  lua_State *L = edit.L;
  int top = lua_gettop(L), columns = 80;
  const LineInfo *line = el_line(el);
  el_get(el, EL_GETTC, "co", &columns);
  unsigned char result = CC_ERROR;
  if (lua_checkstack(L, 5)) {
    lua_pushcfunction(L, call_complete);
    lua_pushlstring(L, line->buffer, (size_t)(line->cursor - line->buffer));
    lua_pushinteger(L, columns);
    if (lua_pcall(L, 2, 2, 0) == LUA_OK) {
      if (*lua_tostring(L, -2) && el_insertstr(el, lua_tostring(L, -2)) == 0) result = CC_REFRESH;
      if (lua_isstring(L, -1)) {
        fprintf(stdout, "\n%s\n", lua_tostring(L, -1));
        result = CC_REDISPLAY;
      }
    }
  }
  lua_settop(L, top);
  return result;
}

/* ---- lines ------------------------------------------------------------------------------------------------------- */

bool vm_editor_open(lua_State *L) {
  const char *terminal = getenv("TERM");
  if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO)) return false;
  if (terminal == NULL || *terminal == '\0' || strcmp(terminal, "dumb") == 0) return false;
  if (MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
  edit.L = L;
  edit.el = el_init("penumbra", stdin, stdout, stderr);
  edit.history = edit.el ? history_init() : NULL;
  if (edit.history == NULL) {
    vm_editor_close();
    return false;
  }
  HistEvent event;
  history(edit.history, &event, H_SETSIZE, REMEMBERED);
  history(edit.history, &event, H_SETUNIQUE, 1);
  el_set(edit.el, EL_HIST, history, edit.history);
  el_set(edit.el, EL_EDITOR, "emacs");
  el_set(edit.el, EL_PROMPT, current_prompt);
  el_wset(edit.el, EL_GETCFN, read_character);
  el_wset(edit.el, EL_ADDFN, L"complete", L"Complete the word", complete);
  static const char *const keys[][2] = {
    { "^I", "complete" },           { "^R", "em-inc-search-prev" },     { "\\e[3~", "ed-delete-next-char" },
    { "\\e[H", "ed-move-to-beg" },  { "\\e[F", "ed-move-to-end" },      { "\\e[1~", "ed-move-to-beg" },
    { "\\e[4~", "ed-move-to-end" }, { "\\e[1;5C", "em-next-word" },     { "\\e[1;5D", "ed-prev-word" },
    { "^W", "ed-delete-prev-word" },
  };
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) el_set(edit.el, EL_BIND, keys[i][0], keys[i][1], NULL);
  el_source(edit.el, NULL);  /* ~/.editrc: the user's own keys */
  return true;
}

void vm_editor_close(void) {
  if (edit.history) history_end(edit.history);
  if (edit.el) el_end(edit.el);
  edit.history = NULL;
  edit.el = NULL;
}

void vm_editor_remember(const char *entry) {
  HistEvent event;
  history(edit.history, &event, H_ENTER, entry);
}

int vm_editor_read(lua_State *L, const char *prompt) {
  int count = 0;
  edit.prompt = prompt;
  fflush(stdout);
  watch_all();
  el_set(edit.el, EL_PREP_TERM, 1);  /* before the prompt: who sees that may type */
  const char *line = el_gets(edit.el, &count);
  unwatch_all();
  if (vm_interrupt_take()) {
    fputs("^C\n", stdout);
    return VM_LINE_DROPPED;
  }
  if (line == NULL || count <= 0) return VM_LINE_END;
  while (count > 0 && (line[count - 1] == '\n' || line[count - 1] == '\r')) count--;
  lua_pushlstring(L, line, (size_t)count);
  return VM_LINE_READ;
}

#else

const bool vm_editor_built = false;

bool vm_editor_open(lua_State *L) {
  (void)L;
  return false;
}
void vm_editor_close(void) {}
void vm_editor_remember(const char *entry) { (void)entry; }
int vm_editor_read(lua_State *L, const char *prompt) {
  (void)L, (void)prompt;
  return VM_LINE_END;
}

#endif
