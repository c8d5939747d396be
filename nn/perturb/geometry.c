/* geometry.c -- the rows that move pixels: what networks are commonly trained on. The result has the image's size. */
#include <math.h>

#include "kernels/geometry.h"
#include "kernels/resize.h"
#include "perturb/perturb.h"

static void exchange(nni_canvas *image) {
  nn_real *kept = image->pixels;
  image->pixels = image->spare;
  image->spare = kept;
}

/* ---- random crop ---- */

enum { PADDING, MODE };
static const nni_perturb_setting crop_settings[] = { { "padding", 0, 4096 }, { "mode", 0, 1 }, { 0 } };

/* A window of the image's size somewhere in the padded image: a move by at most `padding` along each side. */
static int random_crop(nni_canvas *image, const nni_perturb_use *use) {
  uint32_t draw[4];
  int64_t padding = (int64_t)use->value[PADDING], places = 2 * padding + 1;
  if (padding == 0) return NN_OK;
  nni_perturb_draw(use, 0, draw);
  nnk_shift(image->spare, image->pixels, image->height, image->width, image->channels,
            nni_pick(draw[0], places) - padding, nni_pick(draw[1], places) - padding, use->value[MODE] != 0);
  exchange(image);
  return NN_OK;
}

static int check_crop(const double *value, int64_t height, int64_t width) {
  bool mirror = value[MODE] != 0;
  int64_t most = (height < width ? height : width) - mirror;
  if (value[PADDING] <= (double)most) return NN_OK;
  return nn_fail(NN_ESHAPE, "random_crop: padding expects at most %lld for images of %lld x %lld%s, got %g",
                 (long long)most, (long long)height, (long long)width, mirror ? " (mode reflect)" : "",
                 value[PADDING]);
}

/* ---- flip ---- */

static const nni_perturb_setting flip_settings[] = { { "probability", 0, 1 }, { 0 } };

static int flip(nni_canvas *image, const nni_perturb_use *use) {
  uint32_t draw[4];
  nni_perturb_draw(use, 0, draw);
  if (nni_unit(draw[0]) < use->value[0]) nnk_flip(image->pixels, image->height, image->width, image->channels);
  return NN_OK;
}

/* ---- random resized crop ---- */

enum { SCALE_LOW, SCALE_HIGH, RATIO_LOW, RATIO_HIGH, TRIES = 10 };
static const nni_perturb_setting resized_settings[] = {
  { "scale", 1e-6, 1 }, { "scale", 1e-6, 1 }, { "ratio", 1e-3, 1e3 }, { "ratio", 1e-3, 1e3 }, { 0 }
};

static double between(double low, double high, uint32_t word) { return low + (high - low) * nni_unit(word); }

/* torchvision's: an area that is a share of the image's, evenly drawn, with a ratio of width to height that is evenly
 * drawn on a scale of logarithms; where ten such do not fit, the largest window in the middle whose ratio is
 * allowed. */
static nni_rectangle resized_window(const nni_perturb_use *use, int64_t height, int64_t width) {
  const double *v = use->value;
  double area = (double)height * (double)width, low = log(v[RATIO_LOW]), high = log(v[RATIO_HIGH]);
  nni_rectangle w = { 0, 0, height, width };
  for (uint32_t k = 0; k < TRIES; k++) {
    uint32_t draw[4];
    nni_perturb_draw(use, k, draw);
    double wanted = area * between(v[SCALE_LOW], v[SCALE_HIGH], draw[0]), ratio = exp(between(low, high, draw[1]));
    double across = nearbyint(sqrt(wanted * ratio)), down = nearbyint(sqrt(wanted / ratio));
    if (!(across >= 1 && across <= (double)width && down >= 1 && down <= (double)height)) continue;
    w.width = (int64_t)across;
    w.height = (int64_t)down;
    w.top = nni_pick(draw[2], height - w.height + 1);
    w.left = nni_pick(draw[3], width - w.width + 1);
    return w;
  }
  double ratio = (double)width / (double)height;
  if (ratio < v[RATIO_LOW]) w.height = (int64_t)nearbyint((double)width / v[RATIO_LOW]);
  else if (ratio > v[RATIO_HIGH]) w.width = (int64_t)nearbyint((double)height * v[RATIO_HIGH]);
  if (w.height < 1) w.height = 1;
  if (w.width < 1) w.width = 1;
  w.top = (height - w.height) / 2;
  w.left = (width - w.width) / 2;
  return w;
}

/* The window is no larger than what it becomes: bilinear with and without antialiasing are then the same. */
static int random_resized_crop(nni_canvas *image, const nni_perturb_use *use) {
  nni_rectangle w = resized_window(use, image->height, image->width);
  nnk_resize_shape shape = { .images = 1, .channels = image->channels, .x_height = w.height, .x_width = w.width,
                             .y_height = image->height, .y_width = image->width, .x_pitch = image->width };
  const nn_real *corner = image->pixels + (w.top * image->width + w.left) * image->channels;
  int status = nnk_resize(image->spare, corner, &shape);
  if (status == NN_OK) exchange(image);
  return status;
}

/* ---- the rows ---- */

#define BOTH(function) \
  { [NN_CONVENTION_PAPER] = { .apply = function }, [NN_CONVENTION_TORCHVISION] = { .apply = function } }

const nn_perturbation nni_geometry_rows[] = {
  { .name = "random_crop", .doc = "A random window of the padded image, of the image's size.",
    .form = BOTH(random_crop), .settings = crop_settings, .check = check_crop, .needs_spare = true,
    .any_channels = true },
  { .name = "flip", .doc = "Left and right exchanged, with a probability.", .form = BOTH(flip),
    .settings = flip_settings, .any_channels = true },
  { .name = "random_resized_crop", .doc = "A random part of the image, of random shape, at the image's size.",
    .form = BOTH(random_resized_crop), .settings = resized_settings, .window = resized_window, .needs_spare = true,
    .any_channels = true },
  { .name = NULL },
};
