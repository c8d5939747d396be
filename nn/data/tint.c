/* tint.c -- Colour MNIST: grey digits become white digits on a red or a blue background.
 *
 * The colour is drawn for each image apart from what the digit is. Fig. 14 of the paper.
 */
#include "tensor/tensor.h"

enum { CHANNELS = 3, WHITE = 255 };
enum { RED, BLUE };

static const uint8_t background_colour[2][CHANNELS] = { [RED] = { 255, 0, 0 }, [BLUE] = { 0, 0, 255 } };

typedef struct {
  const uint8_t *digits; /* [N, pixels] */
  uint8_t *out;          /* [N, pixels, 3] */
  int32_t *background;   /* [N] */
  int64_t pixels;
  double bias;
  uint64_t seed, stream;
} tint_job;

/* out = background * (1 - g) + white * g, g = digit / 255, rounded to the nearest. */
static void tint_images(void *context, int64_t begin, int64_t end) {
  const tint_job *job = context;
  for (int64_t n = begin; n < end; n++) {
    int which = nn_random_uniform(job->seed, job->stream, (uint64_t)n) < job->bias ? RED : BLUE;
    const uint8_t *colour = background_colour[which], *digit = job->digits + n * job->pixels;
    uint8_t *out = job->out + n * job->pixels * CHANNELS;
    job->background[n] = which;
    for (int64_t p = 0; p < job->pixels; p++)
      for (int c = 0; c < CHANNELS; c++)
        out[p * CHANNELS + c] = (uint8_t)((colour[c] * (255 - digit[p]) + WHITE * digit[p] + 127) / 255);
  }
}

int nn_data_tint(nn_tensor *digits, double bias, uint64_t seed, uint64_t stream, nn_tensor **images,
                 nn_tensor **background) {
  char shape[96];
  if (nn_tensor_type(digits) != NN_UINT8 || nn_tensor_axes(digits) != 4 || nn_tensor_size(digits, 3) != 1 ||
      !nn_tensor_contiguous(digits))
    return nn_fail(NN_ESHAPE, "tint: uint8 digits [N x H x W x 1] expected, got %s %s",
                   nn_type_name(nn_tensor_type(digits)), nn_tensor_describe(digits, shape, sizeof shape));
  if (!(bias >= 0 && bias <= 1)) return nn_fail(NN_EARGUMENT, "tint: bias: 0 to 1 expected, got %g", bias);
  int64_t count = nn_tensor_size(digits, 0), height = nn_tensor_size(digits, 1), width = nn_tensor_size(digits, 2);
  nn_tensor *x = nn_tensor_new(NN_UINT8, 4, (int64_t[]){ count, height, width, CHANNELS });
  nn_tensor *which = nn_tensor_new(NN_INDEX, 1, &count);
  int status = NN_EMEMORY;
  if (x && which) {
    tint_job job = { nn_tensor_data(digits), nn_tensor_write(x), nn_tensor_write(which), height * width, bias, seed,
                     stream };
    status = nn_parallel_for(count, 64, tint_images, &job);
  }
  if (status != NN_OK) {
    nn_tensor_release(x);
    nn_tensor_release(which);
    return status;
  }
  *images = x;
  *background = which;
  return NN_OK;
}
