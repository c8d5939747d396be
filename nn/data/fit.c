/* fit.c -- images in memory made to another size, or to another number of channels. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "image/image.h"
#include "tensor/tensor.h"

enum { MAX_SIDE = 1 << 14 };

typedef struct {
  const uint8_t *from;  /* [N, height, width, channels] */
  uint8_t *to;          /* [N, side, side, channels_out] */
  int64_t height, width, out_height, out_width;
  nni_resample how;
  bool resized;
  int channels, out_channels;
  atomic_int status;    /* the first failure: memory only */
} fit_job;

/* to = from, grey repeated or colours made grey: (19595 r + 38470 g + 7471 b + 2^15) / 2^16, as Pillow's "L". */
static void convert(uint8_t *to, int to_channels, const uint8_t *from, int from_channels, int64_t pixels) {
  if (to_channels == from_channels) {
    memcpy(to, from, (size_t)(pixels * to_channels));
  } else if (from_channels == 1) {
    for (int64_t p = 0; p < pixels; p++) to[3 * p] = to[3 * p + 1] = to[3 * p + 2] = from[p];
  } else {
    for (int64_t p = 0; p < pixels; p++, from += 3)
      to[p] = (uint8_t)((19595u * from[0] + 38470u * from[1] + 7471u * from[2] + (1u << 15)) >> 16);
  }
}

static void fit_images(void *context, int64_t begin, int64_t end) {
  fit_job *job = context;
  nni_picture in = { 0 }, out = { 0 };
  int64_t row = job->height * job->width * job->channels, pixels = job->out_height * job->out_width;
  int status = NN_OK;
  for (int64_t n = begin; n < end && status == NN_OK; n++) {
    const uint8_t *image = job->from + n * row;
    if (job->resized) {
      status = nni_picture_shape(&in, job->height, job->width, job->channels, 8);
      if (status == NN_OK) memcpy(in.pixels, image, (size_t)row);
      if (status == NN_OK) status = nni_image_resize(&in, &job->how, &out);
      image = out.pixels;
    }
    if (status == NN_OK)
      convert(job->to + n * pixels * job->out_channels, job->out_channels, image, job->channels, pixels);
  }
  nni_picture_free(&in);
  nni_picture_free(&out);
  if (status != NN_OK) atomic_store(&job->status, status);
}

int nn_data_fit(nn_tensor *images, int64_t side, int64_t resize, int channels, nn_tensor **out) {
  char shape[96];
  int64_t now = nn_tensor_axes(images) == 4 ? nn_tensor_size(images, 3) : 0;
  nn_tensor_describe(images, shape, sizeof shape);
  if (nn_tensor_type(images) != NN_UINT8 || (now != 1 && now != 3))
    return nn_fail(NN_ESHAPE, "fit: uint8 images [N x H x W x C] with 1 or 3 channels expected, got %s %s",
                   nn_type_name(nn_tensor_type(images)), shape);
  if (channels != 1 && channels != 3) return nn_fail(NN_EARGUMENT, "fit: 1 or 3 channels expected, got %d", channels);
  if (side < 0 || side > MAX_SIDE || (side > 0 && (resize < side || resize > MAX_SIDE)))
    return nn_fail(NN_EARGUMENT, "fit: sides of at most %d expected, resize at least side, got side %lld, resize %lld",
                   MAX_SIDE, (long long)side, (long long)resize);
  int64_t count = nn_tensor_size(images, 0), height = nn_tensor_size(images, 1), width = nn_tensor_size(images, 2);
  if (count > 0 && (height == 0 || width == 0)) return nn_fail(NN_ESHAPE, "fit: images without pixels: %s", shape);
  bool resized = side > 0 && count > 0 && (height != side || width != side || resize != side);
  nn_tensor *packed = nn_tensor_pack(images);
  nn_tensor *y = nn_tensor_new(NN_UINT8, 4, (int64_t[]){ count, side ? side : height, side ? side : width, channels });
  int status = packed && y ? NN_OK : NN_EMEMORY;
  if (status == NN_OK && count > 0) {
    fit_job job = {
      .from = nn_tensor_data(packed), .to = nn_tensor_write(y), .height = height, .width = width,
      .out_height = nn_tensor_size(y, 1), .out_width = nn_tensor_size(y, 2), .resized = resized,
      .channels = (int)now, .out_channels = channels,
    };
    if (resized) {
      bool tall = height > width;
      job.how = (nni_resample){ .height = tall ? resize * height / width : resize,
                                .width = tall ? resize : resize * width / height, .filter = NN_BILINEAR,
                                .window = true, .window_height = side, .window_width = side };
      job.how.top = (int64_t)nearbyint((double)(job.how.height - side) / 2);
      job.how.left = (int64_t)nearbyint((double)(job.how.width - side) / 2);
    }
    atomic_init(&job.status, NN_OK);
    status = nn_parallel_for(count, 64, fit_images, &job);
    if (status == NN_OK && atomic_load(&job.status) != NN_OK) status = nn_fail(NN_EMEMORY, "fit: out of memory");
  }
  nn_tensor_release(packed);
  if (status == NN_OK) *out = y;
  else nn_tensor_release(y);
  return status;
}
