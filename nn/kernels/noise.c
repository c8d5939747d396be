/* noise.c -- random noise on one image. */
#include "kernels/noise.h"

#include <math.h>

#include "kernels/kernels.h"

static nn_real clip(double x) { return (nn_real)(x < 0 ? 0 : x > 1 ? 1 : x); }

/* Box-Muller: two words of a draw give two normals, which are at most 6.7; a draw serves four pixels. */
void nnk_noise_clip(nn_real *pixels, int64_t count, double deviation, uint64_t seed, uint64_t stream, uint64_t index) {
  for (int64_t at = 0; at < count; at += 4) {
    uint32_t draw[4];
    double noise[4];
    nn_random_block(seed, stream + ((uint64_t)(at / 4) << 32), index, draw);
    for (int k = 0; k < 4; k += 2) {
      double radius = deviation * sqrt(-2 * log(1 - draw[k] * 0x1p-32)), angle = 2 * M_PI * (draw[k + 1] * 0x1p-32);
      noise[k] = radius * cos(angle);
      noise[k + 1] = radius * sin(angle);
    }
    int64_t some = nnk_min(4, count - at);
    for (int64_t k = 0; k < some; k++) pixels[at + k] = clip(pixels[at + k] + noise[k]);
  }
}
