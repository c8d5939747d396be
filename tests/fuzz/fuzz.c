/* fuzz.c -- one input through a target, and the promises it must keep. */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool started, memory_may_fail;
static int last_status;
static char path[64];  /* of this input's file; empty when the target reads bytes */

void fuzz_fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  abort();
}

int fuzz_status(void) { return last_status; }
void fuzz_expect_memory(bool expected) { memory_may_fail = expected; }

const char *fuzz_path(const uint8_t *bytes, size_t size) {
  static FILE *file;  /* has no name already, so nothing can be left behind */
  if (!file && !(file = tmpfile())) fuzz_fail("no temporary file: %s", strerror(errno));
  int descriptor = fileno(file);
  if (pwrite(descriptor, bytes, size, 0) != (ssize_t)size || ftruncate(descriptor, (off_t)size) != 0)
    fuzz_fail("the temporary file cannot be written: %s", strerror(errno));
  snprintf(path, sizeof path, "/dev/fd/%d", descriptor);
  return path;
}

/* The lowest descriptor that is free: higher than before when a file stayed open. */
static int free_descriptor(void) {
  int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (file >= 0) close(file);
  return file;
}

static void check_message(int status) {
  const char *text = nn_error();
  if (status == NN_EMEMORY && !memory_may_fail)
    fuzz_fail("asked for more than %zu MiB: %s", FUZZ_MEMORY >> 20, text);
  if (status == NN_EMEMORY || status == NN_EINTERRUPT) return;
  if (status != NN_EFORMAT && status != NN_EIO)
    fuzz_fail("status %d where a damaged file was expected: %s", status, text);
  if (!*text) fuzz_fail("failed without a message");
  for (const char *c = text; *c; c++)
    if ((unsigned char)*c < ' ' || *c == 0x7f) fuzz_fail("the message is not one plain line: %s", text);
  if (!strstr(text, *path ? path : "input")) fuzz_fail("the message does not name the file: %s", text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  nn_memory_stats before, after;
  if (!started) {
    if (nn_start() != NN_OK) fuzz_fail("%s", nn_error());
    nn_memory_set_cap(FUZZ_MEMORY);
    fuzz_path(NULL, 0);
    started = true;
  }
  uint64_t tensors = nn_tensor_live();
  int descriptor = free_descriptor();
  nn_memory_get_stats(&before);
  nn_fail(NN_OK, "%s", "");
  *path = '\0';
  last_status = fuzz_tested.parse(bytes, size);
  if (last_status != NN_OK) check_message(last_status);
  nn_memory_get_stats(&after);
  if (nn_tensor_live() != tensors)
    fuzz_fail("%d tensors left behind", (int)(nn_tensor_live() - tensors));
  if (after.live_blocks != before.live_blocks)
    fuzz_fail("%d blocks of memory left behind", (int)(after.live_blocks - before.live_blocks));
  if (free_descriptor() != descriptor) fuzz_fail("a file was left open");
  return 0;
}
