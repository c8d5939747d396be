/* bytes.c -- lists that grow, of anything and of bytes. */
#include "formats/bytes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/file.h"

enum { READ_STEP = 1 << 23 };

bool nni_grow(void *list, size_t *room, size_t used, size_t more, size_t size) {
  const size_t most = SIZE_MAX / 4 / size;
  void *old, *block;
  if (more <= *room - used) return true;
  if (used > most || more > most || *room > most) {
    nn_fail(NN_EMEMORY, "out of memory: %zu more elements", more);
    return false;
  }
  size_t wanted = used + more > 2 * *room ? used + more : 2 * *room;
  if (!(block = nn_memory_get(wanted * size))) return false;
  memcpy(&old, list, sizeof old);
  if (used) memcpy(block, old, used * size);
  nn_memory_put(old);
  memcpy(list, &block, sizeof block);
  *room = wanted;
  return true;
}

int nni_bytes_add(nni_bytes *b, const void *from, size_t size) {
  if (!nni_grow(&b->data, &b->room, b->size, size, 1)) return NN_EMEMORY;
  if (size) memcpy(b->data + b->size, from, size);
  b->size += size;
  return NN_OK;
}

static int read_stream(nni_bytes *b, FILE *stream, const char *path, uint64_t size, uint64_t most) {
  if (size > most)
    return nn_fail(NN_EFORMAT, "%s: at most %" PRIu64 " bytes are read, the file has %" PRIu64, path, most, size);
  if (!nni_grow(&b->data, &b->room, 0, (size_t)size, 1)) return NN_EMEMORY;
  int status = NN_OK;
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
