/* colour.h -- colour changes of one image, in place; pixels as bytes.
 *
 * pixels: [count, channels] in [0, 1]; results are clipped to [0, 1]. Saturation and hue take three channels.
 */
#ifndef NN_KERNELS_COLOUR_H
#define NN_KERNELS_COLOUR_H

#include "core/core.h"

void nnk_from_bytes(nn_real *x, const uint8_t *bytes, int64_t count);
void nnk_to_bytes(uint8_t *out, const nn_real *x, int64_t count);
void nnk_add_clip(nn_real *pixels, int64_t elements, nn_real amount);
void nnk_scale_clip(nn_real *pixels, int64_t elements, nn_real factor);
void nnk_contrast_channels(nn_real *pixels, int64_t count, int channels, nn_real factor);
void nnk_contrast_grey(nn_real *pixels, int64_t count, int channels, nn_real factor);
void nnk_saturate_hsv(nn_real *pixels, int64_t count, nn_real factor);
void nnk_saturate_blend(nn_real *pixels, int64_t count, nn_real factor);
void nnk_rotate_hue(nn_real *pixels, int64_t count, double turns);

/* The grey of whole samples, of 8 bits or 16: the weights of ITU-R BT.601 in 1/2^16, as Pillow's convert("L"). */
static inline uint32_t nnk_luma(uint32_t r, uint32_t g, uint32_t b) {
  return (19595 * r + 38470 * g + 7471 * b + 32768) >> 16;
}

#endif
