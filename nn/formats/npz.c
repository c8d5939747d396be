/* npz.c -- NumPy's .npz: a zip file whose members NAME.npy are arrays. Read packed or not, written stored. */
#include <stdio.h>
#include <string.h>

#include "formats/archive.h"
#include "formats/checkpoint.h"
#include "formats/npy.h"

enum { WRITE_STEP = 1 << 20, LONGEST_NAME = 1000 };
static const char ending[] = ".npy";

/* ---- reading ---- */

static int add_array(nn_checkpoint *c, const nni_block *block, size_t name_length) {
  char path[NNI_WHO];
  nni_npy_header h;
  snprintf(path, sizeof path, "%.280s: %.120s", c->path, block->name);
  int status = nni_npy_parse(path, block->bytes, block->size, &h);
  if (status != NN_OK) return status;
  nni_stored stored = { .dtype = h.dtype, .swap = h.swap, .bytes = block->bytes + h.length,
                        .room = block->size - (size_t)h.length, .axes = h.axes };
  memcpy(stored.size, h.size, sizeof stored.size);
  if (!h.dtype) {
    stored.dtype_name = nni_pool_text(&c->pool, h.description, strlen(h.description));
    if (!stored.dtype_name) return nn_fail(NN_EMEMORY, "%s: out of memory", c->path);
  }
  if (h.fortran) {
    int64_t step = 1;
    for (int i = 0; i < h.axes; i++) {
      stored.stride[i] = step;
      if (h.size[i]) step *= h.size[i];
    }
  } else {
    nni_contiguous(h.axes, h.size, stored.stride);
  }
  return nni_checkpoint_add(c, block->name, name_length, &stored);
}

int nni_npz_read(nn_checkpoint *c) {
  int status = NN_OK;
  for (size_t i = 0; i < c->block_count && status == NN_OK; i++) {
    size_t length = strlen(c->blocks[i].name), tail = sizeof ending - 1;
    if (length > tail && strcmp(c->blocks[i].name + length - tail, ending) == 0)
      status = add_array(c, &c->blocks[i], length - tail);
  }
  return status;
}

/* ---- writing ---- */

static int add_tensor(nni_zip *z, const char *name, nn_tensor *t) {
  char header[NNI_NPY_ROOM], member[LONGEST_NAME + 8];
  size_t length = (size_t)nni_npy_header_of(t, header), done = 0;
  size_t bytes = (size_t)nn_tensor_count(t) * nn_type_bytes(nn_tensor_type(t));
  nn_tensor *packed = nn_tensor_pack(t);
  if (!packed) return NN_EMEMORY;
  const char *data = nn_tensor_data(packed);
  snprintf(member, sizeof member, "%s%s", name, ending);
  int status = nni_zip_add(z, member, length + bytes);
  if (status == NN_OK) status = nni_zip_write(z, header, length);
  for (; done < bytes && status == NN_OK; done += WRITE_STEP) {
    status = nni_zip_write(z, data + done, bytes - done < WRITE_STEP ? bytes - done : WRITE_STEP);
    if (status == NN_OK) status = nn_interrupt_check();
  }
  nn_tensor_release(packed);
  return status;
}

int nn_npz_write(const char *path, int count, const char *const *names, nn_tensor *const *tensors) {
  nni_zip *z = NULL;
  int *order = nn_memory_get((size_t)(count + 1) * sizeof *order);
  int status = order ? NN_OK : nn_fail(NN_EMEMORY, "%s: out of memory", path);
  for (int i = 0; i < count && status == NN_OK; i++)
    if (!names[i][0] || strlen(names[i]) > LONGEST_NAME)
      status = nn_fail(NN_EARGUMENT, "%s: names of 1 to %d bytes expected", path, LONGEST_NAME);
  if (status == NN_OK)
    status = nni_sort_names(NN_EARGUMENT, path, "array", names, sizeof *names, (size_t)count, order);
  if (status == NN_OK) status = nni_zip_create(path, &z);
  for (int i = 0; i < count && status == NN_OK; i++) status = add_tensor(z, names[order[i]], tensors[order[i]]);
  nn_memory_put(order);
  if (status == NN_OK) return nni_zip_commit(z);
  if (z) nni_zip_discard(z);
  return status;
}
