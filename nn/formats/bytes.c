/* bytes.c -- a growing run of bytes. */
#include "formats/bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/file.h"

enum { SMALLEST = 1 << 12, READ_STEP = 1 << 23 };

/* Room for `room` bytes; the first b->size of them stay. */
static int grow(nni_bytes *b, size_t room) {
  uint8_t *data = nn_memory_get(room);
  if (!data) return nn_fail(NN_EMEMORY, "out of memory: %zu bytes", room);
  if (b->size) memcpy(data, b->data, b->size);
  nn_memory_put(b->data);
  b->data = data;
  b->room = room;
  return NN_OK;
}

int nni_bytes_add(nni_bytes *b, const void *from, size_t size) {
  if (size > b->room - b->size) {
    if (size > SIZE_MAX / 4 || b->room > SIZE_MAX / 4) return nn_fail(NN_EMEMORY, "out of memory: %zu bytes", size);
    size_t twice = 2 * b->room, needed = b->size + size;
    int status = grow(b, needed > twice ? needed > SMALLEST ? needed : SMALLEST : twice);
    if (status != NN_OK) return status;
  }
  if (size) memcpy(b->data + b->size, from, size);
  b->size += size;
  return NN_OK;
}

static int read_stream(nni_bytes *b, FILE *stream, const char *path, uint64_t size, uint64_t most) {
  if (size > most)
    return nn_fail(NN_EFORMAT, "%s: at most %" PRIu64 " bytes are read, the file has %" PRIu64, path, most, size);
  b->size = 0;
  int status = size > b->room ? grow(b, (size_t)size) : NN_OK;
  if (status != NN_OK) return status;
  for (size_t done = 0; done < size && status == NN_OK; done += READ_STEP) {
    size_t now = size - done < READ_STEP ? (size_t)size - done : READ_STEP;
    if (fread(b->data + done, 1, now, stream) != now)
      return nn_fail(NN_EIO, "%s: %s", path, ferror(stream) ? strerror(errno) : "the file shrank meanwhile");
    status = nn_interrupt_check();
  }
  if (status == NN_OK) b->size = (size_t)size;
  return status;
}

int nni_bytes_read(nni_bytes *b, const char *path, uint64_t most) {
  FILE *stream;
  uint64_t size;
  b->size = 0;
  int status = nni_input_open(path, &stream, &size);
  if (status != NN_OK) return status;
  status = read_stream(b, stream, path, size, most);
  fclose(stream);
  return status;
}

void nni_bytes_free(nni_bytes *b) {
  nn_memory_put(b->data);
  *b = (nni_bytes){ 0 };
}
