/* colour.c -- the rows of the paper's four colour perturbations, in two conventions.
 *
 * Table 1 of the paper gives numbers without formulas. "paper" reads them as steps of 1/255 for brightness, factors for
 * contrast (about each channel's mean) and saturation (in HSV), and turns of the hue. "torchvision" blends with black,
 * with the mean grey and with the grey image; there brightness is a factor as well, and level k is the one that moves
 * middle grey as far as the paper's does: 1 + amount / 127.5.
 */
#include "kernels/colour.h"
#include "perturb/perturb.h"

static void brightness_add(nn_real *pixels, int64_t count, int channels, double value) {
  nnk_add_clip(pixels, count * channels, (nn_real)(value / 255));
}

static void brightness_scale(nn_real *pixels, int64_t count, int channels, double value) {
  nnk_scale_clip(pixels, count * channels, (nn_real)value);
}

static void contrast_channels(nn_real *pixels, int64_t count, int channels, double value) {
  nnk_contrast_channels(pixels, count, channels, (nn_real)value);
}

static void contrast_grey(nn_real *pixels, int64_t count, int channels, double value) {
  nnk_contrast_grey(pixels, count, channels, (nn_real)value);
}

/* A grey image has neither saturation nor hue to change. */
static void saturation_hsv(nn_real *pixels, int64_t count, int channels, double value) {
  if (channels == 3) nnk_saturate_hsv(pixels, count, (nn_real)value);
}

static void saturation_blend(nn_real *pixels, int64_t count, int channels, double value) {
  if (channels == 3) nnk_saturate_blend(pixels, count, (nn_real)value);
}

static void hue_turn(nn_real *pixels, int64_t count, int channels, double value) {
  if (channels == 3) nnk_rotate_hue(pixels, count, value);
}

#define TABLE_1_FACTORS { 1.25, 1.5, 1.75, 2 }
#define TABLE_1_TURNS { 0.1, 0.2, 0.3, 0.4 }

const nn_perturbation nni_perturbations[] = {
  { .name = "brightness",
    .doc = "Lighter or darker: adds amount/255 (paper), or multiplies (torchvision).",
    .form = {
      [NN_CONVENTION_PAPER] = { "amount", { 16, 32, 48, 64 }, -255, 255, false, brightness_add },
      [NN_CONVENTION_TORCHVISION] =
        { "factor", { 1 + 16 / 127.5, 1 + 32 / 127.5, 1 + 48 / 127.5, 1 + 64 / 127.5 }, 0, 255, true,
          brightness_scale } } },
  { .name = "contrast",
    .doc = "Stretches about each channel's mean (paper), or about the mean grey (torchvision).",
    .form = {
      [NN_CONVENTION_PAPER] = { "factor", TABLE_1_FACTORS, 0, 255, true, contrast_channels },
      [NN_CONVENTION_TORCHVISION] = { "factor", TABLE_1_FACTORS, 0, 255, true, contrast_grey } } },
  { .name = "saturation",
    .doc = "Multiplies the saturation in HSV (paper), or blends with the grey image (torchvision).",
    .form = {
      [NN_CONVENTION_PAPER] = { "factor", TABLE_1_FACTORS, 0, 255, true, saturation_hsv },
      [NN_CONVENTION_TORCHVISION] = { "factor", TABLE_1_FACTORS, 0, 255, true, saturation_blend } } },
  { .name = "hue",
    .doc = "Turns the hue in HSV; one turn is the whole circle.",
    .form = {
      [NN_CONVENTION_PAPER] = { "turns", TABLE_1_TURNS, -1, 1, false, hue_turn },
      [NN_CONVENTION_TORCHVISION] = { "turns", TABLE_1_TURNS, -0.5, 0.5, false, hue_turn } } },
  { .name = NULL },
};
