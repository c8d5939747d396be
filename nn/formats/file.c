/* file.c -- files written whole or not at all, and numbers in messages. */
#include "formats/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int nni_output_open(nni_output *output, const char *path) {
  static atomic_uint serial;
  size_t size = strlen(path) + 1, room = size + 48;
  char *copy = malloc(size), *temporary = malloc(room);
  FILE *stream = NULL;
  int status = NN_OK;
  if (!copy || !temporary) {
    status = nn_fail(NN_EMEMORY, "%s: out of memory", path);
    goto out;
  }
  memcpy(copy, path, size);
  snprintf(temporary, room, "%s.part-%ld-%u", path, (long)getpid(), atomic_fetch_add(&serial, 1));
  int file = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file >= 0 && !(stream = fdopen(file, "wb"))) {
    close(file);
    unlink(temporary);
  }
  if (!stream) status = nn_fail(NN_EIO, "%s: cannot be written: %s", path, strerror(errno));
out:
  if (status != NN_OK) {
    free(copy);
    free(temporary);
    return status;
  }
  *output = (nni_output){ stream, copy, temporary };
  return NN_OK;
}

int nni_output_commit(nni_output *output) {
  int status = NN_OK;
  bool written = !ferror(output->stream) && fflush(output->stream) == 0 && fsync(fileno(output->stream)) == 0;
  int reason = errno;
  if (fclose(output->stream) != 0 && written) {
    written = false;
    reason = errno;
  }
  if (written && rename(output->temporary, output->path) != 0) {
    written = false;
    reason = errno;
  }
  if (!written) {
    unlink(output->temporary);
    status = nn_fail(NN_EIO, "%s: cannot be written: %s", output->path, strerror(reason));
  }
  free(output->path);
  free(output->temporary);
  return status;
}

void nni_output_discard(nni_output *output) {
  fclose(output->stream);
  unlink(output->temporary);
  free(output->path);
  free(output->temporary);
}

int nni_input_open(const char *path, FILE **stream, uint64_t *bytes) {
  struct stat about;
  FILE *file = fopen(path, "rb");
  if (!file) return nn_fail(NN_EIO, "%s: %s", path, strerror(errno));
  if (fstat(fileno(file), &about) != 0 || !S_ISREG(about.st_mode)) {
    fclose(file);
    return nn_fail(NN_EIO, "%s: not a regular file", path);
  }
  *stream = file;
  *bytes = (uint64_t)about.st_size;
  return NN_OK;
}

const char *nni_grouped(char text[32], uint64_t value) {
  char digits[24];
  int count = snprintf(digits, sizeof digits, "%" PRIu64, value), at = 0;
  for (int i = 0; i < count; i++) {
    if (i > 0 && (count - i) % 3 == 0) text[at++] = ',';
    text[at++] = digits[i];
  }
  text[at] = '\0';
  return text;
}
