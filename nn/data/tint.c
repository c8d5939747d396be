/* tint.c -- Colour MNIST: grey digits become white digits on a coloured background.
 *
 * Fig. 14 of the paper has red and blue backgrounds, drawn for each image apart from what the digit is. For variants
 * where the colour tells the class, each image favours a colour of its own. The ten colours, one for each class, are
 * those of Biased MNIST (Bahng et al.: Learning De-biased Representations with Biased Representations, 2020).
 */
#include "tensor/tensor.h"

enum { CHANNELS = 3, WHITE = 255, COLOURS = 10 };

static const uint8_t two_colours[2][CHANNELS] = { { 255, 0, 0 }, { 0, 0, 255 } };
static const uint8_t ten_colours[COLOURS][CHANNELS] = {
  { 255, 0, 0 },   { 0, 255, 0 },   { 0, 0, 255 },   { 225, 225, 0 }, { 225, 0, 225 },
  { 0, 255, 255 }, { 255, 128, 0 }, { 255, 0, 128 }, { 128, 0, 255 }, { 128, 128, 128 },
};

typedef struct {
  const uint8_t *digits;   /* [N, pixels] */
  const int32_t *favoured; /* [N]; NULL: the first colour for all */
  const uint8_t (*colour)[CHANNELS];
  uint8_t *out;            /* [N, pixels, 3] */
  int32_t *background;     /* [N] */
  int64_t pixels;
  int colours;
  double bias;
  uint64_t seed, stream;
} tint_job;

/* The favoured colour with probability `bias`, else one of the others, all equally likely. */
static int draw(const tint_job *job, int64_t n) {
  double u = nn_random_uniform(job->seed, job->stream, (uint64_t)n);
  int favoured = job->favoured ? job->favoured[n] : 0;
  if (u < job->bias) return favoured;
  int other = (int)((u - job->bias) / (1 - job->bias) * (job->colours - 1));
  if (other > job->colours - 2) other = job->colours - 2;
  return other < favoured ? other : other + 1;
}

/* out = background * (1 - g) + white * g, g = digit / 255, rounded to the nearest. */
static void tint_images(void *context, int64_t begin, int64_t end) {
  const tint_job *job = context;
  for (int64_t n = begin; n < end; n++) {
    int which = draw(job, n);
    const uint8_t *colour = job->colour[which], *digit = job->digits + n * job->pixels;
    uint8_t *out = job->out + n * job->pixels * CHANNELS;
    job->background[n] = which;
    for (int64_t p = 0; p < job->pixels; p++)
      for (int c = 0; c < CHANNELS; c++)
        out[p * CHANNELS + c] = (uint8_t)((colour[c] * (255 - digit[p]) + WHITE * digit[p] + 127) / 255);
  }
}

static int check_favoured(const nn_tensor *favoured, int64_t count, int colours) {
  char shape[96];
  if (nn_tensor_type(favoured) != NN_INDEX || nn_tensor_axes(favoured) != 1 || nn_tensor_size(favoured, 0) != count ||
      !nn_tensor_contiguous(favoured))
    return nn_fail(NN_ESHAPE, "tint: favoured: index [%lld] expected, got %s %s", (long long)count,
                   nn_type_name(nn_tensor_type(favoured)), nn_tensor_describe(favoured, shape, sizeof shape));
  const int32_t *which = nn_tensor_data(favoured);
  for (int64_t n = 0; n < count; n++)
    if (which[n] < 0 || which[n] >= colours)
      return nn_fail(NN_EARGUMENT, "tint: favoured: colour %d of image %lld is outside 1 .. %d", (int)which[n] + 1,
                     (long long)n + 1, colours);
  return NN_OK;
}

int nn_data_tint(nn_tensor *digits, nn_tensor *favoured, int colours, double bias, uint64_t seed, uint64_t stream,
                 nn_tensor **images, nn_tensor **background) {
  char shape[96];
  if (nn_tensor_type(digits) != NN_UINT8 || nn_tensor_axes(digits) != 4 || nn_tensor_size(digits, 3) != 1 ||
      !nn_tensor_contiguous(digits))
    return nn_fail(NN_ESHAPE, "tint: uint8 digits [N x H x W x 1] expected, got %s %s",
                   nn_type_name(nn_tensor_type(digits)), nn_tensor_describe(digits, shape, sizeof shape));
  if (colours < 2 || colours > COLOURS)
    return nn_fail(NN_EARGUMENT, "tint: colours: 2 to %d expected, got %d", COLOURS, colours);
  if (!(bias >= 0 && bias <= 1)) return nn_fail(NN_EARGUMENT, "tint: bias: 0 to 1 expected, got %g", bias);
  int64_t count = nn_tensor_size(digits, 0), height = nn_tensor_size(digits, 1), width = nn_tensor_size(digits, 2);
  int status = favoured ? check_favoured(favoured, count, colours) : NN_OK;
  if (status != NN_OK) return status;
  nn_tensor *x = nn_tensor_new(NN_UINT8, 4, (int64_t[]){ count, height, width, CHANNELS });
  nn_tensor *which = nn_tensor_new(NN_INDEX, 1, &count);
  status = NN_EMEMORY;
  if (x && which) {
    tint_job job = { .digits = nn_tensor_data(digits), .favoured = favoured ? nn_tensor_data(favoured) : NULL,
                     .colour = colours == 2 ? two_colours : ten_colours, .out = nn_tensor_write(x),
                     .background = nn_tensor_write(which), .pixels = height * width, .colours = colours, .bias = bias,
                     .seed = seed, .stream = stream };
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
