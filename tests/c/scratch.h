/* scratch.h -- files for tests: a folder of their own under the system's temporary folder, removed at the end. */
#ifndef SCRATCH_H
#define SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "nn.h"

static char scratch_folder[] = "/tmp/penumbra-XXXXXX";

static inline int scratch_open(void **state) {
  (void)state;
  return mkdtemp(scratch_folder) && nn_start() == NN_OK ? 0 : 1;
}

static inline int scratch_close(void **state) {
  (void)state;
  return rmdir(scratch_folder);  /* not empty: a test left a file behind */
}

/* The path of a scratch file; text that stays good for the next few calls. */
static inline const char *scratch_path(const char *name) {
  static char text[4][256];
  static int turn;
  turn = (turn + 1) % 4;
  snprintf(text[turn], sizeof text[turn], "%s/%s", scratch_folder, name);
  return text[turn];
}

static inline void scratch_write(const char *path, const void *bytes, size_t size) {
  FILE *stream = fopen(path, "wb");
  assert_non_null(stream);
  assert_int_equal(fwrite(bytes, 1, size, stream), size);
  assert_int_equal(fclose(stream), 0);
}

/* Whole file, size in *size; free it. */
static inline uint8_t *scratch_read(const char *path, size_t *size) {
  FILE *stream = fopen(path, "rb");
  assert_non_null(stream);
  assert_int_equal(fseek(stream, 0, SEEK_END), 0);
  *size = (size_t)ftell(stream);
  rewind(stream);
  uint8_t *bytes = malloc(*size + 1);
  assert_non_null(bytes);
  assert_int_equal(fread(bytes, 1, *size, stream), *size);
  fclose(stream);
  return bytes;
}

/* The call failed with this status, and its message says all of these. */
static inline void assert_failed(int status, int expected, const char *const *words) {
  assert_int_equal(status, expected);
  for (; *words; words++)
    if (!strstr(nn_error(), *words)) fail_msg("\"%s\" does not say \"%s\"", nn_error(), *words);
}
#define ASSERT_FAILED(status, expected, ...) assert_failed(status, expected, (const char *const[]){ __VA_ARGS__, NULL })

/* The folder with data sets from outside; one that is not there when none is known. */
static inline const char *outside_data(void) {
  const char *folder = getenv("PENUMBRA_DATA");
  return folder && *folder ? folder : "PENUMBRA_DATA";
}

#endif
