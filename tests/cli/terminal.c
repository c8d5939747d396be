/* terminal.c -- runs a program in a terminal of its own, types what a script says, and watches what appears.
 *
 *   terminal ROWS COLUMNS PROGRAM ARGUMENT... < SCRIPT
 *
 * The script's lines, of which the first that fails ends it with a message and code 1:
 *
 *   send TEXT             types it; \n is the Enter key's carriage return, \t \e \\ \xHH as in C
 *   expect SECONDS TEXT   TEXT appears behind what was last expected, within that time
 *   absent TEXT           it has not appeared since
 *   wait SECONDS
 *   size ROWS COLUMNS     the window changes
 *   signal NUMBER         to the program
 *   plain                 the terminal edits and echoes lines itself, as a shell leaves it
 *   end SECONDS CODE      the program ends with that exit code (or 128 and a signal's number)
 *
 * At the end everything that appeared is printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static int master;
static pid_t program;  /* 0: not started, or ended */
static char seen[1 << 20];
static size_t size, expected;  /* bytes seen; where the next expectation begins */
static int line_number;

static void finish(int code) {
  if (program > 0) kill(program, SIGKILL);
  fwrite(seen, 1, size, stdout);
  fflush(stdout);
  exit(code);
}

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fprintf(stderr, "line %d: ", line_number);
  vfprintf(stderr, format, arguments);
  fprintf(stderr, "\n");
  va_end(arguments);
  finish(1);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Takes in what appears for at most so long; false when the terminal is closed. */
static bool look(double seconds) {
  struct pollfd output = { .fd = master, .events = POLLIN };
  if (poll(&output, 1, seconds > 0 ? (int)(1000 * seconds) + 1 : 0) <= 0) return true;
  ssize_t count = read(master, seen + size, sizeof seen - 1 - size);
  if (count <= 0) return count < 0 && errno == EINTR;
  size += (size_t)count;
  seen[size] = '\0';
  return true;
}

/* Output may hold bytes of value 0, which strstr would stop at. */
static const char *find(const char *text) {
  size_t length = strlen(text);
  for (size_t i = expected; i + length <= size; i++)
    if (memcmp(seen + i, text, length) == 0) return seen + i;
  return NULL;
}

static void unescape(char *text) {
  char *to = text;
  for (const char *from = text; *from; from++) {
    if (*from != '\\' || from[1] == '\0') {
      *to++ = *from;
      continue;
    }
    switch (*++from) {
      case 'n': *to++ = '\r'; break;
      case 't': *to++ = '\t'; break;
      case 'e': *to++ = '\033'; break;
      case 'x': {
        char digits[3] = { from[1], from[1] ? from[2] : '\0', '\0' };
        *to++ = (char)strtol(digits, NULL, 16);
        from += strlen(digits);
        break;
      }
      default: *to++ = *from;
    }
  }
  *to = '\0';
}

static void type(const char *text) {
  for (size_t left = strlen(text); left > 0;) {
    ssize_t count = write(master, text, left);
    if (count < 0 && errno != EINTR) fail("cannot type: %s", strerror(errno));
    if (count > 0) text += count, left -= (size_t)count;
    look(0);
  }
}

static void expect(double seconds, const char *text) {
  double end = now() + seconds;
  const char *found;
  while (!(found = find(text))) {
    if (now() >= end) fail("\"%s\" did not appear within %g s", text, seconds);
    if (!look(end - now())) {
      if (find(text)) continue;
      fail("\"%s\" did not appear before the program closed the terminal", text);
    }
  }
  expected = (size_t)(found - seen) + strlen(text);
}

static void set_size(int rows, int columns) {
  struct winsize window = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };
  if (ioctl(master, TIOCSWINSZ, &window) != 0) fail("cannot set the size: %s", strerror(errno));
}

static void expect_plain(void) {
  struct termios t;
  if (tcgetattr(master, &t) != 0) fail("tcgetattr: %s", strerror(errno));
  if (!(t.c_lflag & ICANON) || !(t.c_lflag & ECHO) || !(t.c_iflag & ICRNL)) fail("the terminal is not as it was");
}

static void expect_end(double seconds, int code) {
  double end = now() + seconds;
  int status;
  if (program == 0) fail("the program has ended already");
  while (waitpid(program, &status, WNOHANG) != program) {
    if (now() >= end) fail("the program did not end within %g s", seconds);
    if (!look(0.01)) nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
  }
  program = 0;
  int got = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  if (got != code) fail("the program ended with %d instead of %d", got, code);
}

static void obey(char *line) {
  char *word = strtok(line, " "), *rest = strtok(NULL, "");
  if (!word) return;
  if (!rest) rest = "";
  char *after = NULL;
  double number = strtod(rest, &after);
  char *text = after + (*after == ' ');
  if (strcmp(word, "send") == 0) {
    unescape(rest);
    type(rest);
  } else if (strcmp(word, "expect") == 0) {
    unescape(text);
    expect(number, text);
  } else if (strcmp(word, "absent") == 0) {
    unescape(rest);
    if (find(rest)) fail("\"%s\" appeared", rest);
  } else if (strcmp(word, "wait") == 0) {
    for (double end = now() + number; now() < end;) look(end - now());
  } else if (strcmp(word, "size") == 0) {
    set_size((int)number, atoi(text));
  } else if (strcmp(word, "signal") == 0) {
    if (program == 0) fail("the program has ended");
    kill(program, (int)number);
  } else if (strcmp(word, "plain") == 0) {
    expect_plain();
  } else if (strcmp(word, "end") == 0) {
    expect_end(number, atoi(text));
  } else {
    fail("no such command: %s", word);
  }
}

static void start(char **argument, int rows, int columns) {
  master = posix_openpt(O_RDWR | O_NOCTTY);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) {
    fprintf(stderr, "no terminal: %s\n", strerror(errno));
    exit(77);
  }
  /* Open here as well, so that the size can be set and nothing is lost before the program opens it. */
  int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
  set_size(rows, columns);
  pid_t pid = fork();
  if (pid < 0) fail("cannot start a process: %s", strerror(errno));
  if (pid > 0) {
    program = pid;
    close(slave);
    return;
  }
  setsid();
  int own = open(ptsname(master), O_RDWR);  /* becomes the controlling terminal */
  for (int i = 0; i < 3; i++) dup2(own, i);
  close(own);
  close(slave);
  close(master);
  signal(SIGINT, SIG_DFL);
  execvp(argument[0], argument);
  _exit(127);
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: terminal ROWS COLUMNS PROGRAM ARGUMENT... < SCRIPT\n");
    return 2;
  }
  start(argv + 3, atoi(argv[1]), atoi(argv[2]));
  char line[4096];
  while (fgets(line, sizeof line, stdin)) {
    line_number++;
    line[strcspn(line, "\n")] = '\0';
    obey(line);
  }
  finish(0);
}
