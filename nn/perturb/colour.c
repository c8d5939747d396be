/* colour.c -- the rows of the paper's four colour perturbations, in two conventions.
 *
 * Table 1 of the paper gives numbers without formulas. "paper" reads them as steps of 1/255 for brightness, factors for
 * contrast (about each channel's mean) and saturation (in HSV), and turns of the hue. "torchvision" blends with black,
 * with the mean grey and with the grey image; there brightness is a factor as well, and level k is the one that moves
 * middle grey as far as the paper's does: 1 + amount / 127.5.
 */
#include "kernels/colour.h"
#include "perturb/perturb.h"

static int64_t pixels_of(const nni_canvas *image) { return image->height * image->width; }

static int brightness_add(nni_canvas *image, const nni_perturb_use *use) {
  nnk_add_clip(image->pixels, pixels_of(image) * image->channels, (nn_real)(use->value[0] / 255));
  return NN_OK;
}

static int brightness_scale(nni_canvas *image, const nni_perturb_use *use) {
  nnk_scale_clip(image->pixels, pixels_of(image) * image->channels, (nn_real)use->value[0]);
  return NN_OK;
}

static int contrast_channels(nni_canvas *image, const nni_perturb_use *use) {
  nnk_contrast_channels(image->pixels, pixels_of(image), image->channels, (nn_real)use->value[0]);
  return NN_OK;
}

static int contrast_grey(nni_canvas *image, const nni_perturb_use *use) {
  nnk_contrast_grey(image->pixels, pixels_of(image), image->channels, (nn_real)use->value[0]);
  return NN_OK;
}

/* A grey image has neither saturation nor hue to change. */
static int saturation_hsv(nni_canvas *image, const nni_perturb_use *use) {
  if (image->channels == 3) nnk_saturate_hsv(image->pixels, pixels_of(image), (nn_real)use->value[0]);
  return NN_OK;
}

static int saturation_blend(nni_canvas *image, const nni_perturb_use *use) {
  if (image->channels == 3) nnk_saturate_blend(image->pixels, pixels_of(image), (nn_real)use->value[0]);
  return NN_OK;
}

static int hue_turn(nni_canvas *image, const nni_perturb_use *use) {
  if (image->channels == 3) nnk_rotate_hue(image->pixels, pixels_of(image), use->value[0]);
  return NN_OK;
}

#define TABLE_1_FACTORS { 1.25, 1.5, 1.75, 2 }
#define TABLE_1_TURNS { 0.1, 0.2, 0.3, 0.4 }

const nn_perturbation nni_colour_rows[] = {
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
