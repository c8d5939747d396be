/* channels.c -- stored images with another number of channels: grey repeated, or colours made grey. */
#include <string.h>

#include "kernels/colour.h"
#include "tensor/tensor.h"

enum { RGB = 3, GRAIN = 1 << 14 };

typedef struct {
  const uint8_t *from;  /* [pixels, 1 or 3] */
  uint8_t *to;          /* [pixels, 3 or 1] */
} channels_job;

/* to[p, c] = from[p] */
static void repeat_grey(void *context, int64_t begin, int64_t end) {
  const channels_job *job = context;
  for (int64_t p = begin; p < end; p++)
    for (int c = 0; c < RGB; c++) job->to[RGB * p + c] = job->from[p];
}

/* to[p] = the grey of from[p], as pictures are decoded to grey */
static void make_grey(void *context, int64_t begin, int64_t end) {
  const channels_job *job = context;
  for (int64_t p = begin; p < end; p++) {
    const uint8_t *rgb = job->from + RGB * p;
    job->to[p] = (uint8_t)nnk_luma(rgb[0], rgb[1], rgb[2]);
  }
}

int nn_data_channels(nn_tensor *images, int channels, nn_tensor **out) {
  char shape[96];
  int64_t now = nn_tensor_axes(images) == 4 ? nn_tensor_size(images, 3) : 0;
  if (nn_tensor_type(images) != NN_UINT8 || (now != 1 && now != RGB))
    return nn_fail(NN_ESHAPE, "channels: uint8 images [N x H x W x C] with 1 or 3 channels expected, got %s %s",
                   nn_type_name(nn_tensor_type(images)), nn_tensor_describe(images, shape, sizeof shape));
  if (channels != 1 && channels != RGB)
    return nn_fail(NN_EARGUMENT, "channels: 1 or 3 expected, got %d", channels);
  if (channels == now) {
    *out = nn_tensor_retain(images);
    return NN_OK;
  }
  int64_t size[4];
  memcpy(size, nn_tensor_sizes(images), sizeof size);
  size[3] = channels;
  nn_tensor *packed = nn_tensor_pack(images), *y = nn_tensor_new(NN_UINT8, 4, size);
  int status = NN_EMEMORY;
  if (packed && y) {
    channels_job job = { nn_tensor_data(packed), nn_tensor_write(y) };
    status = nn_parallel_for(nn_tensor_count(images) / now, GRAIN, channels == 1 ? make_grey : repeat_grey, &job);
  }
  nn_tensor_release(packed);
  if (status == NN_OK) *out = y;
  else nn_tensor_release(y);
  return status;
}
