/* noise.c -- the rows that add noise to every pixel. */
#include "kernels/noise.h"
#include "perturb/perturb.h"

static const nni_perturb_setting gaussian_settings[] = { { "deviation", 0, 10 }, { 0 } };

static int gaussian_noise(nni_canvas *image, const nni_perturb_use *use) {
  if (use->value[0] > 0)
    nnk_noise_clip(image->pixels, image->height * image->width * image->channels, use->value[0], use->key, use->node,
                   use->image);
  return NN_OK;
}

#define BOTH(function) { [NN_CONVENTION_PAPER] = { .apply = function }, \
                         [NN_CONVENTION_TORCHVISION] = { .apply = function } }

const nn_perturbation nni_noise_rows[] = {
  { .name = "gaussian_noise", .doc = "Adds a normal number to each pixel, and clips.", .form = BOTH(gaussian_noise),
    .settings = gaussian_settings, .any_channels = true },
  { .name = NULL },
};
