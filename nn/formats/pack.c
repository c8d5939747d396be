/* pack.c -- files and texts into a .zip, whole or not at all. The way back is unpack.c. */
#include <stdio.h>
#include <string.h>

#include "formats/archive.h"
#include "formats/checkpoint.h"
#include "formats/file.h"

/* A file of more than MOST_DEFLATED bytes is stored: it holds weights, which hardly get shorter. */
enum { STEP = 1 << 17, MOST_DEFLATED = 1 << 26 };

static int store_stream(nni_zip *z, const nn_archive_member *m, FILE *stream, uint64_t size) {
  uint8_t block[STEP];
  int status = nni_zip_add(z, m->name, size);
  for (uint64_t left = size; left > 0 && status == NN_OK;) {
    size_t now = left < STEP ? (size_t)left : STEP;
    if (fread(block, 1, now, stream) != now) return nn_fail(NN_EIO, "%s: cannot be read to its end", m->file);
    status = nni_zip_write(z, block, now);
    if (status == NN_OK) status = nn_interrupt_check();
    left -= now;
  }
  return status;
}

static int add_file(nni_zip *z, const nn_archive_member *m) {
  FILE *stream;
  uint64_t size;
  int status = nni_input_open(m->file, &stream, &size);
  if (status != NN_OK) return status;
  if (size > MOST_DEFLATED) {
    status = store_stream(z, m, stream, size);
    fclose(stream);
    return status;
  }
  fclose(stream);
  nni_bytes bytes = { 0 };
  status = nni_bytes_read(&bytes, m->file, MOST_DEFLATED);
  if (status == NN_OK) status = nni_zip_pack(z, m->name, bytes.data, bytes.size);
  nni_bytes_free(&bytes);
  return status;
}

int nn_archive_pack(const char *path, const nn_archive_member *members, size_t count) {
  nni_zip *z = NULL;
  int *order = nn_memory_get((count + 1) * sizeof *order);
  if (!order) return nn_fail(NN_EMEMORY, "%s: out of memory", path);
  int status = nni_sort_names(NN_EARGUMENT, path, "member", members, sizeof *members, count, order);
  if (status == NN_OK) status = nni_zip_create(path, &z);
  for (size_t i = 0; i < count && status == NN_OK; i++) {
    const nn_archive_member *m = &members[order[i]];
    status = m->file ? add_file(z, m) : nni_zip_pack(z, m->name, m->bytes, m->size);
  }
  nn_memory_put(order);
  if (status == NN_OK) return nni_zip_commit(z);
  if (z) nni_zip_discard(z);
  return status;
}
