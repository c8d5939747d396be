/* error.c -- the last message of each thread. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/core.h"

static _Thread_local char message[512];

int nn_fail(int status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  /* It may quote a hostile file: no second line, nothing that a terminal obeys. */
  for (unsigned char *c = (unsigned char *)message; *c; c++) {
    if (c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0) c[0] = c[1] = '?';
    if (*c < ' ' || *c == 0x7f) *c = '?';
  }
  return status;
}

int nn_fail_prefix(int status, const char *prefix) {
  char tail[sizeof message];
  memcpy(tail, message, sizeof message);
  snprintf(message, sizeof message, "%s: %.*s", prefix, (int)(sizeof message - strlen(prefix) - 3), tail);
  return status;
}

const char *nn_error(void) { return message; }
